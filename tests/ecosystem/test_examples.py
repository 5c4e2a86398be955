# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the pages for users show as an example has no mistakes. Scenario examples runs it."""

from __future__ import annotations

import pathlib
import re
import subprocess
import typing as t

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from pages import EXAMPLES, PAGES, PLAYBOOKS, Example
from places import TOP

ROLES = {path.name for path in TOP.glob("roles/*")}
# A variable of geerlingguy.docker, which begins as ours do.
OTHERS = {"docker_daemon_options"}


def options() -> dict[str, dict[str, t.Any]]:
    """The options of each role."""
    specs = {role: yaml.safe_load((TOP / f"roles/{role}/meta/argument_specs.yml").read_text()) for role in ROLES}
    return {role: spec["argument_specs"]["main"].get("options") or {} for role, spec in specs.items()}


def variables(content: t.Any) -> t.Iterator[tuple[str, t.Any]]:
    """Everything in it that is named like a role's variable."""
    if isinstance(content, dict):
        for name, value in content.items():
            if any(str(name).startswith(f"{role}_") for role in ROLES):
                yield name, value
            yield from variables(value)
    elif isinstance(content, list):
        for one in content:
            yield from variables(one)


def test_there_are_examples() -> None:
    assert len(PLAYBOOKS) >= len(ROLES)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_variables_of_an_example_are_those_of_the_roles(example: Example) -> None:
    """They exist, and their values have the right type."""
    known = {name: option for role in options().values() for name, option in role.items()}
    used = dict(variables(example.content))
    assert sorted(set(used) - set(known) - OTHERS) == []
    given = {name: value for name, value in used.items() if name not in OTHERS and "{{" not in str(value)}
    assert ArgumentSpecValidator({name: known[name] for name in given}).validate(given).error_messages == []


def test_playbooks_of_the_examples_have_no_mistakes(tmp_path: pathlib.Path) -> None:
    """All of them in one go, with the roles that they name."""
    books = []
    for number, example in enumerate(PLAYBOOKS):
        book = tmp_path / f"{number:02}-{example.page.parent.name}-{example.page.stem}-{example.number}.yml"
        book.write_text(example.text)
        books.append(str(book))
    done = subprocess.run(["ansible-playbook", "-i", "localhost,", "--syntax-check", *books], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("playbook: ") == len(books)


def test_figures_of_the_readme_are_those_of_the_benchmark() -> None:
    """Who measures anew writes the comparison anew."""
    measured = (TOP / "docs/benchmark.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| .*?([\d.]+ GB in [\d,]+ files) \| ([\d.]+) s \|.*\| ([\d.]+) s; a plain restart ([\d.]+) s \|$", (TOP / "README.md").read_text(), re.M
    )
    assert len(rows) == 2
    for size, by_hand, ours, restart in rows:
        section = measured.partition(f": {size}")[2].partition("\n## ")[0]
        medians = re.findall(r"^\| ([ABC]), .*? \| \d+ \| ([\d.]+) ", section, re.M)
        assert dict(medians[:3]) == {"A": restart, "B": by_hand, "C": ours}


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*PAGES, TOP / "CONTRIBUTING.md", TOP / "MAINTAINERS.md"]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))]
    assert len(links) > 20
    assert [f"{page.name}: {link}" for page, link in links if "://" not in link and not (page.parent / link).exists()] == []
