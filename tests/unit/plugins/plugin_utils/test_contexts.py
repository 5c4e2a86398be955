# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

import pytest
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _contexts

WEB = {"name": "web", "host": "tcp://web.example.com:2376"}


def test_each_endpoint_becomes_a_context():
    found = _contexts.plan([WEB, {"name": "old-1", "host": "ssh://root@old", "description": "By hand"}], "/etc/docker/client", "web")
    assert found == {
        "refusals": [],
        "contexts": [
            {
                "name": "web",
                "host": "tcp://web.example.com:2376",
                "description": "",
                "tls": True,
                "docker": "host=tcp://web.example.com:2376,ca=/etc/docker/client/ca.pem,cert=/etc/docker/client/cert.pem,key=/etc/docker/client/key.pem",
            },
            {"name": "old-1", "host": "ssh://root@old", "description": "By hand", "tls": False, "docker": "host=ssh://root@old"},
        ],
    }


@pytest.mark.parametrize("typed", ["", "\n", []])
def test_no_endpoint_is_no_context(typed):
    assert _contexts.plan(typed, "/c", "") == {"refusals": [], "contexts": []}


def test_answer_of_a_survey_is_a_list():
    assert [one["name"] for one in _contexts.plan("- {name: web, host: 'tcp://[2001:db8::1]:2376'}", "/c", "default")["contexts"]] == ["web"]


@pytest.mark.parametrize(
    ("endpoints", "directory", "default", "sentence"),
    [
        ("- a: [", "/c", "", "docker_client_endpoints is text that is no YAML:"),
        ({"web": 1}, "/c", "", "docker_client_endpoints is {'web': 1}, which is no list."),
        (["web"], "/c", "", "docker_client_endpoints has 'web', which lacks a name or a host."),
        ([{"name": "web"}], "/c", "", "which lacks a name or a host."),
        ([{**WEB, "tls": True}], "/c", "", "Endpoint web has tls, which is unknown."),
        ([{**WEB, "name": "a b"}], "/c", "", "Endpoint 'a b' cannot be a context's name."),
        ([{**WEB, "name": "default"}], "/c", "", "Endpoint 'default' cannot be a context's name."),
        ([{**WEB, "host": "tcp://web"}], "/c", "", "Endpoint web has the host 'tcp://web'."),
        ([{**WEB, "host": "tcp://web:2376,ca=/x"}], "/c", "", "Endpoint web has the host 'tcp://web:2376,ca=/x'."),
        ([{**WEB, "host": "unix:///run/docker.sock"}], "/c", "", "Endpoint web has the host 'unix:///run/docker.sock'."),
        ([WEB, WEB], "/c", "", "docker_client_endpoints has two endpoints of name web."),
        ([WEB], "/c", "wbe", "docker_client_default_context is 'wbe', which is no endpoint's name."),
        ([WEB], "client", "", "docker_client_dir is 'client'."),
        ([WEB], "/a,b", "", "docker_client_dir is '/a,b'."),
    ],
)
def test_bad_endpoints_are_refused(endpoints, directory, default, sentence):
    found = _contexts.plan(endpoints, directory, default)
    assert len(found["refusals"]) == 1
    assert sentence in found["refusals"][0]
    assert found["contexts"] == []
