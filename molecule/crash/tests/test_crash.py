# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The worker, or the module that waits for it, is killed for real; nobody comes; then the next run finishes."""

from __future__ import annotations

import json
import os
import subprocess
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


def move(host: t.Any, target: str) -> dict[str, t.Any]:
    """Run the module as a playbook would; returns its result."""
    variables = host.ansible.get_variables()
    inventory = host.backend.ansible_inventory
    words = ["ansible", "--inventory", inventory, variables["inventory_hostname"], "--module-name", "drydock.dockerd.data_root", "--args", f"path={target}"]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env={**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json"})
    return {"failed": done.returncode != 0, **json.loads(done.stdout.rpartition(" => ")[2])}


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


def test_nothing_is_left_over(host: t.Any) -> None:
    assert host.check_output("find /run/systemd /etc/systemd -name '*drydock*' ! -name zz-drydock-data-root.conf") == ""
