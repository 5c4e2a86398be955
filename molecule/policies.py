# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the scenarios of role docker_containers share: run the role, and look at what it made."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import time
import typing as t

import yaml
from running import Play, address, run_playbook

LISTED = yaml.safe_load((pathlib.Path(__file__).parent / "containers" / "vars" / "list.yml").read_text())["docker_containers_list"]
# A process that has a port on one address only, which nobody can tell from outside of the engine's own start.
SQUAT = "systemd-run --quiet --collect --unit=squatter python3 -c \"import socket, time; s = socket.create_server(('127.0.0.1', 7790)); time.sleep(600)\""
OBEY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"]
FLAP = {"name": "flap", "image": "lab:app", "command": ["sh", "-c", "echo going down; exit 3"], "restart_policy": "always"}


def role(host: t.Any, *containers: dict[str, t.Any], check: bool = False, **variables: t.Any) -> Play:
    """Run the role for these containers, by the collection's own playbook."""
    return run_playbook(host, "containers", variables_of(*containers, **variables), check=check)


def variables_of(*containers: dict[str, t.Any], **variables: t.Any) -> dict[str, t.Any]:
    short = {name: value for name, value in {"settle_time": "2", "list": list(containers), **variables}.items() if value is not None}
    return {f"docker_containers_{name}": value for name, value in short.items()}


def inspect(host: t.Any, name: str) -> dict[str, t.Any]:
    return json.loads(host.check_output("docker inspect %s", name))[0]


def picture(host: t.Any) -> dict[str, tuple[t.Any, ...]]:
    """All containers with what shows that nobody touched them."""
    rows = json.loads(host.check_output("docker inspect $(docker ps --all --quiet)"))
    return {one["Name"].lstrip("/"): (one["Id"], one["State"]["Status"], one["State"]["StartedAt"]) for one in rows}


def say(host: t.Any, line: str) -> str:
    """Send a line to the echo service and return what comes back."""
    with socket.create_connection((address(host), 7777), timeout=10) as connection, connection.makefile("rw") as stream:
        stream.write(f"{line}\n")
        stream.flush()
        return stream.readline().rstrip("\n")


def watch(host: t.Any, name: str, seconds: float) -> tuple[set[str], list[int], set[str]]:
    """States, restart counts and ids that a container shows within that time."""
    states, counts, ids, until = set(), [], set(), time.monotonic() + seconds
    while time.monotonic() < until:
        one = inspect(host, name)
        states.add(one["State"]["Status"])
        counts.append(one["RestartCount"])
        ids.add(one["Id"])
    return states, counts, ids


def entries(host: t.Any, name: str) -> int:
    return len(host.check_output("docker ps --all --quiet --filter name=^/%s$", name).split())


def kill_process(host: t.Any, name: str) -> None:
    """What a crash is: nobody asked the daemon for it."""
    host.check_output("kill -9 %s", str(inspect(host, name)["State"]["Pid"]))


def reaches(host: t.Any) -> bool:
    with contextlib.suppress(OSError):
        return say(host, "hello") == "hello"
    return False
