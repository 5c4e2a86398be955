# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Files that survive a power cut: written beside, synced, renamed, the directory synced."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import struct
import typing as t

from .libc import call

# fallocate(2): the size that the file shows stays.
_KEEP_SIZE = 1
# linux/fs.h: FS_IOC_GETFLAGS and FS_IOC_SETFLAGS (ioctl_iflags(2)).
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602


def _no_room() -> bool:
    return False


# What makes room in the scope that is open, innermost first; of the whole process, since a disk is full for all of it.
_makers: list[t.Callable[[], bool]] = [_no_room]


@contextlib.contextmanager
def making_room(make_room: t.Callable[[], bool]) -> t.Iterator[None]:
    """A scope in which what finds the disk full is tried again, as often as room can be made.

    :param make_room: makes some and says whether it could.
    """
    _makers.append(make_room)
    try:
        yield
    finally:
        _makers.pop()


def retry_when_full(work: t.Callable[[], None]) -> None:
    """Do something that writes, again as long as there was no space and some could be made.

    :raises OSError: it failed for another reason, or there is no more room to make.
    """
    while True:
        try:
            return work()
        except OSError as exc:
            if exc.errno != errno.ENOSPC or not _makers[-1]():
                raise


def read(path: str) -> str | None:
    """The text of a file, or None if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def allocate(path: str, size: int) -> None:
    """Create an empty file that has its room already, where the file system can do that.

    :raises OSError: there is no room.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        try:
            call("fallocate", fd, _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(size))
        except OSError as exc:
            if exc.errno == errno.ENOSPC:
                raise
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directories(path: str, mode: int = 0o755) -> list[str]:
    """Create a directory and its parents durably; returns those that were new, outermost first."""
    created: list[str] = []
    while path and not os.path.isdir(path):
        created.insert(0, path)
        path = os.path.dirname(path)
    for one in created:
        os.mkdir(one, mode)
        sync_directory(os.path.dirname(one) or "/")
    return created


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Replace a file in one step, durably.

    Mode, owner and extended attributes (the SELinux label among them) of a file that exists are kept. A symlink is followed:
    the file that it names is replaced, the link stays.
    """
    retry_when_full(lambda: _write(os.path.realpath(path), text, mode))


def _write(path: str, text: str, mode: int) -> None:
    make_directories(os.path.dirname(path))
    temporary = unfinished(path)
    try:
        _prepare(path, temporary, text, mode)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def _prepare(path: str, temporary: str, text: str, mode: int) -> None:
    """Write what is to take the place of a file."""
    # Nobody else may read it before it has the mode that it is meant to have.
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT, 0o600)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        stream.write(text)
        # Not before: that would give back the room that `reserve` keeps for it.
        stream.truncate()
        stream.flush()
        if not os.path.exists(path):
            os.fchmod(fd, mode)
        else:
            before = os.stat(path)
            os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            shutil.copystat(path, temporary)
            os.utime(temporary)
        os.fsync(stream.fileno())


def unfinished(path: str) -> str:
    """Where `write` has a file before it takes its place; a crash may leave it there, and the next `write` of that file takes it away."""
    return _beside(path, "new")


def _beside(path: str, what: str) -> str:
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.drydock-{what}")


def stage(path: str, text: str | None, mode: int = 0o644) -> None:
    """Write what a file will be, and keep what it is, so that `put` needs no room on the disk in either direction.

    :param text: None is no file.
    """
    path = os.path.realpath(path)
    retry_when_full(lambda: _stage(path, text, mode))


def _stage(path: str, text: str | None, mode: int) -> None:
    make_directories(os.path.dirname(path))
    unstage(path)
    if text is not None:
        _prepare(path, _beside(path, "next"), text, mode)
    if os.path.exists(path):
        os.link(path, _beside(path, "old"))
    sync_directory(os.path.dirname(path))


def reserve(path: str, size: int) -> None:
    """Keep room for the next `write` of a file, so that it needs none on the disk; `unstage` gives it back."""
    path = os.path.realpath(path)
    retry_when_full(lambda: allocate(_beside(path, "new"), size))


def put(path: str, text: str | None, mode: int = 0o644) -> None:
    """Bring a file to a text durably, by a rename where it was staged; None is no file."""
    if text is None:
        return remove(path)
    if read(path) == text:
        return None
    path = os.path.realpath(path)
    for staged in (_beside(path, "next"), _beside(path, "old")):
        if read(staged) == text:
            os.replace(staged, path)
            return sync_directory(os.path.dirname(path))
    return write(path, text, mode)


def unstage(path: str) -> None:
    """Remove what `stage` and `reserve` left of a file."""
    for what in ("next", "old", "new"):
        remove(_beside(os.path.realpath(path), what))


def remove(path: str) -> None:
    """Remove a file durably; one that is not there is fine."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    sync_directory(os.path.dirname(path))


def remove_tree(path: str, keep: t.Container[str] = ()) -> None:
    """Remove a directory, never crossing into another file system.

    :param keep: names directly below the directory that stay; the directory then stays as well.
    :raises OSError: where something is mounted below, before anything beside it is lost.
    """
    device = os.lstat(path).st_dev
    directories = [path]
    while directories:
        with os.scandir(directories.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.stat(follow_symlinks=False).st_dev != device:
                        raise OSError(f"{entry.path} is another file system")
                    directories.append(entry.path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        _empty(path, fd, device, keep)
    finally:
        os.close(fd)
    if not keep:
        os.rmdir(path)


def _empty(path: str, fd: int, device: int, keep: t.Container[str] = ()) -> None:
    """Remove what lies in a directory; what was mounted there since it was looked at is another device, and stays."""
    for name in os.listdir(fd):
        if name in keep:
            continue
        here = os.path.join(path, name)
        with _naming(here):
            if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=fd)
                continue
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        try:
            if os.fstat(below).st_dev != device:
                raise OSError(f"{here} is another file system")
            _empty(here, below, device)
        finally:
            os.close(below)
        with _naming(here):
            os.rmdir(name, dir_fd=fd)


@contextlib.contextmanager
def _naming(path: str) -> t.Iterator[None]:
    """Errors of calls that know a name only have the whole path: a person looks for it."""
    try:
        yield
    except OSError as exc:
        raise OSError(exc.errno, exc.strerror, path) from exc


def digest(path: str) -> str:
    """What a file holds, as a checksum; empty when it is not there."""
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return ""


def changed_at(path: str) -> float:
    """When a file was last changed in any way, in seconds since the epoch; of one that is not there, the end of time."""
    try:
        return os.stat(path).st_ctime
    except OSError:
        return float("inf")


def flags_of(path: str | bytes) -> int:
    """The flags of a file or directory (chattr(1)); 0 where its file system has none, or it is not there."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            return flags_of_open(fd)
        finally:
            os.close(fd)
    return 0


def flags_of_open(fd: int) -> int:
    """The flags of what is open; 0 where its file system has none."""
    try:
        return int(struct.unpack_from("=L", fcntl.ioctl(fd, _GET_FLAGS, bytes(8)))[0])
    except OSError:
        return 0


def set_flags(fd: int, flags: int) -> None:
    """Give what is open these flags, and no others.

    :raises OSError: its file system does not take them.
    """
    fcntl.ioctl(fd, _SET_FLAGS, struct.pack("=Q", flags))


def inode_of(path: str) -> tuple[int, int]:
    """Device and inode of a path; of one that is not there, what no file has."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0, 0
    return status.st_dev, status.st_ino


__all__ = (
    "allocate",
    "changed_at",
    "digest",
    "flags_of",
    "flags_of_open",
    "inode_of",
    "make_directories",
    "making_room",
    "put",
    "read",
    "remove",
    "remove_tree",
    "reserve",
    "retry_when_full",
    "set_flags",
    "stage",
    "sync_directory",
    "unfinished",
    "unstage",
    "write",
)
