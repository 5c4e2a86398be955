# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The disks of a host, as far as a move is concerned."""

from __future__ import annotations

import os

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import Mount
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import disks

WRITABLE, READ_ONLY = frozenset({"rw"}), frozenset({"ro"})


def test_only_disks_are_looked_at():
    """A dead server of the network must not hold up a report."""
    root = Mount("/", "overlay", "overlay", WRITABLE)
    mounts = [
        root,
        Mount("/proc", "proc", "proc", WRITABLE),
        Mount("/mnt/bound", "ext4", "/dev/sda2", WRITABLE),
        Mount("/srv", "ext4", "/dev/sda2", WRITABLE),
        Mount("/net", "nfs4", "server:/x", WRITABLE),
        Mount("/cd", "ext4", "/dev/sr0", READ_ONLY),
    ]
    assert [one.point for one in disks.candidates(mounts, [root])] == ["/", "/srv"]


def test_a_disk_is_told_with_its_room_and_what_it_holds(tmp_path):
    mounts = [
        Mount("/", "overlay", "overlay", WRITABLE),
        Mount(str(tmp_path), "ext4", "/dev/sdb1", WRITABLE),
        Mount("/etc/passwd", "ext4", "/dev/sdc1", WRITABLE),
    ]
    found = disks.file_systems(mounts, {"data-root": str(tmp_path / "docker"), "containerd": ""})
    assert [(one["point"], one["source"], one["holds"]) for one in found] == [(str(tmp_path), "/dev/sdb1", ["data-root"])]
    there = os.statvfs(tmp_path)
    assert found[0]["size_bytes"] == there.f_blocks * there.f_frsize
    assert 0 < found[0]["free_bytes"] + found[0]["used_bytes"] <= found[0]["size_bytes"]


def test_a_disk_that_is_mounted_twice_holds_what_lies_below_either_point(tmp_path):
    points = [tmp_path / "docker", tmp_path / "containerd"]
    for point in points:
        point.mkdir()
    mounts = [Mount("/", "overlay", "overlay", WRITABLE), *(Mount(str(point), "ext4", "/dev/sdb1", WRITABLE) for point in points)]
    (found,) = disks.file_systems(mounts, {"data-root": str(points[0]), "containerd": str(points[1])})
    assert (found["source"], found["holds"]) == ("/dev/sdb1", ["containerd", "data-root"])


@pytest.mark.parametrize(("answer", "size"), [((0, "4096\t/x\n"), 4096), ((1, ""), None), ((124, ""), None)])
def test_a_tree_is_measured_or_not_known(host, tmp_path, answer, size):
    host.execute.answers["nice -n 19 du"] = answer
    assert disks.size(host, str(tmp_path)) == size
    assert host.execute.commands == [f"nice -n 19 du -s -x --block-size=1 {tmp_path}"]


def test_a_tree_that_is_not_there_has_no_size(host):
    assert (disks.size(host, "/not/there"), disks.size(host, ""), host.execute.commands) == (None, None, [])
