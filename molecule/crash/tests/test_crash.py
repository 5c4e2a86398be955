# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The worker, or the module that waits for it, is killed for real; nobody comes; then the next run finishes."""

from __future__ import annotations

import json
import os
import subprocess
import time
import typing as t

import pytest

from conftest import as_it_was

WRITE_DROP_IN = "write /etc/systemd/system/docker.service.d/zz-drydock-data-root.conf"
STEPS = ["warm copy", "hold", "stop", "final copy", WRITE_DROP_IN, "write /etc/docker/daemon.json", "commit", "start", "prove", "release", "finish"]


def snapshot(host: t.Any) -> dict[str, t.Any]:
    return json.loads(host.check_output("lab-host snapshot"))


def other(root: str) -> str:
    """Where to move next."""
    return "/mnt/data/docker-1" if root.endswith("0") else "/mnt/data/docker-0"


def start_move(host: t.Any, target: str) -> subprocess.Popen[str]:
    """Run the module as a playbook would."""
    variables = host.ansible.get_variables()
    inventory = host.backend.ansible_inventory
    words = ["ansible", "--inventory", inventory, variables["inventory_hostname"], "--module-name", "drydock.dockerd.data_root", "--args", f"path={target}"]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def move(host: t.Any, target: str) -> dict[str, t.Any]:
    """Run the module and wait; returns its result."""
    process = start_move(host, target)
    out, _nothing = process.communicate()
    return {"failed": process.returncode != 0, **json.loads(out.rpartition(" => ")[2])}


def wait_for(done: t.Callable[[], bool]) -> None:
    for _second in range(120):
        if done():
            return
        time.sleep(0.5)
    raise AssertionError("did not happen within 60 s")


def assert_all_is_there(now: dict[str, t.Any], before: dict[str, t.Any]) -> None:
    assert as_it_was(now) == as_it_was(before)
    assert now["volumes"] == before["volumes"]
    assert now["images"] == before["images"]
    assert now["networks"] == before["networks"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_worker_is_recovered_at_once_and_the_next_run_finishes(host: t.Any, before: dict[str, t.Any], step: str) -> None:
    old = snapshot(host)["root"]
    new = other(old)
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host kill-at %s", step)
    result = move(host, new)

    assert result["failed"]
    assert "The worker was killed. An interrupted change was " in result["msg"]
    now = snapshot(host)
    assert now["root"] in (old, new)
    assert_all_is_there(now, before)
    assert not host.file("/var/lib/drydock/dockerd/journal").exists

    again = move(host, new)
    assert not again["failed"], again["msg"]
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)


def test_killed_module_leaves_the_worker_alone_and_the_next_run_tells_its_end(host: t.Any, before: dict[str, t.Any]) -> None:
    new = other(snapshot(host)["root"])
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host kill-module-at stop")
    assert move(host, new)["failed"]

    again = move(host, new)
    assert not again["failed"], again["msg"]
    assert "An earlier run" in again["msg"]
    assert "Moved" in again["msg"]
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)


@pytest.mark.parametrize("step", ["hold", "final copy", WRITE_DROP_IN, "write /etc/docker/daemon.json", "commit", "start", "release", "finish"])
def test_killed_host_comes_up_on_a_complete_root_and_the_next_run_finishes(host: t.Any, before: dict[str, t.Any], step: str) -> None:
    name = host.ansible.get_variables()["ansible_host"]
    old = snapshot(host)["root"]
    new = other(old)
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host freeze-at %s", step)
    process = start_move(host, new)
    wait_for(lambda: host.run("test -e /run/lab-frozen").rc == 0)
    subprocess.run(["docker", "kill", name], check=True, stdout=subprocess.DEVNULL)
    process.communicate()
    subprocess.run(["docker", "start", name], check=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: host.run("docker info").rc == 0)

    now = snapshot(host)
    committed = step in ("start", "release", "finish")
    assert now["root"] == (new if committed else old)
    assert {one: value["id"] for one, value in now["containers"].items()} == {one: value["id"] for one, value in before["containers"].items()}
    assert (now["volumes"], now["images"], now["networks"]) == (before["volumes"], before["images"], before["networks"])
    assert now["containers"]["beat"]["state"] == "running"
    assert host.file("/var/lib/drydock/dockerd/journal").exists is committed

    again = move(host, new)
    assert not again["failed"], again["msg"]
    # As after any boot, these stay down until somebody starts them; here the test does.
    host.check_output("docker start no-policy joined on-failure && { docker pause paused || true; }")
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)


def test_nothing_is_left_over(host: t.Any) -> None:
    assert host.check_output("find /run/systemd /etc/systemd -name '*drydock*' ! -name zz-drydock-data-root.conf") == ""
