# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The disks of a host, and what Docker's data take of them."""

from __future__ import annotations

import os
import typing as t

from .._host.host import Host
from .._host.mounts import Mount, mount_of

# Where data may be moved to. A file system of the network is left out: whoever asks for its room may wait for ever.
_LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs")
# Who measures a data root must not stand in the way of a play.
_PATIENCE = 60.0


def candidates(mounts: t.Iterable[Mount], in_use: t.Iterable[Mount]) -> list[Mount]:
    """The mounts that are worth a look: those in use, then writable local ones, the shortest path of each device. Pure."""
    found: dict[str, Mount] = {}
    writable = [one for one in mounts if one.fstype in _LOCAL and "ro" not in one.options]
    for one in (*in_use, *sorted(writable, key=lambda one: len(one.point))):
        found.setdefault(_device(one), one)
    return list(found.values())


def _device(mount: Mount) -> str:
    """What tells file systems apart, wherever they are mounted."""
    return mount.source if mount.source.startswith("/") else mount.point


def file_systems(mounts: t.Sequence[Mount], roots: t.Mapping[str, str]) -> list[dict[str, t.Any]]:
    """The file systems of a host with their room, and which of these roots lie there, by name; bytes as df counts them."""
    homes = {name: mount_of(os.path.realpath(root), mounts) for name, root in roots.items() if root}
    found = []
    for mount in candidates(mounts, [one for one in homes.values() if one]):
        # A single file may be mounted, too.
        if not os.path.isdir(mount.point):
            continue
        there = os.statvfs(mount.point)
        if not there.f_blocks:
            continue
        found.append(
            {
                **{"point": mount.point, "fstype": mount.fstype, "source": mount.source},
                **{"size_bytes": there.f_blocks * there.f_frsize, "free_bytes": there.f_bavail * there.f_frsize},
                "used_bytes": (there.f_blocks - there.f_bfree) * there.f_frsize,
                "holds": sorted(name for name, home in homes.items() if home and _device(home) == _device(mount)),
            }
        )
    return sorted(found, key=lambda one: str(one["point"]))


def size(host: Host, root: str) -> int | None:
    """Bytes of a tree on its own file system; None when nobody knows, or when counting takes too long."""
    if not root or not os.path.isdir(root):
        return None
    # What vanishes meanwhile makes du complain; its sum stands all the same.
    first = host.run("nice", "-n", "19", "du", "-s", "-x", "--block-size=1", os.path.realpath(root), timeout=_PATIENCE).out.split("\t")[0]
    return int(first) if first.isdigit() else None


__all__ = (
    "candidates",
    "file_systems",
    "size",
)
