# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Each kind of bad option is refused in a sentence; the files stay untouched, and the daemon is not disturbed."""

from __future__ import annotations

import json
import typing as t

import pytest
from running import Play, run_playbook

# What is asked, and words of the refusal.
CASES = {
    "unknown": ({"live-restor": True}, "Key 'live-restor' is none that dockerd knows. Did you mean live-restore?"),
    "never used": ({"registry-mirror": ["https://m.example"]}, "Key 'registry-mirror' is one that dockerd takes and never uses. Use registry-mirrors."),
    "at the top level": ({"http-proxy": "http://p.example:3128"}, "Key 'http-proxy' is one that dockerd takes and never uses. Use proxies."),
    "type": ({"max-concurrent-downloads": "3"}, "Key 'max-concurrent-downloads' is \"3\", and dockerd wants a number. Write it without quotes"),
    "a number among text": ({"log-opts": {"max-file": 3}}, "Key 'log-opts' has 3 in it, and dockerd wants text there. Write it in quotes."),
    "value": ({"log-level": "loud"}, "Key 'log-level' is \"loud\", which dockerd does not know. Use one of panic, fatal, error"),
    "hosts": ({"hosts": ["tcp://127.0.0.1:2375"]}, "Key 'hosts' cannot be set by owner 'options'. Use role docker_listen for it."),
    "tlsverify": ({"tlsverify": False}, "Key 'tlsverify' cannot be set by owner 'options'. Use role docker_listen for it."),
    "data-root": ({"data-root": "/mnt/other"}, "Key 'data-root' cannot be set by owner 'options'. Use role docker_data_root for it."),
    "a flag of the unit": ({"containerd": "/run/other.sock"}, "'containerd' is given by --containerd=/run/containerd/containerd.sock in "),
    "restart": ({"restart": False}, "daemon.json has the key 'restart', which keeps or starts all containers at once."),
    "two at once": ({"live-restor": True, "log-level": "loud"}, "which dockerd does not know."),
}
# What an engine is too old or too new for.
BY_HOST = {
    "bookworm": ({"proxies": {"http-proxy": "http://p.example:3128"}}, "Key 'proxies' is known from Docker 23 on, and this host has 20.10.24."),
    "forky": ({"oom-score-adjust": -500}, "Key 'oom-score-adjust' is not used any more from Docker 25 on, and this host has 28."),
}


def ask(host: t.Any, settings: dict[str, t.Any]) -> Play:
    return run_playbook(host, "site", {"docker_options_settings": settings})


def refused(host: t.Any, settings: dict[str, t.Any]) -> str:
    """The refusal of settings that must leave everything alone."""
    before = host.check_output("lab-host configuration && cat /run/docker.pid")
    play = ask(host, settings)
    assert (play.failed, play.changed) == (True, 0)
    assert host.check_output("lab-host configuration && cat /run/docker.pid") == before
    return play.message


@pytest.mark.parametrize(("settings", "words"), CASES.values(), ids=CASES)
def test_bad_option_is_refused(host: t.Any, settings: dict[str, t.Any], words: str) -> None:
    message = refused(host, settings)
    assert words in message
    assert [key for key in settings if f"'{key}'" not in message] == []


def test_a_key_of_another_engine_is_refused_with_its_version(host: t.Any) -> None:
    settings, words = BY_HOST[host.ansible.get_variables()["inventory_hostname"]]
    assert words in refused(host, settings)


def test_what_dockerd_alone_can_judge_is_told_in_its_words(host: t.Any) -> None:
    """By --validate where there is one, by a start that fails where there is none."""
    before = host.check_output("lab-host configuration")
    play = ask(host, {"labels": ["nonsense"]})
    assert play.failed
    assert "nonsense" in play.message
    assert host.check_output("lab-host configuration") == before


def test_a_key_of_somebody_else_that_is_never_used_stays(host: t.Any) -> None:
    host.check_output("""mkdir -p /etc/docker && echo '{"registry-mirror": []}' >/etc/docker/daemon.json""")
    play = ask(host, {"debug": True})
    assert (play.failed, play.changed) == (False, 1), play.message
    assert json.loads(host.check_output("cat /etc/docker/daemon.json")) == {"registry-mirror": [], "debug": True}
