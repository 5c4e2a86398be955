# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Listen on an address as dockerd will."""

from __future__ import annotations

import errno
import socket

from .._errors import DrydockError
from .addresses import Address


def listen_on(address: Address) -> socket.socket:
    """A socket that listens on a tcp address.

    :raises DrydockError: it cannot be listened on; with id address-in-use where somebody else does.
    """
    try:
        family, kind, proto, _name, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as exc:
        sentence = f"{address.text} cannot be resolved: {getattr(exc, 'strerror', exc)}."
        raise DrydockError("address-unknown", sentence, "Use an address of this host.") from exc
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen()
    except OSError as exc:
        listener.close()
        raise _refusal(address, exc) from exc
    return listener


def _refusal(address: Address, exc: OSError) -> DrydockError:
    if exc.errno == errno.EADDRINUSE:
        return DrydockError("address-in-use", f"{address.text} is taken: another process listens there.", "Choose another port, or stop that process.")
    if exc.errno == errno.EADDRNOTAVAIL:
        return DrydockError("address-not-here", f"{address.text} is not an address of this host.", "Use one that 'ip address' shows, or tcp://0.0.0.0 for all.")
    return DrydockError("address-refused", f"{address.text} cannot be listened on: {exc.strerror}.")


__all__ = ("listen_on",)
