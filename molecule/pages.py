# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The examples on the pages for users."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import textwrap
import typing as t

import yaml

TOP = pathlib.Path(__file__).resolve().parents[1]
PAGES = [TOP / "README.md", *sorted(TOP.glob("docs/*.md")), *sorted(TOP.glob("docs/docsite/rst/*.rst")), *sorted(TOP.glob("roles/*/README.md"))]
MARKDOWN = re.compile(r"^```ya?ml\n(.*?)^```", re.M | re.S)
RST = re.compile(r"^\.\. code-block:: ya?ml(?:\+jinja)?\n\n((?:[ ]+\S.*\n|\n)+)", re.M)


@dataclasses.dataclass(frozen=True)
class Example:
    """One block of YAML of a page."""

    page: pathlib.Path
    number: int
    text: str

    @property
    def content(self) -> t.Any:
        """What it says."""
        return yaml.safe_load(self.text)

    @property
    def is_playbook(self) -> bool:
        """Whether it is a whole playbook."""
        return isinstance(self.content, list) and all(isinstance(one, dict) and {"hosts", "ansible.builtin.import_playbook"} & set(one) for one in self.content)

    def __str__(self) -> str:
        return f"{self.page.relative_to(TOP)}:{self.number}"


def examples() -> list[Example]:
    """All of them, in the order of the pages."""
    found = []
    for page in PAGES:
        pattern = RST if page.suffix == ".rst" else MARKDOWN
        found += [Example(page, number, textwrap.dedent(text)) for number, text in enumerate(pattern.findall(page.read_text(encoding="utf-8")), 1)]
    return found


EXAMPLES = examples()
PLAYBOOKS = [one for one in EXAMPLES if one.is_playbook]

__all__ = ("EXAMPLES", "PAGES", "PLAYBOOKS", "Example")
