# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Each kind of bad option is refused in a sentence; the files stay untouched, and the daemon is not disturbed. On any host alike."""

from __future__ import annotations

import typing as t

import pytest
from asking import refused
from running import connect

# What is asked, and words of the refusal.
CASES = {
    "unknown": ({"live-restor": True}, "Key 'live-restor' is none that dockerd knows. Did you mean live-restore?"),
    "never used": ({"registry-mirror": ["https://m.example"]}, "Key 'registry-mirror' is one that dockerd takes and never uses. Use registry-mirrors."),
    "at the top level": ({"http-proxy": "http://p.example:3128"}, "Key 'http-proxy' is one that dockerd takes and never uses. Use proxies."),
    "type": ({"max-concurrent-downloads": "3"}, "Key 'max-concurrent-downloads' is \"3\", and dockerd wants a number. Write it without quotes"),
    "a number among text": ({"log-opts": {"max-file": 3}}, "Key 'log-opts' has max-file: 3 in it, and dockerd wants text there. Write it in quotes."),
    "value": ({"log-level": "loud"}, "Key 'log-level' is \"loud\", which dockerd does not know. Use one of panic, fatal, error"),
    "hosts": ({"hosts": ["tcp://127.0.0.1:2375"]}, "Key 'hosts' cannot be set by owner 'options'. Use role docker_listen for it."),
    "tlsverify": ({"tlsverify": False}, "Key 'tlsverify' cannot be set by owner 'options'. Use role docker_listen for it."),
    "data-root": ({"data-root": "/mnt/other"}, "Key 'data-root' cannot be set by owner 'options'. Use role docker_data_root for it."),
    "a flag of the unit": ({"containerd": "/run/other.sock"}, "'containerd' is given by --containerd=/run/containerd/containerd.sock in "),
    "restart": ({"restart": False}, "daemon.json has the key 'restart', which keeps or starts all containers at once."),
    "two at once": ({"live-restor": True, "log-level": "loud"}, "which dockerd does not know."),
}


# No dictionary at all, in the words of who typed it.
SHAPES = {
    "a list": (["log-driver"], 'docker_options_settings is ["log-driver"]. Give a dictionary of keys of daemon.json'),
    "text": ("log-driver", 'docker_options_settings is "log-driver". Give a dictionary of keys of daemon.json'),
}


@pytest.fixture(scope="module")
def host() -> t.Any:
    return connect("forky")


@pytest.mark.parametrize(("settings", "words"), CASES.values(), ids=CASES)
def test_bad_option_is_refused(host: t.Any, settings: dict[str, t.Any], words: str) -> None:
    message = refused(host, settings)
    assert words in message
    assert [key for key in settings if f"'{key}'" not in message] == []


@pytest.mark.parametrize(("settings", "words"), SHAPES.values(), ids=SHAPES)
def test_what_is_no_dictionary_is_refused_by_its_variable(host: t.Any, settings: t.Any, words: str) -> None:
    assert words in refused(host, settings)
