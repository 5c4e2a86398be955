#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Write the variables of each role into its README, from meta/argument_specs.yml; all else in a README is written by hand.

readmes.py --check says which READMEs are out of date.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
import typing as t

import yaml

TOP = pathlib.Path(__file__).resolve().parent.parent
BEGIN = "<!-- Made from meta/argument_specs.yml: change it there, then 'make docs'. -->"
END = "<!-- Written by hand again. -->"
# Ansible's marks, each with what it becomes; antsibull-docs sees to it that they are right.
_MARKS = (
    (re.compile(r"P\(drydock\.dockerd\.(\w+)#role\)"), r"[`\1`](../\1/README.md)"),
    (re.compile(r"O\(drydock\.dockerd\.(\w+)#role:main:(\w+)\)"), r"[`\2`](../\1/README.md)"),
    (re.compile(r"(?:O|V|C|RV|E|M|P)\(((?:[^()\\]|\\.)+)\)"), r"`\1`"),
    (re.compile(r"B\(([^()]+)\)"), r"**\1**"),
    (re.compile(r"I\(([^()]+)\)"), r"*\1*"),
    (re.compile(r"L\(([^,()]+), *([^()]+)\)"), r"[\1](\2)"),
    (re.compile(r"U\(([^()]+)\)"), r"<\1>"),
)


def markdown(text: str) -> str:
    """A sentence with Ansible's marks, for a cell of a table."""
    for mark, replacement in _MARKS:
        text = mark.sub(replacement, text)
    return re.sub(r"\s+", " ", text).replace("|", r"\|").strip()


def table(options: dict[str, dict[str, t.Any]]) -> str:
    """A row for each variable."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, option in options.items():
        default = option["default"]
        shown = default if isinstance(default, str) and default else json.dumps(default)
        sentences = [markdown(one) for one in ([option["description"]] if isinstance(option["description"], str) else option["description"])]
        rows.append(f"| `{name}` | `{shown}` | {' '.join(sentences)} |")
    return "\n".join(rows)


def readme(role: pathlib.Path) -> tuple[str, str]:
    """A role's README as it is, and as it should be."""
    text = (role / "README.md").read_text(encoding="utf-8")
    options = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"].get("options")
    if not options or BEGIN not in text:
        return text, text
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{role.name}/README.md has no place for the variables: the lines\n{BEGIN}\n{END}")
    return text, f"{before}{BEGIN}\n\n{table(options)}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    stale = []
    for role in sorted((TOP / "roles").iterdir()):
        text, wanted = readme(role)
        if text != wanted:
            stale.append(role.name)
            if "--check" not in arguments:
                (role / "README.md").write_text(wanted, encoding="utf-8")
    if stale:
        print("out of date:" if "--check" in arguments else "written:", ", ".join(stale))
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
