# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.drydock.dockerd.plugins.filter.rolling import rolling_batches
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.plugin_utils._batches import batches, report, trouble

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


REACHED = {"ping": "pong"}
STOPPED = {"id": "daemon-stopped", "sentence": "The daemon does not run.", "hint": "Start it."}


@pytest.mark.parametrize(
    ("failed", "reached", "words"),
    [
        ({"failed": True, "msg": "No room."}, REACHED, "No room."),
        ({"failed": True}, REACHED, "It failed."),
        (
            {"failed": True, "msg": "All items completed", "results": [{"failed": True, "msg": "a"}, {"msg": "fine"}, {"failed": True, "msg": "b"}]},
            REACHED,
            "a b",
        ),
        # The task that hands over has nothing to say itself.
        ({"failed": True, "failed_when_result": True, "msg": "Unknown error."}, REACHED, "The daemon does not run. Start it. [daemon-stopped]"),
        (
            {"failed": True, "failed_when_result": True},
            {"unreachable": True, "msg": "No route\nto host"},
            "It cannot be reached: No route to host [unreachable]",
        ),
        ({"failed": True}, {"failed": True, "msg": "MODULE FAILURE", "module_stderr": "no python\n"}, "It cannot be reached: no python [unreachable]"),
        (
            {"failed": True, "msg": "failed to transfer file to a /home/me/.ansible/tmp/ansible-tmp-1.2-3/AnsiballZ_x.py: dd: No space left on device"},
            REACHED,
            "Ansible cannot write its own files to /home/me/.ansible/tmp on the host (No space left on device). "
            "Make room there, or let Ansible do without: ansible_pipelining: true. [no-room-for-ansible]",
        ),
        (
            {},
            {"unreachable": True, "msg": 'Failed to create temporary directory. Failed command was: ( mkdir "` echo /tmp/x/ansible-tmp-1 `" ), exited with 1'},
            "Ansible cannot write its own files to /tmp/x on the host (Failed to create temporary directory). "
            "Make room there, or let Ansible do without: ansible_pipelining: true. [no-room-for-ansible]",
        ),
    ],
)
def test_trouble_is_told_in_words(failed, reached, words):
    assert trouble(failed, reached, [{"id": "other", "sentence": "", "hint": ""}, STOPPED]) == words
