# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Preflight: everything that can be known to go wrong, before anything is written."""

from __future__ import annotations

import typing as t

from .._errors import DrydockError
from .._host.host import Host
from .._host.mounts import points_below
from .._observe.state import State
from .._plan.order import steps_of
from .._plan.plan import Plan
from .._plan.planner import drop_in_problems
from .._plan.request import Request
from .._service.detect import service_of
from .addresses import address_findings, socket_findings
from .configuration import (
    command_findings,
    flag_findings,
    hidden_data_findings,
    key_findings,
    owner_findings,
    pending_findings,
    plugin_findings,
    root_findings,
    store_findings,
    validate,
)
from .containers import container_findings
from .finding import ERROR, WARNING, Finding, Forecast
from .forwarding import forwarding_findings
from .missing import drop_in_findings, missing_findings
from .move import move_findings
from .space import room_findings, space_findings
from .target import first_place_findings, path_findings
from .writable import file_findings


def preflight(
    host: Host, state: State, plan: Plan, request: Request, problems: t.Iterable[DrydockError], check_mode: bool
) -> tuple[list[Finding], Forecast | None]:
    """All findings, and the forecast of a move."""
    findings = [Finding(one.id, ERROR, one.sentence, one.hint) for one in (*problems, *drop_in_problems(state, plan.owners))]
    findings += list(owner_findings(state, plan, request))
    findings += list(key_findings(state, plan))
    findings += list(missing_findings(state, plan))
    findings += list(address_findings(state, plan, check_mode))
    findings += list(socket_findings(host, state, plan, request))
    findings += list(plugin_findings(state, plan))
    findings += list(command_findings(state, plan))
    findings += list(flag_findings(state, plan, request))
    findings += list(hidden_data_findings(state, plan, request))
    findings += list(root_findings(state, plan))
    findings += list(store_findings(state, plan))
    findings += list(forwarding_findings(host, plan))
    findings += list(pending_findings(state, plan, request))
    findings += list(dependent_findings(host, state, plan))
    findings += list(container_findings(state, plan))
    forecast = None
    for path, what in ((request.path, "Data root"), (request.containerd_path, "Root of containerd")):
        if path:
            findings += list(path_findings(path, what))
    if plan.effect == "start" and plan.after.data_root != state.data_root and not any(one.severity == ERROR for one in findings):
        findings += list(first_place_findings(host, state, plan.after.data_root, request))
    moves = plan.moves or plan.prepares
    if moves and not any(one.severity == ERROR for one in findings):
        findings += list(move_findings(host, state, moves, request))
        if not any(one.severity == ERROR for one in findings):
            forecast, space = space_findings(host, state, plan, moves)
            findings += space
    findings += list(stopped_findings(host, state, plan))
    if steps_of(plan):
        findings += list(room_findings(host))
        findings += list(file_findings(state, plan))
    for doomed in plan.doomed:
        for point in points_below(doomed.path, state.mounts):
            findings.append(Finding("mount-in-old", ERROR, f"{point} is mounted below {doomed.path}, which is to be removed.", "Unmount it first."))
    if plan.effect == "none" and plan.why and state.pid:
        findings.append(
            Finding(
                "restart-pending",
                WARNING,
                f"The running daemon does not have this in force: {'; '.join(plan.why)}.",
                "Run again with restart: auto, or restart it.",
            )
        )
    if not any(one.severity == ERROR for one in findings):
        findings += list(drop_in_findings(host, state, plan))
        findings += list(validate(host, state, plan, check_mode))
    # Two trees on one mount are told of it once.
    return list(dict.fromkeys(findings)), forecast


def stopped_findings(host: Host, state: State, plan: Plan) -> t.Iterator[Finding]:
    """A daemon that is down is not started by a change: whoever stopped it had a reason."""
    if not state.pid and plan.effect != "start" and not plan.moves and (plan.files or not steps_of(plan)):
        more = ": what is written comes into force when somebody starts it" if plan.files else ""
        sentence = f"The daemon does not run, and is not started{more}."
        yield Finding("daemon-stopped", WARNING, sentence, f"Start it: {service_of(host).start_command}.")


def dependent_findings(host: Host, state: State, plan: Plan) -> t.Iterator[Finding]:
    """Whom else the outage concerns."""
    if not state.pid or not (plan.effect == "restart" or plan.packages):
        return
    names = service_of(host).dependents()
    if names:
        depend = "depend" if len(names) > 1 else "depends"
        yield Finding("dependents", WARNING, f"{' and '.join(names)} {depend} on the daemon: stopped before it, and started again behind it.")


__all__ = ("preflight",)
