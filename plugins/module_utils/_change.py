# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What the changing modules share: recover, observe, plan, preflight, then the transaction; and the result for people."""

from __future__ import annotations

import os
import typing as t

from . import _worker
from ._errors import Refused
from ._host import Host
from ._journal import Journal
from ._observe import State, observe
from ._outcome import Outcome, words
from ._plan import Plan, Request, describe, make_plan
from ._preflight import ERROR, WARNING, Finding, Forecast, preflight
from ._transaction import locked, settle
from ._tree import human


def change(host: Host, request: Request, what: str, check_mode: bool) -> dict[str, t.Any]:
    """Bring a host to what is requested; returns a module's result.

    :param what: the module's name, for whoever meets the lock.
    :raises Refused: preflight found errors; nothing was written.
    :raises DrydockError: it failed, and what was begun is undone.
    """
    if check_mode:
        return _change(host, request, check_mode=True)
    with locked(host, what):
        earlier = _worker.earlier_run(host)
        result = _change(host, request, check_mode=False)
    return _worker.mention(earlier, result)


def _change(host: Host, request: Request, check_mode: bool) -> dict[str, t.Any]:
    state = observe(host)
    plan, problems = make_plan(state, request, host.places.units, host.places.daemon_json)
    findings, forecast = preflight(host, state, plan, request, problems, check_mode)
    journal = Journal(host)
    if check_mode and journal.is_open:
        findings.append(Finding("interrupted", WARNING, "An interrupted change is still open; the next run recovers it first."))
    errors = [one for one in findings if one.severity == ERROR]
    if errors:
        raise Refused(" ".join(str(one) for one in errors))
    result = {
        "changed": bool(plan.steps),
        "plan": plan.steps,
        "findings": [one.to_data() for one in findings],
        "applied": "none",
        "diff": diff(plan),
        "msg": _forecast_words(plan, forecast) if check_mode else "Nothing to do.",
    }
    if forecast:
        result["forecast"] = {"bytes": forecast.bytes, "files": forecast.files}
    if check_mode:
        return result
    if not plan.steps:
        if _bookkeeping_differs(state, plan):
            settle(host, plan)
        return result
    result.update(_outcome_data(plan, _worker.perform(host, plan)))
    return result


def _bookkeeping_differs(state: State, plan: Plan) -> bool:
    """Adopting what already is so changes nothing on the host; only our notes say whose it is now."""
    return (state.owners, state.marker) != (plan.owners, plan.marker)


def _outcome_data(plan: Plan, outcome: Outcome) -> dict[str, t.Any]:
    data: dict[str, t.Any] = {"applied": outcome.applied, "msg": words(plan, outcome), "phases": outcome.phases}
    if outcome.downtime is not None:
        data["downtime_seconds"] = outcome.downtime
    if plan.move:
        data.update(bytes=outcome.bytes, files=outcome.files, kept=outcome.kept)
    if outcome.failures:
        data["failed"] = True
    return data


def _forecast_words(plan: Plan, forecast: Forecast | None) -> str:
    if not plan.steps:
        return "Nothing to do."
    if plan.move and forecast:
        return f"Would move {human(forecast.bytes)} in {forecast.files:,} files from {plan.move.source} to {plan.move.target} and restart the daemon."
    effect = {"none": "not touch the daemon", "reload": "reload the daemon", "restart": "restart the daemon"}[plan.effect]
    return f"Would write {', '.join(os.path.basename(change.path) for change in plan.files) or 'nothing'} and {effect}."


def diff(plan: Plan) -> list[dict[str, str]]:
    """The files and the plan, as ansible-playbook --diff shows them."""
    if not plan.steps:
        return []
    files = [{"before_header": one.path, "after_header": one.path, "before": one.before or "", "after": one.after or ""} for one in plan.files]
    return [*files, {"before_header": "steps", "after_header": "steps", "before": "", "after": describe(plan)}]


__all__ = ("change", "diff")
