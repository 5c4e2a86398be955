# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.drydock.dockerd.plugins.filter.rolling import rolling_batches
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.plugin_utils._batches import batches, report

EVERYBODY = ["h1", "h2", "h3", "h4", "h5"]


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        (None, ["100%"]),
        ("", ["100%"]), (" \n", ["100%"]), ([], ["100%"]), (3, [3]), ("3", [3]), ("25%", ["25%"]), (" 25 % ", ["25%"]), ("1, 25%", [1, "25%"]),
        ("1\n25%\n", [1, "25%"]), ('[1, "25%"]', [1, "25%"]), ("[1, 25%]", [1, "25%"]), ("- 1\n- 25%", [1, "25%"]), ([1, "25%"], [1, "25%"]),
        (["1", "100%"], [1, "100%"]),
    ],
)  # fmt: skip
def test_batches_become_what_serial_takes(given, sizes):
    assert batches(given) == sizes


@pytest.mark.parametrize("given", ["abc", "0", 0, "0%", "101%", "-1", "2.5%", 1.5, True, {"a": 1}, "1, two", "[1, ", "[1, {}]", [None], "1;2", "[[1]]"])
def test_batches_that_serial_would_not_take_are_refused(given):
    with pytest.raises(DrydockError, match=r"^rolling_batch is .*\. Give a number of hosts \(1\), a percentage \(25%\), or a list"):
        batches(given)


def test_batches_name_the_part_that_is_wrong():
    with pytest.raises(AnsibleFilterError, match=r"^rolling_batch is '1, two', where ' two' is no size of a batch\. .*\. \[variable-value\]$"):
        rolling_batches("1, two")


def test_report_of_hosts_that_are_well_is_empty():
    assert report(["", ""], ["h1", "h2"], EVERYBODY, EVERYBODY) == []


def test_report_names_what_was_done_and_what_was_not_begun():
    assert report(["", "No room."], ["h2", "h3"], EVERYBODY, EVERYBODY) == ["Well: h1, h2.", "Not well: h3: No room.", "Not begun: h4, h5."]


def test_report_of_a_first_batch_that_is_the_only_one():
    assert report(["No room."], ["h5"], ["h5"], ["h5"]) == ["Well: none.", "Not well: h5: No room.", "Not begun: none."]


def test_report_names_hosts_that_were_lost():
    """The one that was lost may be the last one of its batch: what is behind it in the order was not begun all the same."""
    assert report(["", ""], ["h1", "h2"], EVERYBODY, ["h1", "h2", "h4", "h5"]) == ["Well: h1, h2.", "Lost on the way: h3.", "Not begun: h4, h5."]
