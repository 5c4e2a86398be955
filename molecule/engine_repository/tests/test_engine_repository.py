# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The packages are those of the mirror, and only a mirror with the right signature is used."""

from __future__ import annotations

import typing as t

from plays import converge

SOURCE = "/etc/apt/sources.list.d/docker.sources"


def test_the_engine_is_the_mirrors(host: t.Any) -> None:
    assert "file:/srv/docker/linux/debian trixie/stable" in host.check_output("apt-cache policy docker-ce")
    assert host.package("docker-ce").version == "5:26.1.5-1~debian.13~trixie"
    assert not host.package("docker.io").is_installed
    assert host.check_output("docker info --format '{{.LoggingDriver}}'") == "local"


def test_it_started_once(host: t.Any) -> None:
    assert host.check_output("journalctl --unit docker.service --output cat --no-pager").count("Daemon has completed initialization") == 1


def test_its_version_is_held(host: t.Any) -> None:
    assert host.check_output("apt-mark showhold").split() == ["containerd.io", "docker-ce", "docker-ce-cli"]


def test_a_mirror_that_somebody_else_has_signed_is_not_used(host: t.Any) -> None:
    before = host.check_output("cat /run/docker.pid")
    good, _changed, output = converge(docker_engine_key=host.check_output("cat /srv/other.asc") + "\n")
    assert not good
    words = " ".join(output.split())
    assert "The repository file:///srv/docker/linux/debian trixie cannot be used: " in words
    assert "Missing key" in words
    assert "[repository-unusable]" in words
    # The host's other packages can be installed as before.
    assert not host.file(SOURCE).exists
    host.check_output("apt-get update")
    assert host.check_output("cat /run/docker.pid") == before

    good, changed, output = converge()
    assert (good, changed["trixie"] > 0) == (True, True), output[-3000:]
    assert "Signed-By: " in host.file(SOURCE).content_string
    assert converge()[:2] == (True, {"trixie": 0})
