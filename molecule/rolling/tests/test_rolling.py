# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A fleet is moved batch by batch while its containers beat. One host fails: it is reported, nothing more is begun, and a second run does the rest."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import re
import subprocess
import typing as t

import forked
import pytest
from running import INVENTORY, PLAYBOOKS, assert_all_is_there, connect, snapshot

FLEET = [f"h{number}" for number in range(1, 9)]
NEW = "/mnt/data/docker"
SABOTAGED = "h5"


@dataclasses.dataclass(frozen=True)
class Run:
    """What a run of a playbook printed, and what it did to each host."""

    failed: bool
    out: str
    stats: dict[str, dict[str, t.Any]]

    @property
    def report(self) -> list[str]:
        """How far it came, in its own words."""
        found = re.search(r'"msg": (\[\n\s+"Well: .*?\n    \])', self.out, re.DOTALL)
        return json.loads(found[1]) if found else []


def roll(playbook: str, batch: str, **variables: t.Any) -> Run:
    words = ["ansible-playbook", "--inventory", str(INVENTORY), "--forks", "8", str(PLAYBOOKS / f"{playbook}.yml")]
    words += ["--extra-vars", json.dumps({"target": "lab", "rolling_batch": batch, **variables})]
    done = forked.run(words, {"ANSIBLE_SHOW_CUSTOM_STATS": "True"})
    out = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    stats = re.search(r"^\tRUN: (\{.*\})", out, re.MULTILINE)
    assert stats, out + done.stderr
    return Run(done.returncode != 0, out, json.loads(stats[1])["drydock_dockerd"])


def on_all(function: t.Callable[[t.Any], t.Any]) -> dict[str, t.Any]:
    """Ask each host of the fleet something."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return dict(zip(FLEET, pool.map(lambda name: function(connect(name)), FLEET)))


@pytest.fixture(scope="module")
def pictures() -> dict[str, dict[str, t.Any]]:
    """What was on each host before."""
    return on_all(lambda host: json.loads(host.file("/var/lib/lab/before.json").content_string))


@pytest.fixture(scope="module")
def first(pictures: dict[str, t.Any]) -> Run:
    """The run in whose second batch a worker is killed, in the middle of the outage."""
    connect(SABOTAGED).check_output("systemd-run --quiet --collect --unit=sabotage lab-host kill-at 'final copy'")
    return roll("relocate", "3", docker_data_root_path=NEW)


def assert_well(pictures: dict[str, t.Any], moved: t.Collection[str]) -> None:
    """Each host has all it had, on the root where it should be."""
    now = on_all(snapshot)
    assert {name for name, picture in now.items() if picture["root"] == NEW} == set(moved)
    for name in FLEET:
        assert_all_is_there(now[name], pictures[name])


def test_the_run_stops_behind_the_batch_of_the_host_that_failed(first: Run) -> None:
    assert first.failed
    well, sick, behind = first.report
    assert well == "Well: h1, h2, h3, h4, h6."
    assert sick.startswith(f"Not well: {SABOTAGED}: The worker was killed. An interrupted change was undone")
    assert behind == "Not begun: h7, h8."


def test_what_was_done_is_handed_over(first: Run) -> None:
    assert set(first.stats) == set(FLEET[:6])
    assert {name for name, one in first.stats.items() if one["failed"]} == {SABOTAGED}
    for name in ("h1", "h4", "h6"):
        assert first.stats[name]["changed"]
        assert first.stats[name]["msg"].startswith("Moved ")
        assert first.stats[name]["files"] > 100 < first.stats[name]["bytes"]
        assert 0 < first.stats[name]["downtime_seconds"] < 60


def test_every_host_is_well_and_the_one_that_failed_is_as_before(first: Run, pictures: dict[str, t.Any]) -> None:
    assert_well(pictures, {"h1", "h2", "h3", "h4", "h6"})
    gaps = on_all(lambda host: float(host.check_output("lab-host gap 600")))
    assert max(gaps["h7"], gaps["h8"]) < 2 < min(gaps["h1"], gaps["h4"], gaps["h6"])
    assert max(gaps.values()) < 60


def test_lines_name_their_hosts_and_do_not_flood(first: Run) -> None:
    said = [line.split(": ")[0] for line in first.out.splitlines() if re.match(r"h\d: ", line)]
    assert set(said) == set(FLEET[:6])
    assert max(said.count(name) for name in FLEET) < 20


def test_a_second_run_does_the_rest(first: Run, pictures: dict[str, t.Any]) -> None:
    second = roll("relocate", "1, 50%", docker_data_root_path=NEW)
    assert not second.failed, second.out
    assert second.report == []
    assert {name for name, one in second.stats.items() if one["changed"]} == {SABOTAGED, "h7", "h8"}
    assert_well(pictures, FLEET)


def test_a_host_that_is_not_there_stops_it_too(first: Run) -> None:
    gone = connect("h3").ansible.get_variables()["ansible_host"]
    subprocess.run(["docker", "kill", gone], check=True, stdout=subprocess.DEVNULL)
    third = roll("clean", "2")
    assert third.failed
    well, sick, behind = third.report
    assert (well, behind) == ("Well: h1, h2, h4.", "Not begun: h5, h6, h7, h8.")
    assert sick.startswith("Not well: h3: It cannot be reached: ")
    assert [third.stats[name]["changed"] for name in ("h1", "h2", "h3", "h4")] == [True, True, False, True]
