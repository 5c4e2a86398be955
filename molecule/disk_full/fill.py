#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Fill a file system to its last byte or inode, as soon as a step of a change begins, and keep it full.

lab-fill bytes|inodes DIRECTORY [STEP [PATH]]    waits for PATH, too; end it and remove DIRECTORY/filler to have everything back
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import time

FULL = pathlib.Path("/run/lab-full")
JOURNAL = pathlib.Path("/var/lib/drydock/dockerd/journal/log.jsonl")


def wait_for(step: str, path: str = "/") -> None:
    begun = f'"event": "begin", "step": "{step}"'
    while True:
        with contextlib.suppress(FileNotFoundError):
            if begun in JOURNAL.read_text() and os.path.exists(path):
                return
        time.sleep(0.0005)


def take_bytes(top: pathlib.Path) -> None:
    """Allocated, not written: it has to be done before the step goes on."""
    with open(top / "all", "ab") as stream:
        size, piece = os.fstat(stream.fileno()).st_size, 1 << 30
        while piece >= 1024:
            try:
                os.posix_fallocate(stream.fileno(), size, piece)
                size += piece
            except OSError:
                piece //= 2


def take_inodes(top: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        for number in range(len(os.listdir(top)), 1 << 20):
            os.mknod(top / str(number))


what, where, *moment = sys.argv[1:]
top = pathlib.Path(where, "filler")
top.mkdir()
if moment:
    wait_for(*moment)
# What others give back is taken, too.
while True:
    {"bytes": take_bytes, "inodes": take_inodes}[what](top)
    FULL.touch()
    time.sleep(0.002)
