# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What another release has written is read, or refused in one sentence; it is never a traceback, and never a change."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import records
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.plan import Plan
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import results
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.recovery import recover

# Written by release 0.1.0, as it is.
OF_0_1_0 = pathlib.Path(__file__).parent / "formats-0.1.0"
PLANS, RECORDS = (sorted(OF_0_1_0.glob(f"{name}-*.json")) for name in ("plan", "owners"))
KNOWN = r"which this release of drydock\.dockerd does not know\. Another release wrote it: run again with that one, or with a newer one\. \[format-unknown\]$"


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_of_0_1_0_is_read_and_written_as_it_was(path: pathlib.Path) -> None:
    """Release 0.1.0 takes a plan with these fields and no others, so an open journal of ours is one that it can undo, too."""
    data = json.loads(path.read_text())
    plan = Plan.from_data(data)
    assert json.loads(json.dumps(plan.to_data())) == data


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_records_of_0_1_0_are_read_and_written_as_they_were(path: pathlib.Path) -> None:
    """But for the number, which 0.1.0 passes over."""
    data = json.loads(path.read_text())
    assert json.loads(records.parse(path.read_text()).text()) == {"format": 1, **data}


def changed(data: t.Any, *path: t.Any) -> t.Any:
    """Data with one field more, somewhere in them."""
    if not path:
        return {**data, "colour": "blue"}
    first, *rest = path
    if isinstance(data, list):
        return [changed(one, *rest) if at == first else one for at, one in enumerate(data)]
    return {**data, first: changed(data[first], *rest)}


MOVE = json.loads((OF_0_1_0 / "plan-a-move-of-containerd-too.json").read_text())
UPGRADE = json.loads((OF_0_1_0 / "plan-an-upgrade.json").read_text())
BACK = json.loads((OF_0_1_0 / "plan-a-move-taken-back.json").read_text())


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (MOVE, ()), (MOVE, ("move",)), (MOVE, ("containerd",)), (MOVE, ("files", 0)), (MOVE, ("before",)), (MOVE, ("after",)), (MOVE, ("owners", "a")),
        (BACK, ("history", 0)), (UPGRADE, ("packages",)),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_plan_with_a_field_that_is_not_known_is_refused(data: t.Any, path: tuple[t.Any, ...]) -> None:
    with pytest.raises(DrydockError, match=f"has the field 'colour', {KNOWN}"):
        Plan.from_data(changed(data, *path))


def test_a_plan_that_lacks_a_field_is_refused() -> None:
    with pytest.raises(DrydockError, match=f"has no field 'driver', {KNOWN}"):
        Plan.from_data({key: value for key, value in MOVE.items() if key != "driver"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"format": 2, "owners": {}}', "has format 2, "),
        ('{"colour": "blue"}', "has the field 'colour', "),
        ('{"owners": {"a": {"owner": "a", "colour": "blue"}}}', "has the field 'colour', "),
        ('{"history": [{"origin": "/a", "inode": [1, 2], "colour": "blue"}]}', "has the field 'colour', "),
        ("[]", "has a JSON list, not an object, "),
        ("cut of", r"has no JSON \(.*\), "),
    ],
    ids=["format", "field", "owner", "move", "list", "cut"],
)
def test_records_that_are_not_known_are_refused(text: str, words: str) -> None:
    with pytest.raises(DrydockError, match=words + KNOWN):
        records.parse(text)


@pytest.mark.parametrize("number", ["2", "next"])
def test_a_journal_of_another_format_is_left_as_it_is(host, number: str) -> None:
    journal = Journal(host)
    journal.create(MOVE)
    pathlib.Path(journal.directory, "format").write_text(number)
    with pytest.raises(DrydockError, match=f"has format {number}, {KNOWN}"):
        recover(host)
    assert journal.is_open
    assert host.execute.commands == []


def test_a_step_that_is_not_known_is_refused_before_anything_is_undone(host) -> None:
    journal = Journal(host)
    journal.create(MOVE)
    journal.note("begin", "hold")
    host.execute.answers["systemctl show"] = (0, "ActiveState=inactive\nMainPID=0\n")
    journal.note("begin", "paint blue")
    with pytest.raises(DrydockError, match=f"has the step 'paint blue', {KNOWN}"):
        recover(host)
    assert not any("daemon-reload" in command for command in host.execute.commands)


def test_the_end_of_a_worker_of_another_format_is_refused(host) -> None:
    results.write_end(host, "a", {"format": 2, "verdict": "well"})
    with pytest.raises(DrydockError, match=f"has format 2, {KNOWN}"):
        results.read_end(host, "a")


def test_the_end_of_another_format_is_told_once_and_stops_no_later_run(host) -> None:
    results.write_end(host, "a", {"format": 2, "verdict": "well"})
    assert results.tell_unheard(host)["a"].endswith("has format 2, which this release of drydock.dockerd does not know.")
    assert results.tell_unheard(host) == {}
