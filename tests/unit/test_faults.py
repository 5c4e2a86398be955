# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What of the faults' test is pure: the ledger's comparison and the choice of moments."""

from __future__ import annotations

import dataclasses
import pathlib
import random
import socket
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "faults"))
from ledger import Ledger, missing
from moments import Fault, at_random, both_ways, every_step, long_form, renames, seconds_by_step, short_form

STEPS = ["hold", "stop", "write /etc/docker/daemon.json", "commit"]


def test_missing_names_the_acknowledged_record_that_is_gone() -> None:
    assert missing({"a 1", "a 2", "b 1"}, "a 1\nb 1\nb 2\n") == ["a 2"]


def test_missing_is_not_content_with_half_a_record() -> None:
    assert missing({"a 12"}, "a 1\n") == ["a 12"]


def test_missing_allows_what_was_never_acknowledged() -> None:
    assert missing({"a 1"}, "\na 1\na 2\n\x00\x00\n") == []


def test_ledger_takes_whole_lines_only() -> None:
    ledger = Ledger("127.0.0.1")
    with socket.create_connection(("127.0.0.1", ledger.port)) as client:
        client.sendall(b"a 1\na 2\na 3")
    deadline = time.monotonic() + 5
    while len(ledger.records) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    ledger.shutdown()
    ledger.server_close()
    assert ledger.records == {"a 1", "a 2"}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_both_ways_strikes_each_step_in_both_directions(count: int) -> None:
    struck = both_ways(every_step(STEPS[:count], "cut"))
    # Directions alternate from fault to fault.
    assert {(fault.step, number % 2) for number, fault in enumerate(struck)} == {(step, way) for step in STEPS[:count] for way in (0, 1)}


def test_long_form_has_every_step_with_every_fault() -> None:
    struck = {(fault.how, fault.step) for fault in long_form(STEPS)}
    assert struck >= {(how, step) for how in ("cut", "kill", "kill-both") for step in STEPS}


def test_renames_are_struck_on_one_file_system() -> None:
    assert [(fault.step, fault.near) for fault in renames(STEPS, "cut")] == [(step, True) for step in STEPS]
    assert str(renames(["rename"], "cut")[0]) == "cut at begin of 'rename' (a rename)"


def test_short_form_cuts_where_the_way_back_is_another_one() -> None:
    assert [fault.step for fault in short_form([*STEPS, "prove"]) if fault.how == "cut"] == [step for step in STEPS if step != "hold"]


def test_a_moment_is_one_that_the_journal_tells() -> None:
    measured = {"warm copy, pass 1": 2.0, "warm copy, pass 2": 0.1, "warm copy": 2.1, "hold": 0.2}
    phases = [{"phase": phase, "seconds": seconds} for phase, seconds in measured.items()]
    assert seconds_by_step({"plan": ["warm copy", "hold"], "phases": phases}) == {"warm copy": 2.1, "hold": 0.2}


def test_at_random_is_repeated_by_its_seed() -> None:
    phases = {"hold": 0.1, "stop": 2.0}
    once = at_random(random.Random(7), phases, 30, True)
    assert once == at_random(random.Random(7), phases, 30, True)
    assert once != at_random(random.Random(8), phases, 30, True)
    assert all(fault.delay <= phases.get(fault.step, 3.0) for fault in once)
    assert {fault.how for fault in once} == {"cut", "kill"}
    assert all(fault.how == "cut" for fault in once if fault.step == "end")
    assert any(fault.then for fault in once)


def test_a_neighbour_works_beside_every_second_cut_and_every_second_kill() -> None:
    phases = {"hold": 0.1, "stop": 2.0}
    beside, alone = (at_random(random.Random(7), phases, 20, neighbour) for neighbour in (True, False))
    assert sorted(fault.how for fault in beside if fault.neighbour) == ["cut"] * 5 + ["kill"] * 5
    assert [dataclasses.replace(fault, neighbour="") for fault in beside] == alone
    assert str(Fault("kill", "hold", neighbour="12")) == "kill at begin of 'hold' (beside neighbour 12)"


def test_fault_is_late_when_the_change_was_further() -> None:
    fault = Fault("cut", "commit")
    assert not fault.is_late("begin commit")
    assert fault.is_late("begin start")
    assert not Fault("cut", "commit", delay=0.1).is_late("begin start")
