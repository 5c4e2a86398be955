# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What containers printed last."""

from __future__ import annotations

import typing as t

from .._errors import EngineError
from .api import Engine
from .container import Container

# Before each piece of output the engine says which stream it is from and how long it is.
_HEADER = 8


def last_lines(engine: Engine, containers: t.Iterable[Container], count: int) -> dict[str, list[str]]:
    """The last lines of each container by its id; nothing for none."""
    return {one.id: _last_lines(engine, one, count) for one in containers} if count > 0 else {}


def _last_lines(engine: Engine, one: Container, count: int) -> list[str]:
    try:
        output = engine.get_bytes(f"/containers/{one.id}/logs", stdout=1, stderr=1, tail=count)
    except EngineError as exc:
        # A log driver that cannot be read, or a container that is gone: whoever asks for its output should know why there is none.
        return [f"({exc.sentence})"]
    text = (output if one.tty else unframed(output)).decode(errors="replace")
    return [line.rstrip("\r") for line in text.splitlines()][-count:]


def unframed(output: bytes) -> bytes:
    """The output without the engine's headers. Pure."""
    pieces = []
    while len(output) >= _HEADER:
        end = _HEADER + int.from_bytes(output[4:_HEADER], "big")
        pieces.append(output[_HEADER:end])
        output = output[end:]
    return b"".join(pieces)


__all__ = (
    "last_lines",
    "unframed",
)
