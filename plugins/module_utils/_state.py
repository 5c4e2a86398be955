# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Stop, start, reload and restart the daemon so that it keeps what runs."""

from __future__ import annotations

import dataclasses
import typing as t

from . import _worker
from ._engine import Engine
from ._errors import Refused
from ._host import Host
from ._observe import State, observe
from ._plan import Plan, Request, make_plan, step_diff
from ._preflight import ERROR, preflight
from ._sysv import service_of


def ensure(host: Host, wanted: str, force: bool, ready_timeout: int, check_mode: bool, run: str = "") -> dict[str, t.Any]:
    """Bring the daemon to a state; returns a module's result, or how to follow the worker that will have it.

    :param wanted: stopped, started, reloaded or restarted (only when something is pending, or forced).
    :raises Refused: what lies in its configuration must not be put into force.
    """
    return _worker.one_at_a_time(host, "daemon_state", check_mode, run, lambda earlier: _ensure(host, wanted, force, ready_timeout, check_mode, earlier, run))


def _ensure(host: Host, wanted: str, force: bool, ready_timeout: int, check_mode: bool, earlier: _worker.Earlier, run: str) -> dict[str, t.Any]:
    state = observe(host)
    plan, problems = make_plan(state, Request(ready_timeout=ready_timeout), host.places.units, host.places.daemon_json)
    plan = dataclasses.replace(plan, effect=_effect(state, wanted, force))
    findings, _forecast = preflight(host, state, plan, Request(), problems, check_mode)
    errors = [one for one in findings if one.severity == ERROR]
    if errors and wanted != "stopped":
        raise Refused(" ".join(str(one) for one in errors))
    steps = _steps(state, plan, wanted)
    result: dict[str, t.Any] = {
        "changed": bool(steps),
        "plan": steps,
        "findings": [one.to_data() for one in findings],
        "applied": "none",
        "diff": [step_diff(steps)] if steps else [],
        "msg": f"Would {', '.join(steps)}." if steps else "Nothing to do.",
    }
    if not steps or check_mode:
        return _worker.mention(earlier, result)
    if steps[0] in ("stop", "start"):
        return _worker.mention(earlier, {**result, "msg": _stop_or_start(host, plan, steps[0], ready_timeout)})
    return _worker.perform(host, plan, result, run, earlier)


def _effect(state: State, wanted: str, force: bool) -> str:
    if not state.pid:
        return "none"
    if wanted == "restarted" and (force or state.pending):
        return "restart"
    if wanted == "reloaded" and (force or state.pending):
        return "reload"
    return "none"


def _steps(state: State, plan: Plan, wanted: str) -> list[str]:
    if wanted == "stopped":
        return ["stop"] if state.pid else []
    if not state.pid:
        return ["start"]
    return plan.steps if plan.effect != "none" else []


def _stop_or_start(host: Host, plan: Plan, step: str, ready_timeout: int) -> str:
    service = service_of(host)
    if step == "stop":
        service.stop()
        return "Stopped the daemon and its socket."
    service.start(ready_timeout)
    Engine(plan.after.socket or "/var/run/docker.sock").get("/info")
    return "Started the daemon."


__all__ = ("ensure",)
