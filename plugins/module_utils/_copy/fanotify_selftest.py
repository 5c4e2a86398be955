# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Change files in every way that matters, to see whether the kernel reports it. Also the way to call the C library."""

from __future__ import annotations

import concurrent.futures
import ctypes
import errno
import mmap
import os
import typing as t

from .._host.libc import call

CLONE_NEWNS = 0x20000
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000


def prepare(probe: str) -> tuple[t.BinaryIO, mmap.mmap]:
    """Make what exercise() changes; a file and a mapping are opened before there is a mark, as those of running containers are."""
    for directory in ("lower", "overlay", "work", "merged"):
        os.mkdir(f"{probe}/{directory}")
    for name in ("write", "store", "chmod", "rename", "overlay/write", "overlay/store", "lower/copy-up"):
        with open(f"{probe}/{name}", "wb") as stream:
            stream.write(bytes(4096))
    with open(f"{probe}/store", "r+b") as stream:
        return open(f"{probe}/write", "r+b", buffering=0), mmap.mmap(stream.fileno(), 4096)


def exercise(probe: str, stream: t.BinaryIO, mapping: mmap.mmap) -> list[str]:
    """Change something in every way that matters; returns what has to be reported."""
    with stream:
        stream.write(b"x")
    with mapping:
        mapping[0] = 1
    os.chmod(f"{probe}/chmod", 0o700)
    os.rename(f"{probe}/rename", f"{probe}/lower/renamed")
    expected = ["write", "store", "chmod", "rename", "lower/renamed"]
    # In a thread, because it gets a mount namespace and a working directory of its own: nobody else sees the mount.
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return expected + pool.submit(_exercise_overlay, probe).result()


def _exercise_overlay(probe: str) -> list[str]:
    call("unshare", CLONE_NEWNS)
    call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)
    os.chdir(probe)
    try:
        call("mount", b"overlay", b"merged", b"overlay", ctypes.c_ulong(0), b"lowerdir=lower,upperdir=overlay,workdir=work")
    except OSError as exc:
        if exc.errno == errno.ENODEV:
            # A kernel without overlay hides nothing.
            return []
        raise
    try:
        for name in ("write", "copy-up"):
            with open(f"merged/{name}", "r+b") as stream:
                stream.write(b"x")
        with open("merged/store", "r+b") as stream, mmap.mmap(stream.fileno(), 4096) as mapping:
            mapping[0] = 1
    finally:
        call("umount2", b"merged", 0)
    return ["overlay/write", "overlay/store", "overlay/copy-up"]


__all__ = (
    "CLONE_NEWNS",
    "exercise",
    "prepare",
)
