# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Another version of the engine, in the one transaction: what ran runs again, and what does not come up is taken back."""

from __future__ import annotations

import dataclasses
import typing as t

from . import _worker
from ._errors import Refused
from ._host import Host
from ._observe import observe
from ._packages import find_upgrade, upstream
from ._plan import Request, make_plan, step_diff
from ._preflight import ERROR, WARNING, Finding, preflight


def upgrade(host: Host, packages: t.Sequence[str], version: str, ready_timeout: int, check_mode: bool, run: str = "") -> dict[str, t.Any]:
    """Bring the engine to a version; returns a module's result, or how to follow the worker that will have it.

    :param packages: the engine's, that of the daemon first.
    :param version: as the package manager has it, a pattern too; empty for the newest.
    :raises Refused: the new engine would not take the configuration; nothing was done.
    """
    return _worker.one_at_a_time(
        host, "engine_upgrade", check_mode, run, lambda earlier: _upgrade(host, packages, version, ready_timeout, check_mode, earlier, run)
    )


def _upgrade(host: Host, packages: t.Sequence[str], version: str, ready_timeout: int, check_mode: bool, earlier: _worker.Earlier, run: str) -> dict[str, t.Any]:
    found = find_upgrade(host, packages, version)
    result: dict[str, t.Any] = {"changed": bool(found.after), "plan": [], "findings": [], "applied": "none", "diff": [], "msg": "Nothing to do."}
    result.update(before=found.before, after=found.after)
    if not found.after:
        return _worker.mention(earlier, result)
    state = observe(host)
    request = Request(ready_timeout=ready_timeout)
    new = upstream(found.after.get(packages[0], ""))
    # What the new engine would take is judged, not what the old one does.
    judged = dataclasses.replace(state, engine_version=new) if new else state
    plan, problems = make_plan(judged, request, host.places.units, host.places.daemon_json)
    plan = dataclasses.replace(plan, packages=found, effect="restart" if state.pid else "none")
    findings, _forecast = preflight(host, judged, plan, request, problems, check_mode)
    if not found.back:
        findings.append(Finding("no-way-back", WARNING, f"The package manager has no {' and '.join(found.before)} of the old version any more."))
    errors = [one for one in findings if one.severity == ERROR]
    if errors:
        raise Refused(
            " ".join([*([earlier[1]] if earlier[1] else []), f"The engine stays as it is, because {new or 'the new one'} would not do:", *map(str, errors)])
        )
    result.update(
        plan=plan.steps,
        findings=[one.to_data() for one in findings],
        diff=[step_diff(plan.steps)],
        msg=f"Would bring {found}{' and restart the daemon' if state.pid else ''}.",
    )
    return _worker.mention(earlier, result) if check_mode else _worker.perform(host, plan, result, run, earlier)


__all__ = ("upgrade",)
