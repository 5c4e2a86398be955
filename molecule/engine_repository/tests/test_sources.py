# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Docker's own packages and Debian's take each other's place: data, configuration and what runs stay."""

from __future__ import annotations

import typing as t

import pytest
from plays import converge

# Behind docker_listen the command of the unit is in a drop-in of ours, too.
ASKED = {"docker_listen_addresses": ["fd://", "unix:///run/second.sock"]}
DEBIANS = {**ASKED, "docker_engine_source": "distribution", "docker_engine_version": "", "docker_engine_remove_conflicting": True}
DOCKERS = {**ASKED, "docker_engine_remove_conflicting": True}
IMAGE = "mkdir -p /tmp/i/bin && cp /bin/busybox /tmp/i/bin/sleep && tar -C /tmp/i -c . | docker import - lab:sleep"


def containers(host: t.Any) -> dict[str, tuple[str, str]]:
    lines = host.check_output("docker ps --all --no-trunc --format '{{.Names}} {{.ID}} {{.State}}'").splitlines()
    return {name: (id, state) for name, id, state in map(str.split, lines)}


def starts(host: t.Any) -> int:
    return host.check_output("journalctl --unit docker.service --output cat --no-pager").count("Daemon has completed initialization")


def packages(host: t.Any) -> set[str]:
    names = "docker-ce docker-ce-cli containerd.io docker.io docker-cli containerd runc"
    shown = host.run(f"dpkg-query --show --showformat '${{db:Status-Status}} ${{Package}}\\n' {names} 2>/dev/null").stdout
    return {line.split()[1] for line in shown.splitlines() if line.startswith("installed ")}


@pytest.fixture(scope="module")
def before(host: t.Any) -> dict[str, tuple[str, str]]:
    good, _changed, output = converge(**ASKED)
    assert good, output[-3000:]
    host.check_output(IMAGE)
    host.check_output("docker run --detach --name always --restart always --stop-timeout 1 --volume kept:/kept lab:sleep sleep 9999")
    host.check_output("docker run --detach --name plain --stop-timeout 1 lab:sleep sleep 9999")
    host.check_output("docker create --name never lab:sleep sleep 9999")
    host.check_output("echo letter >/var/lib/docker/volumes/kept/_data/letter")
    return containers(host)


def test_it_is_said_what_lets_them(host: t.Any, before: dict[str, tuple[str, str]]) -> None:
    asked = {**DEBIANS, "docker_engine_remove_conflicting": False}
    good, _changed, output = converge(**asked)
    assert not good
    words = "docker-ce and docker-ce-cli and containerd.io cannot be there beside docker.io and docker-cli. Set docker_engine_remove_conflicting: true"
    assert words in " ".join(output.split())
    assert containers(host) == before


def test_one_that_does_not_come_up_leaves_the_others(host: t.Any, before: dict[str, tuple[str, str]]) -> None:
    drop_in = "/etc/systemd/system/docker.service.d/ill.conf"
    host.check_output("printf '#!/bin/sh\\ntest ! -e /usr/sbin/dockerd' >/usr/local/bin/ill && chmod +x /usr/local/bin/ill")
    host.check_output(f"printf '[Service]\\nExecStartPre=/usr/local/bin/ill\\n' >{drop_in} && systemctl daemon-reload")
    good, _changed, output = converge(**DEBIANS)
    assert not good
    assert "docker-ce 5:26.1.5-1~debian.13~trixie and docker-ce-cli 5:26.1.5" in output
    assert "came back" in output
    host.check_output(f"rm {drop_in} && systemctl daemon-reload")
    assert packages(host) == {"docker-ce", "docker-ce-cli", "containerd.io"}
    assert containers(host) == before


def exchange(host: t.Any, before: dict[str, tuple[str, str]], asked: dict[str, t.Any], program: str) -> None:
    began = starts(host)
    good, changed, output = converge(**asked)
    assert (good, changed["trixie"] > 0) == (True, True), output[-3000:]
    assert starts(host) == began + 1
    assert containers(host) == before
    assert host.check_output("cat /var/lib/docker/volumes/kept/_data/letter") == "letter"
    assert host.check_output("readlink /proc/$(pidof dockerd)/exe") == program
    assert host.check_output("docker --host unix:///run/second.sock ps --quiet | wc -l") == "2"


def test_debians_take_the_place_of_dockers(host: t.Any, before: dict[str, tuple[str, str]]) -> None:
    began = starts(host)
    good, changed, output = converge("--check", **DEBIANS)
    assert (good, changed["trixie"] > 0) == (True, True), output[-3000:]
    assert (starts(host), containers(host)) == (began, before)
    exchange(host, before, DEBIANS, "/usr/sbin/dockerd")
    assert packages(host) == {"docker.io", "docker-cli", "containerd", "runc"}


def test_dockers_take_the_place_of_debians(host: t.Any, before: dict[str, tuple[str, str]]) -> None:
    exchange(host, before, DOCKERS, "/usr/bin/dockerd")
    assert converge(**DOCKERS)[:2] == (True, {"trixie": 0})
    assert packages(host) == {"docker-ce", "docker-ce-cli", "containerd.io"}


def test_a_purge_of_what_went_leaves_the_data(host: t.Any, before: dict[str, tuple[str, str]]) -> None:
    host.check_output("DEBIAN_FRONTEND=noninteractive apt-get purge --yes --quiet docker.io")
    host.check_output("systemctl restart docker")
    assert {name: id for name, (id, _state) in containers(host).items()} == {name: id for name, (id, _state) in before.items()}
    assert host.check_output("cat /var/lib/docker/volumes/kept/_data/letter") == "letter"
