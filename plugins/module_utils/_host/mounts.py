# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What is mounted where. Pure, but for the one statvfs."""

from __future__ import annotations

import dataclasses
import os
import typing as t


@dataclasses.dataclass(frozen=True)
class Mount:
    """One line of mountinfo."""

    point: str
    fstype: str
    source: str
    options: t.FrozenSet[str]


def _unescape(text: str) -> str:
    for code, char in (("040", " "), ("011", "\t"), ("012", "\n"), ("043", "#"), ("134", "\\")):
        text = text.replace("\\" + code, char)
    return text


def parse_mountinfo(text: str) -> list[Mount]:
    """Parse /proc/self/mountinfo (proc(5)); options are those of the mount and of the file system together."""
    mounts = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        if not separator:
            continue
        fields, fstype_source_options = before.split(" "), after.split(" ")
        options = frozenset(fields[5].split(",")) | frozenset(fstype_source_options[2].split(","))
        mounts.append(Mount(_unescape(fields[4]), fstype_source_options[0], _unescape(fstype_source_options[1]), options))
    return mounts


def is_below(path: str, top: str) -> bool:
    """Whether a path is the other one or lies in it."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def points_below(top: str, mounts: t.Iterable[Mount]) -> list[str]:
    """What is mounted below a path, the deepest first; not on the path itself."""
    return sorted((mount.point for mount in mounts if mount.point != top and is_below(mount.point, top)), reverse=True)


def mount_of(path: str, mounts: t.Iterable[Mount]) -> Mount | None:
    """The mount that holds a path: the longest mount point, of equal ones the last."""
    best: Mount | None = None
    for mount in mounts:
        if is_below(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def mount_id(path: str) -> int:
    """The mount that holds a path, as the kernel knows it, links followed: mounts of one file system have different ones (proc(5), fdinfo).

    :raises OSError: it is not there.
    """
    fd = os.open(path, os.O_PATH)
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as stream:
            return next(int(line.split()[1]) for line in stream if line.startswith("mnt_id:"))
    finally:
        os.close(fd)


def is_mount_point(path: str) -> bool:
    """Whether something is mounted on a path, be it a directory of the same file system."""
    try:
        real = os.path.realpath(path)
        return real == "/" or mount_id(real) != mount_id(os.path.dirname(real))
    except OSError:
        return False


def are_one_place(one: str, other: str) -> bool:
    """Whether two paths are one directory, whatever it is called: by links, or by a bind mount."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return os.path.isdir(one) and os.path.isdir(other) and os.path.samefile(one, other)


def nearest_directory(path: str) -> str:
    """The path itself or the nearest parent that exists."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def in_fstab(point: str, fstab: str) -> str | None:
    """The device that fstab mounts on a point, or None."""
    for line in fstab.splitlines():
        fields = line.split()
        if len(fields) >= 2 and not fields[0].startswith("#") and _unescape(fields[1]).rstrip("/") == point.rstrip("/"):
            return fields[0]
    return None


__all__ = (
    "Mount",
    "are_one_place",
    "in_fstab",
    "is_below",
    "is_mount_point",
    "mount_id",
    "mount_of",
    "nearest_directory",
    "parse_mountinfo",
    "points_below",
)
