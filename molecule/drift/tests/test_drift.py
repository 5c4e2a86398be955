# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""daemon_info tells what was asked, what the files say and what is in force, and who changed something in between."""

from __future__ import annotations

import typing as t

from running import Play, end_of, run_module, run_playbook, snapshot, start_module, wait_for

from conftest import as_it_was

THEIRS = "/etc/systemd/system/docker.service.d/theirs.conf"


def ask(host: t.Any, log_driver: str, **variables: t.Any) -> Play:
    return run_playbook(host, "site", {"docker_options_settings": {"debug": True, "log-driver": log_driver}, **variables})


def look(host: t.Any) -> dict[str, t.Any]:
    result = run_module(host, "", module="daemon_info")
    assert (result["failed"], result["changed"]) == (False, False)
    return result["dockerd"]


def parts(found: dict[str, t.Any], key: str) -> list[t.Any]:
    return [found["config"][key][part] for part in ("asked", "in_file", "in_force", "source", "owner")]


def test_after_a_run_everything_agrees(host: t.Any) -> None:
    play = ask(host, "local")
    assert not play.failed, play.message
    found = look(host)
    assert parts(found, "log-driver") == ["local", "local", "local", "daemon.json", "options"]
    assert parts(found, "hosts") == [None, None, ["fd://"], found["unit"], ""]
    assert (found["restart_pending"], found["pending"], found["rewritten"]) == (False, [], [])


def test_a_hand_edit_of_the_file_is_told(host: t.Any) -> None:
    host.check_output("""sed -i 's/"local"/"journald"/' /etc/docker/daemon.json""")
    found = look(host)
    assert parts(found, "log-driver") == ["local", "journald", "local", "daemon.json", "options"]
    assert (found["restart_pending"], found["pending"]) == (True, ['log-driver: "local" -> "journald"'])
    assert found["rewritten"] == ["/etc/docker/daemon.json"]


def test_a_run_settles_it(host: t.Any) -> None:
    play = ask(host, "local")
    assert (play.failed, play.changed) == (False, 1), play.message
    found = look(host)
    assert (found["restart_pending"], found["rewritten"]) == (False, [])


def test_a_restart_that_was_not_wanted_is_pending(host: t.Any) -> None:
    play = ask(host, "json-file", docker_options_restart="never")
    assert (play.failed, play.changed) == (False, 1), play.message
    found = look(host)
    assert parts(found, "log-driver") == ["json-file", "json-file", "local", "daemon.json", "options"]
    assert (found["pending"], found["rewritten"]) == (['log-driver: "local" -> "json-file"'], [])


def test_a_unit_that_somebody_replaced_is_told(host: t.Any) -> None:
    """As an upgrade of the package does it."""
    unit = look(host)["unit"]
    host.check_output(f"sed -i 's/^LimitCORE=.*/LimitCORE=0/' {unit}")
    host.check_output(f"mkdir -p $(dirname {THEIRS}) && printf '[Service]\\nEnvironment=A=1\\n' >{THEIRS} && systemctl daemon-reload")
    found = look(host)
    assert found["rewritten"] == sorted([unit, THEIRS])
    assert {f"{path} was changed since the daemon was started" for path in (unit, THEIRS)} < set(found["pending"])


def test_a_restart_brings_all_of_it_into_force(host: t.Any) -> None:
    result = run_module(host, "state=restarted", module="daemon_state")
    assert (result["failed"], result["changed"]) == (False, True), result["msg"]
    found = look(host)
    assert (found["restart_pending"], found["pending"], found["rewritten"]) == (False, [], [])
    assert parts(found, "log-driver")[2] == "json-file"
    assert not run_module(host, "state=restarted", module="daemon_state")["changed"]


def test_the_benchmark_is_judged_by_what_runs(host: t.Any) -> None:
    found = {one["rule"]: one["state"] for one in look(host)["cis"]}
    assert len(found) == 19
    assert (found["2.4"], found["2.7"], found["2.15"]) == ("pass", "pass", "fail")
    variables = {"docker_options_settings": {"live-restore": True}, "docker_listen_addresses": ["fd://", "tcp://127.0.0.1:2375"]}
    play = run_playbook(host, "site", variables)
    assert not play.failed, play.message
    judged = {one["rule"]: one for one in look(host)["cis"]}
    assert (judged["2.15"]["state"], judged["2.7"]["state"]) == ("pass", "fail")
    assert judged["2.7"]["evidence"] == "tcp://127.0.0.1:2375 verifies no client certificates"


def test_a_change_that_nobody_can_recover_is_told_and_given_up(host: t.Any) -> None:
    """The worker dies with the daemon down, and its journal is broken: every recovery fails, and without a way out no run would ever work again."""
    ran = as_it_was(snapshot(host))
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host freeze-at commit")
    process = start_module(host, "state=restarted force=true", module="daemon_state")
    wait_for(lambda: host.run("test -e /run/lab-frozen").rc == 0, "the commit")
    found = look(host)["interrupted"]
    assert (found["step"], found["held"], found["under_way"]) == ("commit", True, True)
    host.check_output("""echo '{"broken' >/var/lib/drydock/dockerd/journal/plan.json""")
    # Of all its processes systemd would kill the recovery, too.
    host.check_output("systemctl kill --kill-whom=main --signal=KILL drydock-dockerd.service")
    ended = end_of(process)
    assert ended["failed"]
    assert ended["msg"].startswith("The worker was killed. Recovering failed: ")

    found = look(host)
    assert not found["running"]
    assert (found["interrupted"]["step"], found["interrupted"]["held"], found["interrupted"]["under_way"]) == ("commit", True, False)
    refused = run_module(host, "state=started", module="daemon_state")
    assert refused["failed"]
    assert refused["msg"].endswith("daemon_state with state=recovered recovers or gives up what is left. [format-unknown]")

    planned = run_module(host, "state=recovered", module="daemon_state", check=True)
    assert (planned["failed"], planned["changed"], planned["plan"]) == (False, True, ["give the change up"]), planned["msg"]
    assert look(host)["interrupted"] == found["interrupted"]
    result = run_module(host, "state=recovered", module="daemon_state")
    assert (result["failed"], result["changed"]) == (False, True), result["msg"]
    assert "the daemon was started as its files say now" in result["msg"]
    assert host.file("/var/lib/drydock/dockerd/last/plan.json").content_string == '{"broken\n'
    assert as_it_was(snapshot(host)) == ran
    assert (look(host)["running"], look(host)["interrupted"]) == (True, None)

    again = run_module(host, "state=recovered", module="daemon_state")
    assert (again["failed"], again["changed"]) == (False, False), again["msg"]
    next_one = run_module(host, "state=restarted force=true", module="daemon_state")
    assert (next_one["failed"], next_one["msg"].startswith("Restarted the daemon")) == (False, True), next_one["msg"]


def test_a_hold_that_was_left_alone_is_told_and_taken_away(host: t.Any) -> None:
    host.check_output("mkdir -p /run/systemd/system/docker.service.d && touch /run/systemd/system/docker.service.d/zzzz-drydock-hold.conf")
    found = look(host)["interrupted"]
    assert (found["since"], found["held"], found["under_way"]) == (None, True, False)
    result = run_module(host, "state=recovered", module="daemon_state")
    assert (result["failed"], result["changed"]) == (False, True), result["msg"]
    assert look(host)["interrupted"] is None
