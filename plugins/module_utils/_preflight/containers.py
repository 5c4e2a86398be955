# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Containers that run and could not start again: a restart of the daemon is their end, so it is told before."""

from __future__ import annotations

import datetime
import os
import typing as t

from .._engine.container import Container, stop_seconds
from .._host.tcp_listeners import holders
from .._observe.state import State
from .._plan.plan import Plan
from .finding import NOTE, WARNING, Finding


def container_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """A sentence for each container that an earlier change left down, and for each that is stopped now and does not come back."""
    for gone in state.down:
        when = datetime.datetime.fromtimestamp(gone.at, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        sentence = f"Container {gone.name} is down since a change of {when}: {gone.why}"
        yield Finding("left-down", WARNING, sentence, f"Mend that and start it (docker start {gone.name}), or remove it (docker rm {gone.name}).")
    changes = any(plan.before.settings.get(key) != plan.after.settings.get(key) for key in ("log-driver", "log-opts"))
    kept = [one.name for one in state.inventory.containers.values() if changes and not one.has_logs_of(plan.after.settings)]
    if kept and plan.effect != "none":
        keep = "keeps the log settings that it was" if len(kept) == 1 else "keep the log settings that they were"
        sentence = f"{len(kept)} {'container' if len(kept) == 1 else 'containers'} {keep} made with: {', '.join(sorted(kept))}."
        yield Finding("log-settings", NOTE, sentence, "Create them again to have the new ones.")
    if plan.effect != "restart" and not plan.packages:
        return
    there = {name for one in state.inventory.containers.values() for name in (one.id, one.name)}
    running = [one for one in state.inventory.containers.values() if one.alive and not one.is_transient]
    taken = _taken_ports({port for one in running for port in one.ports})
    for one in running:
        for why, way in _reasons(one, there, taken):
            sentence = f"Container {one.name} runs, and will not start again behind the daemon's restart: {why}."
            yield Finding("cannot-restart", WARNING, sentence, f"{way} before, or be without it.")


def stop_words(state: State, plan: Plan) -> str:
    """How long the containers may take to stop, in a sentence; empty where none is stopped."""
    goes_on = plan.live_restore and not (plan.moves or plan.hides)
    seconds = 0 if goes_on else stop_seconds(state.inventory.containers.values())
    if seconds is None:
        return "Containers may take as long as they like to stop: one has no limit (its stop timeout is less than 0)."
    return f"Containers may take up to {seconds} s to stop." if seconds else ""


def _reasons(one: Container, there: t.Container[str], taken: t.Mapping[str, str]) -> t.Iterator[tuple[str, str]]:
    for need in one.needs:
        if need not in there:
            yield f"it uses the network, or another namespace, of container {need[:12]}, which is gone", "Create it again"
    for path in one.requires:
        if not os.path.exists(path):
            yield f"{path} on the host, which it was given, is gone", f"Bring {path} back"
    for port in one.ports:
        if port in taken:
            yield f"port {port} is taken by {taken[port]} by now", f"End {taken[port]}"


def _taken_ports(ports: set[str]) -> dict[str, str]:
    """Those of the ports on which somebody else than Docker listens, with who that is."""
    wanted = {port[len("tcp/") :] for port in ports if port.startswith("tcp/")}
    return {f"tcp/{address.rpartition(':')[2]}": who for address, who in (holders(wanted) if wanted else {}).items()}


__all__ = ("container_findings", "stop_words")
