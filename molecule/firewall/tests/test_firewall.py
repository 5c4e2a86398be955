# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Allowed sources reach the API and nobody else does, from its first moment on."""

from __future__ import annotations

import socket
import subprocess
import typing as t

import pytest
from running import Play, address, assert_all_is_there, connect, run_playbook, snapshot, wait_for

OURS = "table inet drydock_docker"
THEIRS = "table inet theirs { chain input { type filter hook input priority 0; policy accept; tcp dport 9 drop; }; }"


def listen(host: t.Any, sources: t.Any, *ports: int, at: str = "0.0.0.0", check: bool = False, **variables: t.Any) -> Play:
    """(On all addresses: a lab host that was restarted may have got another one.)"""
    addresses = [f"tcp://{at}:{port}" for port in ports or (2375,)]
    asked = {"addresses": addresses, "allow_insecure": True, "allowed_sources": sources, **variables}
    return run_playbook(host, "listen", {f"docker_listen_{name}": value for name, value in asked.items()}, check=check)


@pytest.fixture
def stranger() -> t.Any:
    return connect("stranger")


@pytest.fixture
def controller(host: t.Any) -> str:
    """The address that a host sees this machine come from."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.connect((address(host), 9))
        return str(probe.getsockname()[0])


def reaches(who: t.Any, host: t.Any, port: int = 2375) -> bool:
    program = f"import socket; socket.create_connection(('{address(host)}', {port}), 2)"
    return who.run("python3 -c %s", program).rc == 0


def is_reached(host: t.Any, port: int = 2375) -> bool:
    try:
        socket.create_connection((address(host), port), timeout=2).close()
    except OSError:
        return False
    return True


def pid(host: t.Any) -> str:
    return host.check_output("cat /run/docker.pid")


def rules(host: t.Any) -> str:
    """Those of others, which engines and people have."""
    return host.check_output("nft list table inet theirs && iptables-save | grep -v '^[#:]'")


def test_without_sources_everybody_reaches_it(host: t.Any, stranger: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output("nft %s", THEIRS)
    play = listen(host, "")
    assert (play.failed, play.changed) == (False, 1), play.message
    assert reaches(stranger, host)
    assert host.run(f"nft list {OURS}").rc != 0
    assert_all_is_there(snapshot(host), before)


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        (["everybody"], "docker_listen_allowed_sources has 'everybody', which is no address or network."),
        (["10.0.0.5/24"], "docker_listen_allowed_sources has '10.0.0.5/24', an address with a network's length. Give 10.0.0.5 or 10.0.0.0/24."),
    ],
)
def test_bad_sources_are_refused(host: t.Any, sources: list[str], sentence: str) -> None:
    play = listen(host, sources)
    assert (play.failed, play.changed) == (True, 0)
    assert sentence in play.message


def test_a_host_without_nft_is_refused(host: t.Any) -> None:
    host.check_output("mv /usr/sbin/nft /usr/sbin/nft.away")
    try:
        play = listen(host, ["10.0.0.0/8"])
    finally:
        host.check_output("mv /usr/sbin/nft.away /usr/sbin/nft")
    assert (play.failed, play.changed) == (True, 0)
    assert play.message == "This host has no /usr/sbin/nft, which docker_listen_allowed_sources needs. Install the package nftables. [missing-package]"


def test_sources_are_let_in_without_a_restart(host: t.Any, stranger: t.Any, controller: str) -> None:
    before, running = rules(host), pid(host)
    assert listen(host, [controller, "fd00::/8"], check=True).changed == 2
    assert host.run(f"nft list {OURS}").rc != 0
    play = listen(host, [controller, "fd00::/8"])
    # The unit for each start to come, and the rules for now.
    assert (play.failed, play.changed) == (False, 2), play.message
    assert not reaches(stranger, host)
    assert is_reached(host)
    assert reaches(host, host)
    assert (rules(host), pid(host)) == (before, running)
    assert listen(host, f"{controller}\nfd00::/8\n").changed == 0


def test_an_address_more_is_guarded_when_it_opens(host: t.Any, stranger: t.Any, controller: str) -> None:
    play = listen(host, [controller], 2375, 2376)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert [reaches(stranger, host, port) for port in (2375, 2376)] == [False, False]
    assert [is_reached(host, port) for port in (2375, 2376)] == [True, True]
    assert listen(host, [controller], 2375, 2376).changed == 0


@pytest.mark.extra(but=("trixie",))
def test_a_controller_that_shuts_itself_out_is_let_in_again(host: t.Any, stranger: t.Any, controller: str) -> None:
    play = listen(host, ["192.0.2.0/24"], 2376, at=address(host), prove_from="controller", confirm_timeout=4)
    assert play.failed
    assert "the controller did not reach" in play.message
    assert [is_reached(host, port) for port in (2375, 2376)] == [True, True]
    assert not reaches(stranger, host)
    assert listen(host, [controller], 2375, 2376).changed == 0


@pytest.mark.extra(but=("trixie",))
def test_rules_that_somebody_removed_come_back(host: t.Any, stranger: t.Any, controller: str) -> None:
    host.check_output(f"nft delete {OURS}")
    assert reaches(stranger, host)
    play = listen(host, [controller], 2375, 2376)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert not reaches(stranger, host)


def test_a_boot_opens_it_no_wider(host: t.Any, stranger: t.Any) -> None:
    subprocess.run(["docker", "restart", host.ansible.get_variables()["ansible_host"]], check=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: is_reached(host), "the boot")
    assert not reaches(stranger, host)


def test_a_daemon_without_its_rules_does_not_open(host: t.Any) -> None:
    """And says which rules it lacks."""
    host.check_output("service docker stop; mv /usr/sbin/nft /usr/sbin/nft.away")
    try:
        host.run("service docker start")
        assert host.run("pgrep -x dockerd").rc != 0
    finally:
        host.check_output("mv /usr/sbin/nft.away /usr/sbin/nft")
    host.run("systemctl reset-failed docker.service docker.socket")
    host.check_output("service docker start")
    wait_for(lambda: is_reached(host), "the start")


def test_emptied_sources_leave_nothing(host: t.Any, stranger: t.Any) -> None:
    play = listen(host, [], 2375, 2376)
    assert (play.failed, play.changed) == (False, 2), play.message
    assert reaches(stranger, host)
    assert host.run(f"nft list {OURS}").rc != 0
    assert host.run("grep --recursive drydock_docker /etc").stdout == ""
    assert listen(host, [], 2375, 2376).changed == 0
