# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What a change did, for a person and for a playbook. Pure."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ._plan import Plan
from ._tree import human


@dataclasses.dataclass
class Outcome:
    """What was done, for a person and for a playbook."""

    applied: str = "none"
    downtime: t.Optional[float] = None
    bytes: t.Optional[int] = None
    files: t.Optional[int] = None
    kept: t.Optional[str] = None
    started: int = 0
    failures: t.List[str] = dataclasses.field(default_factory=list)
    phases: t.List[t.Dict[str, t.Any]] = dataclasses.field(default_factory=list)


def words(plan: Plan, outcome: Outcome) -> str:
    """What happened, in the terms of the people who asked for it."""
    parts = []
    if plan.move:
        parts.append(f"moved {human(outcome.bytes or 0)} in {outcome.files or 0:,} files from {plan.move.source} to {plan.move.target}")
    elif outcome.applied == "restart":
        parts.append("restarted the daemon")
    elif outcome.applied == "reload":
        parts.append("reloaded the daemon, nothing was interrupted")
    else:
        parts.append("wrote " + ", ".join(os.path.basename(change.path) for change in plan.files))
    if outcome.downtime is not None:
        parts.append(f"down for {outcome.downtime} s")
        parts.append(f"{outcome.started} containers back")
    if outcome.kept:
        parts.append(f"the old copy is kept in {outcome.kept}")
    sentence = ", ".join(parts)
    return " ".join([sentence[:1].upper() + sentence[1:] + ".", *outcome.failures])


__all__ = ("Outcome", "words")
