# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""dockerd's keys: what a reload brings into force, and on which engine."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine import options

VERSIONS = [
    ("20.10.24+dfsg1", (20, 10, 24)),
    ("26.1.5+dfsg1", (26, 1, 5)),
    ("17.04.0-ce", (17, 4, 0)),
    ("1.12.6", (1, 12, 6)),
    ("29.0.0", (29, 0, 0)),
    ("v29", ()),
    ("", ()),
]

# Key, whether it is removed, version, whether SIGHUP is enough.
RELOADS = [
    ("debug", False, (20, 10, 24), True),
    ("debug", True, (20, 10, 24), False),
    ("max-concurrent-downloads", True, (20, 10, 24), True),
    ("insecure-registries", False, (1, 12, 6), False),
    ("insecure-registries", False, (1, 13, 0), True),
    ("registry-mirrors", False, (17, 3, 2), False),
    ("registry-mirrors", False, (17, 4, 0), True),
    ("default-stop-timeout", False, (29, 6, 1), False),
    ("default-stop-timeout", False, (29, 7), True),
    ("log-driver", False, (29, 7), False),
    ("hosts", False, (29, 7), False),
    ("data-root", False, (29, 7), False),
    ("debug", False, (), False),
    ("features.buildkit", True, (28, 5), True),
    ("features.containerd-snapshotter", False, (28, 5), False),
    ("features.cdi", False, (28, 5), False),
]

INFO = {
    "Debug": True,
    "Labels": ["a=b"],
    "LiveRestoreEnabled": False,
    "DefaultRuntime": "runc",
    "LoggingDriver": "local",
    "RegistryConfig": {"Mirrors": ["https://mirror.example/"]},
}
SEEN = {
    "debug": True,
    "labels": ["a=b"],
    "live-restore": False,
    "default-runtime": "runc",
    "log-driver": "local",
    "features.containerd-snapshotter": False,
    "registry-mirrors": ["https://mirror.example"],
}


@pytest.mark.parametrize(("text", "numbers"), VERSIONS)
def test_parse_version(text, numbers):
    assert options.parse_version(text) == numbers


def test_features_are_keys_of_their_own():
    assert options.flat({"debug": True, "features": {"cdi": True, "buildkit": False}}) == {"debug": True, "features.cdi": True, "features.buildkit": False}
    assert options.flat({"features": {}}) == {"features": {}}


@pytest.mark.parametrize(("key", "removed", "engine", "enough"), RELOADS)
def test_reloads(key, removed, engine, enough):
    assert options.reloads(key, removed, engine) is enough


def test_values_in_force_are_found_in_the_answer_of_info():
    assert {key: look(INFO) for key, look in options.IN_FORCE.items()} == SEEN


@pytest.mark.parametrize("info", [{}, {"RegistryConfig": None}, {"RegistryConfig": {"Mirrors": None}}])
def test_an_answer_without_mirrors_is_no_mirrors(info):
    assert options.IN_FORCE["registry-mirrors"](info) == []


def test_the_tables_agree_with_each_other():
    """A key that a reload takes back is one that a reload sets; no flag is both boolean and a list."""
    assert all(key.reloads for key in options.CATALOGUE.values() if key.resets)
    assert not any(key.reloads for key in options.CATALOGUE.values() if key.hides or key.owner)
    assert not {options.FLAG_TO_KEY.get(flag, flag) for flag in options.BOOLEAN_FLAGS} & options.LIST_KEYS
    assert not set(options.INERT) & set(options.CATALOGUE)
    assert {meant for meant in options.INERT.values() if meant} <= set(options.CATALOGUE)
    assert set(options.FLAG_TO_KEY.values()) <= set(options.CATALOGUE)


# Key, value, engine, the id of what is wrong, and words of its sentence and its way out.
FAULTS = [
    ("debug", True, (20, 10, 24), None, "", ""),
    ("log-opts", {"max-size": "10m"}, (), None, "", ""),
    ("default-address-pools", [{"base": "10.0.0.0/8", "size": 24}], (20, 10), None, "", ""),
    ("what-comes", 1, (30, 1), None, "", ""),
    ("proxies", {}, (20, 10, 24), "key-too-new", "is known from Docker 23 on, and this host has 20.10.24.", "update its engine"),
    ("no-new-privileges", True, (17, 3), "key-too-new", "from Docker 17.04 on, and this host has 17.03.", ""),
    ("oom-score-adjust", 1, (26, 1, 5), "key-too-old", "is not used any more from Docker 25 on, and this host has 26.1.5.", "Leave it out"),
    ("debug", "true", (), "key-type", "Key 'debug' is \"true\", and dockerd wants true or false.", "Write it without quotes"),
    ("mtu", True, (), "key-type", "and dockerd wants a number.", ""),
    ("default-shm-size", 64, (), "key-type", "and dockerd wants text.", "Write it in quotes."),
    ("dns", "9.9.9.9", (), "key-type", "and dockerd wants a list.", 'Write it as ["9.9.9.9"].'),
    ("labels", ["a=b", 1], (), "key-type", "Key 'labels' has 1 in it, and dockerd wants text there.", "Write it in quotes."),
    ("log-opts", {"max-file": 3}, (), "key-type", "Key 'log-opts' has max-file: 3 in it", "Write it in quotes."),
    ("debug", None, (), "key-type", "Key 'debug' is null", ""),
    ("log-level", "loud", (), "key-value", "Key 'log-level' is \"loud\", which dockerd does not know.", "Use one of panic, fatal"),
    ("registry-mirror", [], (), "key-unused", "is one that dockerd takes and never uses.", "Use registry-mirrors."),
    ("http-proxy", "http://p", (), "key-unused", "", "Use proxies."),
    ("host", "fd://", (), "key-unused", "", "Use owner listen for it."),
    ("graph", "/d", (24,), "key-unused", "is one that dockerd no longer knows.", "Use owner data-root for it."),
    ("version", True, (), "key-unused", "", "Leave it out."),
    ("live-restor", True, (29, 7), "key-unknown", "Key 'live-restor' is none that dockerd knows.", "Did you mean live-restore?"),
    ("colour", "red", (), "key-unknown", "", "Leave it out."),
    ("default-init", True, (), "key-unknown", "Key 'default-init' is none that dockerd knows.", "Did you mean init?"),
    ("features", {}, (28, 5), None, "", ""),
    ("features", {"buildkit": True, "containerd-snapshotter": False}, (28, 5), None, "", ""),
    ("features", {"what-comes": True}, (30, 1), None, "", ""),
    (
        "features",
        {"containerd-snapshoter": True},
        (28, 5),
        "key-unknown",
        "Key 'features.containerd-snapshoter' is none that dockerd knows.",
        "Did you mean containerd-snapshotter?",
    ),
    ("features", {"foo": True}, (28, 5), "key-unknown", "", "Leave it out."),
    ("features", {"cdi": "true"}, (28, 5), "key-type", "Key 'features.cdi' is \"true\", and dockerd wants true or false.", "Write it without quotes"),
    ("features", {"containerd-migration": True}, (28, 5), "key-too-new", "Key 'features.containerd-migration' is known from Docker 29 on", ""),
    ("features.cdi", True, (28, 5), "key-unknown", "Key 'features.cdi' is none that dockerd knows.", ""),
]


@pytest.mark.parametrize(("name", "value", "engine", "found", "sentence", "hint"), FAULTS, ids=[f"{one[0]}-{one[3]}" for one in FAULTS])
def test_fault(name, value, engine, found, sentence, hint):
    fault = options.fault(name, value, engine)
    assert (fault and fault[0]) == found
    if fault:
        assert sentence in fault[1]
        assert hint in fault[2]
