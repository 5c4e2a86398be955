# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""dockerd's keys: what a reload brings into force, and on which engine."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils import _keys

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
    "registry-mirrors": ["https://mirror.example"],
}


@pytest.mark.parametrize(("text", "numbers"), VERSIONS)
def test_parse_version(text, numbers):
    assert _keys.parse_version(text) == numbers


@pytest.mark.parametrize(("key", "removed", "engine", "enough"), RELOADS)
def test_reloads(key, removed, engine, enough):
    assert _keys.reloads(key, removed, engine) is enough


def test_values_in_force_are_found_in_the_answer_of_info():
    assert {key: look(INFO) for key, look in _keys.IN_FORCE.items()} == SEEN


@pytest.mark.parametrize("info", [{}, {"RegistryConfig": None}, {"RegistryConfig": {"Mirrors": None}}])
def test_an_answer_without_mirrors_is_no_mirrors(info):
    assert _keys.IN_FORCE["registry-mirrors"](info) == []


def test_the_tables_agree_with_each_other():
    """A key that a reload takes back is one that a reload sets; no flag is both boolean and a list."""
    assert set(_keys.RELOADABLE_SINCE) >= _keys.REMOVABLE_BY_RELOAD
    assert not {_keys.FLAG_TO_KEY.get(flag, flag) for flag in _keys.BOOLEAN_FLAGS} & _keys.LIST_KEYS
    assert not (_keys.HIDES_DATA | set(_keys.ROLE_OF_KEY)) & set(_keys.RELOADABLE_SINCE)
