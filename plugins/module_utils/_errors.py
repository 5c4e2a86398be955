# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The one family of exceptions that the modules turn into messages, and the form of these messages."""

from __future__ import annotations

import contextlib
import os
import pwd
import traceback


class DrydockError(Exception):
    """One sentence for a person, and what to do about it.

    :param id: by which the catalogue for users has cause and cure; errors with the same cure share it.
    :param sentence: names the value and the reason.
    :param hint: the way out, a sentence of its own, or an empty string.
    """

    def __init__(self, id: str, sentence: str, hint: str = "") -> None:
        super().__init__(id, sentence, hint)
        self.id = id
        self.sentence = sentence
        self.hint = hint

    def __str__(self) -> str:
        return message(self.id, self.sentence, self.hint)


class CommandFailed(DrydockError):
    """A command on the host ended with an error or took too long."""


class EngineError(DrydockError):
    """The daemon's API did not answer, or answered with an error.

    :param status: of the answer, as in HTTP; 0 where there was none.
    """

    def __init__(self, id: str, sentence: str, hint: str = "", status: int = 0) -> None:
        super().__init__(id, sentence, hint)
        self.status = status


class Refused(DrydockError):
    """Preflight found errors; nothing was written. In its words each finding has an id of its own."""

    def __init__(self, words: str) -> None:
        super().__init__("", words)


def message(id: str, sentence: str, hint: str = "") -> str:
    """What a person sees of an error: the sentence, the way out, and the id in brackets."""
    words = f"{sentence} {hint}".strip()
    return f"{words} [{id}]" if id else words


def no_become(user: int) -> DrydockError:
    """Who tried what only root may.

    :param user: the id of whoever this runs as.
    """
    name = str(user)
    with contextlib.suppress(KeyError):
        name = pwd.getpwuid(user).pw_name
    return DrydockError("no-become", f"User '{name}' may not do this on the host: it takes root.", "Set become: true for the play or the task.")


def wrapping(cause: Exception, id: str, sentence: str, hint: str = "") -> DrydockError:
    """An error that tells of another one. It keeps the id of its cause, because the cure depends on that.

    :param id: where the cause has none.
    """
    return DrydockError((cause.id if isinstance(cause, DrydockError) else "") or id, sentence, hint)


def unexpected(error: Exception) -> DrydockError:
    """What escaped from somewhere, as one sentence: the path that it is about and the system's own words, or where in the collection it came from."""
    if isinstance(error, DrydockError):
        return error
    if isinstance(error, OSError) and error.strerror:
        paths = " and ".join(str(one) for one in (error.filename, error.filename2) if one is not None)
        words = f"{paths}: {error.strerror}" if paths else error.strerror
    else:
        frames = traceback.extract_tb(error.__traceback__)
        words = f"{type(error).__name__}: {error}" + (f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else "")
    return DrydockError("unexpected", f"{words}.", "Mend what it names, then run again; if it names nothing of this host, please report it.")


def format_bytes(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


__all__ = (
    "CommandFailed",
    "DrydockError",
    "EngineError",
    "Refused",
    "format_bytes",
    "message",
    "no_become",
    "unexpected",
    "wrapping",
)
