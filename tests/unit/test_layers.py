# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Who may import whom in module_utils: only downwards, and never in a circle."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

PLUGINS = pathlib.Path(__file__).resolve().parents[2] / "plugins"
UTILS = PLUGINS / "module_utils"
# From the top down; what stands in one line does not know each other.
FLOORS = (
    *("_operation", "_preflight", "_transaction", "_plan", "_observe"),
    *("_service _endpoint", "_copy _engine", "_host", "_errors"),
)
FLOOR = {package: number for number, packages in enumerate(FLOORS) for package in packages.split()}
# More than the floors say: an endpoint is a client's business, so what asks one stays small.
ONLY = {"_endpoint": {"_engine", "_errors"}}
# What runs on the controller needs no more than words, terms of the engine, and the way to reach an address.
CONTROLLERS = {"_errors", "_engine", "_endpoint.reach"}


def imported(path: pathlib.Path) -> set[str]:
    """What a file imports of module_utils, as package.file or a file at its top."""
    found: set[str] = set()
    inside = path.relative_to(UTILS).parts[:-1] if UTILS in path.parents else ()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        module = node.module or ""
        if node.level:
            module = ".".join([*inside[: len(inside) - node.level + 1], *filter(None, [module])])
        elif ".module_utils" in module and module.startswith("ansible_collections.drydock"):
            module = module.partition("module_utils")[2].strip(".")
        else:
            continue
        found |= {f"{module}.{alias.name}".strip(".") for alias in node.names} if module.count(".") == 0 and module != "_errors" else {module}
    return found


FILES = sorted(path for path in UTILS.rglob("*.py") if path.parent != UTILS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(UTILS)))
def test_a_package_imports_only_what_lies_below_it(path: pathlib.Path) -> None:
    own = path.relative_to(UTILS).parts[0]
    others = {name.partition(".")[0] for name in imported(path)} - {own}
    assert {one for one in others if FLOOR[one] <= FLOOR[own]} == set()
    assert others <= ONLY.get(own, others)


@pytest.mark.parametrize(
    "path", sorted(path for name in ("action", "filter", "plugin_utils") for path in (PLUGINS / name).glob("*.py")), ids=lambda path: path.name
)
def test_the_controller_s_plugins_need_little_of_it(path: pathlib.Path) -> None:
    assert {one for one in imported(path) if one not in CONTROLLERS and one.partition(".")[0] not in CONTROLLERS} == set()


def test_only_the_service_knows_init_systems() -> None:
    """Nobody asks which one it is: a new one is a file of that package."""
    named = re.compile(r"\b(isinstance\([^)]*(SysV|Systemd)|import [^\n]*\b(SysV|Systemd)\b)")
    asking = [str(path.relative_to(UTILS)) for path in FILES if path.parent.name != "_service" and named.search(path.read_text(encoding="utf-8"))]
    assert asking == []


def test_nothing_on_the_host_names_a_role_or_its_variables() -> None:
    """A module speaks of its own options; plugin_utils/_roles.py says it in a role's words."""
    naming = re.compile(r"\bdocker_(data_root|listen|options|engine|containers|tls|client|report|daemon)\b|\bdocker_[a-z]+_[a-z]\w*|\broles?/|\brole docker")
    found = [f"{path.relative_to(UTILS)}:{number}" for path in FILES for number, line in enumerate(path.read_text().splitlines(), 1) if naming.search(line)]
    assert found == []
