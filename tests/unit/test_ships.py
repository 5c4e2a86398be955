# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""How many files of ours go to a host with each module, and with the worker: each of them is sent and loaded in every task.

Ansible's own search for them has another signature in each release, so what a file imports is read here, as it does: wherever it stands
in the file, and with the __init__ of every package on the way.
"""

from __future__ import annotations

import ast
import io
import pathlib
import typing as t
import zipfile

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import worker_main
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.program import make_program

PLUGINS = pathlib.Path(__file__).resolve().parents[2] / "plugins"
UTILS = PLUGINS / "module_utils"
OURS = "ansible_collections.drydock.dockerd.plugins.module_utils"
# How many files each module ships. A number that grows needs a reason: an import moves what it needs to a smaller file first.
FILES = {
    **{"containers": 11, "containers_info": 11, "endpoint_info": 7, "daemon_info": 54},
    **{"daemon_config": 114, "daemon_state": 115, "data_root": 114, "engine_upgrade": 114},
}
ENDPOINT = {
    *("_errors.py", "_engine/__init__.py", "_engine/api.py"),
    *("_endpoint/__init__.py", "_endpoint/attempt.py", "_endpoint/connection.py", "_endpoint/diagnosis.py"),
}
CONTAINERS = {
    *("_errors.py", "_endpoint/__init__.py", "_endpoint/connection.py", "_endpoint/containers.py", "_engine/__init__.py", "_engine/api.py"),
    *("_engine/container.py", "_engine/container_logs.py", "_engine/describe.py", "_engine/image_archive.py", "_engine/timestamps.py"),
}


def imported(path: pathlib.Path) -> t.Iterator[str]:
    """The names below module_utils that a file imports, with dots; of `from a import b` both may be a module."""
    package = path.parent.relative_to(UTILS).parts if UTILS in path.parents else ()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                module = ".".join((OURS, *package[: len(package) - node.level + 1], *filter(None, [module])))
            if module.startswith(f"{OURS}."):
                yield from (f"{module}.{alias.name}"[len(OURS) + 1 :] for alias in node.names)


def files_of(name: str) -> t.Iterator[pathlib.Path]:
    """The file of a name, or of the module that has it, and the packages around it."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        place = UTILS.joinpath(*parts[:length])
        yield from (one for one in (place / "__init__.py", place.with_suffix(".py")) if one.is_file())


def shipped(start: pathlib.Path) -> list[str]:
    """What goes with a file: what it imports, what that imports, and so on."""
    found: set[pathlib.Path] = set()
    ahead = [start]
    while ahead:
        new = {file for name in imported(ahead.pop()) for file in files_of(name)} - found
        found |= new
        ahead += new
    return sorted(str(one.relative_to(UTILS)) for one in found)


@pytest.mark.parametrize("module", sorted(path.stem for path in (PLUGINS / "modules").glob("*.py")))
def test_a_module_ships_no_more_than_it_needs(module: str) -> None:
    assert len(shipped(PLUGINS / "modules" / f"{module}.py")) == FILES[module]


@pytest.mark.parametrize(("module", "files"), [("endpoint_info", ENDPOINT), ("containers_info", CONTAINERS)])
def test_a_client_s_module_ships_nothing_of_the_host(module: str, files: set[str]) -> None:
    assert set(shipped(PLUGINS / "modules" / f"{module}.py")) == files


def test_the_worker_s_program_has_what_it_imports_and_nothing_else() -> None:
    main = "_transaction/worker_main.py"
    with zipfile.ZipFile(io.BytesIO(make_program(worker_main.__name__))) as archive:
        names = {name.partition("/")[2] for name in archive.namelist() if name.endswith(".py") and "/" in name}
    assert names == {"__init__.py", main, *shipped(UTILS / main)}
    assert not any(name.startswith(("_preflight/", "_operation/")) for name in names)
    # Of what a client's modules have, that by which it asks a socket who is let in.
    asks = {"__init__.py", "attempt.py", "connection.py", "diagnosis.py", "stranger.py"}
    assert {name.partition("/")[2] for name in names if name.startswith("_endpoint/")} == asks


@pytest.mark.parametrize("module", ["daemon_config", "daemon_state", "data_root", "engine_upgrade"])
def test_what_makes_the_program_ships_all_of_it(module: str) -> None:
    main = "_transaction/worker_main.py"
    assert {main, *shipped(UTILS / main)} <= set(shipped(PLUGINS / "modules" / f"{module}.py"))
