# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Other ways to bring a CA along, and what an output tells."""

from __future__ import annotations

import os
import subprocess
import time
import typing as t

import pytest
from plays import CA, DAEMONS, EPHEMERAL, SERVER, connect, converge, lines_of, make, stops, text
from running import play_of, run_playbook, start_playbook

# What is older has nothing of it.
BEGAN = time.strftime("%Y-%m-%d %H:%M:%S")
OWN_CA = make("ca of somebody else")
OWN = {name: make(name, OWN_CA) for name in DAEMONS}


@pytest.fixture(scope="module")
def hosts() -> dict[str, t.Any]:
    return {name: connect(name) for name in (*DAEMONS, "client")}


def other(name: str) -> dict[str, t.Any]:
    """Variables with which the play makes everything anew, each kind beside what is there."""
    kinds: dict[str, dict[str, t.Any]] = {
        "directory": {"docker_tls_ca_dir": str(EPHEMERAL / "other" / "ca"), "docker_tls_ca_passphrase": "", "docker_tls_clients": ["one"]},
        "text": {"docker_tls_ca_cert": (CA / "ca.pem").read_text(), "docker_tls_ca_key": (CA / "ca-key.pem").read_text(), "docker_tls_clients": ""},
        "own": {
            "docker_tls_ca_cert": OWN_CA.cert_pem,
            "docker_tls_ca_key": OWN_CA.key_pem(),
            "docker_tls_ca_passphrase": "",
            "docker_tls_clients": [],
            "docker_tls_server_cert": OWN["bookworm"].cert_pem,
            "docker_tls_server_key": OWN["bookworm"].key_pem(),
        },
    }
    places = {"docker_tls_dir": f"/etc/docker/tls-{name}", "docker_client_dir": f"/root/client-{name}", "docker_client_default_context": ""}
    endpoints = [{"name": name, "host": "tcp://bookworm:2376"}]
    return {**kinds[name], **places, "docker_client_endpoints": endpoints}


def secrets_of(hosts: dict[str, t.Any], name: str) -> list[str]:
    """The lines of all private keys that such a play has made or used."""
    found = [path.read_text() for path in EPHEMERAL.rglob("*key.pem") if path != CA / "ca-key.pem"]
    found += [text(hosts[one], f"/etc/docker/tls-{name}/server-key.pem") for one in DAEMONS]
    found += [text(hosts["client"], f"/root/client-{name}/key.pem"), OWN_CA.key_pem(), OWN["bookworm"].key_pem()]
    assert len(found) >= 6
    return [*lines_of((CA / "ca-key.pem").read_text(), "correct horse"), *(line for key in found for line in lines_of(key))]


@pytest.mark.parametrize("name", [pytest.param("directory", marks=pytest.mark.extra), "text", "own"])
def test_no_output_has_a_key_in_it(hosts: dict[str, t.Any], name: str) -> None:
    """With all that is made for the first time, and as loud as it gets."""
    before = {one: stops(hosts[one]) for one in DAEMONS}
    good, _changed, output = converge("-vvv", "--diff", **other(name))
    assert good, output[-5000:]
    secrets = secrets_of(hosts, name)
    assert len(secrets) >= 10
    assert [line for line in [*secrets, "PRIVATE KEY"] if line in output] == []
    # It is loud: what is public is in it.
    assert "BEGIN CERTIFICATE" in output
    # The daemon uses other files, so that nothing is restarted.
    assert {one: stops(hosts[one]) for one in DAEMONS} == before


def test_ca_as_text_leaves_nothing_on_the_controller(hosts: dict[str, t.Any]) -> None:
    """But for the file of variables that the tests hand over."""
    line = lines_of(OWN_CA.key_pem())[0]
    (EPHEMERAL / "control").write_text(line)
    words = ["find", "/tmp", os.environ["ANSIBLE_HOME"], "-type", "f", "-newermt", BEGAN]
    words += ["-exec", "grep", "--files-with-matches", "--fixed-strings", "-e", line, "{}", "+"]
    found = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    assert set(found.stdout.split()) - {str(EPHEMERAL / "variables.json")} == {str(EPHEMERAL / "control")}
    for one in DAEMONS:
        assert text(hosts[one], "/etc/docker/tls-text/ca.pem") == (CA / "ca.pem").read_text()


def test_own_certificates_are_written_as_they_are(hosts: dict[str, t.Any]) -> None:
    for one in DAEMONS:
        assert text(hosts[one], "/etc/docker/tls-own/server-cert.pem") == OWN["bookworm"].cert_pem
        assert text(hosts[one], "/etc/docker/tls-own/server-key.pem") == OWN["bookworm"].key_pem()
        assert hosts[one].check_output("stat --format %a /etc/docker/tls-own/server-key.pem") == "400"


def test_check_mode_announces_and_writes_nothing(hosts: dict[str, t.Any]) -> None:
    host = hosts["trixie"]
    new = {"docker_tls_ca_dir": str(EPHEMERAL / "announced"), "docker_tls_dir": "/etc/docker/tls-announced"}
    play = run_playbook(host, "certificates", new, check=True)
    assert not play.failed
    assert play.changed > 0
    assert not (EPHEMERAL / "announced").exists()
    assert not host.file("/etc/docker/tls-announced").exists
    # A renewal, too, with the restart that it takes.
    before = (text(host, SERVER), stops(host))
    now = {"docker_tls_ca_dir": str(CA), "docker_tls_ca_passphrase": "correct horse", "docker_tls_renew_before": 400, "docker_listen_addresses": ["fd://"]}
    play = run_playbook(host, "certificates", now, check=True)
    assert (play.failed, play.changed) == (False, 3)
    assert (text(host, SERVER), stops(host)) == before


def test_two_plays_at_once_make_one_ca(hosts: dict[str, t.Any]) -> None:
    """Slices of a job are plays of their own. Each host has been signed by the CA that got the place."""
    place = EPHEMERAL / "raced"
    variables = {"docker_tls_ca_dir": str(place), "docker_tls_dir": "/etc/docker/tls-raced"}
    processes = {name: start_playbook(name, "certificates", variables) for name in DAEMONS}
    plays = [play_of(process, name) for name, process in processes.items()]
    assert [play.message for play in plays if play.failed] == []
    assert sorted(path.name for path in place.iterdir()) == ["ca-key.pem", "ca.pem"]
    assert list(EPHEMERAL.glob(".raced.*")) == []
    for name in DAEMONS:
        assert text(hosts[name], "/etc/docker/tls-raced/ca.pem") == (place / "ca.pem").read_text()
        hosts[name].check_output("openssl verify -CAfile /etc/docker/tls-raced/ca.pem /etc/docker/tls-raced/server-cert.pem")
