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
# Where Docker has its containers, and its plugins, unless these keys name another one.
_DOCKERS_NAMESPACES = {"containerd-namespace": "moby", "containerd-plugins-namespace": "plugins.moby"}
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


def observe_containerd(host: Host, service: Service, our_names: t.Container[str], settings: t.Mapping[str, t.Any]) -> Containerd | None:
    """Observe it; None where it is no unit of its own: dockerd then runs one with its data below the data root.

    :param settings: dockerd's flags and daemon.json together.
    """
    unit = service.read_if_there(CONTAINERD, our_names)
    if unit is None:
        return None
    pid = service.main_pid(CONTAINERD)
    root = containerd_root(host, command_line(pid) if pid else unit.effective(unit.ours))
    return Containerd(unit, pid, root, tasks_of_others(_command_lines(), settings))


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


def tasks_of_others(command_lines: t.Iterable[t.Sequence[str]], settings: t.Mapping[str, t.Any]) -> dict[str, int]:
    """Running tasks by namespace, Docker's left out. Pure.

    :param settings: dockerd's flags and daemon.json together.
    """
    found: dict[str, int] = {}
    for namespace in map(namespace_of_shim, command_lines):
        if namespace and not is_dockers(namespace, settings):
            found[namespace] = found.get(namespace, 0) + 1
    return found


def namespace_of_shim(command: t.Sequence[str]) -> str:
    """The namespace of a running task, with which its shim was started; empty where the command is no shim's. Pure."""
    if not command or "containerd-shim" not in os.path.basename(command[0]) or "-namespace" not in command[:-1]:
        return ""
    return command[command.index("-namespace") + 1]


def is_dockers(namespace: str, settings: t.Mapping[str, t.Any]) -> bool:
    """Whether a namespace of containerd's is Docker's; with mapped users -UID.GID is added to its name. Pure.

    :param settings: dockerd's flags and daemon.json together.
    """
    return re.sub(r"-\d+\.\d+$", "", namespace) in {settings.get(key) or usual for key, usual in _DOCKERS_NAMESPACES.items()}


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
    "is_dockers",
    "namespace_of_shim",
    "observe_containerd",
    "root_flag",
    "tasks_of_others",
    "without_root",
)
