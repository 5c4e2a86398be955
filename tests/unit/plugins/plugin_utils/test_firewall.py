# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

import pytest
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _firewall

HOSTS = ["fd://", "tcp://10.0.0.5:2376", "tcp://[::1]:2376", "tcp://0.0.0.0"]


@pytest.mark.parametrize(
    ("sources", "ip", "ip6"),
    [
        (["10.0.0.0/24", "fd00::/8"], ["10.0.0.0/24"], ["fd00::/8"]),
        ("10.0.0.7\n\n 10.0.0.0/24 \n", ["10.0.0.0/24"], []),
        (["10.0.0.0/25", "10.0.0.128/25", "::1"], ["10.0.0.0/24"], ["::1/128"]),
    ],
)
def test_sources_are_let_in_once_each(sources, ip, ip6):
    assert _firewall.plan(sources, HOSTS) == {"refusals": [], "ports": [2375, 2376], "ip": ip, "ip6": ip6}


@pytest.mark.parametrize("sources", ["", " \n", [], [""]])
def test_without_sources_no_port_is_guarded(sources):
    assert _firewall.plan(sources, HOSTS) == {"refusals": [], "ports": [], "ip": [], "ip6": []}


@pytest.mark.parametrize(
    ("sources", "hosts", "sentence"),
    [
        (["lan"], HOSTS, "docker_listen_allowed_sources has 'lan', which is no address or network. Give one like 10.0.0.5 or 10.0.0.0/24. [variable-value]"),
        (
            ["10.0.0.5/24"],
            HOSTS,
            "docker_listen_allowed_sources has '10.0.0.5/24', an address with a network's length. Give 10.0.0.5 or 10.0.0.0/24. [variable-value]",
        ),
        (
            ["10.0.0.0/8"],
            ["fd://"],
            "docker_listen_allowed_sources is given, but docker_listen_addresses has no tcp address to guard. Leave it out. [variables-clash]",
        ),
        ([7], HOSTS, "docker_listen_allowed_sources is [7]. Give a list of text, or text with one value a line. [variable-value]"),
    ],
)
def test_what_cannot_be_let_in_is_refused(sources, hosts, sentence):
    found = _firewall.plan(sources, hosts)
    assert (found["refusals"], found["ports"]) == ([sentence], [])


def test_an_address_that_nobody_can_serve_is_left_to_the_module():
    assert _firewall.plan(["10.0.0.0/8"], ["http://x", "tcp://10.0.0.5:2376"])["ports"] == [2376]
