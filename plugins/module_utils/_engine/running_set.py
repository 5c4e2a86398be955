# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The running set: noted before a stop, started again after it, in the order that containers need each other."""

from __future__ import annotations

import concurrent.futures
import os
import typing as t

from .._errors import EngineError
from .api import Engine
from .container import Container


def levels(wanted: t.Sequence[Container]) -> list[list[Container]]:
    """Containers in groups: each group needs only members of earlier ones, and those that had been started first come first. Pure.

    Needs that point outside the set, or in a circle, are ignored: the engine has the last word.
    """
    key = {name: one.id for one in wanted for name in (one.id, one.name)}
    left = {one.id: one for one in sorted(wanted, key=lambda one: one.started_at)}
    result: list[list[Container]] = []
    while left:
        free = [one for one in left.values() if not any(key.get(need) in left and key.get(need) != one.id for need in one.needs)]
        group = free or list(left.values())
        result.append(group)
        for one in group:
            del left[one.id]
    return result


def start_again(engine: Engine, wanted: t.Sequence[Container]) -> dict[str, str]:
    """Start a running set side by side, pause what was paused; returns a sentence for each container that does not run, by its id.

    One that somebody has removed meanwhile is not among them.

    A start keeps a CPU busy: too many of them at a time, and all containers are back as late as the last one.
    """
    failures: dict[str, str] = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        for group in levels(wanted):
            sentences = pool.map(lambda one: _start(engine, one), group)
            failures.update((one.id, sentence) for one, sentence in zip(group, sentences) if sentence)
    return failures


def _start(engine: Engine, one: Container) -> str:
    try:
        now = engine.get(f"/containers/{one.id}/json")["State"]
        if now["Status"] not in ("running", "paused", "restarting"):
            engine.post(f"/containers/{one.id}/start")
        if one.state == "paused" and now["Status"] != "paused":
            engine.post(f"/containers/{one.id}/pause")
    except EngineError as exc:
        return "" if _was_removed(engine, one) else f"Container {one.name} does not run again: {exc.sentence}"
    return ""


def _was_removed(engine: Engine, one: Container) -> bool:
    """Whether somebody removes it, or has removed it; a start may answer 404 for what the container needs, too."""
    try:
        return bool(engine.get(f"/containers/{one.id}/json")["State"]["Status"] == "removing")
    except EngineError as exc:
        return exc.status == 404


__all__ = (
    "levels",
    "start_again",
)
