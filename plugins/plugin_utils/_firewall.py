# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What role docker_listen's firewall lets in: from listen addresses and allowed sources to the parts of its rules. Pure."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.drydock.dockerd.plugins.module_utils._engine.addresses import known_addresses
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, message
from ansible_collections.drydock.dockerd.plugins.plugin_utils._survey import lines

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


def plan(sources: t.Any, hosts: t.Sequence[str]) -> dict[str, t.Any]:
    """Which ports are guarded, and from where they are reached all the same.

    :param sources: addresses and networks as they were typed: a list, or text with one a line.
    :param hosts: the listen addresses.
    :returns: refusals (sentences; with one nothing may be done), ports, and the sources as ip and ip6. Without sources there is nothing to
        guard, and no ports.
    """
    networks: list[Network] = []
    refusals: list[str] = []
    try:
        for text in lines(sources, "docker_listen_allowed_sources"):
            networks.append(_network(text))
    except DrydockError as exc:
        refusals.append(str(exc))
    ports = sorted({one.port for one in known_addresses(hosts) if one.scheme == "tcp"}) if networks else []
    if networks and not ports:
        sentence = "docker_listen_allowed_sources is given, but docker_listen_addresses has no tcp address to guard."
        refusals.append(message("variables-clash", sentence, "Leave it out."))
    return {"refusals": refusals, "ports": [] if refusals else ports, "ip": _of_version(4, networks), "ip6": _of_version(6, networks)}


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        loose = ipaddress.ip_interface(text)
    except ValueError:
        raise DrydockError(
            "variable-value", f"docker_listen_allowed_sources has '{text}', which is no address or network.", "Give one like 10.0.0.5 or 10.0.0.0/24."
        ) from None
    raise DrydockError(
        "variable-value", f"docker_listen_allowed_sources has '{text}', an address with a network's length.", f"Give {loose.ip} or {loose.network}."
    )


def _of_version(version: int, networks: t.Iterable[Network]) -> list[str]:
    """Each address once, since nft takes no overlaps."""
    return [str(one) for one in ipaddress.collapse_addresses(one for one in networks if one.version == version)]  # type: ignore[type-var]


__all__ = ("plan",)
