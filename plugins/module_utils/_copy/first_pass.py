# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Fill an empty directory with a copy of a listed tree that changes meanwhile, by several threads.

Most of such a copy is system calls for small files, during which Python lets other threads run.

- Each entry is opened first and then looked at: what is there may be another file by now, or lie behind a directory that became a link.
  Only the listed inode is copied, at most as long as it was then, and only what still is as it was listed counts as copied.
- What the source does not give is missed, and the caller is told; what the target does not take ends it all.
- A change of owner takes setuid and capabilities away, and an ACL sets the mode: so owner, attributes, mode, times, in this order.
- Modes, attributes and times of directories come last: what is made below them moves their times, and inherits their default ACL.
- Flags by which a file cannot be changed come when nobody has to change it any more (file_flags.py). Here they are only noted; the one that a file
  takes while it is empty, and not later, it gets here.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import os
import stat
import threading
import time
import typing as t

from .._errors import DrydockError
from .file_flags import NO_COPY_ON_WRITE, Flags, carried, carried_open, give
from .listing import Entry, Listing, as_entry, attributes

_THREADS = 2
# Inodes that a thread takes at once, mostly of one directory, so that threads do not wait for the same one; and bytes read at once.
_INODES, _BLOCK = 256, 1 << 20
# The atime stays: writing it for each file would cost the source's disk as much as the copy. A fifo that took a file's place is not waited for.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOATIME | os.O_CLOEXEC
_ANY = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Missed(Exception):
    """The source does not give what was listed."""


def fill(
    source: str,
    target: str,
    now: Listing,
    limit: int,
    passed: t.Callable[[int], None],
    calm: t.Callable[[int], None] = lambda thread: None,
    flags: Flags | None = None,
) -> set[bytes]:
    """Copy all listed entries; returns the paths whose copy is not what was listed, or is not there.

    :param limit: bytes a second, 0 for none.
    :param passed: is told how many bytes have been copied, never by two threads at once.
    :param calm: gets each thread's number when it begins, to lower its priority.
    :param flags: gets the flags of what has any.
    :raises OSError: the target does not take something.
    :raises DrydockError: it does not take an extended attribute.
    """
    return _Filling(os.fsencode(source), os.fsencode(target), now, limit, passed, calm, {} if flags is None else flags).run()


class _Filling:
    def __init__(
        self, source: bytes, target: bytes, now: Listing, limit: int, passed: t.Callable[[int], None], calm: t.Callable[[int], None], flags: Flags
    ) -> None:
        self.source, self.target, self.now, self.limit, self.passed, self.calm, self.flags = source, target, now, limit, passed, calm, flags
        self.began, self.done = time.monotonic(), 0
        self.lock = threading.Lock()
        self.missed: set[bytes] = set()
        self.ended = threading.Event()

    def run(self) -> set[bytes]:
        directories = [path for path, entry in self.now.items() if stat.S_ISDIR(entry.mode)]
        with contextlib.suppress(OSError):
            os.removexattr(self.target, "system.posix_acl_default")
        # A listing has each directory before what is in it.
        for path in directories:
            if path != b".":
                os.mkdir(os.path.join(self.target, path), 0o700)
            flags = carried(os.path.join(self.source, path))
            self._note(path, flags)
            if flags & NO_COPY_ON_WRITE:
                give(os.path.join(self.target, path), NO_COPY_ON_WRITE)
        self._in_threads(self._inodes())
        for path in reversed(directories):
            self._names([path])
        return self.missed

    def _inodes(self) -> list[list[bytes]]:
        """All names of each inode that is no directory."""
        names: dict[tuple[int, int], list[bytes]] = {}
        inodes = []
        for path, entry in self.now.items():
            if stat.S_ISDIR(entry.mode):
                continue
            if entry.nlink == 1:
                inodes.append([path])
            elif entry.inode in names:
                names[entry.inode].append(path)
            else:
                names[entry.inode] = [path]
                inodes.append(names[entry.inode])
        return inodes

    def _in_threads(self, inodes: list[list[bytes]]) -> None:
        parts = iter([inodes[at : at + _INODES] for at in range(0, len(inodes), _INODES)])
        # The pool waits for its threads whatever ends this: nobody writes behind the caller's back.
        with concurrent.futures.ThreadPoolExecutor(_THREADS, "drydock-fill") as pool:
            try:
                for done in concurrent.futures.as_completed([pool.submit(self._work, parts) for _thread in range(_THREADS)]):
                    done.result()
            except BaseException:
                self.ended.set()
                raise

    def _work(self, parts: t.Iterator[list[list[bytes]]]) -> None:
        self.calm(threading.get_native_id())
        while True:
            with self.lock:
                part = next(parts, None)
            if part is None:
                return
            for names in part:
                if self.ended.is_set():
                    return
                self._names(names)

    def _names(self, names: list[bytes]) -> None:
        """Copy an inode by the first of its names that is still there; the others become links to that one."""
        first = b""
        for path in names:
            try:
                if first:
                    os.link(os.path.join(self.target, first), os.path.join(self.target, path), follow_symlinks=False)
                else:
                    if not self._inode(path):
                        self.missed.update(names)
                    first = path
            except _Missed:
                self.missed.update(names)
            except OSError as exc:
                exc.filename = os.path.join(self.target, path)
                raise

    def _inode(self, path: bytes) -> bool:
        """Copy the listed inode; returns whether it still was as it was listed."""
        entry, copy = self.now[path], os.path.join(self.target, path)
        with _source():
            descriptor = os.open(os.path.join(self.source, path), _FILE if stat.S_ISREG(entry.mode) else _ANY)
        try:
            there = as_entry(os.fstat(descriptor))
            if there.inode != entry.inode or not there.is_a(entry):
                raise _Missed
            if stat.S_ISREG(entry.mode):
                self._note(path, carried_open(descriptor))
                self._file(descriptor, copy, entry, self.flags.get(path, 0))
            else:
                self._other(descriptor, copy, entry)
            return there == entry
        finally:
            os.close(descriptor)

    def _note(self, path: bytes, flags: int) -> None:
        if flags:
            self.flags[path] = flags

    def _file(self, descriptor: int, copy: bytes, entry: Entry, flags: int) -> None:
        made = os.open(copy, _NEW, 0o600)
        try:
            if flags & NO_COPY_ON_WRITE:
                give(copy, NO_COPY_ON_WRITE)
            if entry.blocks * 512 < entry.size:
                self._sparse(descriptor, made, entry.size)
            else:
                self._bytes(descriptor, made, entry.size)
            os.fchown(made, entry.uid, entry.gid)
            self._attributes(descriptor, made)
            os.fchmod(made, stat.S_IMODE(entry.mode))
            os.utime(made, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(made)

    def _bytes(self, descriptor: int, made: int, count: int) -> None:
        while count > 0:
            with _source():
                block = os.read(descriptor, min(count, _BLOCK))
            if not block:
                raise _Missed
            count -= len(block)
            left = memoryview(block)
            while left:
                left = left[os.write(made, left) :]
            self._pass(len(block))

    def _sparse(self, descriptor: int, made: int, size: int) -> None:
        os.ftruncate(made, size)
        end = 0
        while end < size:
            with _source():
                try:
                    begin = os.lseek(descriptor, end, os.SEEK_DATA)
                except OSError as exc:
                    if exc.errno == errno.ENXIO:
                        return
                    raise
                end = os.lseek(descriptor, begin, os.SEEK_HOLE)
                os.lseek(descriptor, begin, os.SEEK_SET)
            os.lseek(made, begin, os.SEEK_SET)
            self._bytes(descriptor, made, min(end, size) - begin)

    def _pass(self, count: int) -> None:
        with self.lock:
            self.done += count
            self.passed(self.done)
            ahead = self.began + self.done / self.limit - time.monotonic() if self.limit else 0
        if ahead > 0:
            self.ended.wait(ahead)

    def _other(self, descriptor: int, copy: bytes, entry: Entry) -> None:
        """Directories are there already; links, fifos, sockets and device nodes are not opened."""
        if stat.S_ISLNK(entry.mode):
            os.symlink(os.readlink(b"", dir_fd=descriptor), copy)
        elif not stat.S_ISDIR(entry.mode):
            os.mknod(copy, entry.mode, entry.rdev)
        os.chown(copy, entry.uid, entry.gid, follow_symlinks=False)
        self._attributes(b"/proc/self/fd/%d" % descriptor, copy)
        if not stat.S_ISLNK(entry.mode):
            os.chmod(copy, stat.S_IMODE(entry.mode))
        os.utime(copy, ns=(entry.mtime, entry.mtime), follow_symlinks=False)

    def _attributes(self, of: int | bytes, copy: int | bytes) -> None:
        with _source():
            found = attributes(of, follow=True)
        for name, value in found.items():
            try:
                os.setxattr(copy, name, value, follow_symlinks=isinstance(copy, int))
            except OSError as exc:
                if exc.errno in (errno.ENOSPC, errno.E2BIG, errno.ERANGE) and not _is_full(self.target):
                    path = copy if isinstance(copy, bytes) else os.readlink(b"/proc/self/fd/%d" % copy)
                    raise too_big(path, name, len(value)) from exc
                raise


def _is_full(target: bytes) -> bool:
    """Whether there is no room for as much as an attribute."""
    there = os.statvfs(target)
    return there.f_bavail * there.f_frsize < 2 << 16


def too_big(path: bytes, name: str, size: int) -> DrydockError:
    """What to say of an extended attribute that the target's file system does not take."""
    return DrydockError(
        "attribute-too-big",
        f"The extended attribute {name} has {size:,} bytes, and the file system of {os.fsdecode(path)} does not take as many.",
        "Choose a target on xfs, or on ext4 made with large attributes (mkfs.ext4 -O ea_inode), or do without that attribute: setfattr -x.",
    )


@contextlib.contextmanager
def _source() -> t.Iterator[None]:
    """What fails in here is the source's fault."""
    try:
        yield
    except OSError as exc:
        raise _Missed from exc


__all__ = ("fill", "too_big")
