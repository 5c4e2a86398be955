# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the benchmark says about its figures follows from the figures."""

from __future__ import annotations

import copy
import importlib.util
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

import pytest

PATH = pathlib.Path(__file__).parents[2] / "bench" / "report.py"
spec = importlib.util.spec_from_file_location("bench_report", PATH)
report = importlib.util.module_from_spec(spec)
sys.modules["bench_report"] = report
spec.loader.exec_module(report)


def one(round_, method, gap, **more):
    moments = {"stopping": 0.0, "stopped": 0.3, "starting": gap / 2, "loading": gap / 2 + 0.1}
    return {
        "round": round_,
        "method": method,
        "direction": "one to two",
        "gap": gap,
        "other_gaps": [],
        "seconds": gap + 1,
        "files": 1000,
        "bytes": 2_000_000,
        "busy": 0.25,
        "phases": [{"phase": "rsync", "seconds": gap / 2}],
        "marks": moments,
        "first_pass": None,
        **more,
    }


@pytest.fixture
def size():
    machine = {"cpus": 2, "memory_gib": 8, "kernel": "6.1", "system": "Debian", "engine": "26.1", "driver": "overlay2"}
    machine.update(rsync="3.4.1", file_system="ext4", containers=8)
    gaps = {"restart": (1.0, 2.0, 1.2), "by hand": (20.0, 30.0, 40.0), "drydock": (1.5, 1.8, 1.4), "warm copy": (0.05, 0.04, 0.04)}
    runs = [one(number + 1, method, figures[number]) for number in range(3) for method, figures in gaps.items()]
    return {"date": "2026-01-01", "machine": machine, "files": 1000, "bytes": 2_000_000, "runs": runs}


def test_medians_and_ratios(size):
    assert report.gaps(size, "drydock") == report.Spread(1.5, 1.4, 1.8)
    assert report.ratio(size, "drydock") == pytest.approx(1.25)
    assert report.pairs(size, "drydock") == pytest.approx([1.5, 0.9, 1.4 / 1.2])


def test_pairs_go_by_round_and_not_by_order(size):
    size["runs"].reverse()
    assert sorted(report.pairs(size, "drydock")) == pytest.approx(sorted([1.5, 0.9, 1.4 / 1.2]))


def test_no_figures_are_an_error():
    with pytest.raises(ValueError, match="no figures"):
        report.Spread.of([])


@pytest.mark.parametrize(("gap", "word"), [(1.5, "met"), (1.51, "not met")])
def test_verdict_at_the_edge_of_the_goal(size, gap, word):
    for run in report.of_method(size, "drydock"):
        run["gap"] = gap
    assert report.verdict(size).startswith(f"{word}: ")


def test_segments_add_up_to_the_silence(size):
    run = size["runs"][0]
    assert sum(report.segments(run).values()) == pytest.approx(run["gap"])


def test_segments_without_a_moment_are_left_out(size):
    run = size["runs"][0]
    del run["marks"]["stopped"]
    assert list(report.segments(run)) == ["dockerd starts, until it loads containers", "it loads and starts them, until the heartbeat is back"]


def test_first_pass_is_the_phase_where_there_is_one(size):
    ours = report.of_method(size, "drydock")
    ours[0]["phases"].append({"phase": "warm copy, pass 1", "seconds": 7.0})
    ours[0]["first_pass"] = 8.0
    ours[1]["first_pass"] = 9.0
    assert report.first_passes(size) == [7.0, 9.0]


def test_loss_names_the_part_that_costs_most(size):
    for run in report.of_method(size, "drydock"):
        run["marks"]["stopped"] += 5
        run["marks"]["starting"] += 5
        run["marks"]["loading"] += 5
        run["gap"] += 5
    assert "'stop of the daemon': +5.00 s" in report.loss(size)


def test_what_is_kept_is_what_was_measured(size):
    assert json.loads(report.dump({"4": size, "1": size})) == {"1": size, "4": size}


def test_markdown_tables_are_whole(size):
    text = report.markdown({"4": copy.deepcopy(size), "1": size})
    assert text.index("## Size 1:") < text.index("## Size 4:")
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert text.count("| 3 drydock |") == 2


def test_plot_is_xml_with_a_bar_and_a_whisker_for_each_figure(size):
    tree = xml.etree.ElementTree.fromstring(report.svg({"1": size, "4": copy.deepcopy(size)}))
    by_class = [element.get("class") for element in tree.iter()]
    assert [by_class.count(name) for name in ("a", "b", "c", "whisker", "goal")] == [4, 2, 4, 10, 2]


def test_bars_are_as_long_as_their_medians(size):
    tree = xml.etree.ElementTree.fromstring(report.svg({"1": size}))
    by_hand, ours = (float(next(one for one in tree.iter() if one.get("class") == name).get("width")) for name in ("b", "c"))
    assert by_hand / ours == pytest.approx(30.0 / 1.5, rel=0.02)
    assert all(float(one.get("x")) + float(one.get("width")) <= report.WIDTH for one in tree.iter() if one.get("class") in ("a", "b", "c"))


@pytest.mark.parametrize(("greatest", "tick"), [(0.04, 0.01), (1.0, 0.2), (1.01, 0.5), (40.0, 10), (51.0, 20)])
def test_ticks_are_round_and_hold_the_greatest(greatest, tick):
    assert report.nice_tick(greatest) == pytest.approx(tick)
