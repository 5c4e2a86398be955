# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Every refusal and failure has an id, and each id is in the catalogue for users, with cause and cure, and nothing else is."""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
TASKS = [path for top in ("roles", "playbooks") for path in sorted((ROOT / top).rglob("*.yml")) if path.parent.name in ("tasks", "handlers", "playbooks")]
VARIABLES = sorted((ROOT / "roles").glob("*/vars/main.yml"))
CATALOGUE = ROOT / "docs/docsite/rst/troubleshooting.rst"
ID = re.compile(r"[a-z]+(-[a-z]+)*")
# An id as it stands in a text, behind its last word.
AT_THE_END = re.compile(r"\S \[([a-z]+(?:-[a-z]+)*)\]$")
# Text of its own in a template.
LITERAL = re.compile(r""""([^"]*)"|'([^']*)'""")
# What is called with an id of its own, and what hands one on: which argument it is.
ERRORS = {"DrydockError": 0, "CommandFailed": 0, "EngineError": 0}
CALLS = {**ERRORS, "Finding": 0, "message": 0, "wrapping": 1, "wait": 0}
# An error that joins others has none.
JOINING = {"Refused"}
# They make an error with an id that they were given.
HANDING_ON = {"error_of", "wait", "wrapping"}
# They hand on ids with a sentence and a hint, from which package _preflight makes findings.
GIVING = {"options.py": "key-", "certificates.py": "tls-"}


def nodes() -> t.Iterator[tuple[pathlib.Path, str, ast.AST]]:
    """Everything in the plugins, each with its file and the innermost function around it."""

    def walk(path: pathlib.Path, function: str, node: ast.AST) -> t.Iterator[tuple[pathlib.Path, str, ast.AST]]:
        yield path, function, node
        inner = node.name if isinstance(node, ast.FunctionDef) else function
        for child in ast.iter_child_nodes(node):
            yield from walk(path, inner, child)

    for path in sorted(PLUGINS.rglob("*.py")):
        yield from walk(path, "", ast.parse(path.read_text(encoding="utf-8")))


def called(node: ast.AST) -> str:
    """The name of what is called, without that of its object."""
    return getattr(node.func, "attr", "") or getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""


def id_in(node: ast.Call, place: int) -> str:
    """The id that a call has as it stands in the code, empty where it has none or hands one on."""
    first = node.args[place] if len(node.args) > place else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) and ID.fullmatch(first.value) else ""


def in_code() -> set[str]:
    """The ids in the code: what errors and findings are called with, and what begins a triple of an id, a sentence and a hint."""
    found = set()
    for path, _function, node in nodes():
        if isinstance(node, ast.Call) and called(node) in CALLS:
            found.add(id_in(node, CALLS[called(node)]))
        elif isinstance(node, ast.Tuple) and len(node.elts) == 3 and path.name in GIVING and ast.unparse(node.elts[0]).startswith(f"'{GIVING[path.name]}"):
            found.add(ast.literal_eval(node.elts[0]))
    return found - {""}


def failing_tasks(node: t.Any) -> t.Iterator[tuple[str, str, str]]:
    """Name, message and variables of each task that ends a play in its own words, or in those of its variables."""
    if isinstance(node, dict):
        for module, key in (("ansible.builtin.fail", "msg"), ("ansible.builtin.assert", "fail_msg")):
            if module in node:
                yield node["name"], str(node[module].get(key, "")), " ".join(map(str, node.get("vars", {}).values()))
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from failing_tasks(child)


def in_tasks(path: pathlib.Path) -> t.Iterator[tuple[str, str]]:
    """The texts with which the tasks of a file end a play, each with the name of its task; what only hands on others' words has none."""
    for name, message, variables in failing_tasks(yaml.safe_load(path.read_text(encoding="utf-8"))):
        if not re.fullmatch(r"\{\{[^{}]*\}\}", message):
            yield name, message
        for literals in LITERAL.findall(variables):
            text = "".join(literals)
            # A part of a sentence goes on in another one.
            if re.search(r"\.( \[[a-z-]*\]?)?$", text):
                yield name, text


def in_variables(path: pathlib.Path) -> t.Iterator[tuple[str, str]]:
    """The sentences among a role's variables, each with the name of its variable: whole ones, and those in a template."""
    for name, value in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        for one in value.values() if isinstance(value, dict) else [value]:
            for text in map("".join, LITERAL.findall(str(one))) if "{{" in str(one) else [str(one)]:
                # A part of a sentence goes on in another one.
                if re.search(r" .*\.( \[[a-z-]*\]?)?$", text):
                    yield name, text


def rows() -> list[str]:
    """The ids in the catalogue, each with cause and cure."""
    return re.findall(r"^   \* - ``([a-z-]+)``\n     - .+\n     - .+$", CATALOGUE.read_text(encoding="utf-8"), re.M)


def test_each_error_has_an_id_of_its_own() -> None:
    lacking = [
        f"{path.name}:{node.lineno}"
        for path, function, node in nodes()
        if isinstance(node, ast.Call) and called(node) in ERRORS and not id_in(node, 0) and function not in HANDING_ON
    ]
    assert lacking == []


def test_each_refusal_of_a_role_is_made_by_the_same_function() -> None:
    """None is a bare sentence in a list: 'report' alone makes lines that are no refusals."""
    bare = []
    for path, function, node in nodes():
        if path.parent.name != "plugin_utils" or function == "report":
            continue
        if isinstance(node, ast.Call) and called(node) == "append":
            texts = node.args
        elif isinstance(node, ast.List):
            texts = node.elts
        elif isinstance(node, ast.ListComp):
            texts = [node.elt]
        else:
            texts = [node.value] if isinstance(node, ast.Yield) and node.value else []
        bare += [
            f"{path.name}:{one.lineno}" for one in texts if isinstance(one, (ast.Constant, ast.JoinedStr)) and re.search(r" .*[.][\"']$", ast.unparse(one))
        ]
    assert bare == []


def test_whoever_ends_a_module_or_a_filter_does_it_with_such_a_message() -> None:
    bare = []
    for path, _function, node in nodes():
        if not isinstance(node, ast.Call) or not (called(node) == "fail_json" or re.fullmatch(r"Ansible\w*(Error|Fail)", called(node))):
            continue
        words = [*node.args, *(one.value for one in node.keywords if one.arg == "msg")]
        if called(words[0]) not in ("message", "str"):
            bare.append(f"{path.name}:{node.lineno}")
    assert bare == []


@pytest.mark.parametrize("path", TASKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_task_that_fails_in_its_own_words_has_an_id(path: pathlib.Path) -> None:
    assert [(name, text) for name, text in in_tasks(path) if not AT_THE_END.search(text)] == []


@pytest.mark.parametrize("path", VARIABLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_sentence_of_a_role_s_variables_has_an_id(path: pathlib.Path) -> None:
    assert [(name, text) for name, text in in_variables(path) if not AT_THE_END.search(text)] == []


def test_no_other_errors_are_made() -> None:
    """A new kind of error has to be one of those whose id is looked at here."""
    kinds = {node.name for _path, _function, node in nodes() if isinstance(node, ast.ClassDef) and ERRORS.keys() & {ast.unparse(base) for base in node.bases}}
    assert kinds == ERRORS.keys() - {"DrydockError"} | JOINING


def test_the_code_and_the_catalogue_have_the_same_ids() -> None:
    assert len(rows()) > 90
    told = [*(one for path in TASKS for one in in_tasks(path)), *(one for path in VARIABLES for one in in_variables(path))]
    in_yaml = {found[1] for _name, text in told for found in [AT_THE_END.search(text)] if found}
    assert len(in_yaml) > 5
    assert set(rows()) == in_code() | in_yaml
    assert rows() == sorted(set(rows()))
