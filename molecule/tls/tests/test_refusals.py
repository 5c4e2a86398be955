# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What cannot work is refused in a sentence, before anything is written."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from plays import CA, connect, converge, make
from running import run_playbook

CA_ONE, CA_TWO, SOON_CA = make("one"), make("two"), make("soon", days=20)
SERVER, OLD, OTHER = make("server", CA_ONE), make("server", CA_ONE, days=-1), make("server", CA_TWO)

OWN = {"ca_cert": CA_ONE.cert_pem, "server_cert": SERVER.cert_pem, "server_key": SERVER.key_pem()}
TEXT = {"ca_cert": CA_ONE.cert_pem, "ca_key": CA_ONE.key_pem()}
CASES = {
    "key-without-ca": ({"ca_key": CA_ONE.key_pem()}, "docker_tls_ca_key is given without docker_tls_ca_cert."),
    "key-of-another-ca": ({**TEXT, "ca_key": CA_TWO.key_pem()}, "docker_tls_ca_key does not fit docker_tls_ca_cert."),
    "encrypted-key": ({**TEXT, "ca_key": CA_ONE.key_pem("correct horse")}, "docker_tls_ca_key cannot be read: "),
    "wrong-passphrase": (
        {**TEXT, "ca_key": CA_ONE.key_pem("correct horse"), "ca_passphrase": "wrong horse"},
        "docker_tls_ca_key cannot be read: Wrong passphrase provided for private key",
    ),
    "ca-that-ends-soon": ({"ca_cert": SOON_CA.cert_pem, "ca_key": SOON_CA.key_pem()}, ", within docker_tls_renew_before days,"),
    "no-certificate": ({**TEXT, "ca_cert": "hello"}, "docker_tls_ca_cert is no certificate in PEM: "),
    "key-of-another-server": ({**OWN, "server_key": OTHER.key_pem()}, "docker_tls_server_key does not fit docker_tls_server_cert."),
    "encrypted-server-key": ({**OWN, "server_key": SERVER.key_pem("correct horse")}, "docker_tls_server_key cannot be read: "),
    "ended": ({**OWN, "server_cert": OLD.cert_pem, "server_key": OLD.key_pem()}, "docker_tls_server_cert has ended on "),
    "signed-by-another-ca": ({**OWN, "ca_cert": CA_TWO.cert_pem}, "docker_tls_ca_cert has not signed docker_tls_server_cert."),
    "names": ({**TEXT, "names": "web server"}, "docker_tls_names has 'web server', which is neither a name nor an address."),
    "clients": ({"ca_dir": "/nowhere/ca", "clients": ["../root"]}, "docker_tls_clients has '../root', which is no name of a client."),
    "passphrase-of-the-directory": ({"ca_dir": str(CA), "ca_passphrase": "wrong horse"}, f"{CA}/ca-key.pem cannot be read: "),
}


@pytest.fixture
def controller(tmp_path: pathlib.Path) -> str:
    """An inventory with nothing but this machine: a refusal needs no host."""
    inventory = tmp_path / "hosts.yml"
    variables = "ansible_connection: local, ansible_become: false, ansible_python_interpreter: '{{ ansible_playbook_python }}'"
    inventory.write_text(f"all: {{hosts: {{here: {{{variables}}}}}}}\n")
    return str(inventory)


@pytest.mark.parametrize(("variables", "sentence"), CASES.values(), ids=CASES)
def test_bad_input_is_refused_and_touches_nothing(controller: str, tmp_path: pathlib.Path, variables: dict[str, t.Any], sentence: str) -> None:
    given = {"ca_dir": "", "dir": str(tmp_path / "tls"), **variables}
    play = run_playbook(None, "certificates", {f"docker_tls_{name}": value for name, value in given.items()}, inventory=controller, target="here")
    assert play.failed
    assert sentence in play.message
    assert not (tmp_path / "tls").exists()
    assert not pathlib.Path("/nowhere").exists()


def test_place_that_is_taken_gets_no_ca(controller: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "letter").write_text("mine")
    variables = {"docker_tls_ca_dir": str(tmp_path / "ca"), "docker_tls_dir": str(tmp_path / "tls")}
    play = run_playbook(None, "certificates", variables, inventory=controller, target="here")
    assert play.failed
    assert f"No CA can be made in {tmp_path}/ca: " in play.message
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["ca", "hosts.yml", "letter"]


def test_host_without_the_library_is_refused() -> None:
    host = connect("bookworm")
    place = "/usr/lib/python3/dist-packages/cryptography"
    host.check_output(f"mv {place} {place}.away")
    try:
        variables = {"docker_tls_ca_dir": str(CA), "docker_tls_ca_passphrase": "correct horse", "docker_tls_dir": "/etc/docker/tls-without"}
        play = run_playbook(host, "certificates", variables)
    finally:
        host.check_output(f"mv {place}.away {place}")
    assert play.failed
    sentence = "The host's Python lacks the library cryptography, which makes the host's key there. Install python3-cryptography."
    assert play.message == f"{sentence} [missing-package]"
    assert not host.file("/etc/docker/tls-without").exists


def test_machine_without_the_docker_client_is_refused() -> None:
    client = connect("client")
    client.check_output("mv /usr/bin/docker /usr/bin/docker.away")
    try:
        endpoints = [{"name": "web", "host": "tcp://web:2376"}]
        good, _changed, output = converge(
            "--limit=client", docker_client_endpoints=endpoints, docker_client_dir="/root/without", docker_client_default_context=""
        )
    finally:
        client.check_output("mv /usr/bin/docker.away /usr/bin/docker")
    assert not good
    assert "The docker client is missing. Install docker-cli (on Debian 12 and older docker.io" in output
    assert not client.file("/root/without").exists
