# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""How a worker's error comes home. That a worker runs, dies and is followed needs a host: scenarios crash, connection and sysv."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import types
import zipfile
import zipimport

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import program as program_module
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import recovery, results, worker, worker_main
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal

FULL = DrydockError("disk-full", "Failed at 'stop': it is full.", "Make room.")


@pytest.fixture
def recovered(host, monkeypatch):
    """What recovering leaves as the worker's end, when it is told how that went and what the worker had said."""

    def recover(outcome, told=None):
        def recover_or_fail(_host):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(worker_main, "recover", recover_or_fail)
        if told:
            files.write(host.places.result, json.dumps(told))
        worker_main._recover(host)
        return json.loads(files.read(host.places.result) or "null")

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
    files.write(host.places.asked, json.dumps({"earlier": [True, "It was undone."], "planned": {}}))
    worker_main._run(host)
    end = json.loads(files.read(host.places.result))
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
    files.write(host.places.result, "cut off")
    with pytest.raises(DrydockError, match=r"has no JSON \(Expecting value.*\[format-unknown\]$"):
        worker_main._recover(host)
    assert recovered == [host]


# The journal's room ----------------------------------------------------------------------------------------------


class Full:
    """A transaction of which each part finds the disk full, once."""

    def __init__(self, _host, plan, _journal):
        self.plan = plan
        self.context = types.SimpleNamespace(service=types.SimpleNamespace(reload_units=lambda: None))
        self.written = []

    def write(self):
        failures = [OSError(errno.ENOSPC, "No space left on device")]

        def work():
            if failures:
                raise failures.pop()
            self.written.append("something")

        files.retry_when_full(work)
        return "written"

    run = undo = undo_files = close = write


OPERATIONS = {
    "perform": lambda host, plan: worker.perform(host, plan, {"changed": True, "msg": ""}, "", (False, "")),
    "run": lambda host, _plan: worker_main._run(host),
    "recover": lambda host, _plan: recovery.recover(host),
    "boot": lambda host, _plan: worker_main._at_boot(host),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_full_disk_gets_the_journal_s_room_whoever_has_it_open(host, monkeypatch, operation):
    plan = types.SimpleNamespace(long=False, to_data=dict)
    monkeypatch.setattr(recovery, "has_to_roll_forward", lambda context: False)
    for module in (worker, worker_main, recovery):
        monkeypatch.setattr(module, "Transaction", Full)
        monkeypatch.setattr(module, "Plan", types.SimpleNamespace(from_data=lambda data: plan))
    for module in (worker, worker_main):
        monkeypatch.setattr(module, "report", lambda plan, outcome, planned: {"said": outcome})
    journal = Journal(host)
    journal.create({})
    files.write(host.places.asked, json.dumps({"earlier": [False, ""], "planned": {}}))
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
