# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Each key of the catalogue, held against the dockerd of each engine: taken or not as the catalogue says."""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine import options

# A value that dockerd takes; by kind, where any would do.
PLAIN = {bool: True, int: 1, str: "x", list: ["x"], dict: {"x": "x"}}
VALUES: dict[str, t.Any] = {
    "allow-nondistributable-artifacts": ["registry.example"],
    "bip": "10.9.0.1/24",
    "bip6": "fd00::1/64",
    "bridge-accept-fwmark": "1",
    "builder": {"gc": {"enabled": True}},
    "cpu-rt-period": 0,
    "cpu-rt-runtime": 0,
    "default-address-pools": [{"base": "10.9.0.0/16", "size": 24}],
    "default-gateway": "10.9.0.1",
    "default-gateway-v6": "fd00::1",
    # An engine that looks at the names one level down takes that of an option, such as bridge.
    "default-network-opts": {"macvlan": {"com.docker.network.driver.mtu": "1400"}},
    "default-runtime": "runc",
    "default-shm-size": "64M",
    "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 9, "Soft": 9}},
    "dns": ["9.9.9.9"],
    "dns-search": ["example.com"],
    "exec-opts": ["native.cgroupdriver=systemd"],
    "features": {"buildkit": True},
    "fixed-cidr": "10.9.0.0/24",
    "fixed-cidr-v6": "fd00::/64",
    "host-gateway-ip": "10.9.0.1",
    "host-gateway-ips": ["10.9.0.1"],
    "hosts": ["unix:///run/x.sock"],
    "ip": "0.0.0.0",
    "labels": ["a=b"],
    "min-api-version": "1.44",
    "node-generic-resources": ["gpu=1"],
    "nri-opts": {"enable": False},
    "proxies": {"http-proxy": "http://proxy.example:3128"},
    "registry-mirrors": ["https://mirror.example"],
    "runtimes": {"x": {"path": "/x"}},
    "storage-opts": ["overlay2.size=1G"],
    "swarm-default-advertise-addr": "10.9.0.1",
    # With files that are not there dockerd would complain about them.
    "tls": False,
    "userland-proxy": False,
    "userns-remap": "",
}
# They are no use without certificates, which scenario tls has.
WITH_FILES = {"tlsverify"}
# Old keys that a newer engine takes and no longer uses.
TAKEN_STILL = {"allow-nondistributable-artifacts", "deprecated-key-path"}


def value_of(host: t.Any, key: options.Key) -> t.Any:
    if key.name == "userland-proxy-path":
        # Packages differ in where they have it.
        return host.check_output("command -v docker-proxy")
    return VALUES.get(key.name, key.values[0] if key.values else PLAIN[key.kind])


@pytest.fixture
def engine(host: t.Any) -> options.Version:
    return options.parse_version(host.check_output("docker version --format '{{.Server.Version}}'"))


def complaints(host: t.Any, asked: dict[str, t.Any]) -> dict[str, str]:
    """What dockerd has against each key with its value."""
    host.check_output("printf %s >/root/asked.json", json.dumps([{key: value} for key, value in asked.items()]))
    return dict(zip(asked, json.loads(host.check_output("lab-walk </root/asked.json"))))


def test_keys_are_known_as_the_catalogue_says(host: t.Any, engine: options.Version) -> None:
    keys = [key for key in options.CATALOGUE.values() if key.name not in WITH_FILES]
    found = complaints(host, {key.name: value_of(host, key) for key in keys})
    expected = {key.name: engine >= key.since and not (key.until and engine >= key.until) for key in keys}
    wrong = {name: words for name, words in found.items() if expected[name] is bool(words)}
    assert {name: words for name, words in wrong.items() if not (name in TAKEN_STILL and not words)} == {}
    assert all(options.fault(key.name, value_of(host, key), engine) is None for key in keys if expected[key.name])


def test_other_types_are_refused_as_the_catalogue_says(host: t.Any, engine: options.Version) -> None:
    keys = [key for key in options.CATALOGUE.values() if engine >= key.since and not (key.until and engine >= key.until)]
    found = complaints(host, {key.name: ["x"] if key.kind in (bool, int, str) else "x" for key in keys})
    assert [name for name, words in found.items() if not words] == []


def test_values_are_taken_as_the_catalogue_says(host: t.Any, engine: options.Version) -> None:
    keys = [key for key in options.CATALOGUE.values() if key.values and engine >= key.since and key.name != "log-level"]
    for at in range(max(len(key.values) for key in keys)):
        found = complaints(host, {key.name: key.values[at] for key in keys if at < len(key.values)})
        assert {name: words for name, words in found.items() if words} == {}


def test_what_is_never_used_is_no_name_of_an_option(host: t.Any, engine: options.Version) -> None:
    """dockerd takes it without a word, or does not know it: in neither case is it what somebody wanted."""
    found = complaints(host, dict.fromkeys(options.INERT, "x"))
    unknown = {name for name, words in found.items() if "don't match any configuration option" in words}
    taken = {name for name, words in found.items() if not words}
    assert unknown | taken == set(options.INERT), {name: words for name, words in found.items() if name not in unknown | taken}
    assert {"registry-mirror", "insecure-registry", "label", "log-opt"} <= taken


def test_features_are_taken_as_the_catalogue_says(host: t.Any, engine: options.Version) -> None:
    """dockerd takes any name there, which is why the catalogue refuses one that it does not have."""
    known = [key.name.rpartition(".")[2] for key in options.FEATURES.values() if engine >= key.since]
    assert complaints(host, {"features": {**dict.fromkeys(known, True), "no-such-feature": True}}) == {"features": ""}
    assert options.fault("features", dict.fromkeys(known, True), engine) is None
    assert options.fault("features", {"no-such-feature": True}, engine) is not None
