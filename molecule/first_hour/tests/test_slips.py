# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What people do wrong in the first hour: each has the answer that a colleague would give, and nothing is touched."""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

import pytest
from controller import CORES
from person import NEWEST, one, person_with
from places import interpreter
from running import connect


@dataclasses.dataclass(frozen=True)
class Slip:
    """A playbook, how it is called, and the answer.

    :param answer: a regular expression; found in what is printed.
    :param good: whether the play goes on all the same.
    """

    playbook: str
    answer: str
    words: tuple[str, ...] = ()
    good: bool = False
    password: bool = True


DEBUG = {"docker_options_settings": {"debug": True}}
CONTAINER = {"name": "web", "image": "nginx:1.29"}
SLIPS = {
    # Typos.
    "a variable's name misspelt": Slip(
        one("docker_options", docker_option_settings={"debug": True}),
        r"docker_option_settings is no variable .*Did you mean docker_options_settings\?",
        good=True,
    ),
    "a role's name for its variable": Slip(
        one("docker_data_root", docker_data_root="/mnt/data/docker"),
        r"docker_data_root_path is not given.*docker_data_root is no variable .*Did you mean docker_data_root_path\?",
        good=True,
    ),
    "a key misspelt": Slip(one("docker_options", docker_options_settings={"log-drivr": "local"}), r"log-drivr.*log-driver"),
    "a policy misspelt": Slip(one("docker_containers", docker_containers_list=[{**CONTAINER, "restart_policy": "allways"}]), r"allways.*always"),
    "a collection's role without the collection": Slip(
        one("docker_options", **DEBUG).replace("drydock.dockerd.", ""), r"[Tt]he role 'docker_options' was not found"
    ),
    # Types.
    "a list for a dictionary": Slip(one("docker_options", docker_options_settings=["debug"]), r'docker_options_settings is \["debug"\]\. Give a dictionary'),
    "a number for a text": Slip(
        one("docker_options", docker_options_settings={"log-driver": "local", "log-opts": {"max-file": 3}}), r"log-opts.*max-file.*text"
    ),
    "a text for a list": Slip(one("docker_listen", hosts="docker_clients", docker_listen_addresses="fd://\n"), r"PLAY RECAP", good=True),
    "a dictionary for a list": Slip(one("docker_containers", docker_containers_list=CONTAINER), r"docker_containers_list"),
    "an address without its kind": Slip(
        one("docker_listen", docker_listen_addresses=["0.0.0.0:2376"]), r"0\.0\.0\.0:2376 would give root.*Put role docker_tls in front"
    ),
    "a path that is not absolute": Slip(one("docker_data_root", docker_data_root_path="mnt/data/docker"), r"mnt/data/docker.*absolute"),
    "a name of one letter": Slip(
        one("docker_containers", docker_containers_list=[{**CONTAINER, "name": "w"}]), r"Container w has a name that .*two characters"
    ),
    # What is not as they think.
    "an API without TLS": Slip(
        one("docker_listen", docker_listen_addresses=["fd://", "tcp://0.0.0.0:2375"]), r"tcp://0\.0\.0\.0:2375 would give root.*Put role docker_tls in front"
    ),
    "certificates that nobody made": Slip(
        one(
            "docker_listen",
            docker_listen_addresses=["fd://", "tcp://0.0.0.0:2376"],
            **{f"docker_listen_tls_{key}": f"/etc/docker/tls/{key}.pem" for key in ("ca", "cert", "key")},
        ),
        r"does not exist on this host.*docker_tls",
    ),
    "a key of another role": Slip(one("docker_options", docker_options_settings={"hosts": ["fd://"]}), r"hosts.*docker_listen"),
    "a place that is no disk": Slip(one("docker_data_root", docker_data_root_path="/srv/docker"), r"/srv"),
    "a place with something in it": Slip(one("docker_data_root", docker_data_root_path="/mnt/data"), r"/mnt/data contains the old data root"),
    "a move without a place": Slip(one("docker_data_root"), r"Nothing is asked for: docker_data_root_path is not given", good=True),
    "addresses by another name": Slip(one("docker_listen", docker_listen_address=["fd://"]), r"Did you mean docker_listen_addresses\?", good=True),
    "an image that is not there": Slip(one("docker_containers", docker_containers_list=[CONTAINER, {"name": "two", "image": "nosuch:1"}]), r"nosuch:1"),
    "a port that is taken": Slip(one("docker_containers", docker_containers_list=[{**CONTAINER, "name": "web2", "ports": ["8080:80"]}]), r"8080.*\bweb\b"),
    # How it is called.
    "no become": Slip(one("docker_options", become=False, **DEBUG), r"it takes root\. Set become: true", password=False),
    "no become, a move": Slip(
        one("docker_data_root", become=False, docker_data_root_path="/mnt/data/docker"), r"it takes root\. Set become: true", password=False
    ),
    "no become, containers": Slip(
        one("docker_containers", become=False, docker_containers_list=[CONTAINER]), r"it takes root\. Set become: true", password=False
    ),
    "no password for sudo": Slip(one("docker_options", **DEBUG), r"[Pp]assword", password=False),
    "a limit that leaves nobody": Slip(one("docker_options", **DEBUG), r"[Nn]o hosts matched|does not match any hosts|not match", ("--limit", "nobody")),
    "tags that nothing has": Slip(one("docker_options", **DEBUG), r"PLAY RECAP", ("--tags", "nothing"), good=True),
    "check mode first": Slip(one("docker_options", **DEBUG), r"debug", ("--check", "--diff"), good=True),
}


# Files of the configuration, containers, and the daemon's process.
LOOK = "cat /etc/docker/daemon.json; ls -R /etc/docker /etc/systemd/system; docker ps --all --no-trunc --format '{{.ID}} {{.State}}'; cat /run/docker.pid"


@pytest.fixture(scope="module", autouse=True)
def nothing_is_touched() -> t.Iterator[None]:
    """By all of them together."""
    before = [connect(name).run(LOOK).stdout for name in ("host1", "new")]
    yield
    assert [connect(name).run(LOOK).stdout for name in ("host1", "new")] == before


def of_each_core() -> t.Iterator[t.Any]:
    """Each on the newest, and on the others where there is time."""
    for core in sorted(CORES, reverse=True):
        for name, slip in SLIPS.items():
            marks = [] if core == NEWEST else [pytest.mark.extra]
            yield pytest.param(core, slip, id=f"{core}-{name}", marks=marks)


@pytest.mark.parametrize(("core", "slip"), of_each_core())
def test_a_slip_has_its_answer(core: str, slip: Slip) -> None:
    if not interpreter(*CORES[core][0]):
        pytest.fail(f"no Python for ansible-core {core}")
    run = person_with(core).play(slip.playbook, *slip.words, password=slip.password)
    # Lines that a terminal would break, and JSON's marks.
    said = re.sub(r"\s+", " ", run.text.replace('\\"', '"'))
    assert re.search(slip.answer, said), run.text
    assert run.good == slip.good, run.text
    assert "Traceback" not in run.text


def test_a_role_that_is_chosen_by_its_tag_does_all_of_it() -> None:
    """Also what it includes; and the other one nothing."""
    roles = [{"role": "drydock.dockerd.docker_engine", "tags": "engine"}, {"role": "drydock.dockerd.docker_options", "tags": "options"}]
    (play,) = json.loads(one(hosts="docker_clients", docker_engine_users=["daemon"], **DEBUG))
    run = person_with(NEWEST).play(json.dumps([{**play, "roles": roles}]), "--check", "--tags", "engine")
    assert (run.good, run.changed) == (True, {"client.example.com": 1}), run.text
    assert "docker_engine : Let the users use the local socket" in run.text
    # Ansible looks at its arguments all the same.
    assert run.text.count("docker_options :") == 1


@pytest.mark.parametrize("way", ["serial", "free", "facts", "limit"])
def test_however_a_play_is_run_it_does_the_same(way: str) -> None:
    """A batch at a time, each host at its own pace, with facts, and one host alone."""
    (play,) = json.loads(one("docker_options", hosts="docker_hosts:docker_clients", docker_options_owner=way, docker_options_settings={}))
    play |= {"serial": {"serial": 1}, "free": {"strategy": "free"}, "facts": {"gather_facts": True}, "limit": {}}[way]
    words = ["--limit", "client.example.com"] if way == "limit" else []
    run = person_with(NEWEST).play(json.dumps([play]), *words)
    assert run.good, run.text
    assert run.changed == dict.fromkeys(["client.example.com"] if way == "limit" else ["host1.example.com", "client.example.com"], 0)
    assert run.warnings == []


def test_a_daemon_that_is_down_is_told_by_each_role() -> None:
    host = connect("client")
    host.check_output("systemctl stop docker.socket docker.service")
    try:
        for role, variables in {
            "docker_options": DEBUG,
            "docker_listen": {"docker_listen_addresses": ["fd://"]},
            "docker_data_root": {"docker_data_root_path": "/mnt/data/docker"},
            "docker_containers": {"docker_containers_list": [CONTAINER]},
        }.items():
            run = person_with(NEWEST).play(one(role, hosts="docker_clients", **variables), "--check")
            assert re.search(r"daemon.*(is down|does not run|is not running|does not answer)", run.text.replace("\n", " ")), run.text
    finally:
        host.check_output("systemctl start docker.socket docker.service")
