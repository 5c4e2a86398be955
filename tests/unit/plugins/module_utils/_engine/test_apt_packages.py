# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What apt says becomes an upgrade, or a refusal that names what there is."""

from __future__ import annotations

import shutil

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine import apt_packages
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.apt_packages import find_upgrade, upstream
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import CommandFailed, DrydockError

LISTED = """\
 docker.io | 26.1.5+dfsg1-9 | http://deb.example/debian trixie/main amd64 Packages
 docker.io | 20.10.24+dfsg1-1 | http://deb.example/debian bookworm/main amd64 Packages
 docker.io | 20.10.24+dfsg1-1 | http://deb.example/debian bookworm/main Sources
"""
NAMES = ["docker.io", "docker-cli"]


@pytest.fixture
def apt(host, monkeypatch):
    """A host on which apt has two versions of the engine, and one of them is installed; the client is of another kind."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    answers = host.execute.answers
    show = "dpkg-query --show --showformat ${db:Status-Status} ${Version}"
    answers[f"{show} docker.io"] = (0, "installed 20.10.24+dfsg1-1")
    answers[f"{show} docker-cli"] = (0, "installed 1.0")
    answers["apt-cache madison docker.io"] = (0, LISTED)
    answers["apt-cache madison docker-cli"] = (0, LISTED.replace("docker.io", "docker-cli"))
    answers["apt-cache policy docker.io"] = (0, "docker.io:\n  Installed: 20.10.24+dfsg1-1\n  Candidate: 26.1.5+dfsg1-9\n  Version table:\n")
    answers["apt-cache policy docker-cli"] = (0, "docker-cli:\n  Installed: 1.0\n  Candidate: 26.1.5+dfsg1-9\n")
    return host


def test_the_newest_of_each(apt):
    found = find_upgrade(apt, NAMES, "")
    assert found.before == {"docker.io": "20.10.24+dfsg1-1", "docker-cli": "1.0"}
    assert found.after == {"docker.io": "26.1.5+dfsg1-9", "docker-cli": "26.1.5+dfsg1-9"}
    # The client that was there comes from nowhere.
    assert not found.back
    assert find_upgrade(apt, NAMES[:1], "").back


@pytest.mark.parametrize(
    ("version", "after"),
    [
        ("26.*", {"docker.io": "26.1.5+dfsg1-9", "docker-cli": "26.1.5+dfsg1-9"}),
        ("26.1.5+dfsg1-9", {"docker.io": "26.1.5+dfsg1-9", "docker-cli": "26.1.5+dfsg1-9"}),
        ("20.*", {"docker-cli": "20.10.24+dfsg1-1"}),
    ],
)
def test_one_version(apt, version, after):
    assert find_upgrade(apt, NAMES, version).after == after


def test_a_package_without_that_version_stays(apt):
    apt.execute.answers["apt-cache madison docker-cli"] = (0, "")
    assert find_upgrade(apt, NAMES, "26.*").after == {"docker.io": "26.1.5+dfsg1-9"}


@pytest.mark.parametrize("command", ["dpkg-query", "apt-cache madison", "apt-cache policy"])
def test_an_apt_that_does_not_answer_has_not_said_that_there_is_none(apt, command):
    """It would be told that the engine is not installed, or that there is no newer one."""
    apt.execute.answers = {command: (100, "E: Could not open lock file"), **apt.execute.answers}
    with pytest.raises(CommandFailed, match=r"E: Could not open lock file\. \[command-failed\]$"):
        find_upgrade(apt, NAMES, "")


def test_the_client_that_becomes_a_package_of_its_own_comes_along(apt):
    apt.execute.answers["dpkg-query --show --showformat ${db:Status-Status} ${Version} docker-cli"] = (1, "no packages found")
    found = find_upgrade(apt, NAMES[:1], "26.*")
    assert found.after == {"docker.io": "26.1.5+dfsg1-9", "docker-cli": "26.1.5+dfsg1-9"}
    assert found.undo[-2:] == ["docker.io=20.10.24+dfsg1-1", "docker-cli-"]
    assert str(found) == "docker.io from 20.10.24+dfsg1-1 to 26.1.5+dfsg1-9 and docker-cli from none to 26.1.5+dfsg1-9"
    apt.execute.answers["apt-cache madison docker-cli"] = (0, "")
    assert list(find_upgrade(apt, NAMES[:1], "26.*").after) == ["docker.io"]


def test_what_is_there_already_changes_nothing(apt):
    assert find_upgrade(apt, NAMES[:1], "20.10.*").after == {}
    apt.execute.answers["apt-cache policy docker.io"] = (0, "  Candidate: 20.10.24+dfsg1-1\n")
    assert find_upgrade(apt, NAMES[:1], "").after == {}


def test_an_unknown_version_names_those_that_there_are(apt):
    words = r"There is no version '99\.\*' of docker\.io: the package manager has 26\.1\.5\+dfsg1-9, 20\.10\.24\+dfsg1-1\. See 'apt-cache madison docker\.io'\."
    with pytest.raises(DrydockError, match=words):
        find_upgrade(apt, NAMES, "99.*")


def test_a_package_that_is_not_installed_is_told(apt):
    with pytest.raises(DrydockError, match=r"There is no package docker-ce installed: the package manager has none\."):
        find_upgrade(apt, ["docker-ce"], "")


def test_another_package_manager_is_told(host, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DrydockError, match=r"This host has no apt-get"):
        find_upgrade(host, NAMES, "")


def test_commands_ask_nobody_and_name_versions(apt):
    found = find_upgrade(apt, NAMES[:1], "26.*")
    assert found.forth[-1] == "docker.io=26.1.5+dfsg1-9"
    assert found.undo[-1] == "docker.io=20.10.24+dfsg1-1"
    for command in (*found.downloads, found.forth, found.undo):
        assert {"DEBIAN_FRONTEND=noninteractive", "--yes", "Dpkg::Options::=--force-confold", "--allow-downgrades"} <= set(command)
    assert all("--download-only" in command for command in found.downloads)
    assert "--download-only" not in found.forth


def test_what_is_there_is_fetched_for_the_way_back(apt):
    found = find_upgrade(apt, NAMES[:1], "26.*")
    assert [command[-1] for command in found.downloads] == ["docker.io=26.1.5+dfsg1-9", "docker.io=20.10.24+dfsg1-1"]
    assert "--reinstall" in found.downloads[1]
    # What apt does not have any more it cannot fetch.
    assert len(find_upgrade(apt, NAMES, "26.*").downloads) == 1


@pytest.mark.parametrize(
    ("version", "engine"),
    [("5:28.5.1-1~debian.12~bookworm", "28.5.1"), ("20.10.24+dfsg1-1+deb12u1+b2", "20.10.24"), ("26.1.5~rc1-1", "26.1.5"), ("", "")],
)
def test_the_engines_own_version(version, engine):
    assert upstream(version) == engine


def test_mending_asks_nobody():
    assert apt_packages.MEND[-4:] == ("dpkg", "--configure", "--pending", "--force-confold")


@pytest.fixture
def dockers(apt):
    """The same host, which has Docker's own packages to offer as well; the client's plugin it has not."""
    answers = apt.execute.answers
    show = "dpkg-query --show --showformat ${db:Status-Status} ${Version}"
    for name, version in (("docker-ce", "5:26.1.5-1"), ("containerd.io", "1.7-1"), ("docker-compose-plugin", "")):
        answers[f"{show} {name}"] = (1, "no packages found")
        answers[f"apt-cache madison {name}"] = (0, f" {name} | {version} | file:/srv trixie/stable amd64 Packages\n" if version else "")
        answers[f"apt-cache policy {name}"] = (0, f"  Candidate: {version}\n" if version else "")
    answers[f"{show} runc"] = (0, "not-installed ")
    answers["env"] = (0, "Inst docker-ce\nRemv docker.io:amd64 [20.10.24+dfsg1-1]\n")
    return apt


def test_the_packages_of_another_source_take_the_place_of_those_that_are_there(dockers):
    names = ["docker-ce", "containerd.io", "docker-compose-plugin"]
    found = find_upgrade(dockers, names, "5:26.*", ["docker.io", "runc"])
    assert found.before == {"docker-ce": "", "containerd.io": "", "docker.io": "20.10.24+dfsg1-1"}
    assert found.after == {"docker-ce": "5:26.1.5-1", "containerd.io": "1.7-1", "docker.io": ""}
    assert found.back
    assert found.forth[-3:] == ["docker-ce=5:26.1.5-1", "containerd.io=1.7-1", "docker.io-"]
    assert found.undo[-3:] == ["docker-ce-", "containerd.io-", "docker.io=20.10.24+dfsg1-1"]
    assert str(found) == "docker-ce from none to 5:26.1.5-1 and containerd.io from none to 1.7-1 in place of docker.io 20.10.24+dfsg1-1"
    assert find_upgrade(dockers, names, "", ["docker.io"]).after == found.after


def test_who_would_go_with_them_is_told(dockers):
    dockers.execute.answers["env"] = (0, "Remv docker.io [20.10.24+dfsg1-1]\nRemv kubelet [1.30]\n")
    with pytest.raises(DrydockError, match=r"^kubelet would be removed with docker\.io\. Remove it first, if nothing of it is needed\. \[package-conflict\]$"):
        find_upgrade(dockers, ["docker-ce"], "", ["docker.io"])


def test_what_is_not_there_to_be_replaced_needs_to_be_installed(dockers):
    with pytest.raises(DrydockError, match=r"There is no package docker-ce installed"):
        find_upgrade(dockers, ["docker-ce"], "", ["runc"])
    with pytest.raises(DrydockError, match=r"There is no version '99' of docker-ce: the package manager has 5:26\.1\.5-1"):
        find_upgrade(dockers, ["docker-ce"], "99", ["docker.io"])
