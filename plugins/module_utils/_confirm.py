# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Changed addresses are confirmed by whoever reaches them over a new connection: a slip in them must not lock everybody out.

The worker writes down what it wants to be reached and waits; the action plugin on the controller reads that with the worker's news,
connects, and gives the answer in the same file.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
import typing as t

from . import _addresses, _files
from ._endpoint import unverified
from ._host import Host

_GIVEN = "given"


def ask(host: Host, addresses: t.Iterable[str], settings: t.Mapping[str, t.Any]) -> None:
    """Say what has to be reached, and with which certificate."""
    certificate = ""
    if settings.get("tls") or settings.get("tlsverify"):
        # A chain may follow; what comes first is the server's own.
        first = (_files.read(str(settings.get("tlscert"))) or "").partition(ssl.PEM_HEADER)[2].partition(ssl.PEM_FOOTER)[0]
        certificate = hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.PEM_HEADER + first + ssl.PEM_FOOTER)).hexdigest()
    _files.write(host.places.confirm, json.dumps({"addresses": list(addresses), "certificate": certificate}), 0o600)


def wanted(host: Host) -> dict[str, t.Any] | None:
    """What has to be reached, None when nobody waits for that."""
    text = _files.read(host.places.confirm)
    return None if text is None or text == _GIVEN else json.loads(text)


def give(host: Host) -> None:
    """It was reached."""
    if wanted(host):
        _files.write(host.places.confirm, _GIVEN, 0o600)


def is_given(host: Host) -> bool:
    """Whether it was reached."""
    return _files.read(host.places.confirm) == _GIVEN


def end(host: Host) -> None:
    """Nobody waits any more."""
    _files.remove(host.places.confirm)


def reach(text: str, certificate: str, host: str, seconds: float) -> str:
    """Connect to an address of a daemon on another machine; returns why not, empty when it was reached.

    :param certificate: what it has to show, as the SHA-256 of its DER form in hexadecimal digits; empty for plain HTTP. Who may use the
        daemon is not the question here, so no client certificate is needed: a server shows its own one first.
    :param host: where the machine itself is reached, for an address that stands for all of its addresses.
    """
    address = _addresses.parse(text)
    name = host if address.unspecified else address.host
    try:
        with socket.create_connection((name, address.port), timeout=seconds) as plain:
            if not certificate:
                connection = http.client.HTTPConnection(name, address.port, timeout=seconds)
                connection.sock = plain
                connection.request("GET", "/_ping")
                return "" if connection.getresponse().status == http.client.OK else "it is no Docker daemon that answers"
            with unverified().wrap_socket(plain, server_hostname=name) as secure:
                shown = hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
                return "" if shown == certificate else "it shows another certificate"
    except (OSError, http.client.HTTPException, UnicodeError) as exc:
        return str(exc) or type(exc).__name__


__all__ = ("ask", "end", "give", "is_given", "reach", "wanted")
