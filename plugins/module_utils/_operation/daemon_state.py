# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Stop, start, reload and restart the daemon so that it keeps what runs. Module daemon_state."""

from __future__ import annotations

import dataclasses
import typing as t

from .._engine.api import Engine
from .._observe.state import State
from .._plan.order import START, STOP, steps_of
from .._plan.plan import Plan
from .._plan.request import Request
from .._preflight.finding import Finding, Forecast
from .._service.detect import service_of
from .._transaction.outcome import PreviousRun, with_previous
from .operation import Operation, Result


@dataclasses.dataclass
class StateChange(Operation):
    """Another state of the daemon.

    :param wanted: stopped, started, reloaded or restarted (only when something is pending, or forced).
    :param ready_timeout: seconds that the daemon may take to answer after a start.
    """

    wanted: str
    force: bool
    ready_timeout: int
    name: t.ClassVar[str] = "daemon_state"

    @property
    def request(self) -> Request:
        # What is pending is what this is for.
        return Request(ready_timeout=self.ready_timeout, restart="always")

    def adapt(self, state: State, plan: Plan) -> Plan:
        return dataclasses.replace(plan, effect=self._effect(state))

    def _effect(self, state: State) -> str:
        effects = {"restarted": "restart", "reloaded": "reload"}
        return effects.get(self.wanted, "none") if state.pid and (self.force or state.pending) else "none"

    def steps(self, state: State, plan: Plan) -> list[str]:
        if self.wanted == "stopped":
            return [STOP] if state.pid else []
        if not state.pid:
            return [START]
        return steps_of(plan) if plan.effect != "none" else []

    def refusal(self, errors: list[Finding]) -> list[str]:
        # What is wrong with its configuration is no reason to let it run.
        return [] if self.wanted == "stopped" else super().refusal(errors)

    def forecast_words(self, plan: Plan, steps: list[str], forecast: Forecast | None) -> str:
        return f"Would {', '.join(steps)}."

    def apply(self, state: State, plan: Plan, steps: list[str], result: Result, previous: PreviousRun) -> Result:
        if steps not in ([STOP], [START]):
            return super().apply(state, plan, steps, result, previous)
        service = service_of(self.host)
        if steps == [STOP]:
            service.stop()
            return with_previous(previous, {**result, "msg": "Stopped the daemon and its socket."})
        service.start(self.ready_timeout)
        Engine(plan.after.socket or "/var/run/docker.sock").get("/info")
        return with_previous(previous, {**result, "msg": "Started the daemon."})


__all__ = ("StateChange",)
