# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What an engine keeps below its data root, as the disk tells it."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.on_disk import (
    is_containerds_mount,
    is_dockers_mount,
    is_on_disk,
    out_of_sight,
    uses_containerd_store,
)

THINGS = [("container", "c1", "containers/c1"), ("volume", "my vol", "volumes/my vol"), ("image", "sha256:ab", "image/overlay2/imagedb/content/sha256/ab")]


@pytest.mark.parametrize("remapped", ["", "165536.165536"])
@pytest.mark.parametrize(("kind", "id", "place"), THINGS)
def test_what_lies_on_the_disk(tmp_path, kind, id, place, remapped):
    root = tmp_path / "[data]"
    assert is_on_disk(str(root), kind, id) is False
    (root / remapped / place).mkdir(parents=True)
    assert is_on_disk(str(root), kind, id) is True
    assert is_on_disk(str(root), kind, "other") is False


def test_the_disk_does_not_show_networks(tmp_path):
    assert is_on_disk(str(tmp_path), "network", "n1") is None


MOUNTS = {"overlay2/x/merged": True, "containers/x/mounts/shm": True, "165536.165536/overlay2/x/merged": True, "plugins/x": True}
MOUNTS |= {"volumes/nfs/_data": True, "volumes/db/_data": False, "volumes/nfs/_data/below": False, "elsewhere": False, "volumes": False}


@pytest.mark.parametrize(("path", "dockers"), MOUNTS.items())
def test_whose_a_mount_is(path, dockers):
    assert is_dockers_mount(path, ["nfs"]) == dockers


def test_containerds_own_mounts():
    assert is_containerds_mount("io.containerd.snapshotter.v1.overlayfs/x")
    assert not is_containerds_mount("data")


def test_the_store_of_images():
    assert uses_containerd_store({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})
    assert not uses_containerd_store({"DriverStatus": [["Backing Filesystem", "extfs"]]})
    assert not uses_containerd_store({})


OUT_OF_SIGHT = [
    ({"Driver": "overlay2"}, "", {"a", "b"}, (1, 2)),
    ({"Driver": "overlay2"}, "", {"a", "b", "c"}, (0, 2)),
    ({"Driver": "vfs"}, "", {"c"}, (2, 2)),
    ({"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, "", {"a", "b", "c"}, (0, 3)),
    ({"Driver": "overlay2"}, "100000.100000", {"c"}, (2, 2)),
]


@pytest.mark.parametrize(("info", "below", "listed", "hidden"), OUT_OF_SIGHT, ids=str)
def test_what_the_daemon_does_not_show(tmp_path, info, below, listed, hidden):
    for path in ("containers/a", "containers/b", "100000.100000/containers/c"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("image/overlay2", "image/vfs", "100000.100000/image/overlay2"):
        (tmp_path / path / "imagedb/content/sha256").mkdir(parents=True)
        (tmp_path / path / "imagedb/content/sha256/x").touch()
    found = out_of_sight(str(tmp_path), {**info, "DockerRootDir": str(tmp_path / below)}, listed)
    assert (found["containers"], found["images"]) == hidden
