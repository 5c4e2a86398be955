# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What a unit's command has come to: the daemon's process, which a wrapper, a launcher or a shell may stand in front of."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import typing as t

from .._errors import DrydockError

_DELETED = " (deleted)"
_EXEC = 'exec dockerd ... "$@"'


@dataclasses.dataclass(frozen=True)
class Launched:
    """The process, and how the unit's command leads to it.

    :param program: the file that runs.
    :param arguments: its words behind the program, but for those of ours.
    :param added: those among them that are not in the unit: a wrapper's own.
    :param problem: why words that are added to the unit's command would not reach the daemon; None where they do.
    """

    program: str
    arguments: t.Tuple[str, ...]
    added: t.Tuple[str, ...] = ()
    problem: t.Optional[DrydockError] = None


def launched(unit: str, command: t.Sequence[str], argv: t.Sequence[str], program: str, real: str) -> Launched:
    """Compare a unit's command with what runs.

    :param command: the unit's words, expanded.
    :param argv: those of the running process, without those of ours.
    :param program: the file that runs (/proc/PID/exe), and
    :param real: the one that the unit names, all links followed.
    """
    program = program[: -len(_DELETED)] if program.endswith(_DELETED) else program
    arguments = tuple(argv[1:])
    if command[0] in arguments or any(os.path.basename(word) == "dockerd" for word in arguments):
        sentence = f"The main process of {unit} is {argv[0]}, which runs the daemon as its child, so that it cannot be told to start it otherwise."
        return Launched(program, arguments, problem=_problem(sentence))
    if real == program:
        return Launched(program, arguments)
    own = arguments_of(command, os.path.basename(argv[0]))
    at = _place_of(own, arguments)
    if at is None:
        sentence = f"{unit} starts the daemon by {command[0]}, and what is added to that command does not reach it, so that its containers cannot be held back."
        return Launched(program, arguments, problem=_problem(sentence))
    return Launched(program, arguments, arguments[:at] + arguments[at + len(own) :])


def _problem(sentence: str) -> DrydockError:
    hint = f"Let ExecStart name dockerd itself, or a script that ends with: {_EXEC}. Then: systemctl daemon-reload && systemctl restart docker."
    return DrydockError("unit-command", sentence, hint)


def arguments_of(command: t.Sequence[str], name: str = "dockerd") -> list[str]:
    """The daemon's arguments in a command: those behind its name, where a launcher such as env stands in front of it.

    :param name: of the daemon's program.
    """
    at = next((at for at, word in enumerate(command) if os.path.basename(word) == name), 0)
    return list(command[at + 1 :])


def _place_of(part: t.Sequence[str], whole: t.Sequence[str]) -> int | None:
    """Where words stand in others, one behind the other; of no words nobody knows."""
    places = range(len(whole) - len(part) + 1) if part else ()
    return next((at for at in places if list(whole[at : at + len(part)]) == list(part)), None)


def program_of(command: t.Sequence[str], name: str) -> str:
    """The program in a command of which nothing runs, to be asked for its version; a wrapper is never executed for that.

    :param name: dockerd, or containerd.
    """
    path = next((word for word in command if os.path.basename(word) == name), "")
    if not path and os.path.basename(command[0]) == "docker":
        # Up to 1.12 it was 'docker daemon'.
        path = command[0]
    return path if path and not _is_script(path) else shutil.which(name) or name


def _is_script(path: str) -> bool:
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        return stream.read(2) == b"#!"
    return False


__all__ = ("Launched", "arguments_of", "launched", "program_of")
