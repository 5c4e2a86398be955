# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A container that has to be made anew: when the new one cannot be, or Ansible dies in the middle, the old one is there."""

from __future__ import annotations

import os
import signal
import subprocess
import typing as t

import pytest
from policies import OBEY, SQUAT, inspect, picture, role, variables_of
from running import start_playbook, wait_for

SHOP = {"name": "shop", "image": "lab:app", "command": OBEY, "restart_policy": "always", "volumes": ["/data"], "ports": ["7791:80"], "stop_timeout": 1}
# As the module names it, so that what a killed run leaves can be planted.
ASIDE = "shop.set-aside.always.0.running"


@pytest.fixture
def shop(host: t.Any) -> dict[str, t.Any]:
    """One with something precious in a volume without a name. Each test leaves it as it was."""
    if "shop" not in picture(host):
        play = role(host, SHOP)
        assert not play.failed, play.message
        host.check_output("docker exec shop sh -c 'echo precious >/data/db'")
    return inspect(host, "shop")


def some(cases: dict[str, tuple[t.Any, ...]], *quick: str) -> list[t.Any]:
    """All, of which make test takes these."""
    return [pytest.param(*case, id=name, marks=() if name in quick else pytest.mark.extra) for name, case in cases.items()]


def stays(host: t.Any, shop: dict[str, t.Any]) -> None:
    """It is the same container, with all it had, and nothing else is left."""
    now = inspect(host, "shop")
    assert (now["Id"], now["State"]["Status"], now["HostConfig"]["RestartPolicy"]) == (shop["Id"], "running", shop["HostConfig"]["RestartPolicy"])
    assert host.check_output("docker exec shop cat /data/db") == "precious"
    assert now["NetworkSettings"]["Ports"] == shop["NetworkSettings"]["Ports"]


SLIPS = {
    "command": ({"command": ["/no/such/command"]}, "no such file or directory", True),
    "port": ({"ports": ["7790:80"]}, "address already in use", True),
    "mount": ({"mounts": [{"type": "bind", "source": "/no/such/place", "target": "/x"}]}, "/no/such/place", False),
    "network": ({"network_mode": "no-such-network"}, "no-such-network not found", True),
    "health": (
        {"state": "healthy", "healthy_wait_timeout": 2, "healthcheck": {"test": ["CMD", "false"], "interval": "1s", "retries": 1}},
        "Timeout of 2.0 seconds",
        True,
    ),
}


@pytest.mark.parametrize(("change", "words", "is_stopped"), some(SLIPS, "command", "mount"))
def test_the_old_one_is_back_when_the_new_one_does_not_start(host: t.Any, shop: dict[str, t.Any], change: t.Any, words: str, is_stopped: bool) -> None:
    host.check_output(SQUAT)
    before, volumes = picture(host), set(host.check_output("docker volume ls --quiet").split())
    play = role(host, {**SHOP, **change})
    host.check_output("systemctl stop squatter")
    assert play.failed
    assert "Container shop could not be made anew as it is listed, so the old one is back and runs as it did: " in play.message
    assert words in play.message
    stays(host, shop)
    now = picture(host)
    assert (now["shop"] == before["shop"]) is not is_stopped
    assert {name: one for name, one in now.items() if name != "shop"} == {name: one for name, one in before.items() if name != "shop"}
    assert change.get("state") or set(host.check_output("docker volume ls --quiet").split()) == volumes


@pytest.mark.parametrize("state", ["stop", pytest.param("pause", marks=pytest.mark.extra)])
def test_the_old_one_is_back_as_it_was(host: t.Any, shop: dict[str, t.Any], state: str) -> None:
    host.check_output(f"docker {state} shop")
    before = inspect(host, "shop")["State"]["Status"]
    assert role(host, {**SHOP, "command": ["/no/such/command"]}).failed
    assert (inspect(host, "shop")["Id"], inspect(host, "shop")["State"]["Status"]) == (shop["Id"], before)
    host.check_output("docker unpause shop || docker start shop")


def test_what_is_wrong_with_the_second_is_told_before_the_first_is_touched(host: t.Any, shop: dict[str, t.Any]) -> None:
    before = picture(host)
    web = {"name": "second", "image": "lab:app", "command": OBEY}
    rounds = (
        ({"name": "x"}, {"name": "a b"}, {"name": "twice"}, {"name": "twice"}),
        ({"image": "lab:nowhere", "pull": "never"}, {"name": "third", "ports": ["7791:81"]}),
        ({"imge": "lab:app"}, {"name": "third", "memory": "much"}, {"name": "fourth", "ports": {"80": 80}}, {"name": "fifth", "state": "runing"}),
    )
    told = (
        ("Container x has a name", "Container a b has a name", "Container twice is listed twice"),
        ("Image lab:nowhere of container second is not there", "Container shop publishes port 7791/tcp, which container third has"),
        ("Container second: ", "imge", "Container third: ", "much", "Container fourth: ", "ports", "Container fifth: ", "runing"),
    )
    for wrong, words in zip(rounds, told):
        play = role(host, {**SHOP, "env": {"A": "b"}}, *({**web, **one} for one in wrong))
        assert play.failed
        assert [one for one in words if one not in play.message] == []
        assert picture(host) == before


# What a run leaves that is killed: commands, and whether the new one is kept.
MOMENTS = {
    "renamed": (f"docker rename shop {ASIDE}", False),
    "created": (f"docker rename shop {ASIDE} && docker create --name shop lab:app sh", False),
    "stopped": (f"docker rename shop {ASIDE} && docker create --name shop lab:app sh && docker update --restart no {ASIDE} && docker stop {ASIDE}", False),
    "fails": (f"docker rename shop {ASIDE} && docker update --restart no {ASIDE} && docker stop {ASIDE} && ! docker run --name shop lab:app false", False),
    "done": (f"docker rename shop {ASIDE} && docker update --restart no {ASIDE} && docker stop {ASIDE} && docker run -d --name shop lab:app sleep 1d", True),
}


@pytest.mark.parametrize(("commands", "is_kept"), some(MOMENTS, "stopped", "done"))
def test_what_a_killed_run_left_is_made_good(host: t.Any, shop: dict[str, t.Any], commands: str, is_kept: bool) -> None:
    host.check_output(commands)
    left = picture(host)
    # With a list that says nothing of it.
    assert role(host, check=True).changed
    assert picture(host) == left
    play = role(host)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert ASIDE not in picture(host)
    if is_kept:
        assert picture(host)["shop"] == left["shop"]
        host.check_output("docker rm --force shop")
    else:
        stays(host, shop)


def children(pid: int) -> list[int]:
    found = [int(one) for one in subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], stdout=subprocess.PIPE, check=False).stdout.split()]
    return [*found, *(one for child in found for one in children(child))]


def test_two_do_not_run_when_ansible_dies_in_the_middle(host: t.Any) -> None:
    deaf = {**SHOP, "command": ["sh", "-c", "while :; do sleep 1; done"], "stop_timeout": 4}
    host.run("docker rm --force --volumes shop")
    assert not role(host, deaf).failed
    host.check_output("docker exec shop sh -c 'echo precious >/data/db'")
    before = inspect(host, "shop")
    process = start_playbook("trixie", "containers", variables_of({**deaf, "command": OBEY}))
    wait_for(lambda: {ASIDE, "shop"} <= set(picture(host)), "the new one")
    for pid in [process.pid, *children(process.pid)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    wait_for(lambda: inspect(host, ASIDE)["State"]["Status"] == "exited", "the end of the old one")
    host.check_output("systemctl restart docker")
    assert not {inspect(host, name)["State"]["Running"] for name in ("shop", ASIDE)} & {True}
    play = role(host, deaf)
    assert (play.failed, play.changed) == (False, 1), play.message
    stays(host, before)
    assert role(host, deaf).changed == 0
    host.check_output("docker rm --force --volumes shop")
