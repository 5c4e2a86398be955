# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Listen addresses in dockerd's terms, and whether they leave the API open. Pure."""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from .._errors import DrydockError

# dockerd's own default, with TLS too (moby: daemon/pkg/opts/hosts.go).
DEFAULT_PORT = 2375
DEFAULT_HOST = "unix:///var/run/docker.sock"


@dataclasses.dataclass(frozen=True)
class Address:
    """One parsed -H value; host and port are set for tcp, path for unix."""

    text: str
    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def unspecified(self) -> bool:
        """Whether it stands for all addresses of the host."""
        try:
            return ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def host_from_here(self) -> str:
        """Where this machine itself connects to it: all addresses of the host are not one to connect to."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def loopback(self) -> bool:
        """Literally loopback: a name other than localhost may resolve to anything."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str) -> Address:
    """Parse one address as dockerd does.

    :raises DrydockError: an address that dockerd on Linux cannot serve.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "tcp", text
    if scheme == "fd":
        return Address(text, "fd")
    if scheme == "unix":
        path = rest or "/var/run/docker.sock"
        if not path.startswith("/"):
            raise DrydockError("address", f"Listen address '{text}' is not an absolute path.", "Write it as unix:///run/docker.sock.")
        return Address(text, "unix", path=path)
    if scheme != "tcp":
        raise DrydockError(
            "address", f"Listen address '{text}' has the scheme '{scheme}', which dockerd on Linux cannot serve.", "Use fd://, unix:// or tcp://."
        )
    host, port = _split_port(text, rest)
    return Address(text, "tcp", host=host or "localhost", port=port)


def _split_port(text: str, rest: str) -> tuple[str, int]:
    way_out = "Write it as tcp://ADDRESS:PORT, for example tcp://10.0.0.5:2376."
    if "/" in rest:
        raise DrydockError("address", f"Listen address '{text}' has a path.", way_out)
    if rest.startswith("["):
        host, bracket, tail = rest[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise DrydockError("address", f"Listen address '{text}' has no closing bracket after its IPv6 address.", way_out)
        port = tail[1:]
    elif rest.count(":") > 1:
        raise DrydockError("address", f"Listen address '{text}' has an IPv6 address without brackets.", "Write it as tcp://[::1]:2376.")
    else:
        host, _colon, port = rest.partition(":")
    if not port:
        return host, DEFAULT_PORT
    if not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise DrydockError("address", f"Listen address '{text}' has the port '{port}'.", "A port is a number from 1 to 65535.")
    return host, int(port)


def overlap(one: Address, other: Address) -> bool:
    """Whether who listens on one of two tcp addresses has the other one too, or a part of it."""
    return one.scheme == other.scheme and one.port == other.port and (one.unspecified or other.unspecified or one.host == other.host)


def verifies_clients(settings: t.Mapping[str, t.Any]) -> bool:
    """Whether dockerd with these settings turns away a client without a certificate that its CA signed."""
    return _verifies(settings) and bool(settings.get("tlscacert"))


def trusts_any_ca(settings: t.Mapping[str, t.Any]) -> bool:
    """Whether dockerd with these settings takes a client's certificate of any CA that the host's system trusts, because it was given none of its own."""
    return _verifies(settings) and not settings.get("tlscacert")


def _verifies(settings: t.Mapping[str, t.Any]) -> bool:
    return bool(settings.get("tlsverify", settings.get("tls", False)))


def plain_tcp(addresses: t.Iterable[Address], settings: t.Mapping[str, t.Any]) -> list[Address]:
    """The tcp addresses that anybody who reaches them can use: root on the host for the asking."""
    if verifies_clients(settings):
        return []
    return [address for address in addresses if address.scheme == "tcp"]


def addresses_of(settings: t.Mapping[str, t.Any]) -> list[str]:
    """The listen addresses of a configuration."""
    return list(settings.get("hosts") or [DEFAULT_HOST])


def parse_addresses(listens: t.Iterable[str]) -> tuple[list[Address], list[DrydockError]]:
    """Those of a list of addresses that dockerd can serve, and why it cannot serve the others."""
    found, refused = [], []
    for text in listens:
        try:
            found.append(parse_address(text))
        except DrydockError as exc:
            refused.append(exc)
    return found, refused


def known_addresses(listens: t.Iterable[str]) -> list[Address]:
    """Those of a list of addresses that dockerd can serve; the others are refused elsewhere, with the reason."""
    return parse_addresses(listens)[0]


def listen_addresses(settings: t.Mapping[str, t.Any]) -> list[Address]:
    """The listen addresses of a configuration, but for those that dockerd cannot serve."""
    return known_addresses(addresses_of(settings))


def as_address(listen: str) -> str:
    """What a socket unit listens on, in dockerd's terms (ListenStream in systemd.socket(5))."""
    if listen[:1] in ("/", "%"):
        return f"unix://{listen.replace('%t', '/run')}"
    return f"tcp://0.0.0.0:{listen}" if listen.isdigit() else f"tcp://{listen}"


def socket_of(addresses: t.Iterable[Address], systemd_socket: str | None) -> str | None:
    """The unix socket behind listen addresses; fd:// is the one that docker.socket listens on."""
    for address in addresses:
        if address.scheme == "unix":
            return address.path
        if address.scheme == "fd":
            return systemd_socket
    return None


__all__ = (
    "DEFAULT_HOST",
    "Address",
    "addresses_of",
    "as_address",
    "known_addresses",
    "listen_addresses",
    "overlap",
    "parse_address",
    "parse_addresses",
    "plain_tcp",
    "socket_of",
    "trusts_any_ca",
    "verifies_clients",
)
