# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Addresses that this machine, the controller, does not reach stop nothing: when it waits in vain, and when somebody dies meanwhile."""

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


def pid(host: t.Any) -> str:
    return host.check_output("cat /run/docker.pid")


def test_a_daemon_is_not_stopped_for_an_address_that_is_not_reached(host: t.Any, before: dict[str, t.Any]) -> None:
    files, running = host.check_output("lab-host configuration"), (pid(host), snapshot(host)["containers"])
    play = listen(host, OPEN, CLOSED)
    assert play.failed
    where = f"{at(host, OPEN)}, {at(host, CLOSED)}"
    assert play.message.startswith(
        f"Failed at 'confirm': Within 5 s the controller did not reach {where}, so the daemon was not stopped. Nothing had been changed. "
    )
    assert play.message.endswith("[not-confirmed]")
    assert ports(host) == {OPEN}
    assert host.check_output("lab-host configuration") == files
    # The same process, and containers that were not started anew.
    assert (pid(host), snapshot(host)["containers"]) == running
    assert_all_is_there(snapshot(host), before)


def test_a_new_certificate_is_confirmed_on_an_address_that_the_daemon_has(host: t.Any, before: dict[str, t.Any]) -> None:
    """There only the way is asked for; what is shown is proved on the host, behind the start."""
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=lab -addext extendedKeyUsage=serverAuth -keyout /root/key.pem -out /root/cert.pem"
    host.check_output(f"{make} 2>/dev/null && chmod 600 /root/key.pem")
    tls = {"tls_ca": "/root/cert.pem", "tls_cert": "/root/cert.pem", "tls_key": "/root/key.pem"}
    play = listen(host, OPEN, **tls)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert host.run(f"timeout 5 openssl s_client -connect {address(host)}:{OPEN} </dev/null 2>&1 | grep 'CN *= *lab'").rc == 0
    play = listen(host, OPEN, tls_ca="", tls_cert="", tls_key="")
    assert (play.failed, play.changed) == (False, 1), play.message
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


def test_a_worker_that_is_killed_meanwhile_has_stopped_nothing(host: t.Any, before: dict[str, t.Any]) -> None:
    running = pid(host)
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host kill-at confirm")
    process = start_module(host, arguments(host, at(host, OPEN)), module="daemon_config")
    out, _nothing = process.communicate()
    assert process.returncode != 0
    assert "The worker was killed. An interrupted change was undone: Nothing had been changed." in out
    assert pid(host) == running
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
