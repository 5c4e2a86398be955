# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What another engine would take, and what dockerd alone can judge."""

from __future__ import annotations

import json
import typing as t

from asking import ask, refused

# What an engine is too old or too new for.
BY_HOST = {
    "bookworm": ({"proxies": {"http-proxy": "http://p.example:3128"}}, "Key 'proxies' is known from Docker 23 on, and this host has 20.10.24."),
    "forky": ({"oom-score-adjust": -500}, "Key 'oom-score-adjust' is not used any more from Docker 25 on, and this host has 28."),
}


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
