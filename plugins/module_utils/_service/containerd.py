# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""containerd as a service of its own: where its root lies, and whether it serves others than Docker.

An engine with the containerd image store (the default of a new Engine 29) keeps its images below containerd's root, not below its own.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .._host.host import Host
from .._host.processes import command_line
from .command import Command
from .service import CONTAINERD, Service
from .unit import Unit

# containerd's owner among those who ask for drop-ins.
CONTAINERD_OWNER = "containerd"
DEFAULT_ROOT = "/var/lib/containerd"
_DEFAULT_CONFIG = "/etc/containerd/config.toml"
# Docker's own containers, and its plugins.
_DOCKERS_NAMESPACES = ("moby", "plugins.moby")
# What it makes below its root at its first start.
CONTAINERD_DATABASE = "io.containerd.metadata.v1.bolt/meta.db"


@dataclasses.dataclass(frozen=True)
class Containerd:
    """What is known of it.

    :param root: where its data lie, whether it runs or not.
    :param pid: its process id, 0 when it is down.
    :param others: running tasks of others than Docker, by namespace: of Kubernetes (k8s.io), nerdctl (default) and the like.
    """

    unit: Unit
    pid: int
    root: str
    others: t.Dict[str, int]

    @property
    def command(self) -> str:
        """The unit's own command without a root, as it is written."""
        return str(without_root(self.unit.command))


def observe_containerd(host: Host, service: Service, our_names: t.Container[str]) -> Containerd | None:
    """Observe it; None where it is no unit of its own: dockerd then runs one with its data below the data root."""
    unit = service.read_if_there(CONTAINERD, our_names)
    if unit is None:
        return None
    pid = service.main_pid(CONTAINERD)
    return Containerd(unit, pid, containerd_root(host, command_line(pid) if pid else unit.effective(unit.ours)), tasks_of_others(_command_lines()))


def containerd_root(host: Host, command: t.Sequence[str]) -> str:
    """The root of a containerd with this command: its flag, else what its configuration file says.

    :raises CommandFailed: it does not say; the default would be a guess, and a move of it a move of the wrong data.
    """
    flag = root_flag(command)
    if flag:
        return flag
    config = next((words for words in _flags(command, "config", "c")), ())
    if not os.path.exists(_value(config) if config else _DEFAULT_CONFIG):
        # Releases 1.6 and 1.7 start with their defaults then, and cannot dump them.
        return DEFAULT_ROOT
    dump = host.must(command[0], *config, "config", "dump").out
    match = re.search(r"""^root = ['"](.+)['"]$""", dump, re.MULTILINE)
    return match[1] if match else DEFAULT_ROOT


def root_flag(command: t.Sequence[str]) -> str | None:
    """The value of --root in a command. Pure."""
    found = [_value(words) for words in _flags(command, "root")]
    return found[-1] or None if found else None


def _value(words: tuple[str, ...]) -> str:
    """That of a flag, which is one word or two."""
    return words[-1].partition("=")[2] if len(words) == 1 else words[-1]


def without_root(command: Command) -> Command:
    """A command without --root. Pure."""
    return command.without({at + step for at, words in _located(command.argv, ("root",)) for step in range(len(words))})


def _flags(command: t.Sequence[str], *names: str) -> t.Iterator[tuple[str, ...]]:
    return (words for _at, words in _located(command, names))


def _located(command: t.Sequence[str], names: tuple[str, ...]) -> t.Iterator[tuple[int, tuple[str, ...]]]:
    for at, word in enumerate(command):
        name, equals, _value = word.partition("=")
        if word.startswith("-") and name.lstrip("-") in names:
            yield at, (word,) if equals else tuple(command[at : at + 2])


def tasks_of_others(command_lines: t.Iterable[t.Sequence[str]]) -> dict[str, int]:
    """Running tasks by namespace, Docker's left out: each has a shim that was started with its namespace. Pure."""
    found: dict[str, int] = {}
    for words in command_lines:
        if "containerd-shim" in os.path.basename(words[0]) and "-namespace" in words[:-1]:
            namespace = words[words.index("-namespace") + 1]
            if namespace not in _DOCKERS_NAMESPACES:
                found[namespace] = found.get(namespace, 0) + 1
    return found


def _command_lines() -> t.Iterator[list[str]]:
    for pid in os.listdir("/proc"):
        words = command_line(pid) if pid.isdigit() else []
        if words:
            yield words


__all__ = (
    "CONTAINERD_DATABASE",
    "CONTAINERD_OWNER",
    "DEFAULT_ROOT",
    "Containerd",
    "containerd_root",
    "observe_containerd",
    "root_flag",
    "tasks_of_others",
    "without_root",
)
