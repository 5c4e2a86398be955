# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The five jobs of the page, as they are written: no warning, a check that answers as the run does, and a second run that changes nothing."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from person import NAMES, NEWEST, PAGE, Person, one, person_with
from running import address, assert_all_is_there, connect, snapshot

JOBS = dict(zip(("logs", "api", "move", "engine", "containers"), PAGE[1:]))


@pytest.fixture(scope="module")
def person() -> Person:
    return person_with(NEWEST)


@pytest.fixture(scope="module")
def before() -> dict[str, t.Any]:
    """With the images that the page takes as given."""
    return snapshot(connect("host1"))


def assert_done(person: Person, job: str, check: bool = True) -> None:
    """Looked at, done, and done already."""
    text = JOBS[job]
    assert text.startswith(f"# {job}.yml\n")
    assert len(text.strip().splitlines()) <= 15
    runs = [person.play(text, *words) for words in ([["--check", "--diff"]] if check else []) + [[], []]]
    for run in runs:
        assert run.good, run.text
        assert run.warnings == []
    assert [any(run.changed.values()) for run in runs] == [True] * (len(runs) - 1) + [False], "\n".join(run.text for run in runs)


def test_there_are_five() -> None:
    assert len(JOBS) == len(PAGE) - 1 == 5


def test_logs_a_mirror_and_networks(host: t.Any, person: Person, before: dict[str, t.Any]) -> None:
    assert_done(person, "logs")
    said = json.loads(host.check_output("docker info --format json"))
    assert (said["LoggingDriver"], said["RegistryConfig"]["Mirrors"], said["DefaultAddressPools"]) == (
        "local",
        ["https://mirror.example.com/"],
        [{"Base": "172.30.0.0/16", "Size": 24}],
    )
    assert_all_is_there(snapshot(host), before)


def test_an_api_with_tls_and_a_client_that_connects(host: t.Any, person: Person, before: dict[str, t.Any]) -> None:
    client = connect("client")
    client.check_output(f"echo {address(host)} {NAMES['host1']} >>/etc/hosts")
    # The client's certificate needs a CA, which only the run makes.
    assert_done(person, "api", check=False)
    theirs = client.check_output("docker ps --format '{{.ID}}'").split()
    assert theirs == host.check_output("docker ps --format '{{.ID}}'").split()
    assert theirs
    # A stranger is not let in.
    assert client.run(f"docker --context default --host tcp://{NAMES['host1']}:2376 ps").rc
    assert_all_is_there(snapshot(host), before)


def test_a_move(host: t.Any, person: Person, before: dict[str, t.Any]) -> None:
    assert_done(person, "move")
    now = snapshot(host)
    assert now["root"] == "/mnt/data/docker"
    assert_all_is_there(now, before)


def test_an_engine_on_a_bare_host(person: Person) -> None:
    new = connect("new")
    assert new.run("command -v dockerd").rc
    # The wrong order.
    for role, variables in {"docker_options": {"docker_options_settings": {}}, "docker_containers": {"docker_containers_list": [{"name": "web"}]}}.items():
        run = person.play(one(role, hosts="new_hosts", **variables))
        assert not run.good
        assert re.search("docker_engine|Install the engine", run.text), run.text
    # Check mode first, as people do.
    listed = {"docker_options_settings": {"log-driver": "local"}, "docker_containers_list": [{"name": "web", "image": "web:1"}]}
    run = person.play(one("docker_engine", "docker_tls", "docker_options", "docker_containers", hosts="new_hosts", **listed), "--check")
    assert (run.good, run.warnings) == (True, []), run.text
    assert "The engine is not there yet, so that check mode cannot say what else would be done." in run.text
    assert new.run("command -v dockerd").rc
    assert_done(person, "engine")
    for user in ("ann", "bob"):
        assert new.run(f"su {user} --command 'docker info'").rc == 0
    assert new.run("docker compose version && docker buildx version").rc == 0


def test_two_containers(host: t.Any, person: Person) -> None:
    assert_done(person, "containers")
    told = json.loads(host.check_output("docker inspect registry web"))
    assert [(one["State"]["Running"], one["HostConfig"]["RestartPolicy"]["Name"]) for one in told] == [(True, "always"), (True, "unless-stopped")]
