# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What a change did, for a person and for a playbook. Pure."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._errors import DrydockError, format_bytes, message, wrapping
from .._plan.plan import Move, Plan


@dataclasses.dataclass(frozen=True)
class Moved:
    """A move that was made, with what it moved and where the old data are kept; that is empty when they are not."""

    move: Move
    bytes: int
    files: int
    kept: str

    def to_data(self) -> dict[str, t.Any]:
        """The form that modules return."""
        return {"source": self.move.source, "target": self.move.target, "bytes": self.bytes, "files": self.files, "kept": self.kept}


@dataclasses.dataclass
class Outcome:
    """What was done, for a person and for a playbook.

    :param failures: a sentence for each container that does not run.
    :param remarks: sentences about what is different from what was asked for, where the change is done all the same.
    """

    applied: str = "none"
    downtime: t.Optional[float] = None
    moved: t.List[Moved] = dataclasses.field(default_factory=list)
    sent_bytes: int = 0
    sent_files: int = 0
    forecast: t.Dict[str, t.Any] = dataclasses.field(default_factory=dict)
    started: int = 0
    failures: t.List[str] = dataclasses.field(default_factory=list)
    remarks: t.List[str] = dataclasses.field(default_factory=list)
    phases: t.List[t.Dict[str, t.Any]] = dataclasses.field(default_factory=list)

    @property
    def kept(self) -> list[str]:
        """Where old data are kept."""
        return [one.kept for one in self.moved if one.kept]


PreviousRun = t.Tuple[bool, str]
"""Whether dealing with an earlier run changed something, and a sentence about it; empty where there was none."""


def with_previous(previous: PreviousRun, result: dict[str, t.Any]) -> dict[str, t.Any]:
    """Put what was said of an earlier run into a module's result."""
    changed, sentence = previous
    if sentence:
        result.update(changed=result["changed"] or changed, msg=f"{sentence} {result['msg']}")
    return result


def error_with_previous(previous: PreviousRun, error: DrydockError) -> DrydockError:
    """An error that tells what was said of an earlier run, too."""
    return wrapping(error, error.id, f"{previous[1]} {error.sentence}".strip(), error.hint)


def record(outcome: Outcome, moved: Moved, now: float) -> dict[str, t.Any]:
    """What the notes keep of a move. The closed journal has less, and only until the next change; outage and phases are those of the whole change.

    What another process began and a recovery finished has no outage that anybody measured.
    """
    return {
        "ended": int(now),
        "bytes": moved.bytes,
        "files": moved.files,
        "downtime_seconds": outcome.downtime,
        "forecast_seconds": outcome.forecast.get("outage_seconds"),
        "phases": outcome.phases if outcome.downtime is not None else [],
    }


def report(plan: Plan, outcome: Outcome, planned: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The part of a module's result that only the doing of it shows.

    :param planned: the result so far; of its forecast the parts that a copy refined are made anew.
    """
    data: dict[str, t.Any] = {"applied": outcome.applied, "msg": words(plan, outcome), "phases": outcome.phases}
    if outcome.downtime is not None:
        data["downtime_seconds"] = outcome.downtime
    if outcome.moved:
        data.update(bytes=sum(one.bytes for one in outcome.moved), files=sum(one.files for one in outcome.moved))
        data["kept"] = next(iter(outcome.kept), None)
        data["moves"] = [one.to_data() for one in outcome.moved]
    if outcome.failures:
        data["failed"] = True
    if outcome.forecast:
        data["forecast"] = {**planned.get("forecast", {}), **outcome.forecast}
    if plan.prepares and plan.effect == "none" and not plan.files:
        # A copy that was complete already is no change.
        data["changed"] = bool(outcome.sent_files)
    return data


def outage_words(forecast: t.Mapping[str, t.Any]) -> str:
    """How long an outage is expected to take, and how long it may."""
    expected, longest = forecast["outage_seconds"], forecast["longest_outage_seconds"]
    if longest is None:
        return f"{expected} s, more where containers take their time to stop: one has no limit"
    return f"{expected} s, up to {longest} s where containers use their stop timeouts" if longest > expected else f"{expected} s"


def words(plan: Plan, outcome: Outcome) -> str:
    """What happened, in the terms of the people who asked for it."""
    parts = []
    if plan.prepares:
        targets = " and ".join(move.target for move in plan.prepares)
        sent = f"copied {format_bytes(outcome.sent_bytes)} in {outcome.sent_files:,} files to {targets} while everything runs"
        parts.append(f"{sent}, {format_bytes(outcome.forecast.get('changing_bytes', 0))} changed meanwhile")
    if plan.doomed:
        parts.append("removed " + ", ".join(one.path for one in plan.doomed))
    if outcome.moved:
        parts += [
            f"{'moved back' if one.move.restores else 'moved'} {format_bytes(one.bytes)} in {one.files:,} files from {one.move.source} to {one.move.target}"
            for one in outcome.moved
        ]
    elif plan.packages:
        parts.append(f"brought {plan.packages}")
    elif outcome.applied == "start":
        parts.append("started the daemon for the first time")
    elif outcome.applied == "restart":
        parts.append("restarted the daemon")
    elif outcome.applied == "reload":
        parts.append("reloaded the daemon, nothing was interrupted")
    elif plan.files:
        parts.append("wrote " + ", ".join(os.path.basename(change.path) for change in plan.files))
    if outcome.downtime is not None:
        forecast = f" (forecast {outage_words(outcome.forecast)})" if outcome.forecast else ""
        parts.append(f"down for {outcome.downtime} s{forecast}")
        parts.append(f"{outcome.started} {'container' if outcome.started == 1 else 'containers'} back")
    if outcome.kept:
        parts.append(f"the old {'copies are' if len(outcome.kept) > 1 else 'copy is'} kept in {' and '.join(outcome.kept)}")
    sentence = ", ".join(parts)
    written = plan.configuration
    keys = [f"In {os.path.basename(written.path)}: {plan.key_words}."] if written and plan.key_words and not plan.moves else []
    sentence = " ".join([sentence[:1].upper() + sentence[1:] + ".", *keys, *outcome.remarks])
    return message("container-down", sentence, " ".join(outcome.failures)) if outcome.failures else sentence


__all__ = (
    "Moved",
    "Outcome",
    "PreviousRun",
    "error_with_previous",
    "outage_words",
    "record",
    "report",
    "with_previous",
    "words",
)
