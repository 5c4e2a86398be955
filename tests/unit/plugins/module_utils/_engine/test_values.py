# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Values that keep dockerd from starting are known before; each was given to dockerd 20.10.24 or 26.1.5."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.values import value_fault

GOOD = {
    "registry-mirrors": ["https://mirror.example.com", "http://127.0.0.1:5000/cache"],
    "bip": "172.26.0.1/16",
    "bip6": "fd00::1/64",
    "fixed-cidr": "172.26.1.0/24",
    "fixed-cidr-v6": "fd00:1::/64",
    "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}],
    "dns": ["192.0.2.53", "2001:db8::53"],
    "min-api-version": "1.24",
    "log-driver": "anything",
}

BAD = [
    ("registry-mirrors", ["mirror.example.com"], "no address with a scheme", "Write it as https://mirror.example.com."),
    ("registry-mirrors", ["ftp://mirror.example.com"], "no address with a scheme", "Write it as https://mirror.example.com."),
    ("registry-mirrors", ["https://mirror.example.com?x=1"], "more than a host", "Leave out"),
    ("bip", "172.26.0.0/16", "the address of the network", "Write it like 172.26.0.1/16."),
    ("bip", "172.26.255.255/16", "the address of the network", "Write it like 172.26.0.1/16."),
    ("bip", "172.26.0.1", "has no prefix", "Write it like 172.26.0.1/16."),
    ("bip", "x", "no address with a prefix", "Write it like"),
    ("fixed-cidr", "172.26.1/24/3", "no network", "Write it like"),
    ("default-address-pools", [{"base": "172.30.0.0/16"}], "has no base and size", "Write each as"),
    ("default-address-pools", [{"base": "x", "size": 24}], "no network", "Write each as"),
    ("default-address-pools", [{"base": "172.30.0.0/16", "size": 8}], "does not lie in 172.30.0.0/16", "from 16 to 32"),
    ("dns", ["dns.example.com"], "no IP address", "Write it like"),
    ("min-api-version", "1", "no version of the API", "Write it like 1.44."),
]


@pytest.mark.parametrize(("name", "value"), GOOD.items())
def test_what_dockerd_takes_is_let_pass(name, value):
    assert value_fault(name, value) is None


@pytest.mark.parametrize(("name", "value", "words", "way"), BAD)
def test_what_it_does_not_take_is_told_with_a_way_out(name, value, words, way):
    sentence, hint = value_fault(name, value)
    assert words in sentence
    assert hint.startswith(way) or way in hint
