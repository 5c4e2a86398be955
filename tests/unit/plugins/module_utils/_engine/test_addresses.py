# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""An address is read as dockerd reads it, and an open API is never taken for a closed one."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.addresses import Address, parse_address, plain_tcp, verifies_clients
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError

PARSED = [
    ("fd://", Address("fd://", "fd")),
    ("fd://docker.socket", Address("fd://docker.socket", "fd")),
    ("unix:///run/docker.sock", Address("unix:///run/docker.sock", "unix", path="/run/docker.sock")),
    ("unix://", Address("unix://", "unix", path="/var/run/docker.sock")),
    ("tcp://10.0.0.5:2376", Address("tcp://10.0.0.5:2376", "tcp", host="10.0.0.5", port=2376)),
    ("tcp://10.0.0.5", Address("tcp://10.0.0.5", "tcp", host="10.0.0.5", port=2375)),
    ("10.0.0.5:2376", Address("10.0.0.5:2376", "tcp", host="10.0.0.5", port=2376)),
    ("tcp://", Address("tcp://", "tcp", host="localhost", port=2375)),
    ("tcp://:2376", Address("tcp://:2376", "tcp", host="localhost", port=2376)),
    ("tcp://[::1]:2376", Address("tcp://[::1]:2376", "tcp", host="::1", port=2376)),
    ("tcp://[fe80::1%eth0]", Address("tcp://[fe80::1%eth0]", "tcp", host="fe80::1%eth0", port=2375)),
    ("tcp://docker.example:65535", Address("tcp://docker.example:65535", "tcp", host="docker.example", port=65535)),
]

REFUSED = [
    ("npipe:////./pipe/docker", "scheme 'npipe'"),
    ("http://10.0.0.5:2375", "scheme 'http'"),
    ("unix://run/docker.sock", "not an absolute path"),
    ("tcp://10.0.0.5:2375/path", "has a path"),
    ("tcp://::1:2375", "without brackets"),
    ("tcp://[::1:2375", "no closing bracket"),
    ("tcp://[::1]2375", "no closing bracket"),
    ("tcp://10.0.0.5:0", "port '0'"),
    ("tcp://10.0.0.5:65536", "port '65536'"),
    ("tcp://10.0.0.5:-1", "port '-1'"),
    ("tcp://10.0.0.5:docker", "port 'docker'"),
    ("tcp://10.0.0.5:2375 ", "port '2375 '"),
]

LOOPBACK = [
    ("tcp://127.0.0.1:2375", True),
    ("tcp://127.8.9.1:2375", True),
    ("tcp://[::1]:2375", True),
    ("tcp://localhost:2375", True),
    ("tcp://:2375", True),
    ("tcp://0.0.0.0:2375", False),
    ("tcp://[::]:2375", False),
    ("tcp://10.0.0.5:2375", False),
    ("tcp://localhost.example:2375", False),
    ("tcp://127.0.0.1.example:2375", False),
]

CA = {"tlscacert": "/ca.pem"}
# --tlsverify decides when it is given, --tls otherwise, and without a CA nobody is verified.
VERIFIED = [
    ({}, False),
    ({"tls": True}, False),
    ({"tlsverify": True}, False),
    (CA, False),
    ({"tls": True, **CA}, True),
    ({"tlsverify": True, **CA}, True),
    ({"tls": False, "tlsverify": True, **CA}, True),
    ({"tls": True, "tlsverify": False, **CA}, False),
    ({"tlsverify": True, "tlscacert": ""}, False),
]


@pytest.mark.parametrize(("text", "address"), PARSED)
def test_parse(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(("text", "complaint"), REFUSED)
def test_parse_refuses_what_dockerd_cannot_serve(text, complaint):
    with pytest.raises(DrydockError, match=complaint) as caught:
        parse_address(text)
    assert text in caught.value.sentence
    assert caught.value.hint


@pytest.mark.parametrize(("text", "loopback"), LOOPBACK)
def test_loopback_is_taken_literally(text, loopback):
    assert parse_address(text).loopback is loopback


@pytest.mark.parametrize(("settings", "verified"), VERIFIED)
def test_tcp_is_plain_unless_clients_are_verified(settings, verified):
    tcp = parse_address("tcp://10.0.0.5:2376")
    assert verifies_clients(settings) is verified
    assert plain_tcp([parse_address("fd://"), parse_address("unix:///run/docker.sock"), tcp], settings) == ([] if verified else [tcp])
