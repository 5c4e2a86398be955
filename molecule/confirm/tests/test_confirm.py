# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Addresses that this machine, the controller, does not reach are taken back: when it waits in vain, and when somebody dies meanwhile."""

from __future__ import annotations

import subprocess
import typing as t

import pytest
from running import Play, address, assert_all_is_there, boot, give_up, run_playbook, snapshot, start_module, wait_for

OPEN, CLOSED = 2375, 2376


def at(host: t.Any, port: int) -> str:
    return f"tcp://{address(host)}:{port}"


def listen(host: t.Any, *ports: int, **variables: t.Any) -> Play:
    asked = {"addresses": ["fd://", *(at(host, port) for port in ports)], "allow_insecure": True, "prove_from": "controller", "confirm_timeout": 5}
    return run_playbook(host, "listen", {f"docker_listen_{name}": value for name, value in {**asked, **variables}.items()})


def ports(host: t.Any) -> set[int]:
    return {port for port in (OPEN, CLOSED) if host.run("ss -Hltn 'sport = :%s' | grep -q .", str(port)).rc == 0}


@pytest.fixture(autouse=True)
def closed(host: t.Any) -> t.Iterator[None]:
    """One port is behind a firewall; the host itself reaches it."""
    rule = f"INPUT ! --in-interface lo --protocol tcp --dport {CLOSED} --jump DROP"
    host.check_output(f"iptables --check {rule} || iptables --insert {rule}")
    yield
    host.run(f"iptables --delete {rule}")


def test_an_address_that_is_reached_stays(host: t.Any, before: dict[str, t.Any]) -> None:
    play = listen(host, OPEN)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert ports(host) == {OPEN}
    assert_all_is_there(snapshot(host), before)
    assert listen(host, OPEN).changed == 0


def test_an_address_that_is_not_reached_is_taken_back(host: t.Any, before: dict[str, t.Any]) -> None:
    files = host.check_output("lab-host configuration")
    play = listen(host, OPEN, CLOSED)
    assert play.failed
    assert play.message.startswith(f"Failed at 'confirm': Within 5 s the controller did not reach {at(host, OPEN)}, {at(host, CLOSED)}. ")
    assert "The old configuration was restored, the daemon answers, 1 of 1 container runs again." in play.message
    assert ports(host) == {OPEN}
    assert host.check_output("lab-host configuration") == files
    assert_all_is_there(snapshot(host), before)


def test_who_asks_for_no_proof_needs_none(host: t.Any, before: dict[str, t.Any]) -> None:
    for prove_from, timeout in (("host", 5), ("controller", "")):
        play = listen(host, OPEN, *([CLOSED] if prove_from == "host" else []), prove_from=prove_from, confirm_timeout=timeout)
        assert (play.failed, play.changed) == (False, 1), play.message
    assert ports(host) == {OPEN}
    assert_all_is_there(snapshot(host), before)


def arguments(host: t.Any, already: str) -> str:
    hosts = f'["fd://", "{already}", "{at(host, CLOSED)}"]'
    return (
        f'{{"owner": "listen", "allow_insecure": true, "confirm_timeout": 60, "settings": {{"hosts": {hosts}, "tls": false}}, "drop_ins": '
        '[{"name": "zz-drydock-listen.conf", "content": "[Service]\\nExecStart=\\nExecStart=@dockerd_command@\\n"}]}'
    )


def test_a_worker_that_is_killed_meanwhile_takes_them_back(host: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host kill-at confirm")
    process = start_module(host, arguments(host, at(host, OPEN)), module="daemon_config")
    out, _nothing = process.communicate()
    assert process.returncode != 0
    assert "The worker was killed. An interrupted change was undone: The old configuration was restored" in out
    assert ports(host) == {OPEN}
    assert_all_is_there(snapshot(host), before)


def test_a_host_that_dies_meanwhile_boots_with_the_old_ones(host: t.Any, before: dict[str, t.Any]) -> None:
    name = host.ansible.get_variables()["ansible_host"]
    # A lab host that is started again may have got another address.
    already = f"tcp://0.0.0.0:{OPEN}"
    play = listen(host, addresses=["fd://", already], prove_from="host")
    assert (play.failed, play.changed) == (False, 1), play.message
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host freeze-at confirm")
    process = start_module(host, arguments(host, already), module="daemon_config")
    wait_for(lambda: host.run("test -e /run/lab-frozen").rc == 0, "the wait")
    subprocess.run(["docker", "kill", name], check=True, stdout=subprocess.DEVNULL)
    give_up(process)
    boot(host)
    assert ports(host) == {OPEN}
    assert not host.file("/var/lib/drydock/dockerd/journal").exists
    now = snapshot(host)
    assert {one: value["id"] for one, value in now["containers"].items()} == {one: value["id"] for one, value in before["containers"].items()}
