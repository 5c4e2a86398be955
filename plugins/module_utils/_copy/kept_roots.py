# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Whole data roots: set aside and taken back, exchanged by a rename, removed. Each can be done again after it was interrupted."""

from __future__ import annotations

import contextlib
import os

from .._errors import DrydockError
from .._host import files
from .._host.files import inode_of
from .._host.libc import call
from .._host.mounts import parse_mountinfo, points_below
from .listing import COPY_MARK

# Begins the name of every directory that old data are set aside in.
KEPT = ".drydock-kept-"
# renameat2(2)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def kept_name(source: str, when: str) -> str:
    """Where an old root is set aside: beside itself, or within itself when it is a mount point."""
    return os.path.join(source, KEPT + when) if os.path.ismount(source) else source + KEPT + when


def left_there(source: str) -> list[str]:
    """What of an old root has not been set aside yet."""
    if os.path.islink(source) or not os.path.isdir(source):
        return []
    return [name for name in os.listdir(source) if name != "lost+found" and not name.startswith(KEPT)]


def empty_ones(path: str) -> set[str]:
    """Names in a directory that hold nothing but empty directories: some containerds make them again at every start."""
    if os.path.islink(path) or not os.path.isdir(path):
        return set()
    there = {name for name in os.listdir(path) if os.path.isdir(os.path.join(path, name)) and not os.path.islink(os.path.join(path, name))}
    return {name for name in there if not any(below for _top, _names, below in os.walk(os.path.join(path, name)))}


def is_unfinished_copy(path: str) -> bool:
    """Whether a directory has our mark, or nothing but the beginning of one: a crash may have come before it had its name."""
    path = os.path.realpath(path)
    names = set(left_there(path))
    return COPY_MARK in names or names - empty_ones(path) == {files.unfinished(COPY_MARK)}


def _remove_empty(path: str) -> None:
    """Remove a directory that holds no files.

    :raises OSError: it does.
    """
    for name in empty_ones(path):
        for top, _names, _files_there in os.walk(os.path.join(path, name), topdown=False):
            os.rmdir(top)
    os.rmdir(path)


def set_aside(source: str, kept: str) -> None:
    """Rename an old root, so that nothing reads stale data; the content of a mount point moves into a directory of its own there."""
    if os.path.dirname(kept) != source:
        # An interrupted run may have come this far, and containerd may have made its empty directories since.
        if set(left_there(source)) - empty_ones(source):
            os.rename(source, kept)
    else:
        with contextlib.suppress(FileExistsError):
            os.mkdir(kept, 0o700)
        for name in left_there(source):
            os.rename(os.path.join(source, name), os.path.join(kept, name))
        files.sync_directory(source)
    files.sync_directory(os.path.dirname(kept))


def take_back(kept: str, origin: str) -> None:
    """Undo `set_aside`: the old data lie at their old place again, marked as an unfinished copy."""
    files.write(os.path.join(origin if os.path.dirname(kept) == origin else kept, COPY_MARK), f"Old data, taken back from {kept} by drydock.dockerd.\n")
    if os.path.dirname(kept) != origin:
        if os.path.isdir(origin):
            _remove_empty(origin)
        os.rename(kept, origin)
    else:
        for name in os.listdir(kept):
            os.rename(os.path.join(kept, name), os.path.join(origin, name))
        os.rmdir(kept)
        files.sync_directory(origin)
    files.sync_directory(os.path.dirname(kept))


def exchange(old: str, new: str) -> None:
    """Move a root within its file system so that at no moment there is none: the old path becomes a link to the new one, in one step.

    :raises OSError: the file system cannot do that.
    """
    if os.path.islink(old):
        return
    files.make_directories(os.path.dirname(new), 0o711)
    if os.path.isdir(new) and not os.path.islink(new):
        _remove_empty(new)
    if not os.path.islink(new):
        os.symlink(new, new)
        files.sync_directory(os.path.dirname(new))
    _exchange(old, new)


def exchange_back(old: str, new: str) -> None:
    """Undo `exchange`, however far it came."""
    if os.path.islink(old):
        _exchange(old, new)
    if os.path.islink(new):
        os.unlink(new)
        files.sync_directory(os.path.dirname(new))


def _exchange(old: str, new: str) -> None:
    try:
        call("renameat2", _AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), _RENAME_EXCHANGE)
    except OSError as exc:
        raise OSError(exc.errno, os.strerror(exc.errno or 0), old, None, new) from exc
    for path in (old, new):
        files.sync_directory(os.path.dirname(path))


def remove(path: str, inode: tuple[int, int], mountinfo: str) -> None:
    """Remove a directory of ours, never crossing into another file system or a mount.

    :param inode: device and inode that it must have.
    :param mountinfo: text of /proc/self/mountinfo: what is mounted from the same device shows only there.
    :raises DrydockError: it is another directory, or something is mounted below; nothing was removed.
    """
    if inode_of(path) != inode:
        raise DrydockError("old-data-changed", f"{path} is not the directory that it was.", "Look what it is, and remove it by hand.")
    below = points_below(path, parse_mountinfo(mountinfo))
    if below:
        raise DrydockError("mount-in-old", f"{below[0]} is mounted below {path}, which is to be removed.", "Unmount it first, then run again.")
    stays = [name for name in os.listdir(path) if name == "lost+found" or name.startswith(KEPT)] if os.path.ismount(path) else []
    # The mark last: what an interrupted removal leaves is still known to be ours.
    files.remove_tree(path, keep=(COPY_MARK, *stays))
    files.remove(os.path.join(path, COPY_MARK))
    if not os.path.ismount(path):
        os.rmdir(path)
        files.sync_directory(os.path.dirname(path))


__all__ = (
    "KEPT",
    "empty_ones",
    "exchange",
    "exchange_back",
    "is_unfinished_copy",
    "kept_name",
    "left_there",
    "remove",
    "set_aside",
    "take_back",
)
