# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Containers that make way for a new one of their name, and come back when that one does not start.

There is no other journal than the name that such a container gets: it has the restart policy and whether it ran, and both are needed to bring it back.
It is the first thing that is done and the last that is undone, so whoever finds the name knows what to do.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._errors import DrydockError, EngineError
from .api import NEVER, STOP_TIMEOUT, Engine

_NAME = re.compile(r"(.+)\.set-aside\.(no|always|unless-stopped|on-failure)\.(\d+)\.(running|paused|down)")


def is_set_aside(name: str) -> bool:
    """Whether it is the name of one that was set aside. Pure."""
    return bool(_NAME.fullmatch(name))


def set_aside(engine: Engine, name: str) -> None:
    """Give its name away. It goes on running."""
    raw = engine.get(f"/containers/{name}/json")
    policy, state = raw["HostConfig"]["RestartPolicy"], raw["State"]
    word = "paused" if state["Paused"] else "running" if state["Running"] or state["Restarting"] else "down"
    new = f"{name}.set-aside.{policy['Name'] or 'no'}.{policy['MaximumRetryCount']}.{word}"
    engine.post(f"/containers/{raw['Id']}/rename", name=new)


def stop(engine: Engine, name: str, stop_timeout: t.Optional[int]) -> None:
    """Stop the one that was set aside, for good: by its policy a boot would start it beside the new one."""
    aside = _of(engine, name)
    raw = engine.get(f"/containers/{aside}/json")
    engine.post_json(f"/containers/{aside}/update", {"RestartPolicy": {"Name": "no"}})
    if raw["State"]["Paused"]:
        # It cannot hear what the stop says.
        engine.post(f"/containers/{aside}/unpause")
    seconds = (raw["Config"].get("StopTimeout") or STOP_TIMEOUT) if stop_timeout is None else stop_timeout
    dataclasses.replace(engine, timeout=engine.timeout + seconds).post(f"/containers/{aside}/stop", t=seconds)


def bring_back(engine: Engine, name: str) -> None:
    """Remove the new one, if there is any, and let the old one run as it did.

    :raises DrydockError: there is no old one, or it has its name again and does not start.
    """
    aside = _of(engine, name)
    _name, policy, retries, word = _NAME.fullmatch(aside).groups()  # type: ignore[union-attr]
    new = _find(engine, name)
    if new:
        # In the volumes without a name of one that never ran is nothing.
        engine.delete(f"/containers/{new['Id']}", force=1, v=int(not _has_started(new)))
    engine.post_json(f"/containers/{aside}/update", {"RestartPolicy": {"Name": policy, "MaximumRetryCount": int(retries)}})
    try:
        if word != "down":
            engine.post(f"/containers/{aside}/start")
        if word == "paused":
            engine.post(f"/containers/{aside}/pause")
    finally:
        engine.post(f"/containers/{aside}/rename", name=name)


def remove(engine: Engine, name: str, with_volumes: bool) -> None:
    """Remove the one that was set aside. One that was started to be removed at its end is gone already."""
    aside = _all(engine).get(name)
    if aside:
        engine.delete(f"/containers/{aside}", force=1, v=int(with_volumes))


def left_behind(engine: Engine) -> t.Dict[str, bool]:
    """Names whose container was set aside by somebody who did not come to an end, and whether the new one has shown that it is good."""
    return {name: _is_good(_find(engine, name)) for name in sorted(_all(engine))}


def _is_good(raw: t.Optional[t.Mapping[str, t.Any]]) -> bool:
    if raw is None or not _has_started(raw):
        return False
    state = raw["State"]
    if state["Running"]:
        return not state["Restarting"] and (state.get("Health") or {}).get("Status") in (None, "none", "healthy")
    return bool(state["ExitCode"] == 0)


def _has_started(raw: t.Mapping[str, t.Any]) -> bool:
    return raw["State"]["StartedAt"] not in ("", NEVER)


def _all(engine: Engine) -> t.Dict[str, str]:
    names = [name.lstrip("/") for one in engine.get("/containers/json", all=1) for name in one["Names"]]
    return {match[1]: match[0] for match in map(_NAME.fullmatch, names) if match}


def _of(engine: Engine, name: str) -> str:
    aside = _all(engine).get(name)
    if not aside:
        why = "it was started to be removed at its end, or another run has brought it back"
        raise DrydockError("container-down", f"The old container {name} waits no more: {why}.")
    return aside


def _find(engine: Engine, name: str) -> t.Any:
    try:
        return engine.get(f"/containers/{name}/json")
    except EngineError as exc:
        if exc.status == 404:
            return None
        raise


__all__ = ("bring_back", "is_set_aside", "left_behind", "remove", "set_aside", "stop")
