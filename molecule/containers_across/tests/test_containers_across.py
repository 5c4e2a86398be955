# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Containers under each restart policy across a restart, a kill of the host and a move."""

from __future__ import annotations

import subprocess
import typing as t

import pytest
from policies import FLAP, LISTED, inspect, kill_process, picture, reaches, role, say, watch
from running import boot, run_module, run_playbook, wait_for


def restart(host: t.Any) -> None:
    assert run_module(host, "state=restarted force=true", "daemon_state")["changed"]


def kill_host(host: t.Any) -> None:
    subprocess.run(["docker", "kill", host.ansible.get_variables()["ansible_host"]], check=True, stdout=subprocess.DEVNULL)
    boot(host)


def relocate(host: t.Any) -> None:
    play = run_playbook(host, "relocate", {"docker_data_root_path": "/mnt/data/docker"})
    assert not play.failed, play.message
    assert host.check_output("docker info --format '{{.DockerRootDir}}'") == "/mnt/data/docker"


@pytest.fixture(autouse=True)
def flap(host: t.Any) -> None:
    """One that never stays up is among them."""
    if "flap" not in picture(host):
        assert role(host, FLAP).failed


@pytest.mark.parametrize("event", [restart, kill_host, pytest.param(relocate, marks=pytest.mark.extra)])
def test_policies_hold_across_an_event(host: t.Any, event: t.Callable[[t.Any], None]) -> None:
    assert say(host, f"before {event.__name__}") == f"before {event.__name__}"
    host.check_output("docker stop --time 1 by-hand")
    before = picture(host)
    event(host)

    def up(name: str) -> bool:
        return bool(inspect(host, name)["State"]["Running"])

    wait_for(lambda: all(up(name) for name in ("keep", "echo", "from-archive")), "their restart")
    now = picture(host)
    assert {name: one[0] for name, one in now.items()} == {name: one[0] for name, one in before.items()}
    assert {name: now[name] for name in ("once", "done", "by-hand")} == {name: before[name] for name in ("once", "done", "by-hand")}
    assert now["by-hand"][1] == "exited"
    assert all(now[name][2] != before[name][2] for name in ("keep", "echo", "from-archive"))

    wait_for(lambda: reaches(host), "the echo service")
    line = f"behind {event.__name__}"
    assert say(host, line) == line
    logged = host.check_output("docker logs echo")
    assert line in logged
    assert f"before {event.__name__}" in logged

    states, counts, ids = watch(host, "flap", 3)
    assert "restarting" in states
    assert counts[-1] >= 1
    assert ids == {before["flap"][0]}
    given_up = role(host, {**FLAP, "name": "gives-up", "restart_policy": "on-failure", "restart_retries": 3}, settle_time=5)
    assert "exited, exit code 3, restarted 3 times, policy on-failure." in given_up.message
    host.check_output("docker rm gives-up")
    kill_process(host, "keep")
    wait_for(lambda: inspect(host, "keep")["RestartCount"] == 1 and up("keep"))
    play = role(host, *(one for one in LISTED if one["name"] != "by-hand"))
    # That restart was before the play.
    assert (play.failed, play.changed) == (False, 0), play.message
    # The list says that it runs, whoever stopped it.
    assert role(host, *(one for one in LISTED if one["name"] == "by-hand")).changed
    assert up("by-hand")
