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


@dataclasses.dataclass(frozen=True)
class Unit:
    """A service as its files say it, whether systemd has read them yet or not.

    :param fragment: the vendor's or admin's unit file.
    :param texts: the unit and all drop-ins but ours, by path, in systemd's order.
    :param ours: our drop-ins by file name.
    :param environment: variables for the command, from Environment= and the environment files.
    """

    fragment: str
    texts: t.Dict[str, str]
    ours: t.Dict[str, str]
    environment: t.Dict[str, str]

    @property
    def command(self) -> list[str]:
        """The command without our drop-ins, variables unexpanded."""
        return _command(self.texts.values())

    def effective(self, ours: t.Mapping[str, str]) -> list[str]:
        """The command with these drop-ins of ours, variables expanded."""
        return unit_file.expand(_command(self._with(ours)), self.environment)

    def values(self, section: str, key: str, ours: t.Mapping[str, str]) -> list[str]:
        """What these drop-ins of ours make of a list-like setting."""
        return unit_file.values(self._with(ours), section, key)

    def _with(self, ours: t.Mapping[str, str]) -> list[str]:
        by_name = {os.path.basename(path): text for path, text in self.texts.items() if path != self.fragment}
        by_name.update(ours)
        return [self.texts[self.fragment], *(by_name[name] for name in sorted(by_name))]

    def origin(self, flag: unit_file.Flag) -> str:
        """Where a flag was written: a unit file, a drop-in, or the variable that brought it."""
        written = " ".join(flag.words)
        for path, text in reversed(list(self.texts.items())):
            if any(written in " ".join(line.split()) for line in unit_file.values([text], "Service", "ExecStart")):
                return path
        for name, value in self.environment.items():
            if written in value:
                return f"variable {name}"
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


def _command(texts: t.Iterable[str]) -> list[str]:
    lines = unit_file.values(texts, "Service", "ExecStart")
    if not lines:
        raise DrydockError("unit-unusable", "The unit has no ExecStart.", "Check 'systemctl cat docker.service containerd.service'.")
    return unit_file.split(lines[-1].lstrip("@-:+!"))


__all__ = ("Unit",)
