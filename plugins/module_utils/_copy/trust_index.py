# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What an unfinished copy is known to have right, kept beside it, so that a copy that was prepared need not be made again.

It holds in the boot in which it was written and in no other: after a power cut a file may have new content and an old ctime, for the
two reach the disk at different times.
"""

from __future__ import annotations

import os
import struct
import typing as t

from .._host import files
from .._host.processes import boot_id
from .file_flags import Flags
from .listing import Entry, Moment

NAME = ".drydock-index"
_CLOCK, _FIELDS = struct.Struct("<2d"), struct.Struct("<11q2I")
_END = b"end"


def save(source: str, target: str, trusted: t.Mapping[bytes, Entry], flags: Flags, looked: Moment) -> None:
    """Keep the trusted entries with their flags, and when the clock was looked at last; the copy itself must be on its disk already."""
    path = os.path.join(target, NAME)
    with open(path + ".new", "wb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.write(_head(source, target) + _CLOCK.pack(*looked))
        for name, entry in trusted.items():
            # Device numbers are unsigned 64 bits in the kernel and small in practice.
            stream.write(_FIELDS.pack(*entry, flags.get(name, 0), len(name)) + name)
        stream.write(_END)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(path + ".new", path)
    files.sync_directory(target)


def load(source: str, target: str) -> tuple[Moment, dict[bytes, Entry], Flags] | None:
    """What was kept; None where there is nothing, or not for this copy, or of another boot."""
    try:
        with open(os.path.join(target, NAME), "rb") as stream:
            data = stream.read()
    except FileNotFoundError:
        return None
    head = _head(source, target)
    if not data.startswith(head) or not data.endswith(_END):
        return None
    looked = Moment(*_CLOCK.unpack_from(data, len(head)))
    found: dict[bytes, Entry] = {}
    flags: Flags = {}
    at, end = len(head) + _CLOCK.size, len(data) - len(_END)
    while at < end:
        *fields, flags_of_it, length = _FIELDS.unpack_from(data, at)
        at += _FIELDS.size
        path = data[at : at + length]
        found[path] = Entry(*fields)
        if flags_of_it:
            flags[path] = flags_of_it
        at += length
    return looked, found, flags


def remove(target: str) -> None:
    """Forget it: from now on the copy changes."""
    files.remove(os.path.join(target, NAME))


def _head(source: str, target: str) -> bytes:
    return "\0".join(["drydock index 3", boot_id(), source, target]).encode("utf-8", "surrogateescape") + b"\0\0"


__all__ = (
    "NAME",
    "load",
    "remove",
    "save",
)
