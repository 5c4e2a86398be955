# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Containers with volumes start on the new root, whatever path their files name."""

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.stored_paths import rewrite, rewrite_all

ID = "0123abcd"
NEW = "/mnt/data/docker"


def volume(source, **changes):
    return {"MountPoints": {"/data": {"Type": "volume", "Driver": "local", "Name": "vol", "Source": source, **changes}}}


REWRITTEN = {
    "a volume": (volume("/var/lib/docker/volumes/vol/_data"), volume(f"{NEW}/volumes/vol/_data")),
    "a volume two moves old": (volume("/old/volumes/volumes/vol/_data"), volume(f"{NEW}/volumes/vol/_data")),
    "a log": (
        {"ID": ID, "LogPath": f"/var/lib/docker/containers/{ID}/{ID}-json.log"},
        {"ID": ID, "LogPath": f"{NEW}/containers/{ID}/{ID}-json.log"},
    ),
    "files in /etc of the container": (
        {"ID": ID, "HostnamePath": f"/d/containers/{ID}/hostname", "HostsPath": f"/d/containers/{ID}/hosts", "ResolvConfPath": ""},
        {"ID": ID, "HostnamePath": f"{NEW}/containers/{ID}/hostname", "HostsPath": f"{NEW}/containers/{ID}/hosts", "ResolvConfPath": ""},
    ),
}

LEFT_ALONE = {
    "nothing stored": {"ID": ID},
    "no mounts": {"ID": ID, "MountPoints": None},
    "already there": volume(f"{NEW}/volumes/vol/_data"),
    "a bind below the old root": volume("/var/lib/docker/volumes/vol/_data", Type="bind", Driver=""),
    "a volume of a plugin": volume("/var/lib/docker/volumes/vol/_data", Driver="nfs"),
    "a local volume that lies elsewhere": volume("/srv/vol"),
    "a volume that is not mounted": volume(""),
    "a log elsewhere": {"ID": ID, "LogPath": "/var/log/containers/x.log"},
    "a log of another container": {"ID": ID, "LogPath": "/var/lib/docker/containers/other/other-json.log"},
}


@pytest.mark.parametrize(("config", "expected"), REWRITTEN.values(), ids=REWRITTEN)
def test_rewrite_names_the_new_root(config, expected):
    config = copy.deepcopy(config)
    assert rewrite(config, NEW) is True
    assert config == expected
    assert rewrite(config, NEW) is False


@pytest.mark.parametrize("config", LEFT_ALONE.values(), ids=LEFT_ALONE)
def test_rewrite_leaves_alone_what_is_not_docker_s_own_path(config):
    before = copy.deepcopy(config)
    assert rewrite(config, NEW) is False
    assert config == before


def test_rewrite_all_changes_only_files_that_name_another_root(tmp_path):
    """The root's own name may look like a pattern; what Docker wrote beside the paths stays as it was."""
    root = tmp_path / "[data]*"
    texts = {
        "old": json.dumps({"ID": "old", "Name": "/ä", "Big": 12345678901234567890, **volume("/var/lib/docker/volumes/vol/_data")}),
        "new": json.dumps({"ID": "new", **volume(f"{root}/volumes/vol/_data")}),
        "none": "",
    }
    for name, text in texts.items():
        (root / "containers" / name).mkdir(parents=True)
        (root / "containers" / name / "config.v2.json").write_text(text)
        (root / "containers" / name / "hostconfig.json").write_text('{"Binds": ["/var/lib/docker/volumes/vol/_data:/x"]}')
    (root / "containers" / "old" / "config.v2.json").chmod(0o600)
    assert rewrite_all(str(root)) == []
    path = root / "containers" / "old" / "config.v2.json"
    assert json.loads(path.read_text()) == {"ID": "old", "Name": "/ä", "Big": 12345678901234567890, **volume(f"{root}/volumes/vol/_data")}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [(root / "containers" / name / "config.v2.json").read_text() for name in ("new", "none")] == [texts["new"], texts["none"]]
    assert "/var/lib/docker" in (root / "containers" / "old" / "hostconfig.json").read_text()
    before = path.stat().st_ino
    assert rewrite_all(str(root)) == []
    assert path.stat().st_ino == before


def test_containers_of_a_remapped_root_are_found(tmp_path):
    directory = tmp_path / "165536.165536" / "containers" / "c1"
    directory.mkdir(parents=True)
    config = {"ID": "c1", "MountPoints": {"/v": {"Type": "volume", "Driver": "local", "Name": "v", "Source": "/old/165536.165536/volumes/v/_data"}}}
    (directory / "config.v2.json").write_text(json.dumps(config))
    assert rewrite_all(str(tmp_path)) == []
    assert json.loads((directory / "config.v2.json").read_text())["MountPoints"]["/v"]["Source"] == f"{tmp_path}/165536.165536/volumes/v/_data"


@pytest.mark.parametrize("content", [bytes(100), b"[]", b'{"MountPoints": 5}'], ids=["zeroes", "a list", "of another shape"])
def test_a_file_that_cannot_be_rewritten_is_told_and_the_others_are_rewritten(tmp_path, content):
    """dockerd starts without that container."""
    for name in ("a", "b", "c"):
        (tmp_path / "containers" / name).mkdir(parents=True)
        (tmp_path / "containers" / name / "config.v2.json").write_text(json.dumps({"ID": name, **volume("/old/volumes/vol/_data")}))
    broken = tmp_path / "containers" / "b" / "config.v2.json"
    broken.write_bytes(content)
    (words,) = rewrite_all(str(tmp_path))
    assert words.startswith(f"The paths in {broken} stay as they are, since it cannot be read or written: ")
    assert broken.read_bytes() == content
    for name in ("a", "c"):
        assert json.loads((tmp_path / "containers" / name / "config.v2.json").read_text())["MountPoints"]["/data"]["Source"] == f"{tmp_path}/volumes/vol/_data"
