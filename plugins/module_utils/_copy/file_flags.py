# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Flags of files (chattr(1)): no copying command takes them along."""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from .._host.files import flags_of, flags_of_open, set_flags
from .listing import list_tree

# linux/fs.h. What a person sets; the rest is the file system's own business, or the project's that a directory belongs to.
_LETTERS = {
    0x1: "s", 0x2: "u", 0x4: "c", 0x8: "S", 0x10: "i", 0x20: "a", 0x40: "d", 0x80: "A", 0x400: "m", 0x4000: "j", 0x8000: "t", 0x10000: "D",
    0x20000: "T", 0x800000: "C", 0x2000000: "x", 0x40000000: "F",
}  # fmt: skip
_CARRIED = sum(_LETTERS)
# These keep us, too, from changing a file; and this one is taken by an empty file only, and by a directory for what is made in it from then on.
_HINDERING, NO_COPY_ON_WRITE = 0x10 | 0x20, 0x800000

Flags = t.Dict[bytes, int]
"""Flags by path relative to a root, of those that have any."""


def carried(path: bytes) -> int:
    """Those flags of a file or directory that a person has set; 0 of a link, and where there are none."""
    with contextlib.suppress(OSError):
        if stat.S_IFMT(os.lstat(path).st_mode) in (stat.S_IFREG, stat.S_IFDIR):
            return flags_of(path) & _CARRIED
    return 0


def carried_open(fd: int) -> int:
    """The same of what is open."""
    return flags_of_open(fd) & _CARRIED


def give(path: bytes, flags: int) -> int:
    """Give a file the flags of another one; returns those that it does not have then."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return flags
    try:
        with contextlib.suppress(OSError):
            set_flags(fd, (flags_of_open(fd) & ~_CARRIED) | flags)
        # One that the file system does not know must not keep the others away.
        for one in (bit for bit in _LETTERS if bit & flags & ~flags_of_open(fd)):
            with contextlib.suppress(OSError):
                set_flags(fd, flags_of_open(fd) | one)
        return flags & ~flags_of_open(fd)
    finally:
        os.close(fd)


def give_all(root: str, flags: Flags) -> dict[str, str]:
    """Give the files of a copy the flags of the originals, those below a directory before itself; returns the letters of those that were not
    taken, by the path of the file."""
    failed = {}
    for path in sorted(flags, reverse=True):
        there = os.path.join(os.fsencode(root), path)
        missing = give(there, flags[path])
        if missing:
            failed[os.fsdecode(there)] = letters(missing)
    return failed


def letters(flags: int) -> str:
    """Flags as chattr(1) calls them."""
    return "".join(letter for bit, letter in _LETTERS.items() if bit & flags)


def let_change(root: str) -> None:
    """Take from all files of a copy of ours the flags by which nobody can change or remove them."""
    for path, entry in list_tree(root).items():
        if stat.S_IFMT(entry.mode) not in (stat.S_IFREG, stat.S_IFDIR):
            continue
        there = os.path.join(os.fsencode(root), path)
        flags = flags_of(there)
        if flags & _HINDERING:
            fd = os.open(there, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
            try:
                set_flags(fd, flags & ~_HINDERING)
            finally:
                os.close(fd)


__all__ = ("NO_COPY_ON_WRITE", "Flags", "carried", "carried_open", "give", "give_all", "let_change", "letters")
