# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the client reaches with the files that the role has made, and what it does not reach without them."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t

import forked
import pytest
from plays import CA, DAEMONS, INVENTORY, connect

FILES = "/etc/docker/client"


@pytest.fixture(scope="module")
def host() -> t.Any:
    return connect("client")


@pytest.fixture(params=DAEMONS)
def daemon(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def address(host: t.Any, daemon: str) -> str:
    """Where the daemon is, as its context has it."""
    return context(host, daemon)["Endpoints"]["docker"]["Host"]


def context(host: t.Any, name: str) -> dict[str, t.Any]:
    return json.loads(host.check_output("docker context inspect %s", name))[0]


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a module on the client."""
    return forked.run(["ansible", "--inventory", str(INVENTORY), "client", *words], {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"})


def hostname(host: t.Any, *options: str) -> str:
    return host.check_output(f"docker {' '.join(options)} info --format '{{{{.Name}}}}'")


def test_files_have_their_modes(host: t.Any) -> None:
    assert host.check_output(f"stat --format '%n %a' {FILES} {FILES}/*").split() == [
        *(FILES, "700"),
        *(f"{FILES}/ca.pem", "444"),
        *(f"{FILES}/cert.pem", "444"),
        *(f"{FILES}/key.pem", "400"),
    ]


def test_docker_reaches_each_daemon_by_its_context(host: t.Any, daemon: str) -> None:
    assert hostname(host, "--context", daemon) == daemon


def test_docker_reaches_the_default_context_without_a_word(host: t.Any) -> None:
    assert hostname(host) == "bookworm"


def test_docker_reaches_each_daemon_with_nothing_but_the_files(host: t.Any, daemon: str, address: str) -> None:
    files = (f"--tlscacert={FILES}/ca.pem", f"--tlscert={FILES}/cert.pem", f"--tlskey={FILES}/key.pem")
    assert hostname(host, f"--host={address}", "--tlsverify", *files) == daemon


def test_the_sdk_for_python_reaches_each_daemon(host: t.Any, daemon: str, address: str) -> None:
    program = (
        "import docker, docker.tls; "
        f"tls = docker.tls.TLSConfig(client_cert=('{FILES}/cert.pem', '{FILES}/key.pem'), ca_cert='{FILES}/ca.pem', verify=True); "
        f"print(docker.DockerClient('{address}', tls=tls).info()['Name'])"
    )
    assert host.check_output("python3 -c %s", program) == daemon


def test_community_docker_reaches_each_daemon(daemon: str, address: str) -> None:
    files = f"validate_certs=true ca_path={FILES}/ca.pem client_cert={FILES}/cert.pem client_key={FILES}/key.pem"
    done = ask("--module-name", "community.docker.docker_host_info", "--args", f"docker_host={address} {files}")
    assert json.loads(done.stdout.partition(" => ")[2])["host_info"]["Name"] == daemon


def test_containers_info_reaches_each_daemon(address: str) -> None:
    files = f"validate_certs=true ca_path={FILES}/ca.pem client_cert={FILES}/cert.pem client_key={FILES}/key.pem"
    done = ask("--module-name", "drydock.dockerd.containers_info", "--args", f"docker_host={address} {files}")
    assert "beat" in [one["name"] for one in json.loads(done.stdout.partition(" => ")[2])["containers"]]


def test_client_files_on_the_controller_work(daemon: str, address: str) -> None:
    """In the place and under the names that DOCKER_CERT_PATH expects."""
    environment = {**os.environ, "DOCKER_HOST": address, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(CA / "clients" / "ci")}
    done = subprocess.run(["docker", "info", "--format", "{{.Name}}"], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.strip() == daemon, done.stderr


def test_who_has_no_certificate_is_refused(host: t.Any, address: str) -> None:
    # Its own context would bring its certificate along.
    done = host.run(f"docker --host={address} --tls --tlscacert={FILES}/ca.pem --tlscert= --tlskey= info")
    assert "tls: " in done.stdout + done.stderr
    assert "certificate" in done.stdout + done.stderr
    plain = host.run(f"docker --host={address} info")
    assert "HTTP request to an HTTPS server" in plain.stdout + plain.stderr


def test_who_has_a_certificate_of_another_ca_is_refused(host: t.Any, address: str) -> None:
    host.check_output("mkdir -p /root/other && chmod 700 /root/other")
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3 -subj /CN=client"
        " -keyout /root/other/key.pem -out /root/other/cert.pem -addext extendedKeyUsage=clientAuth"
    )
    host.check_output(make)
    done = host.run(f"docker --host={address} --tlsverify --tlscacert={FILES}/ca.pem --tlscert=/root/other/cert.pem --tlskey=/root/other/key.pem info")
    assert "tls: " in done.stdout + done.stderr
    assert "certificate" in done.stdout + done.stderr
    # Nor does the client believe a server of another CA.
    done = host.run(f"docker --host={address} --tlsverify --tlscacert=/root/other/cert.pem --tlscert={FILES}/cert.pem --tlskey={FILES}/key.pem info")
    assert "x509: certificate signed by unknown authority" in done.stdout + done.stderr


def test_context_by_ssh_has_no_certificate(host: t.Any) -> None:
    found = context(host, "by-ssh")
    assert (found["Endpoints"]["docker"]["Host"], found["TLSMaterial"]) == ("ssh://root@trixie", {})


def test_contexts_have_their_descriptions_and_foreign_ones_stay(host: t.Any) -> None:
    assert context(host, "bookworm")["Metadata"]["Description"] == "The older one"
    assert context(host, "mine")["Endpoints"]["docker"]["Host"] == "tcp://192.0.2.1:2375"
