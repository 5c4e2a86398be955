# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""An unanswered question of a survey is no setting."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.plugin_utils._render import given, without_empty
from ansible_collections.drydock.dockerd.plugins.plugin_utils._survey import to_dict

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


@pytest.mark.parametrize("typed", [{"debug": True}, '{"debug": true}', "debug: true\n"])
def test_settings_are_taken_as_data_as_json_and_as_yaml(typed):
    assert to_dict(typed, "docker_options_settings", "a dictionary") == {"debug": True}


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        # Each is something in YAML, or as key=value.
        ('{"log-driver": "local",}', "which cannot be read: Illegal trailing comma|which cannot be read: Expecting property name"),
        ("log-driver=local", 'is "log-driver=local"'),
        ("log-driver: local:", "which cannot be read: mapping values are not allowed"),
        ("- a", 'is "- a"'),
        (["a"], r'is \["a"\]'),
    ],
)
def test_settings_that_are_no_dictionary_are_refused(typed, words):
    with pytest.raises(DrydockError, match=rf"^docker_options_settings.*({words}).*Give a dictionary"):
        to_dict(typed, "docker_options_settings", "a dictionary")
