# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""One operation, from the lock to the result: the same for every module that changes something."""

from __future__ import annotations

import abc
import dataclasses
import typing as t

from .._errors import DrydockError, Refused, unexpected
from .._host.host import Host
from .._observe.paths import look_at_paths
from .._observe.state import State, observe
from .._plan.order import STOP, steps_of
from .._plan.plan import Plan, step_diff
from .._plan.planner import make_plan
from .._plan.request import Request
from .._preflight.checks import preflight
from .._preflight.containers import stop_words
from .._preflight.finding import ERROR, WARNING, Finding, Forecast
from .._transaction.journal import Journal
from .._transaction.lock import locked
from .._transaction.outcome import PreviousRun, error_with_previous, with_previous
from .._transaction.worker import perform, previous_run, under_way

Result = t.Dict[str, t.Any]
"""A module's result."""


@dataclasses.dataclass
class Operation(abc.ABC):
    """What one module wants to be done; what is special about it is a method here, and nothing calls back.

    :param host: the machine.
    :param check_mode: look and tell, and change nothing.
    :param run_id: of an action plugin's run that wants to follow the worker, empty to wait for its end here.
    """

    host: Host
    check_mode: bool
    run_id: str
    # The module's name, for whoever meets the lock.
    name: t.ClassVar[str]

    # What is special -------------------------------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def request(self) -> Request:
        """What is wanted."""

    def is_needed(self) -> bool:
        """Whether it has to look at the daemon at all."""
        return True

    def observe(self) -> State:
        """What the host does, as the plan has to take it."""
        return observe(self.host)

    def adapt(self, state: State, plan: Plan) -> Plan:
        """The plan of the request, with what the request does not say."""
        return plan

    def prune(self, plan: Plan, forecast: Forecast | None) -> Plan:
        """The plan without what preflight has found to be done already."""
        return plan

    def steps(self, state: State, plan: Plan) -> list[str]:
        """What is done, in words for people."""
        return steps_of(plan)

    def more_findings(self) -> list[Finding]:
        """What preflight cannot know."""
        return []

    def refusal(self, errors: list[Finding]) -> list[str]:
        """The words of a refusal; none where these errors are no reason for one."""
        return list(map(str, errors))

    def facts(self) -> Result:
        """What the result has beside what all have."""
        return {}

    def diff(self, plan: Plan, steps: list[str]) -> list[dict[str, str]]:
        """What ansible-playbook --diff shows."""
        return [step_diff(steps)] if steps else []

    @abc.abstractmethod
    def forecast_words(self, plan: Plan, steps: list[str], forecast: Forecast | None) -> str:
        """What would happen, for a person; there are steps."""

    def apply(self, state: State, plan: Plan, steps: list[str], result: Result, previous: PreviousRun) -> Result:
        """Do the steps, of which there are some; returns the module's result, or how to follow the worker that will have it."""
        return perform(self.host, plan, result, self.run_id, previous)

    def keep_records(self, state: State, plan: Plan) -> None:
        """There is nothing to do: note what is new to know all the same."""
        return

    # What is the same ------------------------------------------------------------------------------------------

    def run(self) -> Result:
        """Do it behind what an earlier run has left; check mode only looks, and waits for nobody.

        :returns: a module's result, or how to follow the worker that will have it.
        :raises Refused: preflight found errors; nothing was written.
        :raises DrydockError: it failed, and what was begun is undone; nothing else escapes.
        """
        try:
            self.host.needs_root()
            if self.check_mode:
                return self._run((False, ""))
            with locked(self.host, self.name):
                return under_way(self.host, self.run_id) or self._run(previous_run(self.host))
        except DrydockError:
            raise
        except Exception as exc:
            raise unexpected(exc) from exc

    def _run(self, previous: PreviousRun) -> Result:
        try:
            state, plan, steps, result = self._planned()
        except Exception as exc:
            # Whoever reads only this has to learn that an interrupted change was undone before.
            raise error_with_previous(previous, unexpected(exc)) from exc
        if self.check_mode:
            return result
        if state is None or plan is None or not steps:
            return with_previous(previous, result)
        return self.apply(state, plan, steps, result, previous)

    def _planned(self) -> tuple[State | None, Plan | None, list[str], Result]:
        """Look, and say what will be done: the state, the plan, its steps and the result so far.

        :raises Refused: preflight found errors.
        """
        if not self.is_needed():
            return None, None, [], self._result([], [], [])
        state = self.observe()
        self.host = self.host.reading(state.config_file or self.host.places.daemon_json)
        request, places = self.request, self.host.places
        paths = look_at_paths(state, request.path, request.containerd_path, request.state)
        plan, problems = make_plan(state, request, paths, places.units, places.daemon_json)
        plan = self.adapt(state, plan)
        findings, forecast = preflight(self.host, state, plan, request, problems, self.check_mode)
        plan = self.prune(plan, forecast)
        findings += [*self.more_findings(), *self._interrupted()]
        words = self.refusal([one for one in findings if one.severity == ERROR])
        if words:
            raise Refused(" ".join(words))
        steps = self.steps(state, plan)
        result = self._result(steps, findings, self.diff(plan, steps))
        if forecast:
            result["forecast"] = forecast.to_data()
        if plan.key_changes:
            result["keys"] = plan.key_changes
        if steps and self.check_mode:
            stop = stop_words(state, plan) if STOP in steps else ""
            result["msg"] = f"{self.forecast_words(plan, steps, forecast)} {stop}".rstrip()
        if not steps and not self.check_mode:
            self.keep_records(state, plan)
        return state, plan, steps, result

    def _interrupted(self) -> list[Finding]:
        """Without check mode it was recovered before."""
        if not (self.check_mode and Journal(self.host).is_open):
            return []
        return [Finding("interrupted", WARNING, "An interrupted change is still open; the next run recovers it first.")]

    def _result(self, steps: list[str], findings: list[Finding], diff: list[dict[str, str]]) -> Result:
        told = [one.to_data() for one in findings]
        return {"changed": bool(steps), "plan": steps, "findings": told, "applied": "none", "diff": diff, "msg": "Nothing to do.", **self.facts()}


__all__ = ("Operation", "Result")
