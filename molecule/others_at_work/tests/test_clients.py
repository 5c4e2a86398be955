# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Clients go on working while the daemon is changed: what one was told is done, is done."""

from __future__ import annotations

import contextlib
import typing as t

import pytest
from others import (
    RUN,
    assert_well,
    cleared,  # noqa: F401  for each test
    restart,
    restart_with_deed_at,
)
from running import address, run_playbook, snapshot

HOSTS = ("bookworm",)


@contextlib.contextmanager
def clients(host: t.Any, *deeds: str) -> t.Iterator[None]:
    """Somebody works on the host all the time; what he was told is done holds in the end."""
    host.check_output(f"rm -f /var/lib/lab/neighbour.jsonl && systemd-run --quiet --collect --unit=neighbour lab-neighbour work 1 {' '.join(deeds)}")
    try:
        yield
    finally:
        host.check_output("systemctl stop neighbour.service")
    assert "running" in host.check_output("cat /var/lib/lab/neighbour.jsonl")
    assert host.check_output("lab-neighbour lost") == ""


def test_clients_that_make_and_remove_things_bear_a_restart(host: t.Any) -> None:
    with clients(host, "container", "volume", "network"):
        play = restart(host)
    assert not play.failed or "The old configuration was restored" in play.message, play.message
    assert_well(host)


@pytest.mark.parametrize("step", [pytest.param("hold", marks=pytest.mark.extra), "stop"])
def test_a_container_that_a_client_starts_before_the_stop_runs_afterwards(host: t.Any, step: str) -> None:
    """At the beginning of step 'stop' the containers that run are noted already."""
    play = restart_with_deed_at(host, step, lambda: host.check_output(f"{RUN} --name late lab:app sleep 1d"))
    assert not play.failed, play.message
    assert_well(host)
    assert host.check_output("docker inspect --format '{{.State.Status}}' late") == "running"


@pytest.mark.parametrize("moves", [pytest.param(False, marks=pytest.mark.extra), True])
def test_what_a_client_makes_while_an_address_is_not_confirmed_stays(host: t.Any, moves: bool) -> None:
    """This machine does not reach the address, so that the change is taken back; a container that has run on a new root would be lost with it."""
    old = snapshot(host)["root"]
    variables = {
        "docker_listen_addresses": ["fd://", f"tcp://{address(host)}:2376"],
        "docker_listen_allow_insecure": True,
        "docker_listen_prove_from": "controller",
        "docker_listen_confirm_timeout": 5,
        **({"docker_data_root_path": "/mnt/data/unconfirmed"} if moves else {}),
    }
    wall = "INPUT ! --in-interface lo --protocol tcp --dport 2376 --jump DROP"
    host.check_output(f"iptables --insert {wall}")
    with clients(host, "container", "volume"):
        play = run_playbook(host, "site" if moves else "listen", variables)
        host.check_output(f"iptables --delete {wall}")
    assert play.failed
    assert "did not reach" in play.message, play.message
    assert snapshot(host)["root"] == old
    assert_well(host)
