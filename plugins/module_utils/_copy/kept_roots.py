# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Whole data roots: set aside and taken back, exchanged by a rename, removed. Each can be done again after it was interrupted."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

from .._errors import DrydockError
from .._host import files
from .._host.files import inode_of
from .._host.libc import call
from .._host.mounts import are_one_place, is_mount_point, parse_mountinfo, points_below
from . import file_flags, trust_index
from .kept_mark import KEPT_MARK
from .listing import COPY_MARK

# Begins the name of every directory that old data are set aside in.
KEPT = ".drydock-kept-"
# What the engine writes below its usual root wherever its own is: files of a swarm's load balancers, made anew (moby: libnetwork/sandbox_dns_unix.go).
_SCRATCH = re.compile(r"network/files/lb_[^/]+/(?:hosts|resolv\.conf(?:\.hash)?)")
# renameat2(2)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def kept_name(source: str, when: str) -> str:
    """Where an old root is set aside: beside itself, or within itself when it is a mount point."""
    return os.path.join(source, KEPT + when) if is_mount_point(source) else source + KEPT + when


def left_there(source: str) -> list[str]:
    """What of an old root has not been set aside yet."""
    if os.path.islink(source) or not os.path.isdir(source):
        return []
    return [name for name in os.listdir(source) if name != "lost+found" and not name.startswith(KEPT)]


def empty_ones(path: str) -> set[str]:
    """Names in a directory that hold nothing but what an engine makes again by itself: empty directories (some containerds), and scratch files."""
    if os.path.islink(path) or not os.path.isdir(path):
        return set()
    there = {name for name in os.listdir(path) if os.path.isdir(os.path.join(path, name)) and not os.path.islink(os.path.join(path, name))}
    return {name for name in there if all(_SCRATCH.fullmatch(os.path.relpath(one, path)) for one in _files_in(os.path.join(path, name)))}


def _files_in(path: str) -> t.Iterator[str]:
    for top, _names, files_there in os.walk(path):
        yield from (os.path.join(top, name) for name in files_there)


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
        for one in list(_files_in(os.path.join(path, name))):
            os.unlink(one)
        for top, _names, _files_there in os.walk(os.path.join(path, name), topdown=False):
            os.rmdir(top)
    os.rmdir(path)


def set_aside(source: str, kept: str) -> None:
    """Rename an old root, so that nothing reads stale data; the content of a mount point moves into a directory of its own there."""
    left = set(left_there(source))
    if os.path.dirname(kept) == source:
        if left:
            with contextlib.suppress(FileExistsError):
                os.mkdir(kept, 0o700)
            _move_names(left, source, kept)
    # An interrupted run may have come this far, and containerd may have made its empty directories since.
    elif left - empty_ones(source):
        os.rename(source, kept)
    if os.path.lexists(kept):
        files.sync_directory(os.path.dirname(kept))


def take_back(kept: str, origin: str) -> None:
    """Lay kept data at their old place again, marked as an unfinished copy.

    Within a mount point their directory stays with its mark until the move back has come to its end: so they are known whatever happens
    meanwhile, and setting them aside again needs no room on a disk that is full.
    """
    inside = os.path.dirname(kept) == origin
    files.write(os.path.join(origin if inside else kept, COPY_MARK), f"Old data, taken back from {kept} by drydock.dockerd.\n")
    if inside:
        files.remove(os.path.join(kept, COPY_MARK))
        _move_names(set(os.listdir(kept)) - {KEPT_MARK}, kept, origin)
        return
    if os.path.isdir(origin):
        # The beginning of a mark, as a crash leaves it.
        files.remove(files.unfinished(os.path.join(origin, COPY_MARK)))
        _remove_empty(origin)
    os.rename(kept, origin)
    files.sync_directory(os.path.dirname(kept))


def set_aside_again(origin: str, kept: str) -> None:
    """Undo `take_back`, however far it came. Where the mark of a copy is missing there is nothing to undo, or the disk is not there."""
    if os.path.dirname(kept) != origin:
        if not os.path.lexists(kept) and os.path.exists(os.path.join(origin, COPY_MARK)):
            os.rename(origin, kept)
            files.sync_directory(os.path.dirname(kept))
        files.remove(os.path.join(kept, COPY_MARK))
    elif os.path.exists(os.path.join(origin, COPY_MARK)):
        with contextlib.suppress(FileExistsError):
            os.mkdir(kept, 0o700)
        _move_names(set(left_there(origin)) - {COPY_MARK}, origin, kept)
        if left_there(origin) == [COPY_MARK]:
            files.remove(os.path.join(origin, COPY_MARK))


def forget_kept(kept: str, root: str) -> None:
    """The data that were taken back are the root in use now, and no kept data any more."""
    files.remove(os.path.join(root, KEPT_MARK))
    if os.path.isdir(kept) and set(os.listdir(kept)) <= {KEPT_MARK}:
        _remove_marked(kept)


def keep_copy(target: str, when: str) -> str:
    """Take a copy of ours aside that may hold what its source lacks: no later run takes it for an unfinished copy, or writes to it.

    It can be done again after it was interrupted, with the same moment.

    :param when: the moment, for its name.
    :returns: where it is kept; empty where no copy of ours is.
    """
    kept, mark = kept_name(target, when), os.path.join(target, COPY_MARK)
    if not os.path.exists(mark) and not os.path.isdir(kept):
        return ""
    if os.path.dirname(kept) == target:
        with contextlib.suppress(FileExistsError):
            os.mkdir(kept, 0o700)
        _move_names(set(left_there(target)) - {COPY_MARK}, target, kept)
        files.remove(mark)
    elif os.path.exists(mark):
        os.rename(target, kept)
        files.sync_directory(os.path.dirname(kept))
    for name in (trust_index.NAME, KEPT_MARK, COPY_MARK):
        files.remove(os.path.join(kept, name))
    return kept


def _move_names(names: t.Iterable[str], source: str, target: str) -> None:
    """Move entries of a directory into another one of the same file system, durably; what that has already stays where it is."""
    for name in names:
        if not os.path.lexists(os.path.join(target, name)):
            os.rename(os.path.join(source, name), os.path.join(target, name))
    for path in (target, source):
        files.sync_directory(path)


def exchange(old: str, new: str) -> None:
    """Move a root within its file system so that at no moment there is none: the old path becomes a link to the new one, in one step.

    :raises OSError: the file system cannot do that.
    """
    if os.path.islink(old) or are_one_place(old, new):
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
    if os.path.exists(os.path.join(path, COPY_MARK)):
        # Its flags are ours; those of old data that were kept are whoever's who has set them.
        file_flags.let_change(path)
    stays = [name for name in os.listdir(path) if name == "lost+found" or name.startswith(KEPT)] if is_mount_point(path) else []
    # The marks last: what an interrupted removal leaves is still known to be ours.
    files.remove_tree(path, keep=(COPY_MARK, KEPT_MARK, *stays))
    _remove_marked(path)


def _remove_marked(path: str) -> None:
    """Remove the marks and, where nothing is mounted on it, the directory that has nothing else: without a sync between, which takes its time."""
    for mark in (COPY_MARK, KEPT_MARK):
        if os.path.lexists(os.path.join(path, mark)):
            os.unlink(os.path.join(path, mark))
    if is_mount_point(path):
        files.sync_directory(path)
    else:
        os.rmdir(path)
        files.sync_directory(os.path.dirname(path))


__all__ = (
    "KEPT",
    "empty_ones",
    "exchange",
    "exchange_back",
    "forget_kept",
    "is_unfinished_copy",
    "keep_copy",
    "kept_name",
    "left_there",
    "remove",
    "set_aside",
    "set_aside_again",
    "take_back",
)
