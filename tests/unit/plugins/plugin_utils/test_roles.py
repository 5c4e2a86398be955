# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Whoever uses a role reads of its variables; whoever calls a module reads of its options. One table says both, and the code keeps to it."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import pathlib
import re
import types
import typing as t

import pytest
import yaml
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.options import OWNER_OF_KEY
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.argument_spec import COMMON
from ansible_collections.drydock.dockerd.plugins.modules import data_root
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _follow, _roles
from ansible_collections.drydock.dockerd.plugins.plugin_utils._follow import PlainActionModule

ROOT = pathlib.Path(__file__).resolve().parents[4]
UTILS = ROOT / "plugins" / "module_utils"
ROLES = {path.name for path in (ROOT / "roles").iterdir()}
SPECIFICATIONS = [yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text())["argument_specs"]["main"] for role in sorted(ROLES)]
VARIABLES = {name for specification in SPECIFICATIONS for name in specification.get("options") or {}}
# What a person can set by a module and, by another name, by a role. Nobody means anything else by a word with an underscore.
OPTIONS = {*COMMON, *yaml.safe_load(data_root.DOCUMENTATION)["options"], "hosts", "tlscacert", "tlscert", "tlskey", "tlsverify"} - {"_run"}
_ANY, _CLEAR = "|".join(sorted(OPTIONS)), "|".join(sorted(one for one in OPTIONS if "_" in one))
# How a text tells somebody to set an option. Most of them are ordinary words, too.
NAMING = re.compile(rf"\b(?:[Ss]et|[Ll]eave out|[Nn]ame one in|[Aa]dd it to|[Gg]ive|[Uu]se) (?:{_ANY})\b|\b(?:{_ANY}): [a-z]|\b(?:{_CLEAR})\b")
# The user of a role understands these as they are: a variable has the same word at its end, and takes the same values.
ALIKE = {
    "Leave out restart: never.",
    "Run again with restart: auto, or restart it.",
    "Name whose settings they are, for example owner: options.",
    'Write "data-root": "{}" into {} and take the flag out of {}, then restart: the data stay where they are.',
    "'settings' and 'drop_ins' need an 'owner'.",
}


def texts() -> set[str]:
    """Every text in module_utils with more than one word that is no docstring; what is filled in at run time is {}."""
    found = set()
    for path in sorted(UTILS.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node) if part is not node}
        parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
                found.add(node.value)
    return {text for text in found if " " in text}


def said() -> set[str]:
    """The same with the names of owners filled in, who are told by what they own."""
    return {text.replace("owner {} for", f"owner {owner} for") for text in texts() for owner in OWNER_OF_KEY.values()}


def without_phrases(text: str) -> str:
    for phrase in _roles.PHRASES:
        text = text.replace(phrase, "")
    return text


def test_there_is_something_to_hold_the_table_against() -> None:
    assert len(texts()) > 200
    assert len(_roles.PHRASES) > 15
    assert set(OWNER_OF_KEY.values()) == {"listen", "data-root"}


@pytest.mark.parametrize("phrase", _roles.PHRASES)
def test_each_phrase_is_one_that_a_module_says(phrase: str) -> None:
    assert [text for text in said() if phrase in text] != []
    assert len(phrase.split()) > 1


@pytest.mark.parametrize("phrase", _roles.PHRASES)
def test_each_phrase_is_told_in_words_that_roles_have(phrase: str) -> None:
    words = re.findall(r"\bdocker_\w+", _roles.PHRASES[phrase])
    assert words
    assert set(words) <= VARIABLES | ROLES
    assert _roles.in_role_words(_roles.PHRASES[phrase]) == _roles.PHRASES[phrase]


def test_whatever_names_an_option_or_an_owner_is_in_the_table() -> None:
    rest = {text: without_phrases(text) for text in said()}
    assert {text for text in rest if NAMING.search(rest[text])} == ALIKE


TOLD = [
    ("Set path.", "Set docker_data_root_path."),
    (
        "State 'prepared' needs to know the path. Set path. [variable-value]",
        "State 'prepared' needs to know the path. Set docker_data_root_path. [variable-value]",
    ),
    (
        "tcp://0.0.0.0:1 is open. Set tlsverify, tlscacert, tlscert and tlskey, or allow_insecure: true if the network is safe. [open-api]",
        "tcp://0.0.0.0:1 is open. Put role docker_tls in front of it, or set docker_listen_tls_ca, _cert and _key, or docker_listen_allow_insecure: true "
        "if the network is safe. [open-api]",
    ),
    (
        "Key 'hosts' cannot be set by owner 'options'. Use owner listen for it. [wrong-role] Set path. [variable-value]",
        "Key 'hosts' cannot be set by owner 'options'. Use role docker_listen for it. [wrong-role] Set docker_data_root_path. [variable-value]",
    ),
    # dockerd's, and people's own.
    ("dockerd rejects the new configuration: Reset path.", "dockerd rejects the new configuration: Reset path."),
    ("set path", "set path"),
    ("Set path.d aside", "Set path.d aside"),
    ("'Set path.'", "'Set path.'"),
    ("the hosts, and the path.", "the hosts, and the path."),
    ("", ""),
]


@pytest.mark.parametrize(("text", "told"), TOLD)
def test_a_text_is_told_in_the_words_of_roles(text: str, told: str) -> None:
    assert _roles.in_role_words(text) == told
    assert _roles.in_role_words(told) == told


class Role:
    """As Ansible has one."""

    def __init__(self, name: str, path: str = "/elsewhere/roles/mine") -> None:
        self.get_name = lambda: name
        self.get_role_path = lambda: path


CALLERS = [
    (None, False),
    (Role("docker_listen"), False),
    (Role("other.dockerd.docker_listen"), False),
    (Role("drydock.dockerdlike.docker_listen"), False),
    (Role("drydock.dockerd.docker_listen"), True),
    (Role("docker_listen", os.path.realpath(os.path.join(_roles._ROLES, "docker_listen"))), True),
    (Role("docker_listen", os.path.realpath(ROOT / "molecule/roles/docker_listen")), False),
]


@pytest.mark.parametrize(("role", "ours"), CALLERS)
def test_a_task_is_of_a_role(role: Role | None, ours: bool) -> None:
    assert _roles.is_of_a_role(types.SimpleNamespace(_role=role)) is ours


def test_all_that_is_read_of_an_answer_is_told_anew_and_the_rest_stays() -> None:
    finding = {"id": "containerd-stays", "severity": "warning", "sentence": "a", "hint": "b"}
    odd = object()
    answer = {"changed": True, "msg": "c", "findings": [finding], "warnings": ["d", odd], "plan": ["e"], "rc": 0}
    assert _roles.retold(answer, str.upper) == {
        "changed": True,
        "msg": "C",
        "findings": [{"id": "containerd-stays", "severity": "warning", "sentence": "A", "hint": "B"}],
        "warnings": ["D", odd],
        "plan": ["e"],
        "rc": 0,
    }
    assert answer["findings"] == [finding]
    assert _roles.retold({"failed": True, "findings": None, "msg": None}, str.upper) == {"failed": True, "findings": [], "msg": None}


@dataclasses.dataclass(frozen=True)
class Event:
    """As ansible-core from 2.19 on has one in an error."""

    msg: str
    chain: t.Any = None
    kind: type = str


def test_an_error_that_ansible_shows_by_itself_is_told_anew_too() -> None:
    error = Event("a", Event("b"))
    assert _roles.retold({"msg": "c", "exception": error}, str.upper) == {"msg": "C", "exception": Event("A", Event("B"))}
    assert _roles.retold({"exception": error}, str)["exception"] is error


class Lines:
    """What is displayed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.display = self.lines.append


NEWS = {"offset": 1, "lines": ["failed: Set path."], "confirm": None, "active": False, "end": {"error": "It failed.", "hint": "Set path."}}


class Action(PlainActionModule):
    """Runs a module that always answers the same, and follows a worker that ends at once."""

    def __init__(self, role: Role | None, answer: dict[str, t.Any], check_mode: bool = True) -> None:
        self._task = types.SimpleNamespace(_role=role, async_val=0, check_mode=check_mode, no_log=False)
        self._display = Lines()
        self._answer = answer

    def _execute_module(self, **_arguments: t.Any) -> dict[str, t.Any]:
        return self._answer

    def _low_level_execute_command(self, command: str, **_arguments: t.Any) -> dict[str, t.Any]:
        return {"stdout": json.dumps(NEWS)}


OURS = Role("drydock.dockerd.docker_daemon")
WORDS = [(None, "Set path."), (Role("mine"), "Set path."), (OURS, "Set docker_data_root_path.")]


@pytest.mark.parametrize(("role", "words"), WORDS)
def test_a_module_answers_in_the_words_of_whoever_calls_it(role: Role | None, words: str) -> None:
    assert Action(role, {"failed": True, "msg": "Set path."}).run_module({}, {}) == {"failed": True, "msg": words}


@pytest.mark.parametrize(("role", "words"), WORDS)
def test_so_does_its_worker_on_the_way_and_at_its_end(role: Role | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_follow._progress_throttle, "together", lambda _variables: 1)
    action = Action(role, {"follow": "follow", "run": "mine", "attached": False}, check_mode=False)
    assert action.run_module({}, {"inventory_hostname": "web"})["msg"] == f"It failed. {words}"
    assert action._display.lines == [f"web: failed: {words}"]


def test_the_templates_of_roles_are_found() -> None:
    templates = [template for _argument, drop_ins in _roles.OWNERS.values() for template in drop_ins.values()]
    assert len(templates) == 3
    assert [template for template in templates if not os.path.isfile(template)] == []


def test_the_variables_of_paths_are_options_of_the_role_and_of_the_module() -> None:
    assert {variable for variable, _mark in _roles.PATHS.values()} <= VARIABLES
    assert {argument for argument, _drop_ins in _roles.OWNERS.values()} == set(_roles.PATHS) <= OPTIONS


# A variable of a play, and the one of ours that is meant.
SLIPS = {
    "docker_option_settings": "docker_options_settings",
    "docker_options_setings": "docker_options_settings",
    "docker_data_root": "docker_data_root_path",
    "docker_listen_adresses": "docker_listen_addresses",
    "docker_options_settings": None,
    "docker_compose_version": None,
    "docker_install_compose": None,
    "docker_users": None,
    "my_docker_options_setting": None,
}


@pytest.mark.parametrize(("name", "meant"), SLIPS.items())
def test_a_slip_is_told_with_what_is_meant_and_what_others_have_is_theirs(name: str, meant: str | None) -> None:
    assert _roles.misspelt([name]) == ({name: meant} if meant else {})


def test_whoever_takes_a_role_s_name_for_a_variable_hears_of_one_that_there_is() -> None:
    assert set(_roles._MAIN.values()) <= _roles.variables()
    assert _roles.variables() == VARIABLES
