# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Who would lock everybody out is told before anything is touched; on any host alike."""

from __future__ import annotations

import typing as t

import pytest
from running import connect, run_playbook

LOOPBACK = "tcp://127.0.0.1:2375"


@pytest.fixture(scope="module")
def host() -> t.Any:
    return connect("trixie")


@pytest.mark.parametrize(
    ("addresses", "sentence"),
    [
        ([], "docker_listen_local_socket is false, and docker_listen_addresses names no other way in."),
        (["unix://"], "docker_listen_local_socket is false, and docker_listen_addresses names no other way in."),
        (["unix:///var/run/docker.sock", LOOPBACK], "docker_listen_addresses has unix:///var/run/docker.sock, which is the local socket."),
    ],
)
def test_who_would_be_locked_out_is_told(host: t.Any, addresses: list[str], sentence: str) -> None:
    files = host.check_output("lab-host configuration")
    play = run_playbook(host, "listen", {"docker_listen_addresses": addresses, "docker_listen_local_socket": False})
    assert (play.failed, play.changed) == (True, 0)
    assert sentence in play.message
    assert host.check_output("lab-host configuration") == files
