# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Values of daemon.json that keep dockerd from starting, by rules that need nothing but the value. Pure.

Source: moby's opts, daemon/config and libnetwork/ipamutils; engines before 23.0 cannot be asked, and newer ones look at some only when they start.
"""

from __future__ import annotations

import ipaddress
import json
import typing as t
import urllib.parse

Fault = t.Tuple[str, str]
"""What is wrong with a value, and the way out."""


def value_fault(name: str, value: t.Any) -> Fault | None:
    """What is wrong with a value that has the type which its key wants; None when nothing is."""
    check = _CHECKS.get(name)
    return check(value) if check else None


def _mirrors(value: list[str]) -> Fault | None:
    for one in value:
        url = urllib.parse.urlsplit(one)
        if url.scheme not in ("http", "https") or not url.netloc:
            return f"{json.dumps(one)} is no address with a scheme", f"Write it as https://{one.split('://')[-1]}."
        if url.query or url.fragment:
            return f"{json.dumps(one)} has more than a host and a path", "Leave out what follows the path."
    return None


def _bridge_address(value: str) -> Fault | None:
    try:
        address = ipaddress.ip_interface(value)
    except ValueError:
        return f"{json.dumps(value)} is no address with a prefix", "Write it like 172.26.0.1/16."
    network = address.network
    if "/" not in value:
        return f"{json.dumps(value)} has no prefix", f"Write it like {value}/16."
    if network.num_addresses > 2 and address.ip in (network.network_address, network[-1]):
        return f"{json.dumps(value)} is the address of the network, not of a host in it", f"Write it like {network[1]}/{network.prefixlen}."
    return None


def _network(value: str) -> Fault | None:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return f"{json.dumps(value)} is no network", "Write it like 172.26.0.0/16."
    return None


def _pools(value: list[t.Any]) -> Fault | None:
    for one in value:
        if not isinstance(one, dict) or not isinstance(one.get("base"), str) or not isinstance(one.get("size"), int):
            return f"{json.dumps(one)} has no base and size", 'Write each as {"base": "172.30.0.0/16", "size": 24}.'
        try:
            base = ipaddress.ip_network(one["base"], strict=False)
        except ValueError:
            return f"{json.dumps(one['base'])} is no network", 'Write each as {"base": "172.30.0.0/16", "size": 24}.'
        if not base.prefixlen <= one["size"] <= base.max_prefixlen:
            sentence = f"a network of size {one['size']} does not lie in {one['base']}"
            return sentence, f"Give a size from {base.prefixlen} to {base.max_prefixlen}."
    return None


def _addresses(value: list[str]) -> Fault | None:
    for one in value:
        try:
            ipaddress.ip_address(one)
        except ValueError:
            return f"{json.dumps(one)} is no IP address", "Write it like 192.0.2.53."
    return None


def _api_version(value: str) -> Fault | None:
    parts = value.split(".")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        return f"{json.dumps(value)} is no version of the API", "Write it like 1.44."
    return None


_CHECKS: dict[str, t.Callable[[t.Any], t.Optional[Fault]]] = {
    "bip": _bridge_address,
    "bip6": _bridge_address,
    "default-address-pools": _pools,
    "dns": _addresses,
    "fixed-cidr": _network,
    "fixed-cidr-v6": _network,
    "min-api-version": _api_version,
    "registry-mirrors": _mirrors,
}


__all__ = ("Fault", "value_fault")
