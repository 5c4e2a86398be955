# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Whether an address of a daemon is reached from here, and shows the certificate that it should: for a controller, from outside."""

from __future__ import annotations

import hashlib
import http.client
import socket

from .._engine.addresses import parse_address
from .connection import unverified


def reach(text: str, certificate: str | None, host: str, seconds: float) -> str:
    """Connect to an address of a daemon on another machine; returns why not, empty when it was reached.

    :param certificate: what it has to show, as the SHA-256 of its DER form in hexadecimal digits; empty for plain HTTP; None where it is enough that
        somebody takes the connection. Who may use the
        daemon is not the question here, so no client certificate is needed: a server shows its own one first.
    :param host: where the machine itself is reached, for an address that stands for all of its addresses.
    """
    address = parse_address(text)
    name = host if address.unspecified else address.host
    try:
        with socket.create_connection((name, address.port), timeout=seconds) as plain:
            if certificate is None:
                return ""
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


__all__ = ("reach",)
