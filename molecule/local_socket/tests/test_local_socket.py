# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The local socket is given up, and comes back; root keeps a way in meanwhile."""

from __future__ import annotations

import json
import subprocess
import typing as t

import pytest
from running import Play, address, assert_all_is_there, end_of, run_module, run_playbook, snapshot, start_module, wait_for

LOOPBACK, CLOSED = "tcp://127.0.0.1:2375", 2376
USUAL, ROOTS = "/run/docker.sock", "/run/drydock-docker.sock"


def listen(host: t.Any, *addresses: str, **variables: t.Any) -> Play:
    return run_playbook(host, "listen", {f"docker_listen_{name}": value for name, value in {"addresses": list(addresses), **variables}.items()})


def answers(host: t.Any, where: str, user: str = "") -> bool:
    as_user = f"setpriv --reuid={user} --regid={user} --groups=docker env HOME=/tmp " if user else ""
    return host.run(f"{as_user}docker --host={where} info").rc == 0


def as_seen_over_tcp(host: t.Any) -> dict[str, t.Any]:
    return json.loads(host.check_output(f"DOCKER_HOST={LOOPBACK} lab-host snapshot"))


def assert_given_up(host: t.Any) -> None:
    assert host.run("docker info").rc != 0
    assert not host.file(USUAL).exists
    assert answers(host, LOOPBACK)
    assert answers(host, f"unix://{ROOTS}")


def test_fd_needs_a_socket_unit(host: t.Any) -> None:
    if host.run("systemctl is-active docker.socket").rc == 0:
        assert answers(host, f"unix://{USUAL}")
        return
    play = listen(host, "fd://", LOOPBACK)
    assert (play.failed, play.changed) == (True, 0)
    assert "fd:// needs docker.socket, which this host does not have or has masked. Use unix:///var/run/docker.sock instead." in play.message


def test_it_stays_without_being_named(host: t.Any, before: dict[str, t.Any]) -> None:
    play = listen(host, LOOPBACK, local_socket="")
    assert (play.failed, play.changed) == (False, 1), play.message
    assert answers(host, f"unix://{USUAL}", user="daemon")
    assert answers(host, LOOPBACK)
    assert_all_is_there(snapshot(host), before)


@pytest.mark.extra(but=("trixie", "sysv"))
def test_nobody_else_gets_in_while_a_change_is_held(host: t.Any, before: dict[str, t.Any]) -> None:
    """Between its start and the release of the containers: what a client was promised then would be undone with the change."""
    host.check_output("setsid --fork lab-host freeze-at prove </dev/null >/dev/null 2>&1")
    process = start_module(host, "state=restarted force=true", module="daemon_state")
    wait_for(lambda: host.run("test -e /run/lab-frozen").rc == 0, "the proof")
    assert not host.file(USUAL).exists
    assert [answers(host, where) for where in (f"unix://{USUAL}", LOOPBACK)] == [False, False]
    assert host.check_output("stat --format '%U %a' /run/.drydock-api") == "root 700"
    assert host.run("docker --host=unix:///run/.drydock-api/docker.sock info").rc == 0
    host.check_output("rm /run/lab-frozen; pkill --signal CONT --full '[w]orker.pyz run'")
    result = end_of(process)
    assert not result["failed"], result["msg"]
    assert answers(host, f"unix://{USUAL}", user="daemon")
    assert answers(host, LOOPBACK)
    assert host.run("ls -d /run/.drydock-api /run/drydock-dockerd.gate").rc != 0
    assert host.run("nft list table inet drydock_gate").rc != 0
    assert_all_is_there(snapshot(host), before)


# Asks again and again as long as its file is there, and notes when it did and was answered.
CLIENT = """
import os, socket, time
ways = {"unix": (socket.AF_UNIX, "/run/docker.sock"), "tcp": (socket.AF_INET, ("127.0.0.1", 2375))}
with open("/run/lab-answers", "w", buffering=1) as answers:
    while os.path.exists("/run/lab-asks"):
        for name, (family, where) in ways.items():
            with socket.socket(family) as client:
                client.settimeout(30)
                began = time.time()
                try:
                    client.connect(where)
                    client.sendall(b"GET /_ping HTTP/1.0\\r\\n\\r\\n")
                    if b" 200 " in client.recv(100):
                        print(name, began, time.time(), file=answers)
                except OSError:
                    pass
        time.sleep(0.001)
"""


@pytest.mark.extra(but=("trixie", "sysv"))
def test_no_client_is_answered_between_the_stop_and_the_release(host: t.Any) -> None:
    host.check_output("touch /run/lab-asks; setsid --fork python3 -c %s </dev/null >/dev/null 2>&1", CLIENT)
    try:
        result = run_module(host, "state=restarted force=true", module="daemon_state")
        # Some answers behind it, too.
        wait_for(
            lambda: host.run("test $(stat --format %Y /run/lab-answers) -gt $(stat --format %Y /var/lib/drydock/dockerd/last/log.jsonl)").rc == 0, "an answer"
        )
    finally:
        host.check_output("rm /run/lab-asks")
    assert not result["failed"], result["msg"]
    lines = [json.loads(line) for line in host.file("/var/lib/drydock/dockerd/last/log.jsonl").content_string.splitlines() if line]
    stop, release = (next(line["at"] for line in lines if (line["event"], line["step"]) == one) for one in (("closed", "stop"), ("begin", "release")))
    answers = [(name, float(asked), float(at)) for name, asked, at in map(str.split, host.file("/run/lab-answers").content_string.splitlines())]
    assert {name for name, _asked, at in answers if at < stop} == {name for name, asked, _at in answers if asked > release} == {"unix", "tcp"}
    # A socket that dockerd makes itself is there for half a millisecond before it is closed.
    ways = {"tcp"} if host.run("systemctl is-active docker.socket").rc else {"unix", "tcp"}
    assert [one for one in answers if stop < one[1] and one[2] < release and one[0] in ways] == []


@pytest.mark.extra(but=("trixie", "sysv"))
def test_a_worker_that_is_killed_while_it_is_closed_leaves_it_open(host: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output("setsid --fork lab-host kill-at prove </dev/null >/dev/null 2>&1")
    result = run_module(host, "state=restarted force=true", module="daemon_state")
    assert "The worker was killed. An interrupted change was " in result["msg"]
    assert answers(host, f"unix://{USUAL}", user="daemon")
    assert answers(host, LOOPBACK)
    assert host.run("ls -d /run/.drydock-api /run/drydock-dockerd.gate").rc != 0
    assert_all_is_there(snapshot(host), before)


def test_it_is_given_up(host: t.Any, before: dict[str, t.Any]) -> None:
    play = listen(host, LOOPBACK, local_socket=False)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert_given_up(host)
    assert not answers(host, f"unix://{ROOTS}", user="daemon")
    assert host.check_output(f"stat --format '%U %G' {ROOTS}") == "root root"
    assert_all_is_there(as_seen_over_tcp(host), before)
    assert listen(host, LOOPBACK, local_socket=False).changed == 0


@pytest.mark.extra(but=("trixie", "sysv"))
def test_later_changes_find_their_way(host: t.Any, before: dict[str, t.Any]) -> None:
    pid = host.file("/run/docker.pid").content
    result = run_module(host, "state=restarted force=true", module="daemon_state")
    assert (result["failed"], result["changed"]) == (False, True), result["msg"]
    assert host.file("/run/docker.pid").content != pid
    assert_given_up(host)
    assert_all_is_there(as_seen_over_tcp(host), before)


@pytest.mark.extra(but=("trixie",))
def test_a_way_back_that_is_not_confirmed_gives_nothing_back(host: t.Any, before: dict[str, t.Any]) -> None:
    rule = f"INPUT ! --in-interface lo --protocol tcp --dport {CLOSED} --jump DROP"
    host.check_output(f"iptables --insert {rule}")
    files = host.check_output("lab-host configuration --files")
    try:
        play = listen(host, f"tcp://{address(host)}:{CLOSED}", allow_insecure=True, prove_from="controller", confirm_timeout=4)
    finally:
        host.check_output(f"iptables --delete {rule}")
    assert play.failed
    assert play.message.startswith("Failed at 'confirm': ")
    assert "so the daemon was not stopped. Nothing had been changed." in play.message
    assert_given_up(host)
    assert host.check_output("lab-host configuration --files") == files
    assert_all_is_there(as_seen_over_tcp(host), before)


def test_a_boot_does_not_bring_it_back(host: t.Any) -> None:
    subprocess.run(["docker", "restart", host.ansible.get_variables()["ansible_host"]], check=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: answers(host, LOOPBACK), "the boot")
    assert_given_up(host)
    assert listen(host, LOOPBACK, local_socket=False).changed == 0


def test_it_comes_back(host: t.Any, before: dict[str, t.Any]) -> None:
    names = sorted(before["containers"])
    play = listen(host, LOOPBACK)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert answers(host, f"unix://{USUAL}", user="daemon")
    assert not host.file(ROOTS).exists
    assert sorted(snapshot(host)["containers"]) == names
    assert listen(host, LOOPBACK).changed == 0
