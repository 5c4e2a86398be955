# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Containers of a daemon on another machine, by the client files that role docker_client made there, and by nothing else."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from policies import FLAP, inspect, picture, role
from running import PLAYBOOKS, Play, address, connect, run_module

HERE = PLAYBOOKS.parent / "molecule" / "containers_remote"
CONNECTION = yaml.safe_load((HERE / "vars" / "main.yml").read_text())["docker_containers_connection"]


@pytest.fixture(scope="module")
def daemon() -> t.Any:
    return connect("daemon")


@pytest.fixture(scope="module")
def host() -> t.Any:
    return connect("client")


@pytest.fixture(scope="module")
def there(host: t.Any, daemon: t.Any) -> t.Callable[..., Play]:
    """Run the role on the client for these containers of the daemon."""

    def run(*containers: dict[str, t.Any], **changes: t.Any) -> Play:
        return role(host, *containers, docker_host=f"tcp://{address(daemon)}:2376", connection={**CONNECTION, **changes}, settle_time=1)

    return run


def test_it_runs_there_and_not_here(host: t.Any, daemon: t.Any) -> None:
    assert inspect(daemon, "afar")["State"]["Running"]
    assert inspect(daemon, "afar")["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert "afar" not in picture(host)


def test_one_that_does_not_stay_up_is_told_with_its_last_lines(there: t.Callable[..., Play], daemon: t.Any) -> None:
    play = there(FLAP)
    assert play.message.startswith("Container flap does not stay up: ")
    assert "going down" in play.message
    assert not there({"name": "flap", "state": "absent"}).failed
    assert "flap" not in picture(daemon)


def test_who_has_no_certificate_is_turned_away(there: t.Callable[..., Play]) -> None:
    play = there(FLAP, client_cert=None, client_key=None)
    assert play.failed
    assert "The daemon does not answer on tcp://" in play.message


def test_a_daemon_with_another_name_is_not_believed(there: t.Callable[..., Play]) -> None:
    play = there(FLAP, tls_hostname="other.lab")
    assert play.failed
    assert "certificate verify failed" in play.message


def test_endpoint_is_looked_at_from_the_client(host: t.Any, daemon: t.Any) -> None:
    """Once as somebody who may, and in ways that have to fail."""
    files = " ".join(f"{name}={CONNECTION[name]}" for name in ("client_cert", "client_key"))

    def ask(arguments: str, port: int = 2376) -> dict[str, t.Any]:
        return run_module(host, f"docker_host=tcp://{address(daemon)}:{port} timeout=10 {arguments}", "endpoint_info", check=True)

    found = ask(f"validate_certs=true ca_path={CONNECTION['ca_path']} {files}")
    assert (found["status"], found["verified"], found["turned_away_without_certificate"]) == ("ok", True, True), found["msg"]
    assert found["engine_version"] == daemon.check_output("docker version --format '{{.Server.Version}}'")
    assert address(daemon) in found["certificate"]["names"]
    assert found["certificate"]["days_left"] > 30
    assert not found["changed"]
    assert ask(f"validate_certs=true ca_path={CONNECTION['ca_path']} tls_hostname=other.lab {files}")["status"] == "name_mismatch"
    assert ask(f"validate_certs=true ca_path={CONNECTION['client_cert']} {files}")["status"] == "wrong_ca"
    assert ask("tls=true")["status"] == "client_certificate_refused"
    assert ask("")["status"] == "tls_required"
    assert ask("", port=1)["status"] == "unreachable"


def test_what_is_absent_is_removed(there: t.Callable[..., Play], daemon: t.Any) -> None:
    before = picture(daemon)
    assert there({"name": "afar", "state": "absent"}).changed == 1
    now = picture(daemon)
    assert now == {name: one for name, one in before.items() if name != "afar"}
