# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The order of all steps: a row a step, with the changes that it is part of. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._engine.addresses import addresses_of
from .._service import unit_file
from .plan import Plan

# What the steps are called in a plan, in its journal, and in the table of their classes (package _transaction.steps).
CONFIRM = "confirm"
TAKE_BACK = "take back"
DOWNLOAD_PACKAGES = "download packages"
WARM_COPY = "warm copy"
DISCARD = "discard"
RELOADING = "reloading"
HOLD = "hold"
INSTALL_PACKAGES = "install packages"
STOP = "stop"
FINAL_COPY = "final copy"
RENAME = "rename"
# These two are followed by the path of a file.
WRITE = "write"
REMOVE = "remove"
RELOAD_UNITS = "reload units"
RELOAD = "reload"
PROVE_VALUES = "prove values"
COMMIT = "commit"
START = "start"
PROVE = "prove"
RELEASE = "release"
FINISH = "finish"


@dataclasses.dataclass(frozen=True)
class Row:
    """One step.

    :param when: whether it is part of a plan.
    """

    step: str
    when: t.Callable[[Plan], bool]


def steps_of(plan: Plan) -> list[str]:
    """The steps of a plan in order; an empty list changes nothing."""
    return [text for row in ORDER if row.when(plan) for text in _texts(row.step, plan)]


def _texts(step: str, plan: Plan) -> list[str]:
    if step != WRITE:
        return [step]
    return [f"{WRITE} {change.path}" if change.after is not None else f"{REMOVE} {change.path}" for change in plan.files]


def _starts(plan: Plan) -> bool:
    return plan.effect in ("start", "restart")


def _holds(plan: Plan) -> bool:
    return _starts(plan) or plan.packages is not None


def _restarts(plan: Plan) -> bool:
    return plan.effect == "restart"


def _reloads(plan: Plan) -> bool:
    return plan.effect == "reload"


def _reads_units(plan: Plan) -> bool:
    """Whether systemd has to read unit files again, and nothing else lets it in time.

    The hold brings the new command with it, and its release lets systemd read the rest: only limits, environment and the like have to be
    read before the start, inside of the outage; and what guards an address, before that is opened.
    """
    if not plan.unit_changes or not _restarts(plan):
        return plan.unit_changes
    units = [(one.before, one.after) for one in plan.files if one.path.endswith(".conf")]
    opens = addresses_of(plan.before.settings) != addresses_of(plan.after.settings)
    return any(unit_file.needs_restart(*one) or (opens and unit_file.guards_differ(*one)) for one in units)


def _waits(plan: Plan) -> bool:
    """Whether somebody has to confirm it, before anything is done."""
    return bool(plan.confirm) and _starts(plan)


def _commits(plan: Plan) -> bool:
    return bool(plan.files) or _holds(plan) or _reloads(plan)


ORDER = (
    Row(CONFIRM, _waits),
    Row(TAKE_BACK, lambda plan: any(move.base or move.restores for move in plan.moves)),
    Row(DOWNLOAD_PACKAGES, lambda plan: plan.packages is not None),
    Row(WARM_COPY, lambda plan: bool(plan.copies)),
    Row(DISCARD, lambda plan: bool(plan.doomed)),
    Row(RELOADING, _reloads),
    Row(HOLD, _holds),
    Row(INSTALL_PACKAGES, lambda plan: plan.packages is not None),
    Row(STOP, _restarts),
    Row(FINAL_COPY, lambda plan: _restarts(plan) and any(not move.rename for move in plan.moves)),
    Row(RENAME, lambda plan: _restarts(plan) and any(move.rename for move in plan.moves)),
    Row(WRITE, lambda plan: True),
    Row(RELOAD_UNITS, _reads_units),
    Row(RELOAD, _reloads),
    Row(PROVE_VALUES, _reloads),
    Row(COMMIT, _commits),
    Row(START, _starts),
    Row(PROVE, _starts),
    Row(RELEASE, _holds),
    Row(FINISH, lambda plan: _restarts(plan) and bool(plan.moves)),
)


__all__ = ("ORDER", "Row", "steps_of")
