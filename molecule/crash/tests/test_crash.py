# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The worker, or the module that waits for it, is killed for real; nobody comes; then the next run finishes."""

from __future__ import annotations

import os
import subprocess
import typing as t

import pytest
from running import assert_a_killed_worker_is_recovered, assert_all_is_there, boot, give_up, run_module, snapshot, start_module, wait_for

WRITE_DROP_IN = "write /etc/systemd/system/docker.service.d/zz-drydock-data-root.conf"
SWITCH = [WRITE_DROP_IN, "write /etc/docker/daemon.json", "commit", "start", "prove", "release", "finish"]
COPYING = ["warm copy", "hold", "stop", "final copy", *SWITCH]
# What is another way than that of a copying move, or its end.
RENAMING = ["rename", WRITE_DROP_IN, "commit", "finish"]
# Beside these another one says the same.
SHORT = {("final copy", True), ("write /etc/docker/daemon.json", True), ("start", True), ("finish", True), ("rename", False), ("commit", False)}


def steps() -> t.Iterator[t.Any]:
    """The step, and whether the other root is on another file system."""
    for step, far in [*((step, True) for step in COPYING), *((step, False) for step in RENAMING)]:
        yield pytest.param(step, far, id=f"{'copying' if far else 'renaming'}-{step}", marks=[] if (step, far) in SHORT else [pytest.mark.extra])


def other(root: str, far: bool) -> str:
    """Where to move next."""
    place = os.path.dirname(root)
    if far:
        place = "/var/lib" if place == "/mnt/data" else "/mnt/data"
    return f"{place}/docker-{'1' if root.endswith('0') else '0'}"


def to(path: str) -> str:
    # In the lab /var/lib is mounted from outside.
    return f"path={path} require_persistent_mount=false"


@pytest.mark.parametrize(("step", "far"), steps())
def test_killed_worker_is_recovered_at_once_and_the_next_run_finishes(host: t.Any, before: dict[str, t.Any], step: str, far: bool) -> None:
    old = snapshot(host)["root"]
    new = other(old, far)
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host kill-at %s", step)
    assert_a_killed_worker_is_recovered(host, before, old, new, to(new))


def test_a_kill_that_came_before_the_copy_had_its_mark_is_no_hindrance(host: t.Any, before: dict[str, t.Any]) -> None:
    new = other(snapshot(host)["root"], far=True)
    half = f"{new}/..drydock-copy.drydock-new"
    host.check_output(f"mkdir --parents {new} && touch {half}")
    result = run_module(host, to(new))
    assert not result["failed"], result["msg"]
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)
    assert not host.file(half).exists


def test_killed_ansible_leaves_the_worker_alone_and_the_next_run_tells_its_end(host: t.Any, before: dict[str, t.Any]) -> None:
    new = other(snapshot(host)["root"], far=True)
    process = start_module(host, to(new))
    wait_for(lambda: '"step": "hold"' in host.run("cat /var/lib/drydock/dockerd/journal/log.jsonl").stdout, "the change")
    give_up(process)

    again = run_module(host, to(new))
    assert not again["failed"], again["msg"]
    assert "An earlier run" in again["msg"]
    assert "Moved" in again["msg"]
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)


# Of a copying move the host is killed, and its power cut, in tests/faults: at every step, and under load.
HOST_STEPS = ["rename", "commit", *(pytest.param(step, marks=pytest.mark.extra) for step in (WRITE_DROP_IN, "start", "finish"))]


@pytest.mark.parametrize("step", HOST_STEPS)
def test_killed_host_comes_up_on_a_complete_root_and_the_next_run_finishes(host: t.Any, before: dict[str, t.Any], step: str) -> None:
    name = host.ansible.get_variables()["ansible_host"]
    old = snapshot(host)["root"]
    new = other(old, far=False)
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host freeze-at %s", step)
    process = start_module(host, to(new))
    wait_for(lambda: host.run("test -e /run/lab-frozen").rc == 0, step)
    subprocess.run(["docker", "kill", name], check=True, stdout=subprocess.DEVNULL)
    give_up(process)
    boot(host)

    now = snapshot(host)
    committed = step in ("start", "release", "finish")
    assert now["root"] == (new if committed else old)
    assert {one: value["id"] for one, value in now["containers"].items()} == {one: value["id"] for one, value in before["containers"].items()}
    assert (now["volumes"], now["images"], now["networks"]) == (before["volumes"], before["images"], before["networks"])
    assert now["containers"]["beat"]["state"] == "running"
    assert host.file("/var/lib/drydock/dockerd/journal").exists is committed

    if step == "finish":
        every_module_tells_of_the_interrupted_change(host)
    again = run_module(host, to(new))
    assert not again["failed"], again["msg"]
    # As after any boot, these stay down until somebody starts them; here the test does.
    host.check_output("docker start no-policy joined on-failure && { docker pause paused || true; }")
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)


def every_module_tells_of_the_interrupted_change(host: t.Any) -> None:
    """In check mode that it is open; else that it was dealt with, even when the module then refuses its own work."""
    checked = run_module(host, "state=restarted force=true", module="daemon_state", check=True)
    assert not checked["failed"], checked["msg"]
    assert "interrupted" in [one["id"] for one in checked["findings"]]
    edit = "import json; path = '/etc/docker/daemon.json'; data = json.load(open(path)); {}; json.dump(data, open(path, 'w'))"
    host.check_output("python3 -c %s", edit.format("data['restart'] = True"))
    refused = run_module(host, "state=restarted force=true", module="daemon_state")
    assert refused["failed"]
    assert refused["msg"].startswith("An interrupted change was finished (evidence: /var/lib/drydock/dockerd/last)."), refused["msg"]
    assert refused["msg"].endswith("[restart-key]"), refused["msg"]
    assert not host.file("/var/lib/drydock/dockerd/journal").exists
    host.check_output("python3 -c %s", edit.format("del data['restart']"))


def test_nothing_is_left_over(host: t.Any) -> None:
    assert host.check_output("find /run/systemd /etc/systemd -name '*drydock*' ! -name zz-drydock-data-root.conf") == ""
