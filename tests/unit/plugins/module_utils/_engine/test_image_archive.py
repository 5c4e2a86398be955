# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What an archive of images holds."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.image_archive import archive_contents
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError


def write(path, mode="w", **files):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            entry = tarfile.TarInfo(name.replace("_", "."))
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return str(path)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("config", ["abc.json", "blobs/sha256/abc"])
def test_images_are_known_by_their_configuration(tmp_path, mode, config):
    path = write(tmp_path / "a", mode, manifest_json=[{"Config": config, "RepoTags": ["web:1", "web:2"]}, {"Config": "def.json", "RepoTags": None}])
    assert archive_contents(path) == [{"ids": ["sha256:abc"], "names": ["web:1", "web:2"]}, {"ids": ["sha256:def"], "names": []}]


def test_images_are_known_by_the_index_too(tmp_path):
    path = write(tmp_path / "a", manifest_json=[{"Config": "blobs/sha256/abc", "RepoTags": ["web:1"]}], index_json={"manifests": [{"digest": "sha256:d"}]})
    assert archive_contents(path) == [{"ids": ["sha256:abc", "sha256:d"], "names": ["web:1"]}]


def test_archive_that_is_not_there(tmp_path):
    with pytest.raises(DrydockError, match=f"The image archive {tmp_path}/none cannot be read: "):
        archive_contents(f"{tmp_path}/none")


def test_archive_of_something_else(tmp_path):
    with pytest.raises(DrydockError, match=r"has no manifest\.json, so it holds no images"):
        archive_contents(write(tmp_path / "a", etc_passwd=b"root"))


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_file_that_is_no_archive(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DrydockError):
        archive_contents(str(tmp_path / "a"))


def test_contents_that_are_no_json(tmp_path):
    with pytest.raises(DrydockError, match="cannot be read"):
        archive_contents(write(tmp_path / "a", manifest_json=b"{"))
