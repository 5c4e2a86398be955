# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Plan: from what is and what is asked to steps as data. Pure."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .._engine import daemon_json
from .._engine.addresses import listen_addresses, socket_of
from .._engine.daemon_json import DATA_ROOT_OWNER, SNAPSHOTTER, Ask, Owners, flat, folded
from .._errors import DrydockError
from .._observe.paths import Paths
from .._observe.state import State
from .._service import unit_file
from .._service.containerd import CONTAINERD_OWNER
from .._service.service import CONTAINERD, SOCKET
from .effect import effect_of, hidden_by, pending_keys, to_confirm
from .placeholders import ROOT_SOCKET_MARK, SOCKET_MARKS, drop_ins_of, drop_ins_of_docker, substitute
from .plan import CONTAINERD_ROOT, DATA_ROOT, NAMES, DaemonConfig, FileChange, Plan
from .request import Request
from .roots import RootTarget, lost_root, make_move, marks_of, missing_marker, root_targets

# Sorts behind all others of ours.
_COMMAND_DROP_IN = "zzz-drydock-command.conf"
_COMMAND_WHY = "# Of drydock.dockerd. The data root is in daemon.json, and dockerd does not start with it in both places: the unit's own command without it.\n"


def make_plan(state: State, request: Request, paths: Paths, units_directory: str, daemon_json_path: str) -> tuple[Plan, list[DrydockError]]:
    """Plan a request; returns the plan and what of the request contradicts what is there.

    :param paths: what lies at the paths that the request and the records name.
    """
    data, containerd = root_targets(state, request, paths)
    path = data.path
    given = [_with_untouched(ask, state, request) for ask in request.asks]
    over = _changes_over(state, given)
    there = _without_pins(state) if over else state
    asks = [_with_sockets(_with_data_root_keys(ask, there, data, over), state) for ask in given if _concerns(ask, request, data, containerd)]
    if path and not any(ask.owner == DATA_ROOT_OWNER for ask in asks):
        asks.append(_with_data_root_keys(Ask(DATA_ROOT_OWNER, {"data-root": path}), there, data, over))

    others = daemon_json.without_taken(there.owners, asks, request.take_over)
    settings, problems = daemon_json.merge(there.daemon_json, others, asks, request.take_over)
    if path:
        # Its name up to 17.03; dockerd does not start with both.
        settings.pop("graph", None)
    fill = {
        unit_file.COMMAND_MARK: _own_command(state, settings),
        **marks_of(state, paths, data),
        **marks_of(state, paths, containerd),
    }
    asks = [dataclasses.replace(ask, drop_ins={name: substitute(text, fill) for name, text in ask.drop_ins.items()}) for ask in asks]
    problems += _drop_in_clashes(others, asks)
    owners = {**others, **{ask.owner: ask for ask in asks}}
    owners = {name: ask for name, ask in _with_command(state, owners, settings).items() if ask.settings or ask.drop_ins}
    drop_ins = {name: text for ask in owners.values() for name, text in ask.drop_ins.items()}
    settings, owners = _with_store_in_force(state, settings, owners, drop_ins)

    files = _drop_in_changes(state, drop_ins, units_directory)
    if settings != state.daemon_json:
        files.append(FileChange(daemon_json_path, state.daemon_json_text, daemon_json.render(settings)))
    for aim in (data, containerd):
        files += missing_marker(aim)
        problems += [*lost_root(aim), *aim.problems]

    moves = {aim.tree: make_move(state, request, paths, aim) for aim in (data, containerd) if aim.moving}
    cuts_over = request.state in ("relocated", "restored")
    before, after = state.in_force, state.effective(settings, drop_ins_of_docker(drop_ins))
    pending = {key for key, _now, _then in pending_keys(state, settings, owners)}
    effect, why = effect_of(state, request, before, after, drop_ins, cuts_over and bool(moves), pending)
    systemd_socket, addresses = _systemd_socket(state, drop_ins), listen_addresses(after)
    containerds: list[tuple[tuple[str, ...], str]] = [((), ""), ((), "")]
    if containerd.moving and state.containerd:
        unit = state.containerd.unit
        containerds = [(tuple(unit.effective(texts)), unit.start_line(texts)) for texts in (unit.ours, drop_ins_of(CONTAINERD, drop_ins))]
    doomed = data.doomed + containerd.doomed
    # Only what is removed: the disk of other old data may be away.
    removed = {one.path for one in doomed}
    plan = Plan(
        files=tuple(files),
        effect=effect,
        why=tuple(why),
        move=moves.get(DATA_ROOT) if cuts_over else None,
        containerd=moves.get(CONTAINERD_ROOT) if cuts_over else None,
        before=DaemonConfig(tuple(state.unit.effective(state.unit.ours)), before, state.socket, state.data_root, containerds[0][0], state.systemd_socket),
        after=DaemonConfig(
            tuple(state.unit.effective(drop_ins_of_docker(drop_ins))),
            after,
            socket_of(addresses, systemd_socket),
            path if path and (data.moving or data.unused) else state.data_root,
            containerds[1][0],
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
        confirm=to_confirm(state, before, after, addresses, systemd_socket) if request.confirm_timeout else (),
        confirm_timeout=request.confirm_timeout,
        hides=tuple(hidden_by(state, before, after)),
        unit_files=tuple(state.unit.texts),
        seen=state.digests,
        lines={
            "before": state.unit.start_line(state.unit.ours),
            "after": state.unit.start_line(drop_ins_of_docker(drop_ins)),
            "containerd before": containerds[0][1],
            "containerd after": containerds[1][1],
        },
        config_file=daemon_json_path,
        stores={"before": state.store.name, "after": state.next_store(after).name} if state.info else {},
        swarm_manager=state.is_swarm_manager,
        prepares=() if cuts_over else tuple(move for move in moves.values() if not move.rename),
        doomed=doomed,
        history=tuple(dataclasses.replace(one, kept="") if one.kept in removed else one for one in state.history),
    )
    return plan, problems


def _own_command(state: State, settings: t.Container[str]) -> str:
    """The unit's own command, as it is written, without the flags that are keys of daemon.json."""
    command = state.unit.command
    return str(command.without(unit_file.places_of_keys(command.argv, settings)))


def _with_command(state: State, owners: Owners, settings: t.Container[str]) -> Owners:
    """Whoever has asked for a data root leaves out the flag by which the unit names another one."""
    ask = owners.get(DATA_ROOT_OWNER)
    if ask is None:
        return owners
    drop_ins = {name: text for name, text in ask.drop_ins.items() if name != _COMMAND_DROP_IN}
    flags = unit_file.parse_flags(state.unit.command.argv[1:])
    if "data-root" in ask.settings and any(flag.key == "data-root" for flag in flags):
        drop_ins[_COMMAND_DROP_IN] = f"{_COMMAND_WHY}[Service]\nExecStart=\nExecStart={_own_command(state, settings)}\n"
    return {**owners, DATA_ROOT_OWNER: dataclasses.replace(ask, drop_ins=drop_ins)}


def _drop_in_changes(state: State, drop_ins: t.Mapping[str, str], units_directory: str) -> list[FileChange]:
    units = (
        (state.containerd and state.containerd.unit, drop_ins_of(CONTAINERD, drop_ins)),
        (state.socket_unit, drop_ins_of(SOCKET, drop_ins)),
        (state.unit, drop_ins_of_docker(drop_ins)),
    )
    return [FileChange(*change) for unit, texts in units if unit for change in unit.changes(units_directory, texts)]


def _with_untouched(ask: Ask, state: State, request: Request) -> Ask:
    """What of an owner was not given stays as it was asked for before."""
    before = state.owners.get(ask.owner, Ask(ask.owner))
    if ask.owner in NAMES:
        # Theirs follow from the path.
        return ask
    if (ask.owner, "settings") in request.untouched:
        ask = dataclasses.replace(ask, settings=before.settings)
    if (ask.owner, "drop_ins") in request.untouched:
        ask = dataclasses.replace(ask, drop_ins=before.drop_ins)
    return ask


def _drop_in_clashes(owners: Owners, asks: t.Iterable[Ask]) -> t.Iterator[DrydockError]:
    """A drop-in that another owner has by the same name with another text."""
    for ask in asks:
        for other in (one for name, one in owners.items() if name != ask.owner):
            for name in sorted(set(ask.drop_ins) & set(other.drop_ins)):
                if ask.drop_ins[name] != other.drop_ins[name]:
                    sentence = f"Drop-in '{name}' is asked for by owner '{other.owner}' and, with another text, by owner '{ask.owner}'."
                    yield DrydockError("drop-in-name", sentence, "Choose another name.")


def _with_sockets(ask: Ask, state: State) -> Ask:
    """The local socket as this host has one: docker.socket's, or without that one of dockerd's own, which then belongs to a group."""
    hosts = ask.settings.get("hosts")
    if not isinstance(hosts, list) or not any(mark in hosts for mark in SOCKET_MARKS):
        return ask
    if state.systemd_socket:
        return dataclasses.replace(ask, settings={**ask.settings, "hosts": ["fd://" if one in SOCKET_MARKS else one for one in hosts]})
    settings = {**ask.settings, "hosts": [SOCKET_MARKS.get(one, one) for one in hosts]}
    if ROOT_SOCKET_MARK in hosts:
        settings["group"] = "root"
    return dataclasses.replace(ask, settings=settings, drop_ins={name: text for name, text in ask.drop_ins.items() if not name.startswith(f"{SOCKET}.d/")})


def _systemd_socket(state: State, drop_ins: t.Mapping[str, str]) -> str | None:
    """The path that docker.socket will listen on."""
    unit, texts = state.socket_unit, drop_ins_of(SOCKET, drop_ins)
    if unit is None or unit.ours == texts:
        return state.systemd_socket
    paths = [re.sub("^(%t|/var/run)/", "/run/", value) for value in unit.values("Socket", "ListenStream", texts)]
    return next((path for path in paths if path.startswith("/")), None)


def _concerns(ask: Ask, request: Request, data: RootTarget, containerd: RootTarget) -> bool:
    """Whether an ask has to do with this request: a root that stays where it is keeps what was asked for before."""
    if ask.owner == CONTAINERD_OWNER:
        return containerd.path is not None
    return ask.owner != DATA_ROOT_OWNER or data.path is not None or request.state == "relocated"


def _changes_over(state: State, asks: t.Iterable[Ask]) -> bool:
    """Whether somebody asks for the other image store in words."""
    stores = [flat(ask.settings).get(SNAPSHOTTER) for ask in asks if ask.owner != DATA_ROOT_OWNER]
    return bool(state.info) and any(isinstance(one, bool) and one != state.snapshotter for one in stores)


def _without_pins(state: State) -> State:
    """The state as if nothing had been said beside the data root to keep what is in force: it would keep a host from changing over."""
    ask = state.owners.get(DATA_ROOT_OWNER, Ask(DATA_ROOT_OWNER))
    pins = set(flat(ask.settings)) - {"data-root"}
    left = folded({key: value for key, value in flat(state.daemon_json).items() if key not in pins})
    return dataclasses.replace(state, daemon_json=left, owners={**state.owners, DATA_ROOT_OWNER: daemon_json.without(ask, pins)})


def _with_store_in_force(state: State, settings: daemon_json.Settings, owners: Owners, drop_ins: dict[str, str]) -> tuple[daemon_json.Settings, Owners]:
    """Say which image store is in force where the next start would take the other one, and nobody asks for that: a boot is such a start."""
    after = state.effective(settings, drop_ins_of_docker(drop_ins))
    stores = {state.next_store(one).in_containerd for one in (state.in_force, after)}
    by_flag = "features" in state.effective({}, drop_ins_of_docker(drop_ins))
    if not state.info or state.snapshotter in stores or by_flag or SNAPSHOTTER in flat(after):
        return settings, owners
    ask = owners.get(DATA_ROOT_OWNER, Ask(DATA_ROOT_OWNER))
    said = [folded({**flat(one), SNAPSHOTTER: state.snapshotter}) for one in (settings, ask.settings)]
    return said[0], {**owners, DATA_ROOT_OWNER: dataclasses.replace(ask, settings=said[1])}


def _with_data_root_keys(ask: Ask, state: State, aim: RootTarget, over: bool) -> Ask:
    """Pin the storage driver beside a data-root that moves, so that no engine silently takes another one there; from then on it stays, and so does what
    was said of the image store.

    :param over: the host changes over to the other image store.
    """
    if ask.owner != DATA_ROOT_OWNER or not aim.path:
        return ask
    driver = state.info.get("Driver", "")
    before = state.owners.get(DATA_ROOT_OWNER)
    wanted = aim.moving or (before is not None and "storage-driver" in before.settings)
    pins = wanted and driver and not (state.snapshotter or over) and "storage-driver" not in state.running_flags
    said = {key: value for key, value in (before.settings if before else {}).items() if key == "features"}
    return dataclasses.replace(ask, settings={**ask.settings, "data-root": aim.path, **({"storage-driver": driver} if pins else {}), **said})


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
    "drop_in_problems",
    "make_plan",
)
