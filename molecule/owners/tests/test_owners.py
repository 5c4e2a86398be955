# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Several owners write one daemon.json, and a second tool edits it between the runs."""

from __future__ import annotations

import json
import pathlib
import typing as t

import forked
import pytest
from running import INVENTORY, Play, run_module, run_playbook

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


def options(host: t.Any, settings: dict[str, t.Any] | None, check: bool = False, **more: t.Any) -> Play:
    """Role docker_options alone; without settings it is called as by somebody who misspells their variable."""
    given = {} if settings is None else {"docker_options_settings": settings}
    return run_playbook(host, "options", {**given, **{f"docker_options_{key}": value for key, value in more.items()}}, check=check)


def told(host: t.Any, asked: dict[str, t.Any], check: bool = True) -> dict[str, t.Any]:
    return run_module(host, json.dumps(asked), module="daemon_config", check=check)


def test_what_is_not_given_is_not_touched(host: t.Any) -> None:
    before = content(host)
    for play in (options(host, None), run_playbook(host, "site", {"docker_data_root_path": ""})):
        assert (play.failed, play.changed) == (False, 0), play.message
    assert content(host) == before
    assert "nothing-asked" in [one["id"] for one in told(host, {"owner": "options"})["findings"]]


def test_keys_are_named_and_so_is_all_that_an_empty_dictionary_removes(host: t.Any) -> None:
    result = told(host, {"owner": "options", "settings": {"ipv6": False, "labels": ["a=b"]}})
    assert result["keys"] == {"added": ["labels"], "changed": [], "removed": ["debug"]}
    assert "daemon.json (added labels, removed debug)" in result["msg"]
    found = {one["id"]: one["sentence"] for one in told(host, {"owner": "options", "settings": {}})["findings"]}
    assert found["gives-up"] == "Owner 'options' asks for no settings any more: all that were asked for by it go out of daemon.json (debug)."


def test_three_teams_have_one_host(host: t.Any) -> None:
    assert options(host, {"max-concurrent-uploads": 4}, owner="registry").changed == 1
    assert options(host, {"labels": ["team=net"]}, owner="net").changed == 1
    there = content(host)
    assert (there["debug"], there["max-concurrent-uploads"], there["labels"]) == (True, 4, ["team=net"])
    # What one of them no longer gives goes away, and nothing else.
    assert options(host, {"labels": ["team=net"], "shutdown-timeout": 20}, owner="net").changed == 1
    assert options(host, {"labels": ["team=net"]}, owner="net").changed == 1
    assert content(host) == there
    refused = options(host, {"max-concurrent-uploads": 5}, owner="net")
    assert "is 4 by owner 'registry', and owner 'net' asks for 5." in refused.message
    assert "Take the key over with docker_options_take_over: [max-concurrent-uploads]." in refused.message
    taken = options(host, {"labels": ["team=net"], "max-concurrent-uploads": 5}, owner="net", take_over=["max-concurrent-uploads"])
    assert (taken.failed, taken.changed) == (False, 1), taken.message
    assert options(host, {"labels": ["team=net"], "max-concurrent-uploads": 5}, owner="net").changed == 0
    assert "by owner 'net', and owner 'registry' asks for 4" in options(host, {"max-concurrent-uploads": 4}, owner="registry").message


def test_a_key_of_somebody_else_is_taken_over_in_words(host: t.Any) -> None:
    edit(host, "log-opts", '{"max-size": "10m"}')
    host.check_output("systemctl restart docker")
    wanted = {"debug": True, "log-opts": {"max-size": "50m"}}
    refused = options(host, wanted)
    assert "Take the key over with docker_options_take_over: [log-opts]." in refused.message
    assert options(host, wanted, check=True, take_over=["log-opts"]).changed == 1
    result = told(host, {"owner": "options", "settings": wanted, "take_over": ["log-opts"]}, check=False)
    assert not result["failed"], result["msg"]
    assert "In daemon.json: changed log-opts." in result["msg"]
    # Whoever was made with the old ones keeps them.
    assert "beat" in next(one["sentence"] for one in result["findings"] if one["id"] == "log-settings")
    assert "beat" in run_module(host, "", module="daemon_info")["dockerd"]["other_log_settings"]
    assert options(host, wanted).changed == 0


def test_options_may_be_parameters_of_the_role(host: t.Any, tmp_path: pathlib.Path) -> None:
    """Of the one that has those of three others, too; and it takes nothing away that they are not given."""
    before = content(host)
    play = {"hosts": "{{ target }}", "become": True, "gather_facts": False}
    role = {"role": "drydock.dockerd.docker_daemon", "docker_listen_addresses": ["fd://", "tcp://127.0.0.1:2375"]}
    (tmp_path / "inline.yml").write_text(json.dumps([{**play, "roles": [role]}]))
    done = run_playbook(host, str(tmp_path / "inline"), {})
    assert (done.failed, done.changed) == (False, 0), done.message
    assert content(host) == before


def test_whoever_is_not_root_is_told_of_become(host: t.Any) -> None:
    for module in ("daemon_info", "daemon_config", "data_root", "daemon_state"):
        words = ["ansible", "--inventory", str(INVENTORY), host.ansible.get_variables()["inventory_hostname"], "--module-name", f"drydock.dockerd.{module}"]
        arguments = {"daemon_state": "state=restarted", "data_root": "path=/mnt/data/docker"}.get(module, "")
        done = forked.run([*words, "--args", arguments, "--extra-vars", "ansible_user=nobody ansible_remote_tmp=/tmp/nobody"])
        assert done.returncode != 0
        assert "User 'nobody' may not do this on the host: it takes root. Set become: true for the play or the task. [no-become]" in done.stdout
