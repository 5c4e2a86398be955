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

from . import _addresses, _daemon_json, _keys, _unit
from ._daemon_json import DATA_ROOT_OWNER, Ask, Owners
from ._errors import DrydockError
from ._observe import State, addresses, find_socket
from ._service import SERVICE

# What a drop-in template writes where the name of the marker file in the data root belongs.
MARKER_MARK = "@data_root_marker@"
MARKER_PREFIX = ".drydock-root-"


@dataclasses.dataclass(frozen=True)
class Request:
    """What one run wants of a host.

    :param path: the data root that is wanted, None to leave it alone.
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


@dataclasses.dataclass(frozen=True)
class FileChange:
    """A file with its text before and after; None is no file."""

    path: str
    before: t.Optional[str]
    after: t.Optional[str]


@dataclasses.dataclass(frozen=True)
class Move:
    """A move of the data root; `marker` is the file in the new root that the unit looks for."""

    source: str
    target: str
    marker: str
    keep_source: bool
    verify: str
    bandwidth_limit: int


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

    @property
    def unit_changes(self) -> bool:
        """Whether systemd has to read unit files again."""
        return any(change.path.endswith(".conf") for change in self.files)

    @property
    def steps(self) -> list[str]:
        """The steps in order; an empty list changes nothing."""
        writes = [f"write {change.path}" if change.after is not None else f"remove {change.path}" for change in self.files]
        reload_units = ["reload units"] if self.unit_changes else []
        if self.effect == "restart":
            # The hold brings the new command with it, and its release lets systemd read the rest: only limits, environment and the
            # like have to be read before the start, inside of the outage.
            covered = not any(_unit.needs_restart(one.before, one.after) for one in self.files if one.path.endswith(".conf"))
            reload_units = [] if covered else reload_units
            warm = ["warm copy"] if self.move else []
            final = ["final copy"] if self.move else []
            finish = ["finish"] if self.move else []
            return [*warm, "hold", "stop", *final, *writes, *reload_units, "commit", "start", "prove", "release", *finish]
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
                "before": Side(**{**data["before"], "command": tuple(data["before"]["command"])}),
                "after": Side(**{**data["after"], "command": tuple(data["after"]["command"])}),
                "owners": {name: Ask(**ask) for name, ask in data["owners"].items()},
            }
        )


def make_plan(state: State, request: Request, units_directory: str, daemon_json_path: str) -> tuple[Plan, list[DrydockError]]:
    """Plan a request; returns the plan and what of the request contradicts what is there."""
    path = os.path.normpath(request.path) if request.path else None
    moving = bool(path) and os.path.realpath(path or "/") != os.path.realpath(state.data_root)
    marker = state.marker
    if path and (moving or not marker):
        marker = MARKER_PREFIX + uuid.uuid4().hex[:12]

    asks = [_with_data_root_keys(ask, state, path) for ask in request.asks]
    if path and not any(ask.owner == DATA_ROOT_OWNER for ask in asks):
        asks.append(_with_data_root_keys(Ask(DATA_ROOT_OWNER, {"data-root": path}), state, path))

    settings, problems = _daemon_json.merge(state.daemon_json, state.owners, asks)
    command = _unit.quote(_unit.without_keys(state.unit.command, settings))
    asks = [dataclasses.replace(ask, drop_ins={name: _fill(text, command, marker) for name, text in ask.drop_ins.items()}) for ask in asks]
    owners = {**state.owners, **{ask.owner: ask for ask in asks}}
    owners = {name: ask for name, ask in owners.items() if ask.settings or ask.drop_ins}
    drop_ins = {name: text for ask in owners.values() for name, text in ask.drop_ins.items()}

    files = []
    for name in sorted({*state.unit.ours, *drop_ins}):
        change = FileChange(os.path.join(units_directory, SERVICE + ".d", name), state.unit.ours.get(name), drop_ins.get(name))
        if change.before != change.after:
            files.append(change)
    if settings != state.daemon_json:
        files.append(FileChange(daemon_json_path, state.daemon_json_text, _daemon_json.render(settings)))
    if path and not moving and not os.path.exists(os.path.join(path, marker)):
        files.append(FileChange(os.path.join(path, marker), None, ""))

    before, after = state.in_force, state.effective(settings, drop_ins)
    effect, why = _effect(state, request, before, after, files, moving)
    plan = Plan(
        files=tuple(files),
        effect=effect,
        why=tuple(why),
        move=Move(state.data_root, path or "", marker, request.keep_source, request.verify, request.bandwidth_limit) if moving else None,
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
    )
    return plan, problems


def _with_data_root_keys(ask: Ask, state: State, path: str | None) -> Ask:
    """Pin the storage driver beside data-root, so that no engine silently takes another one on the new root."""
    if ask.owner != DATA_ROOT_OWNER or not path:
        return ask
    driver = state.info.get("Driver", "")
    pinned = {"storage-driver": driver} if driver and not state.snapshotter and "storage-driver" not in state.running_flags else {}
    return dataclasses.replace(ask, settings={**ask.settings, "data-root": path, **pinned})


def _fill(text: str, command: str, marker: str) -> str:
    return text.replace(_unit.COMMAND_MARK, command).replace(MARKER_MARK, marker)


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


def _effect(state: State, request: Request, before: dict[str, t.Any], after: dict[str, t.Any], files: list[FileChange], moving: bool) -> tuple[str, list[str]]:
    """How much the daemon is disturbed, and by what."""
    if not state.pid:
        return "none", []
    keys = differing_keys(state, before, after)
    why = [f"{key}: {json.dumps(before.get(key))} -> {json.dumps(after.get(key))}" for key in keys]
    why += [f"drop-in {os.path.basename(one.path)}" for one in files if one.path.endswith(".conf") and _unit.needs_restart(one.before, one.after)]
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
