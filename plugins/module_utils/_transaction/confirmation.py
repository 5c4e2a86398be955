# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Changed addresses are confirmed by whoever reaches them over a new connection: a slip in them must not lock everybody out.

The worker writes down what it wants to be reached and waits; the action plugin on the controller reads that with the worker's news,
connects, and gives the answer in the same file.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import typing as t

from .._host import files
from .._host.host import Host

_GIVEN = "given"


def ask(host: Host, addresses: t.Iterable[str], settings: t.Mapping[str, t.Any]) -> None:
    """Say what has to be reached, and with which certificate."""
    certificate = ""
    if settings.get("tls") or settings.get("tlsverify"):
        # A chain may follow; what comes first is the server's own.
        first = (files.read(str(settings.get("tlscert"))) or "").partition(ssl.PEM_HEADER)[2].partition(ssl.PEM_FOOTER)[0]
        certificate = hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.PEM_HEADER + first + ssl.PEM_FOOTER)).hexdigest()
    files.write(host.places.confirm, json.dumps({"addresses": list(addresses), "certificate": certificate}), 0o600)


def wanted(host: Host) -> dict[str, t.Any] | None:
    """What has to be reached, None when nobody waits for that."""
    text = files.read(host.places.confirm)
    return None if text is None or text == _GIVEN else json.loads(text)


def give(host: Host) -> None:
    """It was reached."""
    if wanted(host):
        files.write(host.places.confirm, _GIVEN, 0o600)


def is_given(host: Host) -> bool:
    """Whether it was reached."""
    return files.read(host.places.confirm) == _GIVEN


def end(host: Host) -> None:
    """Nobody waits any more."""
    files.remove(host.places.confirm)


__all__ = (
    "ask",
    "end",
    "give",
    "is_given",
    "wanted",
)
