# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Who listens on which tcp address of this machine."""

from __future__ import annotations

import os
import socket
import struct
import typing as t

from .files import read
from .processes import command_line, processes, sockets

# The state TCP_LISTEN of proc(5).
_TCP_LISTEN = "0A"
# Who listens for containers.
_DOCKERS = ("docker-proxy", "dockerd")


def parse_tcp(text: str) -> dict[str, str]:
    """The listening sockets in /proc/net/tcp or tcp6, an address by inode. Pure."""
    found = {}
    for fields in (line.split() for line in text.splitlines()[1:]):
        if len(fields) > 9 and fields[3] == _TCP_LISTEN:
            host, _colon, port = fields[1].partition(":")
            found[fields[9]] = f"tcp://{_host(host)}:{int(port, 16)}"
    return found


def _host(text: str) -> str:
    """An address as the kernel prints it: words of 32 bits, each in the machine's own order."""
    packed = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]"


def listeners() -> dict[str, str]:
    """The tcp addresses on which anybody listens in this network namespace, by the inode of the socket."""
    return {**parse_tcp(read("/proc/net/tcp") or ""), **parse_tcp(read("/proc/net/tcp6") or "")}


def holders(ports: t.Optional[t.Container[str]] = None) -> dict[str, str]:
    """The tcp addresses on which somebody else than Docker listens, with who that is.

    :param ports: only these, as text; without them any. Where nobody listens on one, no process is looked at.
    """
    found: dict[str, str] = {}
    there = {inode: address for inode, address in listeners().items() if ports is None or address.rpartition(":")[2] in ports}
    for pid in processes() if there else ():
        name = os.path.basename((command_line(pid) or ["?"])[0])
        if name not in _DOCKERS:
            found.update({there[inode]: f"process {pid} ({name})" for inode in sockets(pid) if inode in there})
    return found


__all__ = ("holders", "listeners", "parse_tcp")
