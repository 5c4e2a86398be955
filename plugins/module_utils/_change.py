# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What the changing modules share: recover, observe, plan, preflight, then the transaction; and the result for people."""

from __future__ import annotations

import os
import typing as t

from ._errors import Refused
from ._host import Host
from ._journal import Journal
from ._observe import State, observe
from ._plan import Plan, Request, describe, make_plan
from ._preflight import ERROR, WARNING, Finding, Forecast, preflight
from ._transaction import Outcome, Transaction, locked, recover, settle
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
        recovered = recover(host)
        result = _change(host, request, check_mode=False)
    if recovered:
        result["changed"] = True
        result["msg"] = f"{recovered} {result['msg']}"
    return result


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
    journal.create(plan.to_data())
    outcome = Transaction(host, plan, journal).run()
    result.update(_outcome_data(plan, outcome))
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


__all__ = ("change", "diff", "words")
