# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What the changing modules share: recover, observe, plan, preflight, then the transaction; and the result for people."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from . import _worker
from ._errors import Refused
from ._host import Host
from ._journal import Journal
from ._observe import State, observe
from ._plan import Plan, Request, make_plan, step_diff
from ._preflight import ERROR, WARNING, Finding, Forecast, preflight
from ._transaction import settle
from ._tree import human


def change(host: Host, request: Request, what: str, check_mode: bool, run: str = "") -> dict[str, t.Any]:
    """Bring a host to what is requested; returns a module's result, or how to follow the worker that will have it.

    :param what: the module's name, for whoever meets the lock.
    :param run: the id of an action plugin's run that wants to follow the worker, empty to wait for its end here.
    :raises Refused: preflight found errors; nothing was written.
    :raises DrydockError: it failed, and what was begun is undone.
    """
    return _worker.one_at_a_time(host, what, check_mode, run, lambda earlier: _change(host, request, check_mode, earlier, run))


def _change(host: Host, request: Request, check_mode: bool, earlier: _worker.Earlier, run: str) -> dict[str, t.Any]:
    state = observe(host)
    plan, problems = make_plan(state, request, host.places.units, host.places.daemon_json)
    findings, forecast = preflight(host, state, plan, request, problems, check_mode)
    if plan.prepares and forecast and not forecast.changed_files:
        plan = dataclasses.replace(plan, prepares=())
    journal = Journal(host)
    if check_mode and journal.is_open:
        findings.append(Finding("interrupted", WARNING, "An interrupted change is still open; the next run recovers it first."))
    errors = [one for one in findings if one.severity == ERROR]
    if errors:
        raise Refused(" ".join([*([earlier[1]] if earlier[1] else []), *map(str, errors)]))
    result = {
        "changed": bool(plan.steps),
        "plan": plan.steps,
        "findings": [one.to_data() for one in findings],
        "applied": "none",
        "diff": diff(plan),
        "msg": _forecast_words(plan, forecast) if check_mode else "Nothing to do.",
    }
    if forecast:
        result["forecast"] = forecast.to_data()
    if check_mode:
        return result
    if not plan.steps:
        if _bookkeeping_differs(state, plan):
            settle(host, plan)
        return _worker.mention(earlier, result)
    return _worker.perform(host, plan, result, run, earlier)


def _bookkeeping_differs(state: State, plan: Plan) -> bool:
    """Adopting what already is so changes nothing on the host; only our notes say whose it is now."""
    ours = (plan.owners, plan.marker, plan.containerd_marker, plan.history)
    return (state.owners, state.marker, state.containerd_marker, state.history) != ours or bool(state.rewritten)


def _forecast_words(plan: Plan, forecast: Forecast | None) -> str:
    if not plan.steps:
        return "Nothing to do."
    if plan.moves and forecast:
        how = "rename" if all(move.rename for move in plan.moves) else "move"
        places = " and ".join(f"from {move.source} to {move.target}" for move in plan.moves)
        return f"Would {how} {human(forecast.bytes)} in {forecast.files:,} files {places} and restart the daemon."
    if plan.prepares and forecast:
        targets = " and ".join(move.target for move in plan.prepares)
        return f"Would copy {human(forecast.changed_bytes)} in {forecast.changed_files:,} files to {targets} while everything runs."
    if plan.doomed:
        return f"Would remove {', '.join(one.path for one in plan.doomed)}."
    effects = {"reload": "reload the daemon", "restart": "restart the daemon", "start": "start the daemon for the first time"}
    files = ", ".join(os.path.basename(change.path) for change in plan.files) or "nothing"
    return f"Would write {files} and {effects.get(plan.effect, 'not touch the daemon')}."


def diff(plan: Plan) -> list[dict[str, str]]:
    """The files and the plan, as ansible-playbook --diff shows them."""
    if not plan.steps:
        return []
    files = [{"before_header": one.path, "after_header": one.path, "before": one.before or "", "after": one.after or ""} for one in plan.files]
    return [*files, step_diff(plan.steps)]


__all__ = ("change", "diff")
