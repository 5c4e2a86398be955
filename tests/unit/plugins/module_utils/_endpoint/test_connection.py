# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A daemon at any address: how it is reached, and what is told of it."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint import connection
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint.containers import describe_containers, images_of, unsettled
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError

PARAMS = {name: option.get("default") for name, option in connection.OPTIONS.items()}
RAW = {
    "Id": "1",
    "Name": "/web",
    "RestartCount": 2,
    "Config": {"Image": "debian:13", "Labels": {"a": "b"}, "Tty": True},
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "StartedAt": "2026-01-02T03:04:05.5Z",
        "Health": {"Status": "unhealthy", "Log": [{"Output": "no\nanswer\n"}]},
    },
    "HostConfig": {
        "RestartPolicy": {"Name": "always"},
        "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "53/udp": [{"HostIp": "::1", "HostPort": "53"}], "9/tcp": [{"HostPort": ""}]},
    },
    "Mounts": [],
}
ANSWERS = {
    "/containers/json": [{"Id": "1", "Names": ["/web"]}, {"Id": "2", "Names": ["/other"]}],
    "/containers/1/json": RAW,
    "/containers/1/logs": b"one\r\ntwo\r\n",
    "/events": b'{"Actor": {"Attributes": {"exitCode": "1"}}}\n{"Actor": {"Attributes": {"exitCode": "3"}}}\n',
    "/info": {"SystemTime": "2026-01-02T03:04:15.5+00:00"},
}


def test_address_of_a_socket():
    engine = connection.engine_of({**PARAMS, "docker_host": "unix:///run/other.sock", "timeout": 5})
    assert (engine.path, engine.timeout, engine.where) == ("/run/other.sock", 5, "/run/other.sock")


def test_address_over_tcp():
    engine = connection.engine_of({**PARAMS, "docker_host": "tcp://10.0.0.5:2375"})
    assert (engine.where, engine.tls) == ("tcp://10.0.0.5:2375", None)
    assert connection.engine_of({**PARAMS, "docker_host": "tcp://[::1]:2375"}).where == "tcp://[::1]:2375"


def test_server_is_verified_when_that_is_asked():
    believing = connection.engine_of({**PARAMS, "docker_host": "tcp://host:2376", "tls": True})
    assert (believing.tls.check_hostname, believing.tls.verify_mode.name) == (False, "CERT_NONE")
    verifying = connection.engine_of({**PARAMS, "docker_host": "tcp://host:2376", "validate_certs": True, "tls_hostname": "docker.lab"})
    assert (verifying.tls.check_hostname, verifying.tls.verify_mode.name, verifying.name) == (True, "CERT_REQUIRED", "docker.lab")


@pytest.mark.parametrize(
    "address",
    [
        *("ssh://host", "tcp://host", "tcp://host:none", "tcp://host:0", "tcp://host:65536", "tcp://:2375", "tcp://[::1", "tcp://a b:2375", "tcp://a..b:2375"),
        *(f"tcp://{'a' * 70}:2375", "/var/run/docker.sock", "unix://run/docker.sock", "unix://", ""),
    ],
)
def test_address_of_another_kind_is_refused(address):
    with pytest.raises(DrydockError, match="is no address of a daemon that can be asked"):
        connection.engine_of({**PARAMS, "docker_host": address})


def test_client_files_that_are_not_there_are_named(tmp_path):
    with pytest.raises(DrydockError, match=f"The client files {tmp_path}/ca.pem cannot be used: "):
        connection.engine_of({**PARAMS, "docker_host": "tcp://host:2376", "validate_certs": True, "ca_path": f"{tmp_path}/ca.pem"})


def test_containers_are_told_with_their_last_end(fake_engine):
    (web,) = describe_containers(fake_engine(ANSWERS), ["web"], 1)
    assert (web["name"], web["health"], web["health_output"], web["started_at"]) == ("web", "unhealthy", "no answer", "2026-01-02T03:04:05.5Z")
    assert (web["restart_count"], web["exit_code"], web["log"], web["labels"]) == (2, 3, ["two"], {"a": "b"})
    assert web["ports"] == [{"ip": "::1", "port": "53", "protocol": "udp"}, {"ip": "", "port": "8080", "protocol": "tcp"}]


def test_last_end_that_the_daemon_has_forgotten(fake_engine):
    (web,) = describe_containers(fake_engine({**ANSWERS, "/events": b""}), None, 0)
    assert (web["exit_code"], web["log"]) == (0, [])


def test_images_are_told_with_all_their_names(fake_engine):
    engine = fake_engine({"/images/json": [{"Id": "sha256:1", "RepoTags": ["a:1"], "RepoDigests": ["a@sha256:2"]}, {"Id": "sha256:3", "RepoTags": None}]})
    assert images_of(engine) == [{"id": "sha256:1", "names": ["a:1", "a@sha256:2"]}, {"id": "sha256:3", "names": []}]


NOW = "2026-01-02T03:04:15Z"


@pytest.mark.parametrize(
    ("state", "started_at", "rest"),
    [
        ("running", "2026-01-02T03:04:12Z", 7),
        ("running", "2026-01-02T03:04:05Z", 0),
        ("running", "2026-01-01T03:04:05Z", 0),
        # Another clock than the engine's has no say, and a future start is no reason to wait longer.
        ("running", "2026-01-02T03:05:05Z", 10),
        ("restarting", "2026-01-01T03:04:05Z", 10),
        ("exited", "2026-01-02T03:04:15Z", 0),
        ("created", "", 0),
    ],
)
def test_time_until_it_has_run_for_so_long(state, started_at, rest):
    one = {"state": state, "started_at": started_at}
    assert unsettled([one, {"state": "running", "started_at": "2025-01-02T03:04:05Z"}], NOW, 10) == rest
    assert unsettled([one], NOW, 0) == 0


def test_nobody_is_nothing_to_wait_for():
    assert unsettled([], NOW, 10) == 0
