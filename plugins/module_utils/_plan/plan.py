# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""A plan: all that applying, proving and undoing need, as plain data. Pure."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._engine.addresses import Address, addresses_of, parse_addresses
from .._engine.apt_packages import Upgrade
from .._engine.daemon_json import DATA_ROOT_OWNER, Ask, Owners, parse
from .._errors import DrydockError
from .._host.formats import check_fields, read_as
from .._observe.records import PastMove
from .._service.containerd import CONTAINERD_OWNER

MARKER_PREFIX = ".drydock-root-"
# What moves, by its owner, whose settings follow from the path; each has marks of its own.
DATA_ROOT, CONTAINERD_ROOT = DATA_ROOT_OWNER, CONTAINERD_OWNER
NAMES = {DATA_ROOT: "data root", CONTAINERD_ROOT: "root of containerd"}

# For a message.
_WHERE = "The journal's plan"


@dataclasses.dataclass(frozen=True)
class FileChange:
    """A file with its text before and after; None is no file."""

    path: str
    before: t.Optional[str]
    after: t.Optional[str]


@dataclasses.dataclass(frozen=True)
class Move:
    """A move of the data root, or of containerd's root.

    :param marker: the file in the new root that the unit looks for.
    :param rename: both roots are on one file system, so that nothing has to be copied.
    :param base: an older copy of the source to begin with, set aside by the move that this one takes back; empty where there is none.
    :param restores: it takes back an earlier move.
    :param tree: which of the two it is.
    :param run: the same for all moves of one outage.
    """

    source: str
    target: str
    marker: str
    keep_source: bool
    verify: str
    bandwidth_limit: int
    rename: bool = False
    base: str = ""
    restores: bool = False
    tree: str = DATA_ROOT
    run: str = ""

    @property
    def what(self) -> str:
        """Its name for people."""
        return NAMES[self.tree]


@dataclasses.dataclass(frozen=True)
class Removal:
    """A directory of ours to remove: an unfinished copy, or old data that were kept."""

    path: str
    inode: t.Tuple[int, int]


@dataclasses.dataclass(frozen=True)
class DaemonConfig:
    """The daemon's configuration before or after the change.

    :param command: dockerd's words with our drop-ins, variables expanded.
    :param settings: flags and daemon.json together.
    :param socket: the unix socket that it answers on.
    :param containerd: the words of containerd's command, where that moves.
    :param systemd_socket: the path that docker.socket listens on, None where there is none.
    """

    command: t.Tuple[str, ...]
    settings: t.Dict[str, t.Any]
    socket: t.Optional[str]
    data_root: str
    containerd: t.Tuple[str, ...] = ()
    systemd_socket: t.Optional[str] = None

    @functools.cached_property
    def _parsed(self) -> tuple[list[Address], list[DrydockError]]:
        return parse_addresses(addresses_of(self.settings))

    @property
    def addresses(self) -> list[Address]:
        """Where it listens."""
        return self._parsed[0]

    @property
    def refused_addresses(self) -> list[DrydockError]:
        """Why dockerd cannot serve the rest of what it is told."""
        return self._parsed[1]

    @classmethod
    def from_data(cls, data: dict[str, t.Any]) -> DaemonConfig:
        """Back from the journal's form."""
        check_fields(cls, data, _WHERE)
        return cls(**{**data, "command": tuple(data["command"]), "containerd": tuple(data["containerd"])})


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that applying, proving and undoing need, as plain data.

    :param effect: none, reload, restart, or start: of an engine that was not used yet.
    :param why: what the running daemon does not have in force yet, a change each.
    :param owners: what each owner asks for from now on.
    :param move: of the data root, and
    :param containerd: of containerd's root, in the same outage.
    :param prepares: what is only copied, while everything runs.
    :param changing_limit: bytes that may still change when the daemon is to be stopped, 0 for no limit.
    :param confirm: tcp addresses that the controller has to reach, before the daemon is stopped, and
    :param confirm_timeout: within how many seconds.
    :param hides: keys with the values by which the images and containers that are there, if any, disappear from view, and others may appear.
    :param unit_files: the unit and the drop-ins of others.
    :param packages: of the engine, that change their version.
    :param seen: daemon.json, and the unit and others' drop-ins as the plan was made for, a checksum each.
    :param swarm_manager: the host was a manager of a swarm then.
    :param lines: what starts the daemon, and containerd, before and after, as their units have it.
    :param config_file: daemon.json, wherever the daemon reads it.
    :param stores: the image store C(before) and C(after), in its name for people.
    """

    files: t.Tuple[FileChange, ...]
    effect: str
    why: t.Tuple[str, ...]
    move: t.Optional[Move]
    before: DaemonConfig
    after: DaemonConfig
    file_settings: t.Dict[str, t.Any]
    owners: Owners
    marker: str
    driver: str
    live_restore: bool
    ready_timeout: int
    prepares: t.Tuple[Move, ...] = ()
    doomed: t.Tuple[Removal, ...] = ()
    history: t.Tuple[PastMove, ...] = ()
    containerd: t.Optional[Move] = None
    containerd_marker: str = ""
    changing_limit: int = 0
    confirm: t.Tuple[str, ...] = ()
    confirm_timeout: int = 0
    hides: t.Tuple[t.Tuple[str, str], ...] = ()
    unit_files: t.Tuple[str, ...] = ()
    packages: t.Optional[Upgrade] = None
    seen: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    swarm_manager: bool = False
    lines: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    config_file: str = ""
    stores: t.Dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def moves(self) -> list[Move]:
        """All that moves in the outage."""
        return [move for move in (self.move, self.containerd) if move]

    @property
    def copies(self) -> list[Move]:
        """What is copied while everything runs, to move behind that or only to be prepared."""
        return [move for move in (*self.moves, *self.prepares) if not move.rename]

    @property
    def configuration(self) -> FileChange | None:
        """What is written of daemon.json. (A plan that comes back from the journal does not know where it lies.)"""
        return next((one for one in self.files if (one.path == self.config_file if self.config_file else one.path.endswith(".json"))), None)

    @property
    def key_changes(self) -> dict[str, list[str]]:
        """The keys of daemon.json that are C(added), C(changed) and C(removed)."""
        change = self.configuration
        if change is None:
            return {}
        before, after = parse(change.before, change.path), parse(change.after, change.path)
        return {
            "added": [key for key in after if key not in before],
            "changed": [key for key in after if key in before and after[key] != before[key]],
            "removed": [key for key in before if key not in after],
        }

    @property
    def key_words(self) -> str:
        """The same for people; empty where there is none."""
        return ", ".join(f"{what} {', '.join(keys)}" for what, keys in self.key_changes.items() if keys)

    @property
    def long(self) -> bool:
        """Whether it has to survive the module: it stops the daemon, or takes its time."""
        return self.effect in ("start", "restart") or bool(self.prepares or self.doomed or self.packages)

    @property
    def unit_changes(self) -> bool:
        """Whether systemd has to read unit files again."""
        return any(change.path.endswith(".conf") for change in self.files)

    def to_data(self) -> dict[str, t.Any]:
        """The form that the journal keeps, but for `surroundings`: release 0.1.0 takes a plan with the fields that it knows, and no others."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in self.surroundings}

    @property
    def surroundings(self) -> dict[str, t.Any]:
        """What it was made for and others may change meanwhile, as the journal notes it."""
        return {"seen": self.seen, "swarm_manager": self.swarm_manager, "lines": self.lines, "config_file": self.config_file, "stores": self.stores}

    @classmethod
    def from_data(cls, data: dict[str, t.Any]) -> Plan:
        """Back from the journal's form.

        :raises DrydockError: another release wrote it, in a form that is not known.
        """
        check_fields(cls, data, _WHERE)
        return cls(
            **{
                **data,
                "files": tuple(read_as(FileChange, one, _WHERE) for one in data["files"]),
                "why": tuple(data["why"]),
                "confirm": tuple(data["confirm"]),
                "unit_files": tuple(data["unit_files"]),
                "hides": tuple((key, value) for key, value in data["hides"]),
                "move": read_as(Move, data["move"], _WHERE) if data["move"] else None,
                "containerd": read_as(Move, data["containerd"], _WHERE) if data["containerd"] else None,
                "prepares": tuple(read_as(Move, one, _WHERE) for one in data["prepares"]),
                "doomed": tuple(read_as(Removal, {**one, "inode": tuple(one.get("inode", ()))}, _WHERE) for one in data["doomed"]),
                "history": tuple(PastMove.from_data(one) for one in data["history"]),
                "packages": read_as(Upgrade, data["packages"], _WHERE) if data["packages"] else None,
                "before": DaemonConfig.from_data(data["before"]),
                "after": DaemonConfig.from_data(data["after"]),
                "owners": {name: read_as(Ask, ask, _WHERE) for name, ask in data["owners"].items()},
            }
        )


def step_diff(steps: t.Iterable[str]) -> dict[str, str]:
    """Steps as ansible-playbook --diff shows them to a person, one a line."""
    return {"before_header": "steps", "after_header": "steps", "before": "", "after": "".join(f"{step}\n" for step in steps)}


__all__ = ("CONTAINERD_ROOT", "DATA_ROOT", "MARKER_PREFIX", "NAMES", "DaemonConfig", "FileChange", "Move", "Plan", "Removal", "step_diff")
