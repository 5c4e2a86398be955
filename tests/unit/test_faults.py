# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What of the faults' test is pure: the ledger's comparison and the choice of moments."""

from __future__ import annotations

import importlib.util
import pathlib
import random
import socket
import sys
import time
import typing as t

import pytest

STEPS = ["hold", "stop", "write /etc/docker/daemon.json", "commit"]


@pytest.fixture(scope="module")
def faults() -> t.Any:
    path = pathlib.Path(__file__).resolve().parents[1] / "faults.py"
    spec = importlib.util.spec_from_file_location("faults", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # Data classes look for their module by its name.
    sys.modules["faults"] = module
    spec.loader.exec_module(module)
    return module


def test_missing_names_the_acknowledged_record_that_is_gone(faults: t.Any) -> None:
    assert faults.missing({"a 1", "a 2", "b 1"}, "a 1\nb 1\nb 2\n") == ["a 2"]


def test_missing_is_not_content_with_half_a_record(faults: t.Any) -> None:
    assert faults.missing({"a 12"}, "a 1\n") == ["a 12"]


def test_missing_allows_what_was_never_acknowledged(faults: t.Any) -> None:
    assert faults.missing({"a 1"}, "\na 1\na 2\n\x00\x00\n") == []


def test_ledger_takes_whole_lines_only(faults: t.Any) -> None:
    ledger = faults.Ledger("127.0.0.1")
    with socket.create_connection(("127.0.0.1", ledger.port)) as client:
        client.sendall(b"a 1\na 2\na 3")
    deadline = time.monotonic() + 5
    while len(ledger.records) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    ledger.shutdown()
    ledger.server_close()
    assert ledger.records == {"a 1", "a 2"}


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_both_ways_strikes_each_step_in_both_directions(faults: t.Any, count: int) -> None:
    struck = faults.both_ways(faults.every_step(STEPS[:count], "cut"))
    # Directions alternate from fault to fault.
    assert {(fault.step, number % 2) for number, fault in enumerate(struck)} == {(step, way) for step in STEPS[:count] for way in (0, 1)}


def test_long_form_has_every_step_with_every_fault(faults: t.Any) -> None:
    struck = {(fault.how, fault.step) for fault in faults.long_form(STEPS)}
    assert struck >= {(how, step) for how in ("cut", "kill", "kill-both") for step in STEPS}


def test_short_form_cuts_at_every_step(faults: t.Any) -> None:
    assert [fault.step for fault in faults.short_form(STEPS) if fault.how == "cut"] == STEPS


def test_at_random_is_repeated_by_its_seed(faults: t.Any) -> None:
    phases = {"hold": 0.1, "stop": 2.0}
    once = faults.at_random(random.Random(7), phases, 30)
    assert once == faults.at_random(random.Random(7), phases, 30)
    assert once != faults.at_random(random.Random(8), phases, 30)
    assert all(fault.delay <= phases.get(fault.step, 3.0) for fault in once)
    assert {fault.how for fault in once} == {"cut", "kill"}
    assert all(fault.how == "cut" for fault in once if fault.step == "end")
    assert any(fault.then for fault in once)


def test_fault_is_late_when_the_change_was_further(faults: t.Any) -> None:
    fault = faults.Fault("cut", "commit")
    assert not fault.is_late("begin commit")
    assert fault.is_late("begin start")
    assert not faults.Fault("cut", "commit", delay=0.1).is_late("begin start")
