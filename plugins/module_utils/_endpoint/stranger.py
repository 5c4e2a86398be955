# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Whether a daemon lets in whoever reaches it: only its socket can say."""

from __future__ import annotations

import typing as t

from .._engine.addresses import Address
from .connection import Remote, unverified
from .diagnosis import diagnose

# How long an answer may take, in seconds: it is this machine that is asked.
_PATIENCE = 3


def lets_in(address: Address) -> bool | None:
    """Whether a tcp address of this machine answers somebody without a certificate; None where it cannot be told, or nobody is there."""
    host = address.host_from_here
    turned_away = diagnose(Remote("", _PATIENCE, host, address.port, unverified(), host)).turned_away
    return None if turned_away is None else not turned_away


def ask_all(addresses: t.Iterable[Address]) -> dict[str, bool]:
    """What the tcp ones among these addresses say, by their text; those that say nothing are left out."""
    asked = {one.text: lets_in(one) for one in addresses if one.scheme == "tcp"}
    return {text: answer for text, answer in asked.items() if answer is not None}


__all__ = ("ask_all", "lets_in")
