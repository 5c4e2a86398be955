# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Several owners write one daemon.json, and a second tool edits it between the runs."""

from __future__ import annotations

import json
import typing as t

import pytest
from running import Play, run_playbook

FILE = "/etc/docker/daemon.json"


def ask(host: t.Any, **settings: t.Any) -> Play:
    return run_playbook(host, "site", {"docker_options_settings": {key.replace("_", "-"): value for key, value in settings.items()}})


def content(host: t.Any) -> dict[str, t.Any]:
    return json.loads(host.check_output(f"cat {FILE}"))


def edit(host: t.Any, key: str, value: str) -> None:
    """As another tool does it: read, change, write in place."""
    program = f"import json; d = json.load(open('{FILE}')); d['{key}'] = {value}; json.dump(d, open('{FILE}', 'w'))"
    host.check_output("python3 -c %s", program)


def test_keys_of_others_stay_and_equal_ones_are_adopted(host: t.Any) -> None:
    host.check_output("mkdir -p /etc/docker")
    host.check_output(f"printf %s >{FILE}", json.dumps({"ipv6": False, "max-concurrent-uploads": 4}))
    host.check_output(f"chown root:docker {FILE} && chmod 0640 {FILE}")
    play = ask(host, debug=True, max_concurrent_uploads=4)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert content(host) == {"ipv6": False, "max-concurrent-uploads": 4, "debug": True}
    assert host.check_output(f"stat --format '%U %G %a' {FILE}") == "root docker 640"
    assert ask(host, debug=True, max_concurrent_uploads=4).changed == 0


def test_a_key_that_another_tool_adds_stays(host: t.Any) -> None:
    edit(host, "max-download-attempts", "7")
    play = ask(host, debug=True, max_concurrent_uploads=4)
    assert not play.failed, play.message
    assert content(host)["max-download-attempts"] == 7
    assert ask(host, debug=True, max_concurrent_uploads=4).changed == 0


def test_a_hand_edit_of_an_owned_key_is_put_right(host: t.Any) -> None:
    edit(host, "debug", "False")
    play = ask(host, debug=True, max_concurrent_uploads=4)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert content(host)["debug"] is True
    assert json.loads(host.check_output("docker info --format '{{json .Debug}}'")) is True


def test_a_conflict_names_both(host: t.Any) -> None:
    before = host.check_output(f"cat {FILE}")
    play = ask(host, debug=True, max_concurrent_uploads=4, max_download_attempts=3)
    assert (play.failed, play.changed) == (True, 0)
    assert "daemon.json key 'max-download-attempts' is 7 by somebody else, and owner 'options' asks for 3." in play.message
    assert host.check_output(f"cat {FILE}") == before


def test_what_is_dropped_is_removed(host: t.Any) -> None:
    play = ask(host, debug=True)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert content(host) == {"ipv6": False, "debug": True, "max-download-attempts": 7}


def test_owners_do_not_touch_each_other(host: t.Any) -> None:
    play = run_playbook(host, "listen", {"docker_listen_addresses": ["fd://", "tcp://127.0.0.1:2375"]})
    assert (play.failed, play.changed) == (False, 1), play.message
    assert content(host) == {"ipv6": False, "debug": True, "max-download-attempts": 7, "hosts": ["fd://", "tcp://127.0.0.1:2375"], "tls": False}
    assert ask(host, debug=True).changed == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n  "debug": true,,\n}\n', "is not valid JSON: Expecting property name enclosed in double quotes at line 2, column 17."),
        ('{"debug": true, "debug": false}\n', "has the key 'debug' twice, and dockerd silently takes the last one."),
    ],
)
def test_invalid_json_is_left_untouched(host: t.Any, text: str, words: str) -> None:
    host.check_output(f"cp --preserve {FILE} /root/ && printf %s >{FILE}", text)
    play = ask(host, debug=True)
    left = host.file(FILE).content_string
    host.check_output(f"cp --preserve /root/daemon.json {FILE}")
    assert (play.failed, left) == (True, text)
    assert f"{FILE} {words}" in play.message
    assert ask(host, debug=True).changed == 0


def test_a_restart_by_hand_leaves_nothing_to_do(host: t.Any) -> None:
    host.check_output("systemctl restart docker")
    assert ask(host, debug=True).changed == 0
