# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Processes, as the kernel tells them (proc(5))."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """What no other boot of this host has."""
    with open(_BOOT_ID, encoding="ascii") as stream:
        return stream.read().strip()


def process_identity(pid: int) -> str:
    """A process that no other one of this boot is mistaken for: its id and when it started, in ticks since boot (proc(5))."""
    return f"{pid}:{process_fields(pid)[19]}"


def began_at(pid: int) -> float:
    """When a process began, in seconds since the epoch by today's clock."""
    ticks = int(process_fields(pid)[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks


def process_fields(pid: int | str) -> list[str]:
    """What the kernel says of a process behind its name: state, parent and so on (proc(5)).

    :raises OSError: it is gone.
    """
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        return stream.read().rpartition(")")[2].split()


def command_line(pid: int | str) -> list[str]:
    """The words of a running process; none of one that is gone, or of the kernel's own."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read().decode(errors="surrogateescape").split("\0")[:-1]
    except OSError:
        return []


def environment_of(pid: int | str) -> dict[str, str]:
    """The variables that a process was started with; none of one that is gone."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            words = stream.read().decode(errors="surrogateescape").split("\0")
    except OSError:
        return {}
    return {name: value for name, equals, value in (word.partition("=") for word in words) if equals}


def processes() -> list[str]:
    """The ids of all that run."""
    return [name for name in os.listdir("/proc") if name.isdigit()]


def open_files(pid: int | str, top: str) -> t.Iterator[tuple[str, bool]]:
    """The paths below a directory that a process has open, and whether to write; those that may be looked at.

    Processes end and files are closed meanwhile, and into some processes not even root may look.
    """
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                path = os.readlink(f"/proc/{pid}/fd/{fd}")
                if path.startswith(top + "/"):
                    yield path, _is_written(pid, fd)


def sockets(pid: int | str) -> t.Iterator[str]:
    """The inodes of the sockets that a process has open, as the tables in /proc/net name them; none of one that is gone, or may not be looked at."""
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                target = os.readlink(f"/proc/{pid}/fd/{fd}")
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def _is_written(pid: int | str, fd: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as stream:
        flags = next((line for line in stream if line.startswith("flags:")), "flags: 0")
    return bool(int(flags.split()[1], 8) & (os.O_WRONLY | os.O_RDWR))


__all__ = (
    "began_at",
    "boot_id",
    "command_line",
    "environment_of",
    "open_files",
    "process_fields",
    "process_identity",
    "processes",
    "sockets",
)
