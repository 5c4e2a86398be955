# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""How a worker's error comes home. That a worker runs, dies and is followed needs a host: scenarios crash, connection and sysv."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import pathlib
import re
import types
import zipfile
import zipimport

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import confirmation, recovery, results, worker, worker_main
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import journal as journal_module
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import program as program_module
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal

FULL = DrydockError("disk-full", "Failed at 'stop': it is full.", "Make room.")


def asked(host, run):
    """A run has asked for its worker, the last one that did."""
    files.write(host.places.asked, json.dumps({"format": 1, "run_id": run, "planned": {}, "earlier": [False, ""]}))


@pytest.fixture
def recovered(host, monkeypatch):
    """What recovering leaves as the worker's end, when it is told how that went and what the worker had said."""

    def recover(outcome, told=None):
        def recover_or_fail(_host):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(worker_main, "recover", recover_or_fail)
        asked(host, "mine")
        if told:
            results.write_end(host, "mine", told)
        worker_main._recover(host)
        return results.read_end(host, "mine")

    return recover


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (PermissionError(errno.EPERM, "Operation not permitted", "/etc/docker/daemon.json"), r"/etc/docker/daemon\.json: Operation not permitted\."),
        (OSError(errno.ENOSPC, "No space left on device"), r"No space left on device\."),
        (KeyError("name"), r"KeyError: 'name' \(test_worker\.py:\d+\)\."),
    ],
    ids=["a path", "no path", "a fault"],
)
def test_whatever_ends_a_worker_is_told_in_its_own_words(host, monkeypatch, capsys, failure, words):
    """It was not killed, and running again would not help."""

    def fail(_journal):
        raise failure

    monkeypatch.setattr(worker_main.Journal, "plan", fail)
    files.write(host.places.asked, json.dumps({"run_id": "mine", "earlier": [True, "It was undone."], "planned": {}}))
    worker_main._run(host)
    end = results.read_end(host, "mine")
    assert re.fullmatch(rf"It was undone\. {words}", end["error"])
    assert end["id"] == "unexpected"
    assert "Traceback" in capsys.readouterr().err


def test_an_error_has_its_id_when_it_has_come_home():
    with pytest.raises(DrydockError) as caught:
        results.result_of(json.loads(json.dumps(results.end_by(FULL))))
    assert str(caught.value) == "Failed at 'stop': it is full. Make room. [disk-full]"


def test_an_error_of_an_older_worker_is_read_without_an_id():
    with pytest.raises(DrydockError) as caught:
        results.result_of({"error": "It is full.", "hint": "Make room."})
    assert str(caught.value) == "It is full. Make room."


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (results.end_by(FULL), "Failed at 'stop': it is full."),
        (
            {"result": {"msg": "Restarted the daemon. Container a does not run again: no. [container-down]"}},
            "Restarted the daemon. Container a does not run again: no.",
        ),
        ({"result": {"msg": "Nothing to do."}}, "Nothing to do."),
    ],
    ids=["an error", "a result with a failure", "a result"],
)
def test_the_end_of_an_earlier_run_has_no_id_in_the_middle_of_a_message(end, words):
    assert results.sentence_of(end) == words


def test_a_killed_worker_is_told_with_what_recovering_did(recovered):
    assert recovered("It was undone.") == {"format": 1, "id": "worker-killed", "error": "The worker was killed. It was undone.", "hint": "Run again."}


def test_a_worker_that_has_told_its_end_keeps_its_id(recovered):
    told = results.end_by(FULL)
    assert recovered("It was undone.", told) == {**told, "error": "Failed at 'stop': it is full. It was undone.", "hint": "Run again."}
    assert recovered(None, told) == told


@pytest.mark.parametrize(
    ("failure", "id", "words"),
    [(DrydockError("api-silent", "No answer.", "Wait."), "api-silent", "No answer. Wait."), (OSError("no disk"), "recovery-failed", "no disk")],
    ids=["with an id", "without"],
)
def test_a_recovery_that_failed_has_the_id_of_its_cause(recovered, capsys, failure, id, words):
    error = f"The worker was killed. Recovering failed: {words} The next run tries again."
    assert recovered(failure) == {"format": 1, "id": id, "error": error, "hint": "Run again."}
    assert "Traceback" in capsys.readouterr().err


def test_recovering_comes_before_anything_that_can_go_wrong(host, monkeypatch):
    recovered = []
    monkeypatch.setattr(worker_main, "recover", lambda host: recovered.append(host) or "It was undone.")
    asked(host, "mine")
    results.write_end(host, "mine", {})
    pathlib.Path(host.places.ends, "mine").write_text("cut off")
    with pytest.raises(DrydockError, match=r"has no JSON \(Expecting value.*\[format-unknown\]$"):
        worker_main._recover(host)
    assert recovered == [host]


# Each run has its own end ----------------------------------------------------------------------------------------


@pytest.fixture
def workers(host, monkeypatch):
    """Which runs' workers live, the last one of them in its unit."""
    alive = []
    service = types.SimpleNamespace(worker_is_active=lambda: bool(alive), worker_log="the log")
    for module in (worker, worker_main, results):
        monkeypatch.setattr(module, "service_of", lambda host: service)
    monkeypatch.setattr(worker, "recover", lambda host: None)
    return alive


def begin(host, workers, run):
    asked(host, run)
    files.write(host.places.progress, "")
    workers[:] = [run]


def finish(host, workers, run):
    results.write_end(host, run, results.end_with({"changed": True, "msg": f"{run} was done."}))
    workers.clear()


def news(host, capsys, run):
    worker_main._news(host, "0", run)
    return json.loads(capsys.readouterr().out)


def said_of(end):
    return end["result"]["msg"] if "result" in end else end["error"]


@pytest.mark.parametrize("order", [["first", "second"], ["second", "first"]], ids=["its own controller first", "the one that has attached first"])
def test_two_controllers_that_follow_one_worker_both_get_its_end(host, workers, capsys, order):
    begin(host, workers, "first")
    followed = {name: worker.under_way(host, name) for name in ("first", "second")}
    assert [(one["run"], one["attached"]) for one in followed.values()] == [("first", False), ("first", True)]
    finish(host, workers, "first")
    for name in order:
        assert said_of(news(host, capsys, followed[name]["run"])["end"]) == "first was done."
        if name == "first":
            worker_main._heard(host, "first")
        else:
            # The other one goes on with what it wants itself, by a worker of its own.
            told = [] if "first" in order[: order.index(name)] else ["An earlier run, whose end nobody heard of, ended like this: first was done."]
            assert worker.previous_run(host) == (False, " ".join(told))
            begin(host, workers, "second")
    assert said_of(news(host, capsys, "first")["end"]) == "first was done."
    finish(host, workers, "second")
    assert said_of(news(host, capsys, "second")["end"]) == "second was done."


def test_the_news_of_a_run_are_not_those_of_the_run_behind_it(host, workers, capsys):
    begin(host, workers, "first")
    finish(host, workers, "first")
    begin(host, workers, "second")
    files.write(host.places.progress, "stop\n")
    confirmation.ask(host, ["tcp://10.0.0.5:2375"], {})
    mine, theirs = news(host, capsys, "first"), news(host, capsys, "second")
    assert (mine["active"], mine["lines"], mine["confirm"]) == (False, [], None)
    assert (theirs["active"], theirs["lines"], theirs["end"]) == (True, ["stop"], None)
    assert theirs["confirm"]["addresses"] == ["tcp://10.0.0.5:2375"]
    worker_main._confirm(host, "first")
    assert not confirmation.is_given(host)
    worker_main._confirm(host, "second")
    assert confirmation.is_given(host)


@pytest.mark.parametrize(
    ("behind", "words"),
    [("first", "The worker ended without a word"), ("second", "The worker was killed, and another run has gone on from there.")],
    ids=["nobody behind it", "another run behind it"],
)
def test_a_run_that_left_no_end_was_killed(host, workers, capsys, behind, words):
    begin(host, workers, "first")
    workers.clear()
    if behind == "second":
        begin(host, workers, "second")
        finish(host, workers, "second")
    end = news(host, capsys, "first")["end"]
    assert (end["id"], end["error"].startswith(words)) == ("worker-killed", True)


def test_the_run_that_was_cut_off_gets_what_the_next_one_has_recovered(host, workers, capsys, monkeypatch):
    begin(host, workers, "first")
    workers.clear()
    monkeypatch.setattr(worker, "recover", lambda host: "It was undone.")
    assert worker.previous_run(host) == (True, "It was undone.")
    begin(host, workers, "second")
    assert said_of(news(host, capsys, "first")["end"]) == "The worker was killed. It was undone."
    monkeypatch.setattr(worker, "recover", lambda host: None)
    workers.clear()
    assert worker.previous_run(host) == (False, "")


def test_what_a_worker_s_own_recovery_could_not_recover_is_recovered_behind_it(host, workers, monkeypatch):
    """A new journal would take the place of the open one."""
    begin(host, workers, "first")
    host = dataclasses.replace(host, sleep=lambda seconds: finish(host, workers, "first"))
    monkeypatch.setattr(worker, "recover", lambda host: "It was undone.")
    assert worker.previous_run(host) == (True, "An earlier run was still under way and has ended: first was done. It was undone.")


def test_an_end_that_nobody_heard_is_told_once(host, workers):
    for run in ("first", "second"):
        begin(host, workers, run)
        finish(host, workers, run)
        os.utime(os.path.join(host.places.ends, run), (len(run), len(run)))
    results.mark_heard(host, "first")
    assert worker.previous_run(host) == (False, "An earlier run, whose end nobody heard of, ended like this: second was done.")
    assert worker.previous_run(host) == (False, "")


def test_a_run_whose_start_was_cut_short_follows_itself_whoever_works_now(host, workers):
    begin(host, workers, "first")
    finish(host, workers, "first")
    begin(host, workers, "second")
    assert worker.under_way(host, "first") == {**worker.under_way(host, "second"), "run": "first"}
    assert worker.under_way(host, "third") == {**worker.under_way(host, "second"), "attached": True}


def test_a_run_that_waits_for_itself_takes_its_own_end(host, workers, monkeypatch):
    """It has an id, too, and a later end is not its own."""
    started = []

    def start(command):
        started.append(results.last_run(host))
        finish(host, workers, started[0])
        begin(host, workers, "second")
        finish(host, workers, "second")

    service = types.SimpleNamespace(start_worker=start, worker_is_active=lambda: False, worker_log="", guard_boot=lambda command, journal: None)
    for module in (worker, results, journal_module):
        monkeypatch.setattr(module, "service_of", lambda host: service)
    plan = types.SimpleNamespace(long=True, to_data=dict, surroundings={})
    assert worker.perform(host, plan, {"changed": True}, "", (False, ""))["msg"] == f"{started[0]} was done."
    assert worker.previous_run(host) == (False, "An earlier run, whose end nobody heard of, ended like this: second was done.")


def test_ends_are_root_s_alone_and_the_newest_are_kept(host):
    for number in range(30):
        results.write_end(host, f"run{number}", results.end_by(FULL))
        path = os.path.join(host.places.ends, f"run{number}")
        assert os.stat(path).st_mode & 0o777 == 0o600
        os.utime(path, (number, number))
    assert os.stat(host.places.ends).st_mode & 0o777 == 0o700
    assert sorted(os.listdir(host.places.ends)) == sorted(f"run{number}" for number in [*range(10, 30)])


# The journal's room ----------------------------------------------------------------------------------------------


class Full:
    """A transaction of which each part finds the disk full, once."""

    def __init__(self, _host, plan, _journal):
        self.plan = plan
        self.context = types.SimpleNamespace(service=types.SimpleNamespace(reload_units=lambda: None), differences=[])
        self.written = []

    def write(self):
        failures = [OSError(errno.ENOSPC, "No space left on device")]

        def work():
            if failures:
                raise failures.pop()
            self.written.append("something")

        files.retry_when_full(work)
        return "written"

    run = undo = undo_files = close = begun = write


OPERATIONS = {
    "perform": lambda host, plan: worker.perform(host, plan, {"changed": True, "msg": ""}, "", (False, "")),
    "run": lambda host, _plan: worker_main._run(host),
    "recover": lambda host, _plan: recovery.recover(host),
    "boot": lambda host, _plan: worker_main._at_boot(host),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_full_disk_gets_the_journal_s_room_whoever_has_it_open(host, monkeypatch, operation):
    plan = types.SimpleNamespace(long=False, to_data=dict, surroundings={})
    monkeypatch.setattr(recovery, "has_to_roll_forward", lambda context: False)
    for module in (worker, worker_main, recovery):
        monkeypatch.setattr(module, "Transaction", Full)
        monkeypatch.setattr(module, "Plan", types.SimpleNamespace(from_data=lambda data: plan))
    for module in (worker, worker_main):
        monkeypatch.setattr(module, "report", lambda plan, outcome, planned: {"said": outcome})
    journal = Journal(host)
    journal.create({})
    asked(host, "mine")
    OPERATIONS[operation](host, plan)
    assert os.path.getsize(f"{journal.directory}/reserve") < 4 << 20
    with pytest.raises(OSError, match="No space left"):
        Full(host, plan, journal).write()


# The program -----------------------------------------------------------------------------------------------------


def changed(program, change):
    """The program with other files: what each becomes by its name and content."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(program)) as old, zipfile.ZipFile(stream, "w") as new:
        for one in old.infolist():
            new.writestr(one, change(one.filename, old.read(one)))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("change", "is_ours"),
    [
        (lambda name, content: content, True),
        # Without a look at the source.
        (lambda name, content: b"wrong =" if name.endswith(".py") else content, True),
        # What another Python has compiled: the first four bytes say which.
        (lambda name, content: b"\0" * 4 + content[4:] if name.endswith(".pyc") else content, True),
        (lambda name, content: b"'other'" if name.endswith(".py") else b"\0" * 4 + content[4:], False),
    ],
    ids=["as it is", "compiled", "by another Python", "by another Python, with another source"],
)
def test_the_program_is_taken_as_it_was_compiled_and_by_another_python_from_its_source(tmp_path, change, is_ours):
    path = tmp_path / "worker.pyz"
    path.write_bytes(changed(program_module.make_program(worker_main.__name__), change))
    code = zipimport.zipimporter(f"{path}/drydock_dockerd/_transaction").get_code("drydock_dockerd._transaction.worker_main")
    assert (code.co_consts[0] == worker_main.__doc__) is is_ours
