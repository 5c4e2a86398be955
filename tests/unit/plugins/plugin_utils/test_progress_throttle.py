# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.plugin_utils._progress_throttle import Pace, together

LINE = "warm copy: 12 %, 1.0 GiB of 8.0 GiB, 10.0 MiB a second, about 700 s left"


def shown(hosts, seconds, line=LINE):
    """How many lines of a host are shown that come every ten seconds."""
    now = [0.0]
    pace = Pace(hosts, lambda: now[0])
    count = 0
    for number in range(10, seconds + 1, 10):
        now[0] = number + 0.01
        count += pace.lets(line)
    return count


def test_lines_of_a_phase_are_all_shown():
    assert shown(100, 600, "warm copy, pass 1: 1.0 GiB in 3 files, 2.1 s") == 60


def test_one_host_shows_each_line():
    assert shown(1, 600) == 60


@pytest.mark.parametrize("hosts", [2, 8, 50])
def test_many_hosts_show_as_much_as_one(hosts):
    assert 60 - hosts <= hosts * shown(hosts, 600) <= 60


def test_many_hours_of_many_hosts_stay_readable():
    assert shown(1, 36000) < 300
    assert 8 * shown(8, 36000) < 1600


@pytest.mark.parametrize(
    ("variables", "count"),
    [({}, 1), ({"ansible_play_batch": ["a"] * 8, "ansible_forks": 5}, 5), ({"ansible_play_batch": ["a"] * 3, "ansible_forks": 50}, 3)],
)
def test_hosts_at_the_same_time_are_those_of_the_batch_that_have_a_fork(variables, count):
    assert together(variables) == count
