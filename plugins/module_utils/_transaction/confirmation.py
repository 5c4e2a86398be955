# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Changed addresses are confirmed by whoever reaches them over a new connection: a slip in them must not lock everybody out.

The worker writes down what it wants to be reached and waits; the action plugin on the controller reads that with the worker's news,
connects, and gives the answer in the same file.
"""

from __future__ import annotations

import json
import typing as t

from .._host import files
from .._host.host import Host

_GIVEN = "given"


def ask(host: Host, addresses: t.Iterable[str], certificate: str, ways: t.Iterable[str] = ()) -> None:
    """Say what has to be reached.

    :param certificate: that is shown there, as `certificate_to_show` has it; empty for plain HTTP.
    :param ways: where the old daemon still listens: only the way there is of interest, not what is shown.
    """
    files.write(host.places.confirm, json.dumps({"addresses": list(addresses), "certificate": certificate, "ways": list(ways)}), 0o600)


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
