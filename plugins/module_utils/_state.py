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
from ._outcome import words
from ._plan import Plan, Request, make_plan
from ._preflight import ERROR, preflight
from ._service import Systemd
from ._transaction import locked


def ensure(host: Host, wanted: str, force: bool, ready_timeout: int, check_mode: bool) -> dict[str, t.Any]:
    """Bring the daemon to a state.

    :param wanted: stopped, started, reloaded or restarted (only when something is pending, or forced).
    :raises Refused: what lies in its configuration must not be put into force.
    """
    if check_mode:
        return _ensure(host, wanted, force, ready_timeout, check_mode=True)
    with locked(host, "daemon_state"):
        earlier = _worker.earlier_run(host)
        result = _ensure(host, wanted, force, ready_timeout, check_mode=False)
    return _worker.mention(earlier, result)


def _ensure(host: Host, wanted: str, force: bool, ready_timeout: int, check_mode: bool) -> dict[str, t.Any]:
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
        "diff": [{"before_header": "steps", "after_header": "steps", "before": "", "after": "".join(f"{step}\n" for step in steps)}] if steps else [],
        "msg": f"Would {', '.join(steps)}." if steps else "Nothing to do.",
    }
    if steps and not check_mode:
        result.update(_act(host, plan, wanted, steps, ready_timeout))
    return result


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


def _act(host: Host, plan: Plan, wanted: str, steps: list[str], ready_timeout: int) -> dict[str, t.Any]:
    service = Systemd(host)
    if steps == ["stop"]:
        service.stop()
        return {"msg": "Stopped the daemon and its socket."}
    if steps == ["start"]:
        service.start(ready_timeout)
        Engine(plan.after.socket or "/var/run/docker.sock").get("/info")
        return {"msg": "Started the daemon."}
    outcome = _worker.perform(host, plan)
    result: dict[str, t.Any] = {"applied": outcome.applied, "phases": outcome.phases, "msg": words(plan, outcome), "failed": bool(outcome.failures)}
    if outcome.downtime is not None:
        result["downtime_seconds"] = outcome.downtime
    return result


__all__ = ("ensure",)
