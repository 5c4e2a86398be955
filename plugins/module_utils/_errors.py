# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The one family of exceptions that the modules turn into messages."""

from __future__ import annotations


class DrydockError(Exception):
    """One sentence for a person, and what to do about it.

    :param sentence: names the value and the reason.
    :param hint: the way out, a sentence of its own, or an empty string.
    """

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.sentence} {self.hint}".strip()


class CommandFailed(DrydockError):
    """A command on the host ended with an error or took too long."""


class EngineError(DrydockError):
    """The daemon's API did not answer, or answered with an error."""


class Refused(DrydockError):
    """Preflight found errors; nothing was written."""


__all__ = ("CommandFailed", "DrydockError", "EngineError", "Refused")
