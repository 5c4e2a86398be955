# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""On which sockets a process listens, as the kernel says it: files and flags only say on which it should."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._engine.addresses import Address, as_address, known_addresses
from .._host.files import read
from .._host.processes import sockets
from .._host.tcp_listeners import parse_tcp
from .state import State

# A flag of proc(5): SO_ACCEPTCON of a unix socket.
_ACCEPTS = 0x10000
# Swarm's own: its managers, and the gossip of its nodes.
_SWARM_PORTS = (2377, 7946)


def parse_unix(text: str) -> dict[str, str]:
    """The listening sockets with a path in /proc/net/unix, an address by inode. Pure."""
    found = {}
    for line in text.splitlines()[1:]:
        # Number, references, protocol, flags, type, state, inode and path; an inode has blanks in front of it.
        match = re.match(r"\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (/.*)", line)
        if match and int(match[1], 16) & _ACCEPTS:
            found[match[2]] = f"unix://{match[3]}"
    return found


def of(pid: int) -> list[str]:
    """The addresses on which a process listens; of one that is gone, none."""
    top = f"/proc/{pid}"
    known = {**parse_tcp(read(f"{top}/net/tcp") or ""), **parse_tcp(read(f"{top}/net/tcp6") or ""), **parse_unix(read(f"{top}/net/unix") or "")}
    return sorted({known[inode] for inode in sockets(pid) if inode in known})


def describe(state: State, listening: t.Iterable[str]) -> list[dict[str, t.Any]]:
    """What each address is for, as C(address) and C(purpose): V(api), V(metrics), V(swarm), or V(unknown) tcp; of tcp with C(open). Pure.

    dockerd has more unix sockets than that of its API, for nobody but itself: they are left out.
    """
    wanted = [*state.addresses, *_from_systemd(state)]
    metrics = known_addresses([f"tcp://{state.in_force['metrics-addr']}"] if state.in_force.get("metrics-addr") else [])
    answers = {one: state.lets_in[one.text] for one in known_addresses(state.lets_in)}
    found: list[dict[str, t.Any]] = []
    for one in known_addresses(listening):
        if any(_same(one, other) for other in wanted):
            found.append({"address": one.text, "purpose": "api"})
        elif one.scheme == "tcp":
            swarm = one.port in _SWARM_PORTS and (state.info.get("Swarm") or {}).get("LocalNodeState") == "active"
            purpose = "metrics" if any(_same(one, other) for other in metrics) else "swarm" if swarm else "unknown"
            found.append({"address": one.text, "purpose": purpose})
        if one.scheme == "tcp":
            found[-1]["open"] = next((answer for other, answer in answers.items() if _same(one, other)), None)
    return found


def _from_systemd(state: State) -> list[Address]:
    """What docker.socket and others hand to dockerd as fd://."""
    values = state.socket_unit.values("Socket", "ListenStream", state.socket_unit.ours) if state.socket_unit else []
    values += [state.systemd_socket] if state.systemd_socket else []
    values += [one for listens in state.other_sockets.values() for one in listens]
    return known_addresses(as_address(one) for one in values)


def _same(one: Address, other: Address) -> bool:
    if one.scheme != other.scheme:
        return False
    if one.scheme == "unix":
        return _plain(one.path) == _plain(other.path)
    # dockerd listens for both families where it was told 0.0.0.0 or ::, and the kernel does not know names.
    same_host = one.host == other.host or (one.unspecified and other.unspecified) or not _is_number(other.host)
    return one.port == other.port and same_host


def _plain(path: str) -> str:
    return re.sub("^/var/run/", "/run/", path)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


__all__ = (
    "describe",
    "of",
    "parse_unix",
)
