# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""How a worker's error comes home. That a worker runs, dies and is followed needs a host: scenarios crash, connection and sysv."""

from __future__ import annotations

import io
import json
import zipfile
import zipimport

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils import _files, _worker
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError

FULL = DrydockError("disk-full", "Failed at 'stop': it is full.", "Make room.")


@pytest.fixture
def recovered(host, monkeypatch):
    """What recovering leaves as the worker's end, when it is told how that went and what the worker had said."""

    def recover(outcome, told=None):
        def recover_or_fail(_host):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(_worker, "recover", recover_or_fail)
        if told:
            _files.write(host.places.result, json.dumps(told))
        _worker._recover(host)
        return json.loads(_files.read(host.places.result) or "null")

    return recover


def test_an_error_has_its_id_when_it_has_come_home():
    with pytest.raises(DrydockError) as caught:
        _worker._told(json.loads(json.dumps(_worker._end_by(FULL))))
    assert str(caught.value) == "Failed at 'stop': it is full. Make room. [disk-full]"


def test_an_error_of_an_older_worker_is_read_without_an_id():
    with pytest.raises(DrydockError) as caught:
        _worker._told({"error": "It is full.", "hint": "Make room."})
    assert str(caught.value) == "It is full. Make room."


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (_worker._end_by(FULL), "Failed at 'stop': it is full."),
        (
            {"result": {"msg": "Restarted the daemon. Container a does not run again: no. [container-down]"}},
            "Restarted the daemon. Container a does not run again: no.",
        ),
        ({"result": {"msg": "Nothing to do."}}, "Nothing to do."),
    ],
    ids=["an error", "a result with a failure", "a result"],
)
def test_the_end_of_an_earlier_run_has_no_id_in_the_middle_of_a_message(end, words):
    assert _worker._end_of(end) == words


def test_a_killed_worker_is_told_with_what_recovering_did(recovered):
    assert recovered("It was undone.") == {"id": "worker-killed", "error": "The worker was killed. It was undone.", "hint": "Run again."}


def test_a_worker_that_has_told_its_end_keeps_its_id(recovered):
    told = _worker._end_by(FULL)
    assert recovered("It was undone.", told) == {"id": "disk-full", "error": "Failed at 'stop': it is full. It was undone.", "hint": "Run again."}
    assert recovered(None, told) == told


@pytest.mark.parametrize(
    ("failure", "id", "words"),
    [(DrydockError("api-silent", "No answer.", "Wait."), "api-silent", "No answer. Wait."), (OSError("no disk"), "recovery-failed", "no disk")],
    ids=["with an id", "without"],
)
def test_a_recovery_that_failed_has_the_id_of_its_cause(recovered, capsys, failure, id, words):
    error = f"The worker was killed. Recovering failed: {words} The next run tries again."
    assert recovered(failure) == {"id": id, "error": error, "hint": "Run again."}
    assert "Traceback" in capsys.readouterr().err


def test_recovering_comes_before_anything_that_can_go_wrong(host, monkeypatch):
    recovered = []
    monkeypatch.setattr(_worker, "recover", lambda host: recovered.append(host) or "It was undone.")
    _files.write(host.places.result, "cut off")
    with pytest.raises(ValueError, match="Expecting value"):
        _worker._recover(host)
    assert recovered == [host]


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
    path.write_bytes(changed(_worker.make_program(), change))
    code = zipimport.zipimporter(f"{path}/drydock_dockerd").get_code("drydock_dockerd._worker")
    assert (code.co_consts[0] == _worker.__doc__) is is_ours
