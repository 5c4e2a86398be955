# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A renewal on all hosts at once: new certificates, one restart each, and everything that ran runs."""

from __future__ import annotations

import socket
import ssl
import typing as t

import pytest
from plays import DAEMONS, SERVER, connect, converge, stops, text
from running import snapshot

from conftest import as_it_was


@pytest.fixture(scope="module")
def hosts() -> dict[str, t.Any]:
    return {name: connect(name) for name in (*DAEMONS, "client")}


def served(host: t.Any) -> str:
    """The certificate that the daemon shows to whoever connects."""
    address = host.check_output("ip -4 -oneline address show eth0").split()[3].split("/")[0]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, 2376), timeout=10) as connection, context.wrap_socket(connection) as stream:
        return ssl.DER_cert_to_PEM_cert(t.cast("bytes", stream.getpeercert(binary_form=True)))


@pytest.fixture(scope="module")
def renewed(hosts: dict[str, t.Any]) -> dict[str, t.Any]:
    """What was there before, and what the play said."""
    daemons = {name: hosts[name] for name in DAEMONS}
    before = {
        name: {"picture": snapshot(one), "stops": stops(one), "certificate": text(one, SERVER), "key": text(one, "/etc/docker/tls/server-key.pem")}
        for name, one in daemons.items()
    }
    before["client"] = {"certificate": text(hosts["client"], "/etc/docker/client/cert.pem"), "key": text(hosts["client"], "/etc/docker/client/key.pem")}
    # More days than a certificate lasts: each has to be replaced. A name more is another reason.
    good, _changed, output = converge(docker_tls_renew_before="400", docker_tls_names="docker.example.com\n10.9.8.7\n")
    assert good, output
    return before


@pytest.mark.parametrize("name", DAEMONS)
def test_renewal_replaces_the_certificate_and_keeps_the_key(hosts: dict[str, t.Any], renewed: dict[str, t.Any], name: str) -> None:
    certificate = text(hosts[name], SERVER)
    assert certificate != renewed[name]["certificate"]
    assert text(hosts[name], "/etc/docker/tls/server-key.pem") == renewed[name]["key"]


@pytest.mark.parametrize("name", DAEMONS)
def test_daemon_serves_the_new_certificate_after_one_restart(hosts: dict[str, t.Any], renewed: dict[str, t.Any], name: str) -> None:
    assert served(hosts[name]) == text(hosts[name], SERVER)
    assert stops(hosts[name]) == renewed[name]["stops"] + 1


@pytest.mark.parametrize("name", DAEMONS)
def test_containers_run_on_as_they_ran(hosts: dict[str, t.Any], renewed: dict[str, t.Any], name: str) -> None:
    assert as_it_was(snapshot(hosts[name])) == as_it_was(renewed[name]["picture"])


def test_context_of_the_client_has_its_new_certificate(hosts: dict[str, t.Any], renewed: dict[str, t.Any]) -> None:
    client = hosts["client"]
    certificate = text(client, "/etc/docker/client/cert.pem")
    assert certificate != renewed["client"]["certificate"]
    assert text(client, "/etc/docker/client/key.pem") == renewed["client"]["key"]
    copies = client.check_output("cat /root/.docker/contexts/tls/*/docker/cert.pem")
    assert copies.count(certificate.strip()) == len(DAEMONS)
    assert renewed["client"]["certificate"].strip() not in copies
    for name in DAEMONS:
        assert client.check_output(f"docker --context {name} info --format '{{{{.Name}}}}'") == name


def test_run_after_a_renewal_changes_nothing(renewed: dict[str, t.Any]) -> None:
    good, changed, output = converge(docker_tls_names="docker.example.com\n10.9.8.7\n")
    assert good, output
    assert changed == {"bookworm": 0, "trixie": 0, "client": 0}, output
