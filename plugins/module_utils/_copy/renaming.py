# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Whether the kernel can give a directory another name, and whether the one that has that name now may go. Nothing is written to find out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct

from .._host.files import flags_of
from .._host.mounts import is_mount_point, mount_id, nearest_directory

# FS_IOC_FSGETXATTR and its flag for a project that is inherited (linux/fs.h); and the flags that mkdir sets by itself: noatime and the like
# come from a person.
_GET_XATTR, _PROJECT_INHERITED = 0x801C581F, 0x200
_USUAL = 0x1000 | 0x80000 | 0x10000000 | 0x20000000
# The inode number of a subvolume's top.
_SUBVOLUME = 256
# The attributes that a directory has without anybody's word.
_LABELS = frozenset({"security.selinux"})


def can_rename(old: str, new: str) -> bool:
    """Whether a directory can move to a place by a rename: one mount, one subvolume and one project's quota hold both.

    :param new: need not be there.
    """
    old = os.path.realpath(old)
    above, target = os.path.dirname(old), nearest_directory(os.path.realpath(os.path.dirname(new)))
    if not os.path.isdir(old) or is_mount_point(old) or (is_mount_point(new) and not os.path.islink(new)):
        return False
    if mount_id(above) != mount_id(target) or os.stat(above).st_dev != os.stat(target).st_dev:
        return False
    inherited, project = _project(target)
    return not inherited or project == _project(old)[1]


def _project(path: str) -> tuple[bool, int]:
    """Whether a directory's project is inherited, and its number; 0 where the file system has none."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flags, _size, _extents, project = struct.unpack_from("=4I", fcntl.ioctl(fd, _GET_XATTR, bytes(28)))
            return bool(flags & _PROJECT_INHERITED), project
        finally:
            os.close(fd)
    return False, 0


def is_special(path: str) -> bool:
    """Whether a directory is more than what mkdir makes: a subvolume, a mount point, or one with attributes, flags or a quota of its own."""
    if os.path.islink(path) or not os.path.isdir(path):
        return False
    if is_mount_point(path) or os.stat(path).st_ino == _SUBVOLUME:
        return True
    with contextlib.suppress(OSError):
        if set(os.listxattr(path)) - _LABELS:
            return True
    if flags_of(path) & ~_USUAL:
        return True
    return _project(path)[1] != _project(os.path.dirname(os.path.realpath(path)))[1]


__all__ = ("can_rename", "is_special")
