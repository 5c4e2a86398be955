# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""How much would be moved, and whether there is room for it."""

from __future__ import annotations

import os
import typing as t

from .._copy import trust_index
from .._copy.listing import Totals, list_tree, totals
from .._engine.container import stop_seconds
from .._errors import format_bytes
from .._host.host import Host
from .._host.mounts import nearest_directory
from .._observe.state import State
from .._plan.plan import Move, Plan
from .._service.detect import service_of
from .._transaction.journal import JOURNAL_ROOM
from .file_system import file_system_findings
from .finding import ERROR, Finding, Forecast

_MARGIN_BYTES, _MARGIN_SHARE = 64 << 20, 0.05


def room_findings(host: Host) -> t.Iterator[Finding]:
    """The usual reason for a move is a full disk: what the journal needs has to be there."""
    there = os.statvfs(nearest_directory(host.places.state_dir))
    free = there.f_bfree * there.f_frsize
    if free < JOURNAL_ROOM:
        sentence = f"There is no room for a journal of {format_bytes(JOURNAL_ROOM)} in {host.places.state_dir}: {format_bytes(free)} are free."
        yield Finding("no-journal-space", ERROR, sentence, "Free that much and run again.")


def space_findings(host: Host, state: State, plan: Plan, moves: t.Sequence[Move]) -> tuple[Forecast, list[Finding]]:
    """The forecast of all moves, and whether each file system takes all that goes there and has the room for it."""
    restart = service_of(host).last_restart_seconds()
    whole, left = Totals(0, 0), Totals(0, 0)
    needs: dict[int, tuple[str, Totals]] = {}
    findings: list[Finding] = []
    for move in moves:
        now = list_tree(move.source)
        tree = totals(now)
        whole += tree
        if move.rename:
            continue
        findings += file_system_findings(host, state, plan, move, now)
        kept = trust_index.load(move.source, move.target)
        trusted = kept[1] if kept else {}
        left += totals({path: one for path, one in now.items() if trusted.get(path) != one})
        # Of old data that are taken back a part may lie at its place already.
        copies = [totals(list_tree(path)) for path in dict.fromkeys((move.base, move.target)) if os.path.isdir(path) and not os.path.islink(path)]
        copied = sum(copies, Totals(0, 0))
        need = Totals(int(tree.bytes * (1 + _MARGIN_SHARE)) + _MARGIN_BYTES - copied.bytes, int(tree.files * (1 + _MARGIN_SHARE)) - copied.files)
        device = os.stat(_directory_for(move.target)).st_dev
        targets, before = needs.get(device, ("", Totals(0, 0)))
        needs[device] = (f"{targets} and {move.target}" if targets else move.target, before + need)
    findings += [finding for targets, need in needs.values() for finding in _room_for(targets, need)]
    stop = stop_seconds(state.inventory.containers.values())
    return Forecast(whole.bytes, whole.files, left.bytes, left.files, restart, None if stop is None else restart + stop), findings


def _directory_for(target: str) -> str:
    """The directory that is there by now and on whose file system a target will lie; a link that is there goes before."""
    return nearest_directory(os.path.dirname(target) if os.path.islink(target) else target)


def _room_for(targets: str, need: Totals) -> t.Iterator[Finding]:
    there = os.statvfs(_directory_for(targets.split(" and ")[0]))
    free = there.f_bavail * there.f_frsize
    if need.bytes > free:
        sentence = f"{targets} has {format_bytes(free)} free, and {format_bytes(need.bytes)} are needed: {format_bytes(need.bytes - free)} are missing."
        yield Finding("no-space", ERROR, sentence, "Make room there, or choose another target.")
    if there.f_files and need.files > there.f_favail:
        sentence = f"{targets} has {there.f_favail} inodes free, and {need.files} files have to be copied."
        yield Finding("no-inodes", ERROR, sentence, "Make the file system with more inodes, or choose another target.")


__all__ = (
    "room_findings",
    "space_findings",
)
