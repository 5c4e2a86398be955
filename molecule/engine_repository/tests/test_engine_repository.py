# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The packages are those of the mirror, only a mirror with the right signature is used, and apt has it once, whoever else wrote it down."""

from __future__ import annotations

import re
import typing as t

import pytest
from plays import converge

LISTS = "/etc/apt/sources.list.d"
SOURCE = f"{LISTS}/docker.sources"
MIRROR = "file:///srv/docker/linux/debian trixie stable"


def test_the_engine_is_the_mirrors(host: t.Any) -> None:
    assert "file:/srv/docker/linux/debian trixie/stable" in host.check_output("apt-cache policy docker-ce")
    assert host.package("docker-ce").version == "5:26.1.5-1~debian.13~trixie"
    assert not host.package("docker.io").is_installed
    assert host.check_output("docker info --format '{{.LoggingDriver}}'") == "local"


def test_it_started_once(host: t.Any) -> None:
    assert host.check_output("journalctl --unit docker.service --output cat --no-pager").count("Daemon has completed initialization") == 1


def test_its_version_is_held(host: t.Any) -> None:
    assert host.check_output("apt-mark showhold").split() == ["containerd.io", "docker-ce", "docker-ce-cli"]


def assert_apt_has_it_once(host: t.Any) -> None:
    assert host.check_output("apt-get update 2>&1 | grep '^[WE]:' || true") == ""
    assert host.check_output(f"grep -rl /srv/docker /etc/apt/sources.list {LISTS}") == SOURCE


def test_a_mirror_that_somebody_else_has_signed_is_not_used(host: t.Any) -> None:
    before = host.check_output("cat /run/docker.pid")
    entry = f"deb [signed-by=/etc/apt/keyrings/docker.asc] {MIRROR}"
    host.check_output(f"echo '{entry}' >{LISTS}/docker.list")
    sources = host.check_output(f"tail -n +1 {LISTS}/* /etc/apt/keyrings/*")
    good, _changed, output = converge(docker_engine_key=host.check_output("cat /srv/other.asc") + "\n")
    assert not good
    words = " ".join(output.split())
    assert "The repository file:///srv/docker/linux/debian trixie cannot be used: " in words
    assert "Missing key" in words
    assert "[repository-unusable]" in words
    # All is as it was, and the host's other packages can be installed.
    assert host.check_output(f"tail -n +1 {LISTS}/* /etc/apt/keyrings/*") == sources
    host.check_output("apt-get update")
    assert host.check_output("cat /run/docker.pid") == before

    good, changed, output = converge()
    assert (good, changed["trixie"] > 0) == (True, True), output[-3000:]
    assert f"{LISTS}/docker.list had Docker's repository: {entry}. After this run only {SOURCE} has it." in " ".join(output.split())
    assert not host.file(f"{LISTS}/docker.list").exists
    assert_apt_has_it_once(host)
    assert converge()[:2] == (True, {"trixie": 0})


@pytest.mark.extra
def test_what_somebody_else_wrote_is_adopted_where_apt_does_nothing_any_more(host: t.Any) -> None:
    """With two keys for one repository apt reads none, and what our modules need is not there: check mode tells what the run does then."""
    host.check_output("apt-mark unhold docker-ce docker-ce-cli containerd.io")
    host.check_output("DEBIAN_FRONTEND=noninteractive apt-get purge --yes --quiet docker-ce docker-ce-cli containerd.io python3-apt python3-debian")
    host.check_output("cp /srv/docker/linux/debian/gpg /srv/theirs.asc")
    # No Signed-By in one of them.
    host.check_output(f"sed -i /^Signed-By/d {SOURCE} && sed -i /^X-Repolib/d {SOURCE}")
    host.check_output(f"echo 'deb [signed-by=/srv/theirs.asc] {MIRROR}' >{LISTS}/docker.list")
    other = "Types: deb\nURIs: file:///srv/none\nSuites: trixie\nComponents: main\nEnabled: no\n"
    uri, suite, component = MIRROR.split()
    mine = f"Types: deb\nURIs: {uri}/\nSuites: {suite}\nComponents: {component}\nSigned-By: /srv/docker/linux/debian/gpg\n"
    # No file of theirs is lost that has something else in it.
    theirs = host.check_output("sed -n 's/ main$/ non-free/p' /etc/apt/sources.list")
    host.check_output(f"printf '%s\n' 'deb {MIRROR}' %s >{LISTS}/more.list", "%s", theirs)
    host.check_output(f"printf '{mine}\n{other}' >{LISTS}/mine.sources")
    assert "Conflicting values" in host.run("apt-get update").stderr
    sources = host.check_output(f"tail -n +1 {LISTS}/*")

    good, _changed, output = converge("--check")
    assert good, output[-3000:]
    words = " ".join(output.split())
    # Role docker_daemon behind it then meets a host without an engine.
    assert "The engine is not there yet, so that check mode cannot say what else would be done." in words
    assert "Packages that would be installed: " in words
    assert "docker-ce=5:26.1.5*, docker-ce-cli, containerd.io" in words
    assert "Packages that would be held: docker-ce, docker-ce-cli, containerd.io" in words
    assert host.check_output(f"tail -n +1 {LISTS}/*") == sources
    assert not host.package("docker-ce").is_installed

    good, changed, output = converge()
    assert (good, changed["trixie"] > 0) == (True, True), output[-3000:]
    assert sorted(re.findall(r"(/\S+) had Docker's repository", output)) == [
        f"{LISTS}/{name}" for name in ("docker.list", "docker.sources", "mine.sources", "more.list")
    ]
    assert_apt_has_it_once(host)
    assert theirs.endswith(" trixie non-free")
    assert host.file(f"{LISTS}/more.list").content_string == theirs + "\n"
    assert host.file(f"{LISTS}/mine.sources").content_string.endswith(other)
    assert host.package("docker-ce").is_installed
    assert converge()[:2] == (True, {"trixie": 0})
