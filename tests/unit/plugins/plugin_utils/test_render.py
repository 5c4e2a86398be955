# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""An unanswered question of a survey is no setting."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.plugin_utils._render import given, without_empty

CASES = [
    ("text", "text"),
    ("", ""),
    (None, None),
    ({"a": "", "b": "x"}, {"b": "x"}),
    ({"a": None, "b": False, "c": 0, "d": [], "e": {}}, {"a": None, "b": False, "c": 0, "d": [], "e": {}}),
    ({"a": " "}, {"a": " "}),
    ({"a": {"b": {"c": ""}}}, {"a": {"b": {}}}),
    (["", "x", ""], ["x"]),
    (("", "x"), ["x"]),
    ({"a": [{"name": "x", "content": ""}, ""]}, {"a": [{"name": "x"}]}),
    ({1: "x"}, {"1": "x"}),
]


class Text(str):
    """Ansible marks its texts by types of its own."""


class Mapping(dict):
    """And its mappings."""


@pytest.mark.parametrize(("value", "expected"), CASES)
def test_without_empty(value, expected):
    assert without_empty(value) == expected
    assert without_empty(without_empty(value)) == expected


def test_without_empty_copies():
    """What is taken out of the arguments of a task must not be missing at its next run."""
    given = {"requests": [{"owner": "a", "settings": {"x": ""}}]}
    result = without_empty(given)
    result["requests"][0].pop("owner")
    assert given == {"requests": [{"owner": "a", "settings": {"x": ""}}]}


def test_without_empty_knows_marked_texts_and_makes_plain_containers():
    result = without_empty(Mapping(a=Text(""), b=Mapping(c=Text("x"))))
    assert result == {"b": {"c": "x"}}
    assert (type(result), type(result["b"])) == (dict, dict)


def test_options_that_are_none_are_not_given():
    """Of an option with a default Ansible takes none for a wrong value. A key of daemon.json may be null, and that is dockerd's to judge."""
    assert given({"path": None, "keep_source": None, "restart": "auto", "settings": {"debug": None}}) == {"restart": "auto", "settings": {"debug": None}}
