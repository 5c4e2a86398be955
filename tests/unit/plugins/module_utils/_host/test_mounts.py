# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Which file system holds a path, and what brings it back after a boot."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import Mount, in_fstab, is_below, mount_of, nearest_directory, parse_mountinfo

MOUNTINFO = r"""22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 22 254:16 / /mnt/big\040disk rw,noatime shared:5 master:2 - xfs /dev/vdb ro,attr2
31 22 0:31 / /mnt/a\134b\011c rw - tmpfs tmp\040fs rw
a line that is cut short
32 22 0:40 /@data /data rw,subvol=/@data - btrfs /dev/vdc rw,compress=zstd
"""

PARSED = [
    Mount("/", "ext4", "/dev/vda1", frozenset({"rw", "relatime", "errors=remount-ro"})),
    Mount("/mnt/big disk", "xfs", "/dev/vdb", frozenset({"rw", "noatime", "ro", "attr2"})),
    Mount("/mnt/a\\b\tc", "tmpfs", "tmp fs", frozenset({"rw"})),
    Mount("/data", "btrfs", "/dev/vdc", frozenset({"rw", "subvol=/@data", "compress=zstd"})),
]

BELOW = [
    ("/mnt/data", "/mnt/data", True),
    ("/mnt/data/docker", "/mnt/data", True),
    ("/mnt/data/docker", "/mnt/data/", True),
    ("/mnt/database", "/mnt/data", False),
    ("/mnt", "/mnt/data", False),
    ("/anything", "/", True),
]

FSTAB = r"""
# /dev/sdz1 /mnt/commented ext4 defaults 0 2
UUID=1234 / ext4 errors=remount-ro 0 1
/dev/sdb1	/mnt/big\040disk/  xfs defaults 0 2
LABEL=data /data btrfs subvol=@data 0 0
UUID=5678 none swap sw 0 0
broken
"""

IN_FSTAB = [
    ("/", "UUID=1234"),
    ("/mnt/big disk", "/dev/sdb1"),
    ("/data", "LABEL=data"),
    ("/data/", "LABEL=data"),
    ("/mnt/commented", None),
    ("/dat", None),
    ("/data/deeper", None),
]


def test_parse_mountinfo():
    assert parse_mountinfo(MOUNTINFO) == PARSED
    assert parse_mountinfo("") == []


@pytest.mark.parametrize(("path", "top", "below"), BELOW)
def test_is_below_knows_whole_names(path, top, below):
    assert is_below(path, top) is below


@pytest.mark.parametrize(("path", "index"), [("/etc", 0), ("/data", 3), ("/data/docker", 3), ("/database", 0), ("/mnt/big disk/docker", 1)])
def test_mount_of_is_the_longest_one(path, index):
    assert mount_of(path, PARSED) == PARSED[index]
    assert mount_of(path, list(reversed(PARSED))) == PARSED[index]


def test_mount_of_two_on_one_point_is_the_upper_one():
    lower, upper = Mount("/data", "ext4", "/dev/sdb", frozenset()), Mount("/data", "xfs", "/dev/sdc", frozenset())
    assert mount_of("/data/docker", [lower, upper]) is upper


def test_mount_of_a_path_that_nothing_holds_is_none():
    assert mount_of("/etc", PARSED[1:]) is None


@pytest.mark.parametrize(("point", "device"), IN_FSTAB)
def test_in_fstab(point, device):
    assert in_fstab(point, FSTAB) == device


def test_nearest_directory_passes_what_does_not_exist_and_files(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "no" / "such", tmp_path / "file" / "below"):
        assert nearest_directory(str(path)) == str(tmp_path)
