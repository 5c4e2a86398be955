# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Know what changed below a directory without walking it, by fanotify.

A mark on the whole file system sees every mount of it, in any mount namespace. It is only an accelerator: where it is not certain,
Tracker.start() raises or Changes.doubt says why, and the walk decides.

What the kernel does not tell at once:

- A store through a mapping gives nothing until the file is closed and unmapped; then CLOSE_WRITE. A loop device likewise tells nothing
  until it is detached. So what is still open for writing, mapped or attached at the end is looked up, and its inode reported.
- A write through overlay is hidden by older kernels, and a file system's handles may not be what they seem: start() tries it all.
- An event names the path that was used. A hard link may have other names, below the root or not, and one that was used may be gone.
  So every event's inode number is kept too, whatever its path; the caller knows the names of an inode from its own listing.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import os
import shutil
import struct
import tempfile
import threading
import time
import typing as t

from .._host.libc import call
from . import fanotify_selftest
from .writable_inodes import still_writable

# Entries of ours directly below a data root: never copied, so never reported.
_OURS = ".drydock-"
# Those whose handles hold the inode number as decoded below, and whose st_dev is the same everywhere.
_FILE_SYSTEMS = ("ext4", "xfs")
# Pairs of directory and name, inodes, and directories elsewhere; each some 100 bytes of memory.
LIMIT = 500_000
_INTERVAL = 0.25
_ATTEMPTS = 5
# linux/fanotify.h
_INIT = 0x1 | 0x2 | 0x10 | 0x200 | 0xC00  # CLOEXEC, NONBLOCK, UNLIMITED_QUEUE, REPORT_FID, REPORT_DFID_NAME
_MARK = 0x1 | 0x100  # ADD, FILESYSTEM
_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED, _CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x2, 0x4, 0x8, 0xC0, 0x100, 0x200, 0x400, 0x800
_OVERFLOW, _ONDIR = 0x4000, 0x40000000
# The last two: a removed directory is known for sure, and a moved file by its inode.
_EVENTS = _ONDIR | _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED | _CREATE | _DELETE | _DELETE_SELF | _MOVE_SELF
_EVENT = struct.Struct("=I2xHQ8x")  # length, version, length of this header, mask, fd, pid
_INFO = struct.Struct("=BxH8xIi")  # type, length, fsid; then struct file_handle: length, type, and the handle itself
_FID, _DFID_NAME = 1, 2
_RELISTING = _MOVED | _CREATE | _DELETE
# Places that are no path.
_ELSEWHERE, _GONE = b"/", b""
# A handle's type to where it has the inode number: FILEID_INO32_GEN, and xfs with 64 bits.
_INODE = {1: struct.Struct("=I"), 0x81: struct.Struct("=Q")}


class Unavailable(Exception):
    """Why changes cannot be tracked here."""


@dataclasses.dataclass
class Changes:
    """What was touched below the root since the start; all paths are relative to it.

    :param paths: created, deleted, moved (both ends), written, or with other attributes. They may exist no longer. A directory in here
        was made or moved there, and what changed below it before is not named: it has to be walked, even if its inode is the old one,
        for it may have been elsewhere meanwhile.
    :param directories: those whose own attributes or list of entries changed; b"." is the root.
    :param inodes: numbers of touched inodes, of other directories' too. All their names below the root are to be looked at, also where
        one of the names is in paths: that one may be gone.
    :param doubt: empty, or why none of this can be relied on, in sentences.
    """

    paths: t.Set[bytes] = dataclasses.field(default_factory=set)
    directories: t.Set[bytes] = dataclasses.field(default_factory=set)
    inodes: t.Set[int] = dataclasses.field(default_factory=set)
    doubt: str = ""


class Tracker:
    """Tracks changes below a directory from start() on, with a thread that empties the kernel's queue."""

    def __init__(self, root: str) -> None:
        """Set the mark. Call start() instead, which also proves that it works.

        :raises OSError: the kernel refuses.
        """
        self._path = root
        self._doubts: list[str] = []
        self._names: dict[bytes, set[bytes]] = {}
        self._relisted: set[bytes] = set()
        self._removed: set[bytes] = set()
        self._elsewhere: set[bytes] = set()
        self._inodes: set[int] = set()
        self._count = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._queue = -1
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._queue = call("fanotify_init", _INIT, os.O_RDONLY)
            call("fanotify_mark", self._queue, _MARK, ctypes.c_uint64(_EVENTS), self._root, None)
        except OSError:
            self.close()
            raise

    @classmethod
    def start(cls, root: str, prove: bool = True) -> Tracker:
        """Set the mark and prove that it sees what it has to; what changes after this has returned is tracked.

        :param prove: left out where the proof was made before; it makes and removes a directory in the root.
        :raises Unavailable: kernel, file system or permissions do not offer it, or a change was not seen.
        """
        try:
            kind = _file_system(os.stat(root).st_dev)
            if kind not in _FILE_SYSTEMS:
                raise Unavailable(f"Changes below {root} are not tracked on a file system of type {kind or 'unknown'}.")
            tracker = cls._proved(root) if prove else cls(root)
        except OSError as exc:
            raise Unavailable(f"Changes below {root} cannot be tracked: {exc.strerror or exc}.") from exc
        # What happened so far happened before the start.
        tracker.forget()
        tracker._thread = threading.Thread(target=tracker._run, name="drydock-events", daemon=True)
        tracker._thread.start()
        return tracker

    @classmethod
    def _proved(cls, root: str) -> Tracker:
        with contextlib.ExitStack() as undo:
            probe = tempfile.mkdtemp(prefix=f"{_OURS}probe-", dir=root)
            undo.callback(shutil.rmtree, probe, ignore_errors=True)
            held = fanotify_selftest.prepare(probe)
            tracker = cls(root)
            on_failure = undo.enter_context(contextlib.ExitStack())
            on_failure.callback(tracker.close)
            expected = fanotify_selftest.exercise(probe, *held)
            tracker.collect()
            seen, _directories = tracker._resolved()
            missed = [change for change in expected if os.fsencode(f"{os.path.basename(probe)}/{change}") not in seen]
            if not {os.stat(f"{probe}/{name}").st_ino for name in ("write", "store")} <= tracker._inodes:
                missed.append("numbers of inodes")
            if tracker._doubts or missed:
                raise Unavailable(" ".join(tracker._doubts) or f"This kernel does not report every change: {', '.join(missed)}.")
            on_failure.pop_all()
        return tracker

    def collect(self) -> None:
        """Empty the kernel's queue into memory. The tracker's thread does so four times a second; it may be called at any time."""
        with self._lock:
            try:
                while self._queue >= 0:
                    self._digest(os.read(self._queue, 1 << 20))
            except BlockingIOError:
                pass
            except Exception as exc:
                # Whatever it was, what had been read may be lost.
                self._give_up(f"The changes below {self._path} cannot be told: {exc}.")

    def forget(self) -> None:
        """Forget what has happened so far: the caller is about to look at everything. A doubt stays."""
        self.collect()
        with self._lock:
            self._forget()

    def finish(self) -> Changes:
        """What changed since the start, or since it was last forgotten; ends the tracking.

        To be called once, when the daemon and its containers have stopped. The look at all processes takes most of the time of a small
        change, some 0.2 ms for each process.
        """
        self._end_thread()
        # First what is still held, then the queue: what is let go in between has its event.
        held, doubts = still_writable(os.fstat(self._root).st_dev)
        self._doubts += doubts
        paths: set[bytes] = set()
        directories: set[bytes] = set()
        try:
            self.collect()
            paths, directories = self._resolved()
            if not os.path.samestat(os.stat(self._path), os.fstat(self._root)):
                self._doubts.append(f"{self._path} is not the directory that it was.")
        except OSError as exc:
            self._doubts.append(f"The changes below {self._path} cannot be told: {exc}.")
        finally:
            self.close()
        ours = os.fsencode(_OURS)
        return Changes(
            {path for path in paths if not path.startswith(ours)},
            {path for path in directories if not path.startswith(ours)},
            self._inodes | held,
            " ".join(self._doubts),
        )

    def close(self) -> None:
        """Let go of everything; may be called more than once."""
        self._end_thread()
        for descriptor in (self._queue, self._root):
            if descriptor >= 0:
                os.close(descriptor)
        self._queue = self._root = -1

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self.collect()

    def _end_thread(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
            self._thread = None

    def _forget(self) -> None:
        for known in (self._names, self._relisted, self._removed, self._elsewhere, self._inodes):
            known.clear()
        self._count = 0

    def _give_up(self, doubt: str) -> None:
        """Note why, and relieve the kernel and the memory."""
        self._doubts.append(doubt)
        self._forget()
        if self._queue >= 0:
            os.close(self._queue)
            self._queue = -1

    def _digest(self, data: bytes) -> None:
        """Note the events that one read returned. Most repeat one another, so they are taken apart only once."""
        records: dict[bytes, int] = {}
        offset = 0
        while offset < len(data):
            length, header, mask = _EVENT.unpack_from(data, offset)
            record = data[offset + header : offset + length]
            records[record] = records.get(record, 0) | mask
            offset += length
        for record, mask in records.items():
            if mask & _OVERFLOW:
                return self._give_up("The kernel lost events.")
            offset = 0
            while offset < len(record):
                kind, length, handle_length, handle_type = _INFO.unpack_from(record, offset)
                end = offset + _INFO.size + handle_length
                if kind == _DFID_NAME:
                    self._note(record[offset + _INFO.size - 8 : end], record[end : offset + length].split(b"\0", 1)[0], mask)
                elif kind == _FID and handle_type in _INODE:
                    self._inodes.add(_INODE[handle_type].unpack_from(record, offset + _INFO.size)[0])
                else:
                    return self._give_up(f"The kernel described a change in an unknown way (record {kind}, handle {handle_type}).")
                offset += length
        if self._count + len(self._inodes) > LIMIT:
            self._give_up(f"More than {LIMIT} entries changed on the file system of {self._path}.")
        return None

    def _note(self, handle: bytes, name: bytes, mask: int) -> None:
        """Keep one pair of directory and name.

        A directory that was once seen outside of the root can be ignored for good: if it comes below the root later, it or a directory
        above it was moved there, that move is reported, and what was moved in is walked.
        """
        if handle in self._elsewhere:
            return
        names = self._names.get(handle)
        if names is None:
            self._count += 1
            if self._place(handle) == _ELSEWHERE:
                self._elsewhere.add(handle)
                return
            names = self._names[handle] = set()
        if name not in names:
            self._count += 1
            names.add(name)
        if mask & _RELISTING:
            self._relisted.add(handle)
        if mask & _DELETE_SELF and name == b".":
            self._removed.add(handle)

    def _place(self, handle: bytes) -> bytes:
        """Where a directory is now: relative to the root, _ELSEWHERE or _GONE."""
        for left in range(_ATTEMPTS, 0, -1):
            try:
                descriptor = call("open_by_handle_at", self._root, handle, os.O_PATH | os.O_CLOEXEC)
                break
            except OSError as exc:
                if exc.errno == errno.ESTALE:
                    return _GONE
                # Short of memory for a moment, on a busy machine.
                if exc.errno != errno.ENOMEM or left == 1:
                    raise
                time.sleep(0.01)
        try:
            path = os.readlink(b"/proc/self/fd/%d" % descriptor)
            if path.endswith(b" (deleted)") and os.fstat(descriptor).st_nlink == 0:
                self._removed.add(handle)
                return _GONE
        finally:
            os.close(descriptor)
        root = os.readlink(b"/proc/self/fd/%d" % self._root)
        if path == root:
            return b"."
        root = root.rstrip(b"/") + b"/"
        return path[len(root) :] if path.startswith(root) else _ELSEWHERE

    def _resolved(self) -> tuple[set[bytes], set[bytes]]:
        """Paths and directories as they are now.

        A removed directory is left out with all its entries: they were removed before it, or moved, which is reported where they went;
        its own removal is reported in the directory that it was in; and the numbers of their inodes are kept. It must be known to be
        removed, because a handle is stale after a read error, too.
        """
        paths: set[bytes] = set()
        directories: set[bytes] = set()
        gone: set[bytes] = set()
        for handle, names in self._names.items():
            place = self._place(handle)
            if place == _GONE:
                gone.add(handle)
            elif place != _ELSEWHERE:
                prefix = b"" if place == b"." else place + b"/"
                paths.update(prefix + name for name in names if name != b".")
                if b"." in names or handle in self._relisted:
                    directories.add(place)
        if gone - self._removed:
            # Removed just now?
            self.collect()
        if gone - self._removed:
            self._doubts.append(f"{len(gone - self._removed)} directories cannot be found although nobody removed them.")
        return paths, directories


def _file_system(device: int) -> str:
    """The type of the mounted file system with a device number, or an empty string."""
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            fields, _separator, rest = line.partition(" - ")
            if fields.split()[2] == number:
                return rest.split()[0]
    return ""


__all__ = ("LIMIT", "Changes", "Tracker", "Unavailable")
