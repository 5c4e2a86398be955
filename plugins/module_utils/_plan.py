# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Plan: from what is and what is asked to steps as data. Pure, but for reading the drop-ins that lie there."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import typing as t
import uuid

from . import _addresses, _daemon_json, _keys, _mounts, _tree, _unit
from ._daemon_json import DATA_ROOT_OWNER, Ask, Owners
from ._errors import DrydockError
from ._notes import Past, inode_of
from ._observe import State, addresses, find_socket

# What a drop-in template writes where the name of the marker file in the data root belongs.
MARKER_MARK = "@data_root_marker@"
MARKER_PREFIX = ".drydock-root-"
# What a template writes for the data root where only the host knows it: when a move is taken back.
PATH_MARK = "@data_root@"
# And for the unit that mounts its file system.
MOUNT_MARK = "@data_root_mount@"


@dataclasses.dataclass(frozen=True)
class Request:
    """What one run wants of a host.

    :param path: the data root that is wanted, None to leave it alone.
    :param state: relocated, prepared, cancelled, restored or cleaned.
    :param restart: auto, never or always.
    :param ready_timeout: seconds that the daemon may take to answer after a start.
    :param bandwidth_limit: KiB a second while containers run, 0 for none.
    """

    asks: t.Tuple[Ask, ...] = ()
    path: t.Optional[str] = None
    keep_source: bool = True
    verify: str = "attributes"
    bandwidth_limit: int = 0
    require_persistent_mount: bool = True
    allow_swarm_manager: bool = False
    restart: str = "auto"
    ready_timeout: int = 120
    state: str = "relocated"


@dataclasses.dataclass(frozen=True)
class FileChange:
    """A file with its text before and after; None is no file."""

    path: str
    before: t.Optional[str]
    after: t.Optional[str]


@dataclasses.dataclass(frozen=True)
class Move:
    """A move of the data root.

    :param marker: the file in the new root that the unit looks for.
    :param rename: both roots are on one file system, so that nothing has to be copied.
    :param base: an older copy of the source to begin with, set aside by the move that this one takes back; empty where there is none.
    :param restores: it takes back an earlier move.
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


@dataclasses.dataclass(frozen=True)
class Doomed:
    """A directory of ours to remove: an unfinished copy, or old data that were kept."""

    path: str
    inode: t.Tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Side:
    """The daemon's configuration before or after the change.

    :param command: dockerd's words with our drop-ins, variables expanded.
    :param settings: flags and daemon.json together.
    :param socket: the unix socket that it answers on.
    """

    command: t.Tuple[str, ...]
    settings: t.Dict[str, t.Any]
    socket: t.Optional[str]
    data_root: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that applying, proving and undoing need, as plain data.

    :param effect: none, reload or restart.
    :param why: what the running daemon does not have in force yet, a change each.
    :param owners: what each owner asks for from now on.
    """

    files: t.Tuple[FileChange, ...]
    effect: str
    why: t.Tuple[str, ...]
    move: t.Optional[Move]
    before: Side
    after: Side
    file_settings: t.Dict[str, t.Any]
    owners: Owners
    marker: str
    driver: str
    live_restore: bool
    ready_timeout: int
    prepares: t.Optional[Move] = None
    doomed: t.Tuple[Doomed, ...] = ()
    history: t.Tuple[Past, ...] = ()

    @property
    def long(self) -> bool:
        """Whether it has to survive the module: it stops the daemon, or takes its time."""
        return self.effect == "restart" or bool(self.prepares or self.doomed)

    @property
    def unit_changes(self) -> bool:
        """Whether systemd has to read unit files again."""
        return any(change.path.endswith(".conf") for change in self.files)

    @property
    def steps(self) -> list[str]:
        """The steps in order; an empty list changes nothing."""
        first = ["take back"] if self.move and self.move.base else []
        first += ["warm copy"] if self.prepares or (self.move and not self.move.rename) else []
        first += ["discard"] if self.doomed else []
        return [*first, *self._rest()]

    def _rest(self) -> list[str]:
        writes = [f"write {change.path}" if change.after is not None else f"remove {change.path}" for change in self.files]
        reload_units = ["reload units"] if self.unit_changes else []
        if self.effect == "restart":
            # The hold brings the new command with it, and its release lets systemd read the rest: only limits, environment and the
            # like have to be read before the start, inside of the outage.
            covered = not any(_unit.needs_restart(one.before, one.after) for one in self.files if one.path.endswith(".conf"))
            reload_units = [] if covered else reload_units
            data = ["rename" if self.move.rename else "final copy"] if self.move else []
            finish = ["finish"] if self.move else []
            return ["hold", "stop", *data, *writes, *reload_units, "commit", "start", "prove", "release", *finish]
        if self.effect == "reload":
            return ["reloading", *writes, *reload_units, "reload", "prove values", "commit"]
        return [*writes, *reload_units, "commit"] if writes else []

    def to_data(self) -> dict[str, t.Any]:
        """The form that the journal keeps."""
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, t.Any]) -> Plan:
        """Back from the journal's form."""
        return cls(
            **{
                **data,
                "files": tuple(FileChange(**one) for one in data["files"]),
                "why": tuple(data["why"]),
                "move": Move(**data["move"]) if data["move"] else None,
                "prepares": Move(**data["prepares"]) if data["prepares"] else None,
                "doomed": tuple(Doomed(one["path"], tuple(one["inode"])) for one in data["doomed"]),
                "history": tuple(Past.from_data(one) for one in data["history"]),
                "before": Side(**{**data["before"], "command": tuple(data["before"]["command"])}),
                "after": Side(**{**data["after"], "command": tuple(data["after"]["command"])}),
                "owners": {name: Ask(**ask) for name, ask in data["owners"].items()},
            }
        )


def make_plan(state: State, request: Request, units_directory: str, daemon_json_path: str) -> tuple[Plan, list[DrydockError]]:
    """Plan a request; returns the plan and what of the request contradicts what is there."""
    aim = _aim(state, request)
    path, moving = aim.path, aim.moving
    marker = state.marker
    if path and (moving or not marker):
        marker = MARKER_PREFIX + uuid.uuid4().hex[:12]

    asks = [_with_data_root_keys(ask, state, path) for ask in request.asks if path or ask.owner != DATA_ROOT_OWNER or request.state == "relocated"]
    if path and not any(ask.owner == DATA_ROOT_OWNER for ask in asks):
        asks.append(_with_data_root_keys(Ask(DATA_ROOT_OWNER, {"data-root": path}), state, path))

    settings, problems = _daemon_json.merge(state.daemon_json, state.owners, asks)
    command = _unit.quote(_unit.without_keys(state.unit.command, settings))
    fill = {_unit.COMMAND_MARK: command, MARKER_MARK: marker, PATH_MARK: path or "", MOUNT_MARK: _mount_unit(state, path)}
    asks = [dataclasses.replace(ask, drop_ins={name: _fill(text, fill) for name, text in ask.drop_ins.items()}) for ask in asks]
    owners = {**state.owners, **{ask.owner: ask for ask in asks}}
    owners = {name: ask for name, ask in owners.items() if ask.settings or ask.drop_ins}
    drop_ins = {name: text for ask in owners.values() for name, text in ask.drop_ins.items()}

    files = [FileChange(*change) for change in state.unit.changes(units_directory, drop_ins)]
    if settings != state.daemon_json:
        files.append(FileChange(daemon_json_path, state.daemon_json_text, _daemon_json.render(settings)))
    if path and not moving and not os.path.exists(os.path.join(path, marker)):
        if state.pid:
            files.append(FileChange(os.path.join(path, marker), None, ""))
        elif state.marker:
            sentence = f"The data root {path} is not there: its daemon is down, and {state.marker} is missing in it."
            problems.append(DrydockError(sentence, "Mount the right file system there and start the daemon, then run again."))

    problems += aim.problems
    target = path or (os.path.normpath(request.path) if request.path else "")
    move = Move(
        source=state.data_root,
        target=target,
        marker=marker,
        keep_source=request.keep_source,
        verify=request.verify,
        bandwidth_limit=request.bandwidth_limit,
        rename=moving and not aim.base and _can_rename(state, target),
        base=aim.base,
        restores=request.state == "restored",
    )
    before, after = state.in_force, state.effective(settings, drop_ins)
    effect, why = _effect(state, request, before, after, drop_ins, bool(path) and moving)
    plan = Plan(
        files=tuple(files),
        effect=effect,
        why=tuple(why),
        move=move if path and moving else None,
        before=Side(tuple(state.unit.effective(state.unit.ours)), before, state.socket, state.data_root),
        after=Side(
            tuple(state.unit.effective(drop_ins)), after, find_socket(addresses(after), state.systemd_socket), path if moving and path else state.data_root
        ),
        file_settings=settings,
        owners=owners,
        marker=marker,
        driver=state.info.get("Driver", ""),
        live_restore=bool(state.info.get("LiveRestoreEnabled")),
        ready_timeout=request.ready_timeout,
        prepares=move if moving and not path and not move.rename else None,
        doomed=aim.doomed,
        history=tuple(dataclasses.replace(one, kept="") if request.state == "cleaned" else one for one in state.history),
    )
    return plan, problems


def _with_data_root_keys(ask: Ask, state: State, path: str | None) -> Ask:
    """Pin the storage driver beside data-root, so that no engine silently takes another one on the new root."""
    if ask.owner != DATA_ROOT_OWNER or not path:
        return ask
    driver = state.info.get("Driver", "")
    pinned = {"storage-driver": driver} if driver and not state.snapshotter and "storage-driver" not in state.running_flags else {}
    return dataclasses.replace(ask, settings={**ask.settings, "data-root": path, **pinned})


def _mount_unit(state: State, path: str | None) -> str:
    mount = _mounts.mount_of(os.path.realpath(path), state.mounts) if path else None
    return _unit.mount_unit(mount.point if mount else "/")


def _fill(text: str, marks: t.Mapping[str, str]) -> str:
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text


@dataclasses.dataclass(frozen=True)
class _Aim:
    """What a request means for the data root of this host.

    :param path: the root that is wanted, None to leave it alone.
    """

    path: t.Optional[str] = None
    moving: bool = False
    base: str = ""
    doomed: t.Tuple[Doomed, ...] = ()
    problems: t.Tuple[DrydockError, ...] = ()


def _aim(state: State, request: Request) -> _Aim:
    path = os.path.normpath(request.path) if request.path else None
    elsewhere = bool(path) and os.path.realpath(path or "/") != os.path.realpath(state.data_root)
    if request.state == "relocated":
        return _Aim(path, elsewhere)
    if request.state == "restored":
        return _aim_back(state)
    if request.state == "cleaned":
        there = [one for one in state.history if one.kept]
        return _Aim(doomed=tuple(Doomed(one.kept, one.inode) for one in there if os.path.lexists(one.kept)), problems=tuple(_unproved(state, there)))
    if not path:
        return _Aim(problems=(DrydockError(f"State '{request.state}' needs to know the path.", "Set docker_data_root_path."),))
    if request.state == "prepared":
        return _Aim(moving=elsewhere)
    unfinished = elsewhere and os.path.exists(os.path.join(path, _tree.COPY_MARK))
    return _Aim(doomed=(Doomed(path, inode_of(path)),) if unfinished else ())


def _aim_back(state: State) -> _Aim:
    """Where the data were before the last move."""
    if not state.history:
        return _Aim(problems=(DrydockError("No move of this host's data is known, so none can be taken back.", "Name the path, with state relocated."),))
    last = state.history[-1]
    if os.path.realpath(last.root) != os.path.realpath(state.data_root):
        sentence = f"The data root is {state.data_root}, and the last move went from {last.origin} to {last.root}."
        return _Aim(problems=(DrydockError(sentence, "It cannot be taken back; name the path, with state relocated."),))
    if last.restored:
        return _Aim(last.root)
    return _Aim(last.origin, True, last.kept if last.is_there else "")


def _unproved(state: State, past: t.Iterable[Past]) -> t.Iterator[DrydockError]:
    """Why old data must not go."""
    for one in past:
        if os.path.lexists(one.kept) and not one.is_there:
            yield DrydockError(f"{one.kept} is not the directory that the move set aside.", "Look what it is, and remove it by hand.")
    if past and not (state.pid and state.marker and os.path.exists(os.path.join(state.data_root, state.marker))):
        yield DrydockError(
            f"The data root {state.data_root} is not proved: its daemon is down, or its marker is missing.", "Start the daemon there first, then clean."
        )


def _can_rename(state: State, target: str) -> bool:
    """Whether one mount holds both roots, and the old one is not its top: then a move is a rename."""
    source = os.path.realpath(state.data_root)
    mount = _mounts.mount_of(source, state.mounts)
    return mount is not None and mount is _mounts.mount_of(os.path.realpath(target), state.mounts) and mount.point != source


def differing_keys(state: State, before: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any]) -> list[str]:
    """Keys whose value in force changes; a default written out changes nothing."""
    defaults = {
        "data-root": state.data_root,
        "storage-driver": state.info.get("Driver"),
        "hosts": [_addresses.DEFAULT_HOST],
        "tls": False,
        "labels": [],
    }

    def value(settings: t.Mapping[str, t.Any], key: str) -> t.Any:
        found = settings.get(key, defaults.get(key))
        return sorted(found) if key in _keys.LIST_KEYS and isinstance(found, list) else found

    return sorted(key for key in {*before, *after} if value(before, key) != value(after, key))


def _effect(state: State, request: Request, before: dict[str, t.Any], after: dict[str, t.Any], drop_ins: dict[str, str], moving: bool) -> tuple[str, list[str]]:
    """How much the daemon is disturbed, and by what."""
    if not state.pid:
        return "none", []
    keys = differing_keys(state, before, after)
    why = [f"{key}: {json.dumps(before.get(key))} -> {json.dumps(after.get(key))}" for key in keys]
    ours = state.unit.ours
    why += [f"drop-in {name}" for name in sorted({*ours, *drop_ins}) if _unit.needs_restart(ours.get(name), drop_ins.get(name))]
    if moving:
        return "restart", why
    if not why or request.restart == "never":
        return "none", why
    if request.restart == "always" or len(why) > len(keys):
        return "restart", why
    in_file_only = all(key not in state.running_flags for key in keys)
    if in_file_only and all(_keys.reloads(key, key not in after, state.version) for key in keys):
        return "reload", why
    return "restart", why


def describe(plan: Plan) -> str:
    """The plan for a person, a step a line."""
    return "".join(f"{step}\n" for step in plan.steps)


def drop_in_problems(state: State, owners: Owners) -> list[DrydockError]:
    """Drop-in names that cannot be used."""
    problems = []
    foreign = {os.path.basename(path): path for path in state.unit.texts}
    for ask in owners.values():
        for name in ask.drop_ins:
            if not re.fullmatch(r"[A-Za-z0-9_.@-]+\.conf", name):
                problems.append(DrydockError(f"Drop-in name '{name}' is not a plain file name that ends in .conf.", "Name it like zz-limits.conf."))
            elif name in foreign:
                problems.append(DrydockError(f"Drop-in {foreign[name]} is somebody else's.", "Choose another name; foreign drop-ins are never edited."))
    return problems


__all__ = (
    "MARKER_MARK",
    "PATH_MARK",
    "Doomed",
    "FileChange",
    "Move",
    "Plan",
    "Request",
    "Side",
    "describe",
    "differing_keys",
    "drop_in_problems",
    "make_plan",
)
