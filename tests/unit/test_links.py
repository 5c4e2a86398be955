# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Links and paths in the texts for people lead to something that is there."""

from __future__ import annotations

import collections
import pathlib
import re
import typing as t
import urllib.parse

import pytest

ROOT = pathlib.Path(__file__).parents[2]
# Those with texts; whatever else lies in a checkout is no part of it.
DIRECTORIES = (".github", "changelogs", "docs", "meta", "molecule", "playbooks", "plugins", "roles", "tests")
TEXTS = sorted([*ROOT.glob("*.md"), *(path for name in DIRECTORIES for path in (ROOT / name).rglob("*.md"))])
DESIGN = sorted([ROOT / "docs/design.md", *(ROOT / "docs/design").iterdir()])
FENCED, QUOTED = re.compile(r"^```.*?^```$", re.M | re.S), re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(([^()\s]+)\)|\b(?:href|src)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.M)
ANCHOR = re.compile(r"<a id=\"([^\"]+)\"")
# A path as the design names it: of the repository, of package module_utils, or of plugin_utils beside that.
NAMED = re.compile(r"(?<![\w./@-])(?:(?:plugins|roles|playbooks|molecule|docs|plugin_utils)/[\w./*-]+|tests/[\w./*-]+|_[a-z_]+/[\w./*-]*)")
PACKAGE = re.compile(r"(?<![\w./-])_(?:operation|preflight|transaction|plan|observe|service|endpoint|copy|engine|host)\b")


def links(text: str) -> t.Iterator[str]:
    """The targets of links in Markdown; what is code is left out."""
    for found in LINK.finditer(QUOTED.sub("", FENCED.sub("", text))):
        yield found[1] or found[2]


def anchors(text: str) -> set[str]:
    """Anchors that a text has, and what GitHub makes of headings: small letters, dashes for blanks, no other signs; a number for the second of a name."""
    seen: collections.Counter[str] = collections.Counter()
    found = set(ANCHOR.findall(text))
    for heading in HEADING.findall(FENCED.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken(path: pathlib.Path) -> t.Iterator[str]:
    """The links of a file that lead nowhere in the repository."""
    for link in links(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _sign, anchor = urllib.parse.unquote(link).partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target.read_text(encoding="utf-8"))):
            yield link


def missing(text: str) -> t.Iterator[str]:
    """The paths that a text names and the repository lacks; a star stands for any name."""
    for name in (one.rstrip(".") for one in NAMED.findall(text)):
        below = "plugins/" if name.startswith("plugin_utils/") else "plugins/module_utils/" if name.startswith("_") else ""
        if not list(ROOT.glob(f"{below}{name}".rstrip("/"))):
            yield name


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_leads_to_a_file_and_a_heading(path: pathlib.Path) -> None:
    assert list(broken(path)) == []


def test_a_broken_link_is_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "other.md").write_text("# One `thing`, and more\n\n# One\n\n# One\n")
    page = tmp_path / "page.md"
    page.write_text("[a](other.md#one-thing-and-more) [b](other.md#one-1) [c](other.md#two) [d](gone.md) `[e](code.md)` [f](https://example.com/x)\n")
    assert list(broken(page)) == ["other.md#two", "gone.md"]


@pytest.mark.parametrize("path", DESIGN, ids=lambda path: path.name)
def test_each_path_that_the_design_names_is_there(path: pathlib.Path) -> None:
    assert sorted(set(missing(path.read_text(encoding="utf-8")))) == []


def test_a_path_that_is_not_there_is_found() -> None:
    text = "`_host/host.py`, `_host/gone.py`, `_gone/`, `plugin_utils/_gone.py`, `plugins/modules/data_root.py`. `tests/gone/`, /usr/docs/x, `docs/benchmark.*`"
    assert list(missing(text)) == ["_host/gone.py", "_gone/", "plugin_utils/_gone.py", "tests/gone/"]


def test_the_picture_of_the_packages_has_each_of_them() -> None:
    there = {path.name for path in (ROOT / "plugins/module_utils").iterdir() if path.is_dir() and path.name.startswith("_") and path.name != "__pycache__"}
    assert set(PACKAGE.findall((ROOT / "docs/design/packages.svg").read_text(encoding="utf-8"))) == there
