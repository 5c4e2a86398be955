# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The connection drops, or the whole of ansible is killed: the change goes on, and its end is told."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import stat
import time
import typing as t

import pytest
from running import descendants, end_of, give_up, kill, run_module, snapshot, start_module, wait_for

from conftest import as_it_was

JOURNAL = "/var/lib/drydock/dockerd/journal/log.jsonl"


def arguments(path: str) -> str:
    # Slow enough to be met in the middle.
    return f"path={path} bandwidth_limit=1M require_persistent_mount=false"


@pytest.fixture
def outage(tmp_path: pathlib.Path) -> pathlib.Path:
    """A connection that is down while the file 'down' lies there: the docker client fails then, in each of its uses."""
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\n[ -e {tmp_path}/down ] && {{ echo "connection lost" >&2; exit 1; }}\nexec {shutil.which("docker")} "$@"\n')
    docker.chmod(docker.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def begun(host: t.Any, step: str) -> t.Callable[[], bool]:
    return lambda: f'"event": "begin", "step": "{step}"' in host.run(f"cat {JOURNAL}").stdout


def drop(process: t.Any) -> int:
    """Drop the connections of a running ansible: its docker clients are killed; how many there were."""
    clients = []
    for pid in descendants(process.pid):
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"exec" in words and words[0].endswith(b"docker"):
                clients.append(pid)
    return kill(clients)


def unheard(host: t.Any) -> list[str]:
    """Runs whose end has not arrived."""
    return [name for name in host.file("/run/drydock-dockerd.ends").listdir() if not name.endswith(".heard")]


def assert_moved(host: t.Any, before: dict[str, t.Any], root: str) -> None:
    now = snapshot(host)
    assert now["root"] == root
    assert as_it_was(now) == as_it_was(before)
    assert now["volumes"] == before["volumes"]


def test_a_connection_that_is_down_for_a_while_is_borne(host: t.Any, before: dict[str, t.Any], outage: pathlib.Path) -> None:
    root = "/mnt/data/docker"
    process = start_module(host, arguments(root), path=str(outage))
    wait_for(begun(host, "warm copy"), "the warm copy")
    (outage / "down").touch()
    drop(process)
    time.sleep(8)
    assert process.poll() is None
    (outage / "down").unlink()
    result = end_of(process)
    assert not result["failed"], result["msg"]
    assert result["msg"].startswith("Moved ")
    assert "warm copy, pass 1" in result["said"]
    assert_moved(host, before, root)
    assert unheard(host) == []


def test_a_connection_that_drops_again_and_again_is_borne(host: t.Any, before: dict[str, t.Any]) -> None:
    process = start_module(host, f"state=restored {arguments('')}")
    wait_for(lambda: host.file(JOURNAL).exists, "the change")
    dropped = 0
    while process.poll() is None:
        dropped += drop(process)
        # Longer each time: a slow machine must get its start through once, and after four attempts in vain it is told.
        time.sleep(4 + 3 * dropped)
    assert dropped
    result = end_of(process)
    assert not result["failed"], result["msg"]
    assert_moved(host, before, "/var/lib/docker")


def test_a_second_run_attaches_to_the_change_of_a_killed_one(host: t.Any, before: dict[str, t.Any]) -> None:
    root = "/mnt/data/docker"
    process = start_module(host, arguments(root))
    wait_for(begun(host, "warm copy"), "the warm copy")
    give_up(process)
    result = run_module(host, arguments(root))
    assert not result["failed"], result["msg"]
    assert "another run's change is under way" in result["said"]
    assert "An earlier run" in result["msg"]
    assert "Moved " in result["msg"]
    assert_moved(host, before, root)


def test_the_end_that_nobody_heard_is_told(host: t.Any, before: dict[str, t.Any]) -> None:
    process = start_module(host, f"state=restored {arguments('')}")
    wait_for(begun(host, "warm copy"), "the warm copy")
    give_up(process)
    wait_for(lambda: host.run("systemctl is-active drydock-dockerd.service").rc != 0, "the worker's end", 120)
    result = run_module(host, f"state=restored {arguments('')}")
    assert not result["failed"], result["msg"]
    assert not result["changed"]
    assert "An earlier run, whose end nobody heard of, ended like this: Moved back " in result["msg"]
    assert_moved(host, before, "/var/lib/docker")
    assert "An earlier run" not in run_module(host, f"state=restored {arguments('')}")["msg"]


def test_two_controllers_that_meet_each_get_their_own_end(host: t.Any, before: dict[str, t.Any], outage: pathlib.Path) -> None:
    """Also where the first one is away when the change ends, and the second one has heard of it and has changed something itself."""
    root = "/mnt/data/docker"
    first = start_module(host, arguments(root), path=str(outage))
    wait_for(begun(host, "warm copy"), "the warm copy")
    second = start_module(host, "settings={'mtu':1400} owner=second", module="daemon_config")
    (outage / "down").touch()
    drop(first)
    ended = end_of(second)
    assert not ended["failed"], ended["msg"]
    assert "another run's change is under way" in ended["said"]
    assert "An earlier run, whose end nobody heard of, ended like this: Moved " in ended["msg"]
    assert "Restarted the daemon" in ended["msg"]
    (outage / "down").unlink()
    result = end_of(first)
    assert not result["failed"], result["msg"]
    assert result["msg"].startswith("Moved ")
    assert unheard(host) == []
    assert_moved(host, before, root)
