# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _engine_packages

ASKED = {
    "source": "distribution",
    "version": "",
    "state": "present",
    "packages": [],
    "users": "",
    "url": "https://mirror.example/linux/",
    "key": "",
    "plugins": False,
    "remove_conflicting": False,
}
TRIXIE = {"distribution": "Debian", "distribution_major_version": "13", "distribution_release": "trixie", "pkg_mgr": "apt"}
BOOKWORM = {**TRIXIE, "distribution_major_version": "12", "distribution_release": "bookworm"}
FORKY = {**TRIXIE, "distribution_major_version": "n/a", "distribution_release": "forky"}
UBUNTU = {"distribution": "Ubuntu", "distribution_major_version": "24", "distribution_release": "noble", "pkg_mgr": "apt"}
FEDORA = {"distribution": "Fedora", "distribution_major_version": "43", "distribution_release": "", "pkg_mgr": "dnf5"}
ALMA = {"distribution": "AlmaLinux", "distribution_major_version": "9", "distribution_release": "", "pkg_mgr": "dnf"}
TOOLS = ["rsync", "python3-cryptography", "python3-requests"]


def plan(facts, installed=(), **asked):
    return _engine_packages.plan({**ASKED, **asked}, facts, dict(installed))


@pytest.mark.parametrize(
    ("facts", "source", "packages"),
    [
        (TRIXIE, "distribution", ["docker.io", "docker-cli"]),
        (FORKY, "distribution", ["docker.io", "docker-cli"]),
        (BOOKWORM, "distribution", ["docker.io"]),
        (UBUNTU, "", ["docker.io"]),
        (FEDORA, "distribution", ["moby-engine", "docker-cli"]),
        (ALMA, "docker", ["docker-ce", "docker-ce-cli", "containerd.io"]),
    ],
)
def test_each_family_has_its_packages(facts, source, packages):
    found = plan(facts, source=source)
    assert found["packages"] == found["install"] == packages
    assert found["tools"] == TOOLS
    assert not found["change"]


DOCKERS, DEBIANS, UBUNTUS = ["docker-compose-plugin", "docker-buildx-plugin"], ["docker-compose", "docker-buildx"], ["docker-compose-v2", "docker-buildx"]


@pytest.mark.parametrize(
    ("facts", "source", "installed", "plugins"),
    [
        (TRIXIE, "distribution", {}, DEBIANS),
        (FORKY, "distribution", {"docker-buildx": "1"}, DEBIANS[:1]),
        (BOOKWORM, "distribution", {}, []),
        (UBUNTU, "distribution", {}, UBUNTUS),
        ({**UBUNTU, "distribution_version": "20.04"}, "distribution", {}, []),
        (FEDORA, "distribution", {}, []),
        (ALMA, "docker", {}, DOCKERS),
        (TRIXIE, "docker", {"docker-compose": "2"}, []),
        (TRIXIE, "distribution", {"docker-compose-plugin": "2"}, []),
    ],
)
def test_the_client_s_plugins_come_from_the_same_source(facts, source, installed, plugins):
    assert plan(facts, {**dict.fromkeys(TOOLS, "1"), **installed}.items(), source=source, plugins=True)["plugins"] == plugins


def test_to_an_engine_that_is_there_no_plugins_are_added():
    assert plan(TRIXIE, {"docker.io": "26.1"}.items(), plugins=True)["plugins"] == []


def test_what_is_there_is_not_installed_again():
    there = {"docker.io": "26.1", "docker-cli": "26.1", **dict.fromkeys(TOOLS, "1")}
    found = plan(TRIXIE, there.items())
    assert (found["install"], found["tools"], found["is_new"], found["change"], found["conflicting"]) == ([], [], False, False, [])
    assert plan(TRIXIE)["is_new"]


@pytest.mark.parametrize(
    ("asked", "change"),
    [({"version": "26.*"}, False), ({"version": "26.1"}, False), ({"version": "28.*"}, True), ({"version": " "}, False), ({"state": "latest"}, True)],
)
def test_another_version_is_a_change(asked, change):
    assert plan(TRIXIE, {"docker.io": "26.1", "docker-cli": "26.1"}.items(), **asked)["change"] == change


def test_a_version_is_the_engines():
    assert plan(TRIXIE, version="26.*")["install"] == ["docker.io=26.*", "docker-cli"]
    assert plan(ALMA, source="docker", version="28.5*")["install"] == ["docker-ce-28.5*", "docker-ce-cli", "containerd.io"]
    # There is nothing to upgrade where there is nothing.
    assert not plan(TRIXIE, state="latest")["change"]


def test_packages_in_the_way_are_named():
    assert plan(TRIXIE, {"docker-ce": "5:28", "podman-docker": "5"}.items())["conflicting"] == ["docker-ce", "podman-docker"]
    assert plan(TRIXIE, {"containerd": "1.7", "docker.io": "20"}.items(), source="docker")["conflicting"] == ["docker.io", "containerd"]
    assert plan(TRIXIE, {"containerd.io": "2"}.items(), packages="docker.io\ncontainerd.io")["conflicting"] == []


def test_dockers_repository():
    assert plan(UBUNTU)["repository"] == {}
    assert plan(UBUNTU, source="docker")["repository"] == {
        "uri": "https://mirror.example/linux/ubuntu",
        "suite": "noble",
        "key": "https://mirror.example/linux/ubuntu/gpg",
    }
    assert plan(ALMA, source="docker", key="/etc/key.asc")["repository"] == {"uri": "https://mirror.example/linux/centos", "suite": "", "key": "/etc/key.asc"}


@pytest.mark.parametrize(
    ("facts", "asked", "sentence"),
    [
        (TRIXIE, {"state": "latest", "version": "26"}, "docker_engine_state is 'latest', and docker_engine_version is '26'. Give one of both."),
        (TRIXIE, {"users": 7}, "docker_engine_users is 7. Give a list of text, or text with one value a line."),
        (ALMA, {}, "AlmaLinux has no package of the Docker engine of its own. Set docker_engine_source: docker, or name docker_engine_packages."),
        ({**ALMA, "pkg_mgr": "zypper"}, {}, "This host has AlmaLinux with the package manager 'zypper'; role docker_engine knows apt and dnf."),
    ],
)
def test_bad_input_is_refused(facts, asked, sentence):
    found = plan(facts, **asked)["refusals"]
    assert len(found) == 1
    assert found[0].startswith(sentence)


def test_an_engine_of_another_source_hands_over_when_that_is_wanted():
    theirs = {"docker.io": "26.1", "docker-cli": "26.1", "containerd": "1.7", "runc": "1.1"}
    found = plan(TRIXIE, theirs.items(), source="docker", remove_conflicting=True, plugins=True)
    assert (found["replaces"], found["conflicting"], found["install"], found["change"], found["is_new"]) == (list(theirs), [], [], True, False)
    assert found["plugins"] == DOCKERS
    # What both bring stays.
    assert plan(TRIXIE, {**theirs, "docker-compose": "2"}.items(), source="docker", remove_conflicting=True, plugins=True)["plugins"] == []
    found = plan(TRIXIE, theirs.items(), source="docker")
    assert (found["replaces"], found["conflicting"], found["change"]) == ([], list(theirs), False)


@pytest.mark.parametrize(
    ("facts", "installed"), [(ALMA, {"moby-engine": "1"}), (TRIXIE, {"podman-docker": "5"}), (TRIXIE, {"containerd": "1.7", "runc": "1.1"})]
)
def test_what_is_no_engine_of_apt_goes_before(facts, installed):
    found = plan(facts, installed.items(), source="docker", remove_conflicting=True)
    assert (found["replaces"], found["conflicting"], found["change"], found["is_new"]) == ([], list(installed), False, True)
