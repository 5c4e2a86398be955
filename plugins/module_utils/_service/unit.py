# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""A service as its files say it. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import typing as t

from .._errors import DrydockError
from . import unit_file
from .command import Command
from .launched import Launched, arguments_of


@dataclasses.dataclass(frozen=True)
class Unit:
    """A service as its files say it, whether systemd has read them yet or not.

    :param fragment: the vendor's or admin's unit file.
    :param texts: the unit and all drop-ins but ours, by path, in systemd's order.
    :param ours: our drop-ins by file name.
    :param environment: variables for the command, from Environment= and the environment files.
    :param variables_of: the same variables by the environment file that brings them.
    :param inherited: variables that the command gets besides, from systemd itself.
    :param specifiers: what its %-specifiers stand for, by letter.
    :param launched: what the command came to; None where nothing runs.
    :param current: nothing of the unit was changed since.
    :param program: dockerd, to be asked for its version and its judgement; empty where the first word of the command is as good.
    """

    fragment: str
    texts: t.Dict[str, str]
    ours: t.Dict[str, str]
    environment: t.Dict[str, str]
    variables_of: t.Dict[str, t.Dict[str, str]] = dataclasses.field(default_factory=dict)
    inherited: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    specifiers: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    launched: t.Optional[Launched] = None
    current: bool = False
    program: str = ""

    @property
    def command(self) -> Command:
        """The command without our drop-ins, as it is written."""
        return _command(self.texts.values())

    def start_line(self, ours: t.Mapping[str, str]) -> str:
        """What a start executes with these drop-ins of ours, as it is written: more can be added behind it."""
        return str(_command(self._with(ours)))

    def effective(self, ours: t.Mapping[str, str]) -> list[str]:
        """dockerd (or another service's program) and the words that it gets with these drop-ins of ours: those that it has, where they are in force."""
        words = self.words(ours)
        there = self.launched
        program = self.program or words[0]
        if there is None:
            return [program, *arguments_of(words)]
        if self.current and ours == self.ours:
            return [program, *there.arguments]
        return [program, *there.added, *arguments_of(words, os.path.basename(there.program))]

    def words(self, ours: t.Mapping[str, str]) -> list[str]:
        """The words that a start executes with these drop-ins of ours."""
        return self._expanded(_command(self._with(ours)))

    @property
    def own_words(self) -> list[str]:
        """The same without any drop-in of ours."""
        return self._expanded(self.command)

    def _expanded(self, command: Command) -> list[str]:
        return command.expanded({**self.inherited, **self.environment}, self.specifiers)

    def with_command_of(self, old: Unit, name: str, drop_in: str) -> str:
        """A drop-in of ours that has the command of another text of this unit, with the command of this one; one without a command as it is.

        :raises DrydockError: it has a command of its own, which names the other one's program.
        """
        lines = unit_file.values([drop_in], "Service", "ExecStart")
        if "/" in name or not lines:
            return drop_in
        kept = {flag.key for flag in unit_file.parse_flags(Command.of(lines[-1]).argv[1:])}
        dropped = {flag.key for flag in unit_file.parse_flags(old.command.argv[1:])} - kept
        before, after = (str(one.command.without(unit_file.places_of_keys(one.command.argv, dropped))) for one in (old, self))
        program, then = old.command.argv[0], self.command.argv[0]
        if lines[-1] != before and Command.of(lines[-1]).argv[0] == program != then:
            raise starts_another(name, program, then)
        return drop_in.replace(f"ExecStart={before}\n", f"ExecStart={after}\n")

    def values(self, section: str, key: str, ours: t.Mapping[str, str]) -> list[str]:
        """What these drop-ins of ours make of a list-like setting."""
        return unit_file.values(self._with(ours), section, key)

    def _with(self, ours: t.Mapping[str, str]) -> list[str]:
        by_name = {os.path.basename(path): text for path, text in self.texts.items() if path != self.fragment}
        by_name.update(ours)
        return [self.texts[self.fragment], *(by_name[name] for name in sorted(by_name))]

    def origin(self, flag: unit_file.Flag) -> str:
        """Where a flag was written: a unit file, a drop-in, the variable that brought it and its file, or a wrapper."""
        written = " ".join(flag.words)
        for path, text in reversed(list(self.texts.items())):
            if any(written in " ".join(line.split()) for line in unit_file.values([text], "Service", "ExecStart")):
                return path
        for name, value in self.environment.items():
            if written in value:
                where = next((path for path, brought in self.variables_of.items() if brought.get(name) == value), "")
                return f"variable {name}" + (f" of {where}" if where else "")
        if self.launched and set(flag.words) <= set(self.launched.added):
            return self.own_words[0]
        return self.fragment

    @property
    def digests(self) -> dict[str, str]:
        """A checksum of what each file of others says, and of the variables, by a name for people: by these a later look knows whether anybody changed any."""
        variables = {f"The environment of {os.path.basename(self.fragment)}": repr(sorted(self.environment.items()))}
        return {name: hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() for name, text in {**self.texts, **variables}.items()}

    def changes(self, directory: str, drop_ins: t.Mapping[str, str]) -> t.Iterator[tuple[str, str | None, str | None]]:
        """The files that have to change for these drop-ins of ours: path, text now, text then; None is no file."""
        for name in sorted({*self.ours, *drop_ins}):
            if self.ours.get(name) != drop_ins.get(name):
                yield os.path.join(directory, os.path.basename(self.fragment) + ".d", name), self.ours.get(name), drop_ins.get(name)


def starts_another(where: str, program: str, brought: str) -> DrydockError:
    """What to say of a drop-in or unit whose program goes with the packages that bring another one in its place."""
    return DrydockError("unit-command", f"{where} starts {program}, and the packages that are asked for bring {brought}.", f"Let it start {brought}.")


def _command(texts: t.Iterable[str]) -> Command:
    lines = unit_file.values(texts, "Service", "ExecStart")
    if not lines:
        raise DrydockError("unit-unusable", "The unit has no ExecStart.", "Check 'systemctl cat docker.service containerd.service'.")
    return Command.of(lines[-1])


__all__ = ("Unit", "starts_another")
