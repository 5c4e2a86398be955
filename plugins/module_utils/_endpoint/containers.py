# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The containers, images and names that a daemon has, as containers_info tells them."""

from __future__ import annotations

import json
import typing as t

from .._engine.api import Engine
from .._engine.container import Container, inspect_containers, to_container
from .._engine.container_logs import last_lines
from .._engine.describe import describe_container
from .._engine.timestamps import seconds


def describe_containers(engine: Engine, names: t.Container[str] | None, log_lines: int) -> list[dict[str, t.Any]]:
    """The containers of a daemon, or those of these names, each with its labels, its published ports and what its health check said last."""
    found = []
    for raw in inspect_containers(engine, names):
        one = to_container(raw)
        described = describe_container(one, last_lines(engine, [one], log_lines).get(one.id, []))
        if one.state in ("running", "paused") and one.restart_count:
            described["exit_code"] = _last_exit_code(engine, one)
        found.append({**described, "labels": raw["Config"].get("Labels") or {}, "ports": published(raw), "health_output": _health_output(raw)})
    return sorted(found, key=lambda one: str(one["name"]))


def _last_exit_code(engine: Engine, one: Container) -> int:
    """How it ended last time, of which the engine keeps nothing once it runs again but for a line among its last events."""
    only = json.dumps({"type": ["container"], "event": ["die"], "container": [one.id]})
    until = f"{seconds(engine.get('/info')['SystemTime']):.6f}"
    lines = engine.get_bytes("/events", since=1, until=until, filters=only).splitlines()
    return int(json.loads(lines[-1])["Actor"]["Attributes"].get("exitCode", 0)) if lines else one.exit_code


def _health_output(raw: t.Mapping[str, t.Any]) -> str:
    log = (raw["State"].get("Health") or {}).get("Log") or [{}]
    return " ".join((log[-1].get("Output") or "").split())


def published(raw: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """Ports of the host that a container asks for, as C(ip), C(port) and C(protocol). Pure."""
    return [
        {"ip": binding.get("HostIp") or "", "port": binding["HostPort"], "protocol": inner.partition("/")[2] or "tcp"}
        for inner, bindings in sorted((raw["HostConfig"].get("PortBindings") or {}).items())
        for binding in bindings or []
        if binding.get("HostPort")
    ]


def images_of(engine: Engine) -> list[dict[str, t.Any]]:
    """The images of a daemon, each with its id and all names that it is called by."""
    return [{"id": one["Id"], "names": [*(one.get("RepoTags") or []), *(one.get("RepoDigests") or [])]} for one in engine.get("/images/json")]


def names_of(engine: Engine) -> dict[str, list[str]]:
    """The names of a daemon's volumes and networks."""
    return {
        "volumes": sorted(one["Name"] for one in engine.get("/volumes").get("Volumes") or []),
        "networks": sorted(one["Name"] for one in engine.get("/networks")),
    }


def unsettled(containers: t.Iterable[t.Mapping[str, t.Any]], now: str, settle_time: float) -> float:
    """Seconds until each of these that is alive has run for so long. Pure.

    One that ended has nothing more to show; one that waits for its next start has yet to run at all.
    """
    rest = [0.0]
    for one in containers:
        if one["state"] == "restarting":
            rest.append(settle_time)
        elif one["state"] in ("running", "paused"):
            rest.append(settle_time - (seconds(now) - seconds(one["started_at"])))
    return min(max(rest), settle_time)


__all__ = (
    "describe_containers",
    "images_of",
    "names_of",
    "published",
    "unsettled",
)
