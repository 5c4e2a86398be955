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

from . import _addresses, _certificates, _containerd, _daemon_json, _keys, _mounts, _roots, _unit
from ._daemon_json import DATA_ROOT_OWNER, Ask, Owners
from ._errors import DrydockError
from ._notes import Past, inode_of
from ._observe import State, addresses, find_socket
from ._packages import Upgrade
from ._service import CONTAINERD, SOCKET

# What a drop-in template writes where the name of the marker file in the data root belongs.
MARKER_MARK = "@data_root_marker@"
MARKER_PREFIX = ".drydock-root-"
# What a template writes for the data root where only the host knows it: when a move is taken back.
PATH_MARK = "@data_root@"
# And for the unit that mounts its file system.
MOUNT_MARK = "@data_root_mount@"
# What a list of addresses has for the local socket, and for one that only root can use; here as dockerd makes them itself.
LOCAL_SOCKET_MARK, ROOT_SOCKET_MARK = "@local_socket@", "@root_socket@"
_SOCKET_MARKS = {LOCAL_SOCKET_MARK: _addresses.DEFAULT_HOST, ROOT_SOCKET_MARK: "unix:///run/drydock-docker.sock"}
# What moves; each has marks of its own.
DATA_ROOT, CONTAINERD_ROOT = DATA_ROOT_OWNER, _containerd.OWNER
_NAMES = {DATA_ROOT: "data root", CONTAINERD_ROOT: "root of containerd"}


@dataclasses.dataclass(frozen=True)
class Request:
    """What one run wants of a host.

    :param path: the data root that is wanted, None to leave it alone.
    :param containerd_path: the root of containerd that is wanted, likewise.
    :param changing_limit: bytes that may still change when the daemon is to be stopped, 0 for no limit.
    :param state: relocated, prepared, cancelled, restored or cleaned.
    :param restart: auto, never or always.
    :param ready_timeout: seconds that the daemon may take to answer after a start.
    :param bandwidth_limit: KiB a second while containers run, 0 for none.
    :param confirm_timeout: seconds in which the controller has to reach changed addresses, 0 if it need not.
    :param allow_hidden_data: a change may make the images and containers that are there disappear from view.
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
    containerd_path: t.Optional[str] = None
    changing_limit: int = 0
    confirm_timeout: int = 0
    allow_hidden_data: bool = False


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
        return _NAMES[self.tree]


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
    :param containerd: the words of containerd's command, where that moves.
    :param systemd_socket: the path that docker.socket listens on, None where there is none.
    """

    command: t.Tuple[str, ...]
    settings: t.Dict[str, t.Any]
    socket: t.Optional[str]
    data_root: str
    containerd: t.Tuple[str, ...] = ()
    systemd_socket: t.Optional[str] = None

    @classmethod
    def from_data(cls, data: dict[str, t.Any]) -> Side:
        """Back from the journal's form."""
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
    :param confirm: tcp addresses that the controller has to reach, before the containers start, and
    :param confirm_timeout: within how many seconds.
    :param hides: keys with the values by which the images and containers that are there, if any, disappear from view, and others may appear.
    :param unit_files: the unit and the drop-ins of others.
    :param packages: of the engine, that change their version in the outage.
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
    prepares: t.Tuple[Move, ...] = ()
    doomed: t.Tuple[Doomed, ...] = ()
    history: t.Tuple[Past, ...] = ()
    containerd: t.Optional[Move] = None
    containerd_marker: str = ""
    changing_limit: int = 0
    confirm: t.Tuple[str, ...] = ()
    confirm_timeout: int = 0
    hides: t.Tuple[t.Tuple[str, str], ...] = ()
    unit_files: t.Tuple[str, ...] = ()
    packages: t.Optional[Upgrade] = None

    @property
    def moves(self) -> list[Move]:
        """All that moves in the outage."""
        return [move for move in (self.move, self.containerd) if move]

    @property
    def copies(self) -> list[Move]:
        """What is copied while everything runs, to move behind that or only to be prepared."""
        return [move for move in (*self.moves, *self.prepares) if not move.rename]

    @property
    def long(self) -> bool:
        """Whether it has to survive the module: it stops the daemon, or takes its time."""
        return self.effect in ("start", "restart") or bool(self.prepares or self.doomed or self.packages)

    @property
    def unit_changes(self) -> bool:
        """Whether systemd has to read unit files again."""
        return any(change.path.endswith(".conf") for change in self.files)

    @property
    def steps(self) -> list[str]:
        """The steps in order; an empty list changes nothing."""
        first = ["take back"] if any(move.base for move in self.moves) else []
        first += ["download packages"] if self.packages else []
        first += ["warm copy"] if self.copies else []
        first += ["discard"] if self.doomed else []
        return [*first, *self._rest()]

    def _rest(self) -> list[str]:
        writes = [f"write {change.path}" if change.after is not None else f"remove {change.path}" for change in self.files]
        reload_units = ["reload units"] if self.unit_changes else []
        # What has to be confirmed is committed only then: whatever dies meanwhile, the old configuration comes back.
        start = ["start", "prove", "confirm", "commit"] if self.confirm else ["commit", "start", "prove"]
        packages = ["install packages"] if self.packages else []
        if self.effect == "start":
            return ["hold", *writes, *reload_units, *start, "release"]
        if self.effect == "restart":
            # The hold brings the new command with it, and its release lets systemd read the rest: only limits, environment and the
            # like have to be read before the start, inside of the outage; and what guards an address, before that is opened.
            units = [(one.before, one.after) for one in self.files if one.path.endswith(".conf")]
            opens = addresses(self.before.settings) != addresses(self.after.settings)
            covered = not any(_unit.needs_restart(*one) or (opens and _unit.guards_differ(*one)) for one in units)
            reload_units = [] if covered else reload_units
            data = ["final copy"] if any(not move.rename for move in self.moves) else []
            data += ["rename"] if any(move.rename for move in self.moves) else []
            finish = ["finish"] if self.moves else []
            return ["hold", "stop", *data, *packages, *writes, *reload_units, *start, "release", *finish]
        if self.effect == "reload":
            return ["reloading", *writes, *reload_units, "reload", "prove values", "commit"]
        if self.packages:
            return ["hold", *packages, *writes, *reload_units, "commit", "release"]
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
                "confirm": tuple(data["confirm"]),
                "unit_files": tuple(data["unit_files"]),
                "hides": tuple((key, value) for key, value in data["hides"]),
                "move": Move(**data["move"]) if data["move"] else None,
                "containerd": Move(**data["containerd"]) if data["containerd"] else None,
                "prepares": tuple(Move(**one) for one in data["prepares"]),
                "doomed": tuple(Doomed(one["path"], tuple(one["inode"])) for one in data["doomed"]),
                "history": tuple(Past.from_data(one) for one in data["history"]),
                "packages": Upgrade(**data["packages"]) if data["packages"] else None,
                "before": Side.from_data(data["before"]),
                "after": Side.from_data(data["after"]),
                "owners": {name: Ask(**ask) for name, ask in data["owners"].items()},
            }
        )


def make_plan(state: State, request: Request, units_directory: str, daemon_json_path: str) -> tuple[Plan, list[DrydockError]]:
    """Plan a request; returns the plan and what of the request contradicts what is there."""
    data, containerd = _aims(state, request)
    path = data.path
    asks = [_with_sockets(_with_data_root_keys(ask, state, data), state) for ask in request.asks if _concerns(ask, request, data, containerd)]
    if path and not any(ask.owner == DATA_ROOT_OWNER for ask in asks):
        asks.append(_with_data_root_keys(Ask(DATA_ROOT_OWNER, {"data-root": path}), state, data))

    settings, problems = _daemon_json.merge(state.daemon_json, state.owners, asks)
    fill = {_unit.COMMAND_MARK: _unit.quote(_unit.without_keys(state.unit.command, settings)), **_marks(state, data), **_marks(state, containerd)}
    asks = [dataclasses.replace(ask, drop_ins={name: _fill(text, fill) for name, text in ask.drop_ins.items()}) for ask in asks]
    owners = {**state.owners, **{ask.owner: ask for ask in asks}}
    owners = {name: ask for name, ask in owners.items() if ask.settings or ask.drop_ins}
    drop_ins = {name: text for ask in owners.values() for name, text in ask.drop_ins.items()}

    files = _drop_in_changes(state, drop_ins, units_directory)
    if settings != state.daemon_json:
        files.append(FileChange(daemon_json_path, state.daemon_json_text, _daemon_json.render(settings)))
    for aim in (data, containerd):
        files += _missing_marker(aim)
        problems += [*_lost(aim), *aim.problems]

    run = uuid.uuid4().hex[:12]
    moves = {aim.tree: _move(state, request, aim, run) for aim in (data, containerd) if aim.moving}
    cuts_over = request.state in ("relocated", "restored")
    before, after = state.in_force, state.effective(settings, _dockers(drop_ins))
    effect, why = _effect(state, request, before, after, drop_ins, cuts_over and bool(moves))
    systemd_socket = _systemd_socket(state, drop_ins)
    commands: list[tuple[str, ...]] = [(), ()]
    if containerd.moving and state.containerd:
        unit = state.containerd.unit
        commands = [tuple(unit.effective(texts)) for texts in (unit.ours, _of(CONTAINERD, drop_ins))]
    plan = Plan(
        files=tuple(files),
        effect=effect,
        why=tuple(why),
        move=moves.get(DATA_ROOT) if cuts_over else None,
        containerd=moves.get(CONTAINERD_ROOT) if cuts_over else None,
        before=Side(tuple(state.unit.effective(state.unit.ours)), before, state.socket, state.data_root, commands[0], state.systemd_socket),
        after=Side(
            tuple(state.unit.effective(_dockers(drop_ins))),
            after,
            find_socket(addresses(after), systemd_socket),
            path if path and (data.moving or data.unused) else state.data_root,
            commands[1],
            systemd_socket,
        ),
        file_settings=settings,
        owners=owners,
        marker=data.marker,
        containerd_marker=containerd.marker,
        driver=state.info.get("Driver", ""),
        live_restore=bool(state.info.get("LiveRestoreEnabled")),
        ready_timeout=request.ready_timeout,
        changing_limit=request.changing_limit,
        confirm=_to_confirm(state, before, after, systemd_socket) if request.confirm_timeout else (),
        confirm_timeout=request.confirm_timeout,
        hides=tuple(_hidden_by(state, before, after)),
        unit_files=tuple(state.unit.texts),
        prepares=() if cuts_over else tuple(move for move in moves.values() if not move.rename),
        doomed=data.doomed + containerd.doomed,
        history=tuple(dataclasses.replace(one, kept="") if request.state == "cleaned" else one for one in state.history),
    )
    return plan, problems


def _drop_in_changes(state: State, drop_ins: t.Mapping[str, str], units_directory: str) -> list[FileChange]:
    units = (
        (state.containerd and state.containerd.unit, _of(CONTAINERD, drop_ins)),
        (state.socket_unit, _of(SOCKET, drop_ins)),
        (state.unit, _dockers(drop_ins)),
    )
    return [FileChange(*change) for unit, texts in units if unit for change in unit.changes(units_directory, texts)]


def _missing_marker(aim: _Aim) -> list[FileChange]:
    """The marker of a root that is where it should be, and in use: only then is it known to be the right one. Or that is the first one."""
    return [FileChange(os.path.join(aim.path, aim.marker), None, "")] if aim.path and aim.lacks_marker and (aim.runs or aim.unused) else []


def _lost(aim: _Aim) -> t.Iterator[DrydockError]:
    """A root that is where it should be by its path, and is not there: without its marker it may be an empty mount point."""
    if aim.lacks_marker and not aim.runs and aim.known:
        sentence = f"The {aim.what} {aim.path} is not there: its daemon is down, and {aim.marker_before} is missing in it."
        yield DrydockError("root-missing", sentence, "Mount the right file system there and start the daemon, then run again.")


def _move(state: State, request: Request, aim: _Aim, run: str) -> Move:
    return Move(
        source=aim.root,
        target=aim.target,
        marker=aim.marker,
        keep_source=request.keep_source,
        verify=request.verify,
        bandwidth_limit=request.bandwidth_limit,
        rename=not aim.base and _can_rename(state, aim.root, aim.target),
        base=aim.base,
        restores=request.state == "restored",
        tree=aim.tree,
        run=run,
    )


def _dockers(drop_ins: t.Mapping[str, str]) -> dict[str, str]:
    """The drop-ins of docker.service: those that name no other unit's directory."""
    return {name: text for name, text in drop_ins.items() if "/" not in name}


def _of(unit: str, drop_ins: t.Mapping[str, str]) -> dict[str, str]:
    """The drop-ins of another unit, by their names there."""
    return {os.path.basename(name): text for name, text in drop_ins.items() if name.startswith(f"{unit}.d/")}


def _with_sockets(ask: Ask, state: State) -> Ask:
    """The local socket as this host has one: docker.socket's, or without that one of dockerd's own, which then belongs to a group."""
    hosts = ask.settings.get("hosts")
    if not isinstance(hosts, list) or not any(mark in hosts for mark in _SOCKET_MARKS):
        return ask
    if state.systemd_socket:
        return dataclasses.replace(ask, settings={**ask.settings, "hosts": ["fd://" if one in _SOCKET_MARKS else one for one in hosts]})
    settings = {**ask.settings, "hosts": [_SOCKET_MARKS.get(one, one) for one in hosts]}
    if ROOT_SOCKET_MARK in hosts:
        settings["group"] = "root"
    return dataclasses.replace(ask, settings=settings, drop_ins={name: text for name, text in ask.drop_ins.items() if not name.startswith(f"{SOCKET}.d/")})


def _systemd_socket(state: State, drop_ins: t.Mapping[str, str]) -> str | None:
    """The path that docker.socket will listen on."""
    unit, texts = state.socket_unit, _of(SOCKET, drop_ins)
    if unit is None or unit.ours == texts:
        return state.systemd_socket
    paths = [re.sub("^(%t|/var/run)/", "/run/", value) for value in unit.values("Socket", "ListenStream", texts)]
    return next((path for path in paths if path.startswith("/")), None)


def _concerns(ask: Ask, request: Request, data: _Aim, containerd: _Aim) -> bool:
    """Whether an ask has to do with this request: a root that stays where it is keeps what was asked for before."""
    if ask.owner == _containerd.OWNER:
        return containerd.path is not None
    return ask.owner != DATA_ROOT_OWNER or data.path is not None or request.state == "relocated"


def _marks(state: State, aim: _Aim) -> dict[str, str]:
    """What the templates' marks stand for."""
    if aim.tree == DATA_ROOT:
        return {MARKER_MARK: aim.marker, PATH_MARK: aim.path or "", MOUNT_MARK: _mount_unit(state, aim.path)}
    command = _unit.quote(state.containerd.command) if state.containerd else ""
    return {
        "@containerd_marker@": aim.marker,
        "@containerd_root@": aim.path or "",
        "@containerd_mount@": _mount_unit(state, aim.path),
        "@containerd_command@": command,
    }


def _with_data_root_keys(ask: Ask, state: State, aim: _Aim) -> Ask:
    """Pin the storage driver beside a data-root that moves, so that no engine silently takes another one there; from then on it stays."""
    if ask.owner != DATA_ROOT_OWNER or not aim.path:
        return ask
    driver = state.info.get("Driver", "")
    before = state.owners.get(DATA_ROOT_OWNER)
    wanted = aim.moving or (before is not None and "storage-driver" in before.settings)
    pins = wanted and driver and not state.snapshotter and "storage-driver" not in state.running_flags
    return dataclasses.replace(ask, settings={**ask.settings, "data-root": aim.path, **({"storage-driver": driver} if pins else {})})


def _mount_unit(state: State, path: str | None) -> str:
    mount = _mounts.mount_of(os.path.realpath(path), state.mounts) if path else None
    return _unit.mount_unit(mount.point if mount else "/")


def _fill(text: str, marks: t.Mapping[str, str]) -> str:
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text


@dataclasses.dataclass(frozen=True)
class _Aim:
    """What a request means for the data root of this host, or for containerd's root.

    :param root: where it lies now.
    :param runs: its daemon runs.
    :param unused: its daemon was never used, so that there is nothing to move.
    :param path: the root that is wanted, None to leave it alone.
    :param target: where a move or a copy goes.
    """

    tree: str
    root: str
    runs: bool
    unused: bool
    marker_before: str
    path: t.Optional[str] = None
    target: str = ""
    moving: bool = False
    base: str = ""
    doomed: t.Tuple[Doomed, ...] = ()
    problems: t.Tuple[DrydockError, ...] = ()
    marker: str = ""

    @property
    def what(self) -> str:
        return _NAMES[self.tree]

    @property
    def lacks_marker(self) -> bool:
        """Whether it is to stay where it is, and has no marker there."""
        return bool(self.path) and not self.moving and not os.path.exists(os.path.join(self.path or "/", self.marker))

    @property
    def known(self) -> bool:
        """Whether we have looked after it before."""
        return bool(self.marker_before)


def _aims(state: State, request: Request) -> tuple[_Aim, _Aim]:
    """What a request means for both trees; a new place gets a new marker."""
    data = _Aim(DATA_ROOT, state.data_root, bool(state.pid), state.is_unused, state.marker)
    there = state.containerd
    containerd = _Aim(CONTAINERD_ROOT, there.root if there else "", bool(there and there.pid), state.containerd_is_unused, state.containerd_marker)
    aims = []
    for aim, asked in ((data, request.path), (containerd, request.containerd_path)):
        aim = _aim(state, request, aim, os.path.normpath(asked) if asked else None)
        fresh = aim.path and (aim.moving or not aim.known)
        aims.append(dataclasses.replace(aim, marker=MARKER_PREFIX + uuid.uuid4().hex[:12] if fresh else aim.marker_before))
    if request.state in ("prepared", "cancelled") and not (request.path or request.containerd_path):
        problem = DrydockError("variable-value", f"State '{request.state}' needs to know the path.", "Set docker_data_root_path.")
        aims[0] = dataclasses.replace(aims[0], problems=(problem,))
    if request.containerd_path and not there:
        problem = DrydockError(
            "no-containerd",
            f"containerd's root cannot move to {request.containerd_path}: this host has no containerd.service, its dockerd runs containerd itself.",
            "Leave out docker_data_root_containerd_path: that containerd keeps its data below the data root.",
        )
        aims[1] = dataclasses.replace(aims[1], path=None, moving=False, problems=(problem,))
    return aims[0], aims[1]


def _aim(state: State, request: Request, aim: _Aim, path: str | None) -> _Aim:
    elsewhere = bool(path) and os.path.realpath(path or "/") != os.path.realpath(aim.root)
    if request.state == "relocated":
        return dataclasses.replace(aim, path=path, target=path or "", moving=elsewhere and not aim.unused)
    if request.state == "restored":
        return _aim_back(state, aim)
    if request.state == "cleaned":
        there = [one for one in state.history if one.kept and one.tree == aim.tree]
        doomed = tuple(Doomed(one.kept, one.inode) for one in there if os.path.lexists(one.kept))
        return dataclasses.replace(aim, doomed=doomed, problems=tuple(_unproved(aim, there)))
    if request.state == "prepared":
        return dataclasses.replace(aim, target=path or "", moving=elsewhere)
    doomed = (Doomed(path, inode_of(path)),) if path and elsewhere and _roots.is_unfinished_copy(path) else ()
    return dataclasses.replace(aim, doomed=doomed)


def _aim_back(state: State, aim: _Aim) -> _Aim:
    """Where the data were before the last outage that moved any."""
    if not state.history:
        problem = DrydockError("nothing-to-restore", "No move of this host's data is known, so none can be taken back.", "Name the path, with state relocated.")
        return dataclasses.replace(aim, problems=(problem,) if aim.tree == DATA_ROOT else ())
    last = next((one for one in reversed(state.history) if one.tree == aim.tree and one.run == state.history[-1].run), None)
    if last is None:
        return aim
    if os.path.realpath(last.root) != os.path.realpath(aim.root):
        sentence = f"The {aim.what} is {aim.root}, and the last move went from {last.origin} to {last.root}."
        return dataclasses.replace(
            aim, problems=(DrydockError("nothing-to-restore", sentence, "It cannot be taken back; name the path, with state relocated."),)
        )
    if last.restored:
        return dataclasses.replace(aim, path=last.root)
    return dataclasses.replace(aim, path=last.origin, target=last.origin, moving=True, base=last.kept if last.is_there else "")


def _unproved(aim: _Aim, past: t.Iterable[Past]) -> t.Iterator[DrydockError]:
    """Why old data must not go."""
    for one in past:
        if os.path.lexists(one.kept) and not one.is_there:
            yield DrydockError("old-data-changed", f"{one.kept} is not the directory that the move set aside.", "Look what it is, and remove it by hand.")
    if past and not (aim.runs and aim.known and os.path.exists(os.path.join(aim.root, aim.marker_before))):
        yield DrydockError(
            "root-missing",
            f"The {aim.what} {aim.root} is not proved: its daemon is down, or its marker is missing.",
            "Start the daemon there first, then clean.",
        )


def _can_rename(state: State, root: str, target: str) -> bool:
    """Whether one mount holds both roots, and the old one is not its top: then a move is a rename."""
    source = os.path.realpath(root)
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
        first = state.is_unused and request.state == "relocated" and request.restart != "never"
        return ("start", ["the first start"]) if first else ("none", [])
    keys = differing_keys(state, before, after)
    why = [f"{key}: {json.dumps(before.get(key))} -> {json.dumps(after.get(key))}" for key in keys]
    ours, asked = state.unit.ours, _dockers(drop_ins)
    why += [f"drop-in {name}" for name in sorted({*ours, *asked}) if _unit.needs_restart(ours.get(name), asked.get(name))]
    if state.socket_unit and state.socket_unit.ours != _of(SOCKET, drop_ins):
        why.append(f"drop-ins of {SOCKET}")
    why += [f"{path} was changed" for path in state.changed_certificates if path in _certificates.files_of(after)]
    if moving:
        return "restart", why
    if not why or request.restart == "never":
        return "none", why
    if request.restart == "always" or len(why) > len(keys):
        return "restart", why
    in_file_only = all(key not in state.running_flags for key in keys)
    if in_file_only and all(_keys.reloads(key, key not in after, state.version) for key in keys) and has_its_plugins(state, after):
        return "reload", why
    return "restart", why


def _hidden_by(state: State, *sides: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str]]:
    """Keys with the values by which the engine looks for its images and containers in another place."""
    snapshotter = "containerd-snapshotter"
    looks = []
    for settings in sides:
        found = {key: settings[key] for key in _keys.HIDES_DATA if key in settings}
        features = settings.get("features")
        found.update({snapshotter: features[snapshotter]} if isinstance(features, dict) and snapshotter in features else {})
        looks.append({"storage-driver": state.info.get("Driver"), snapshotter: state.snapshotter, **found})
    before, after = looks
    for key in sorted({*before, *after}):
        if (before.get(key) or None) != (after.get(key) or None):
            yield key, str(after.get(key))


def has_its_plugins(state: State, settings: t.Mapping[str, t.Any]) -> bool:
    """Whether the authorization plugins are those in force: a reload that meets one that is not there ends dockerd (moby: reloadAuthorizationPlugins)."""
    return list(settings.get("authorization-plugins") or []) == list((state.info.get("Plugins") or {}).get("Authorization") or [])


def _to_confirm(state: State, before: dict[str, t.Any], after: dict[str, t.Any], systemd_socket: str | None) -> tuple[str, ...]:
    """The tcp addresses that others can reach, when they, TLS, the certificates or the local socket change."""
    keys = ("hosts", "tls", "tlsverify", *_certificates.KEYS)
    same = systemd_socket == state.systemd_socket and not state.changed_certificates
    if same and not any(key in keys for key in differing_keys(state, before, after)):
        return ()
    found = [_addresses.parse(text) for text in addresses(after)]
    return tuple(one.text for one in found if one.scheme == "tcp" and not one.loopback)


def step_diff(steps: t.Iterable[str]) -> dict[str, str]:
    """Steps as ansible-playbook --diff shows them to a person, one a line."""
    return {"before_header": "steps", "after_header": "steps", "before": "", "after": "".join(f"{step}\n" for step in steps)}


def drop_in_problems(state: State, owners: Owners) -> list[DrydockError]:
    """Drop-in names that cannot be used."""
    problems = []
    foreign = {os.path.basename(path): path for path in state.unit.texts}
    others = {CONTAINERD: state.containerd.unit if state.containerd else None, SOCKET: state.socket_unit}
    foreign.update({f"{name}.d/{os.path.basename(path)}": path for name, unit in others.items() for path in (unit.texts if unit else ())})
    for ask in owners.values():
        for name in ask.drop_ins:
            if not re.fullmatch(rf"(({'|'.join(map(re.escape, others))})\.d/)?[A-Za-z0-9_.@-]+\.conf", name):
                problems.append(
                    DrydockError("drop-in-name", f"Drop-in name '{name}' is not a plain file name that ends in .conf.", "Name it like zz-limits.conf.")
                )
            elif name in foreign:
                problems.append(
                    DrydockError("drop-in-name", f"Drop-in {foreign[name]} is somebody else's.", "Choose another name; foreign drop-ins are never edited.")
                )
    return problems


__all__ = (
    "CONTAINERD_ROOT",
    "DATA_ROOT",
    "MARKER_MARK",
    "PATH_MARK",
    "Doomed",
    "FileChange",
    "Move",
    "Plan",
    "Request",
    "Side",
    "differing_keys",
    "drop_in_problems",
    "has_its_plugins",
    "make_plan",
    "step_diff",
)
