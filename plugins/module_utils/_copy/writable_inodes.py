# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Which files of a file system somebody can still change without an event."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import re
import stat
import struct
import threading
import typing as t

# Seconds that the look at other processes may take.
_PATIENCE = 2.0
_NFSD = "/proc/fs/nfsd/threads"
_LOOP_GET_STATUS64 = 0x4C05
_SHARED_WRITABLE = re.compile(rb"^\S+ .w.s \S+ (\S+) (\d+)", re.MULTILINE)


def still_writable(device: int) -> tuple[set[int], list[str]]:
    """Inodes of a file system that can change without an event yet, and doubts."""
    inodes: set[int] = set()
    doubts: list[str] = []

    def look() -> None:
        try:
            for look_at in (_open_by_processes, _used_by_loop_devices, _used_as_swap):
                inodes.update(look_at(device))
        except Exception as exc:
            doubts.append(f"What is still being written cannot be told: {exc}.")

    # Another process's file may lie on a network file system that does not answer.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if thread.is_alive():
        return set(), [f"What is still being written could not be told within {_PATIENCE:g} seconds."]
    with contextlib.suppress(FileNotFoundError), open(_NFSD, encoding="ascii") as stream:
        if stream.read().strip() != "0":
            doubts.append("An NFS server runs on this host.")
    return inodes, doubts


def _open_by_processes(device: int) -> t.Iterator[int]:
    """Inodes that a process has open for writing, or mapped shared and writable. Raises what a living process refuses."""
    for task in _tasks():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield from _open_by_task(task, device)


def _tasks() -> list[str]:
    return [f"/proc/{pid}" for pid in os.listdir("/proc") if pid.isdigit()]


def _open_by_task(task: str, device: int) -> t.Iterator[int]:
    for entry in os.scandir(f"{task}/fd"):
        with contextlib.suppress(FileNotFoundError):
            # The link's own mode says how it was opened.
            if entry.stat(follow_symlinks=False).st_mode & stat.S_IWUSR:
                file = entry.stat()
                if file.st_dev == device:
                    yield file.st_ino
    with open(f"{task}/maps", "rb", buffering=0) as stream:
        maps = stream.read()
    if b"w-s " in maps or b"wxs " in maps:
        number = b"%02x:%02x" % (os.major(device), os.minor(device))
        yield from (int(inode) for there, inode in _SHARED_WRITABLE.findall(maps) if there == number)


def _used_by_loop_devices(device: int) -> t.Iterator[int]:
    """Inodes of attached loop devices' files. What was detached meanwhile was closed, which is an event."""
    for name in glob.glob("/sys/block/loop*/loop"):
        with open(f"/dev/{name.split('/')[3]}", "rb") as stream:
            try:
                there, inode = struct.unpack_from("=QQ", fcntl.ioctl(stream, _LOOP_GET_STATUS64, bytes(232)))
            except OSError as exc:
                if exc.errno != errno.ENXIO:
                    raise
                continue
        if there == device:
            yield inode


def _used_as_swap(device: int) -> t.Iterator[int]:
    with contextlib.suppress(FileNotFoundError), open("/proc/swaps", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            path, kind = line.split()[:2]
            if kind == "file" and os.stat(path).st_dev == device:
                yield os.stat(path).st_ino


__all__ = ("still_writable",)
