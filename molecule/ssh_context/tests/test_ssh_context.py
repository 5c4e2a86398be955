# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A daemon without its local socket is reached by its own client, and by another machine's over ssh."""

from __future__ import annotations

import json
import typing as t

import pytest
from running import assert_all_is_there, connect


@pytest.fixture
def machines() -> dict[str, t.Any]:
    return {name: connect(name) for name in ("daemon", "client")}


def name_of(machine: t.Any, options: str = "") -> str:
    return machine.check_output(f"docker {options} info --format '{{{{.Name}}}}'")


def test_local_socket_is_gone(machines: dict[str, t.Any]) -> None:
    assert machines["daemon"].run("docker --host unix:///var/run/docker.sock info").rc != 0


def test_local_client_works_without_a_word(machines: dict[str, t.Any]) -> None:
    assert name_of(machines["daemon"]) == "daemon"
    assert json.loads(machines["daemon"].check_output("docker context inspect"))[0]["Name"] == "local"


def test_everything_is_as_it_was(machines: dict[str, t.Any]) -> None:
    before = json.loads(machines["daemon"].file("/var/lib/lab/before.json").content_string)
    assert_all_is_there(json.loads(machines["daemon"].check_output("lab-host snapshot")), before)


def test_client_comes_by_ssh(machines: dict[str, t.Any]) -> None:
    client = machines["client"]
    assert name_of(client) == "daemon"
    assert name_of(client, "--context by-ssh") == "daemon"
    # Its own daemon is another one.
    assert name_of(client, "--context default") == "client"
    found = json.loads(client.check_output("docker context inspect by-ssh"))[0]
    assert (found["Endpoints"]["docker"]["Host"], found["TLSMaterial"]) == ("ssh://root@daemon", {})


def test_client_works_by_ssh(machines: dict[str, t.Any]) -> None:
    client = machines["client"]
    assert client.check_output("docker run --rm lab:app echo from afar") == "from afar"
    assert "beat" in client.check_output("docker ps --format '{{.Names}}'").split()


def test_who_has_no_key_does_not_get_in(machines: dict[str, t.Any]) -> None:
    client = machines["client"]
    client.check_output("mv /root/.ssh/id_ed25519 /root/.ssh/away")
    try:
        done = client.run("docker info")
    finally:
        client.check_output("mv /root/.ssh/away /root/.ssh/id_ed25519")
    assert "Permission denied" in done.stdout + done.stderr
