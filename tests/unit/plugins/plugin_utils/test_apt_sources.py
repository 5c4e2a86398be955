# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _apt_sources

URI = "https://mirror.example/linux/debian"
DIR = "/etc/apt/sources.list.d"


def plan(**files):
    """By the name of a file in sources.list.d, with _ for its dot."""
    lines = [f"{DIR}/{name.replace('_', '.')}:{line}" for name, text in files.items() for line in text.splitlines()]
    return _apt_sources.plan(lines, URI)


@pytest.mark.parametrize(
    "line",
    [
        f"deb {URI} trixie stable",
        f"  deb [arch=amd64 signed-by=/usr/share/keyrings/docker.gpg] {URI}/ trixie stable # ours",
        "deb [ arch=amd64 ] http://mirror.example/linux/debian trixie stable",
        "deb https://download.docker.com/linux/debian bookworm stable",
        f"deb-src {URI} trixie stable",
    ],
)
def test_a_line_in_any_form_is_taken_out_of_a_file(line):
    found = plan(more_list=f"# by hand\n{line}\ndeb https://other.example trixie main\n")
    assert found["refusals"] == []
    assert found["others"] == [
        {
            "path": f"{DIR}/more.list",
            "text": f"# by hand\n{line}\ndeb https://other.example trixie main\n",
            "rest": "# by hand\ndeb https://other.example trixie main\n",
        }
    ]
    assert found["adopted"] == [{"path": f"{DIR}/more.list", "entries": [" ".join(line.split())]}]


def test_of_a_file_that_had_nothing_else_nothing_is_left():
    (found,) = plan(docker_list=f"# by hand\n\ndeb {URI} trixie stable\n")["others"]
    assert found["rest"] == ""


@pytest.mark.parametrize(
    "line",
    [
        f"# deb {URI} trixie stable",
        "deb https://mirror.example/linux/ubuntu noble stable",
        "deb https://download.docker.com/linux/ubuntu noble stable",
        "deb https://mirror.example/linux/debian-security trixie stable",
    ],
)
def test_what_is_another_repository_stays(line):
    found = plan(docker_list=line, docker_sources="")
    assert (found["others"], found["adopted"], found["refusals"]) == ([], [], [])


def test_a_paragraph_is_taken_out_of_a_file():
    docker = f"Types: deb\nURIs: {URI}\nSuites: trixie\nComponents: stable\nSigned-By:\n -----BEGIN PGP\n .\n x\n"
    other = "# kept\nTypes: deb\nURIs: https://other.example\nSuites: trixie\nComponents: main\n"
    (found,) = plan(mine_sources=f"{docker}\n{other}")["others"]
    assert found["rest"] == other


def test_a_paragraph_that_is_off_stays():
    assert plan(mine_sources=f"Enabled: no\nTypes: deb\nURIs: {URI}\nSuites: trixie\nComponents: stable\n")["others"] == []


def test_our_own_file_is_adopted_where_somebody_else_wrote_it():
    text = f"Types: deb\nURIs: {URI}\nSuites: trixie\nComponents: stable\n"
    found = plan(docker_sources=text)
    assert (found["own"], found["others"], len(found["adopted"])) == (text, [], 1)
    assert plan(docker_sources=f"X-Repolib-Name: docker\n{text}")["adopted"] == []


def test_our_own_file_may_change_to_another_mirror():
    old = "X-Repolib-Name: docker\nTypes: deb\nURIs: https://old.example/linux/debian\nSuites: trixie\nComponents: stable\n"
    assert plan(docker_sources=old)["refusals"] == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"docker_list": f"deb {URI} trixie stable test"}, f"docker.list has with Docker's repository test, too: deb {URI} trixie stable test. Leave"),
        ({"a_sources": f"Types: deb\nURIs: {URI} https://b.example\nSuites: trixie\nComponents: stable\n"}, "a.sources has with Docker's repository https://b"),
        ({"docker_sources": "Types: deb\nURIs: https://b.example\nSuites: trixie\nComponents: main\n"}, "own file, has https://b.example, too. Move that"),
    ],
)
def test_an_entry_with_more_in_it_is_refused(files, words):
    (refusal,) = plan(**files)["refusals"]
    assert words in refusal
    assert refusal.endswith("[repository-shared]")


def test_files_that_apt_does_not_read_stay():
    assert _apt_sources.plan([f"{DIR}/old/docker.list:deb {URI} trixie stable", "/etc/apt/keyrings/docker.asc:x"], URI) == {
        "others": [],
        "adopted": [],
        "refusals": [],
        "own": "",
        "key": "x\n",
    }
