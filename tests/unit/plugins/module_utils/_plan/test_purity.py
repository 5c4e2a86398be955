# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""`observe` fetches, `plan` is pure: nothing in package _plan touches the disk, the clock or randomness."""

from __future__ import annotations

import ast
import builtins
import io
import os
import pathlib
import time
import typing as t
import uuid

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import Mount
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.paths import FreshNames, PathFacts, Paths
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import PastMove
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.state import State
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.plan import Plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.planner import make_plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request

PLAN = pathlib.Path(__file__).resolve().parents[5] / "plugins" / "module_utils" / "_plan"
STANDARD = {"__future__", "dataclasses", "functools", "json", "os", "re", "typing"}
# What of os is a matter of text alone.
TEXT_ONLY = {"os.path", "os.path.join", "os.path.basename", "os.path.dirname", "os.path.normpath"}
# Of files that fetch or write something, too: what of them is data, or a function of data.
DATA = {
    "_copy.listing": {"parse_limit"},
    "_engine.apt_packages": {"Upgrade"},
    "_engine.certificates": {"CERTIFICATE_KEYS", "certificate_files"},
    "_host.mounts": {"mount_of"},
    "_observe.paths": {"Paths"},
    "_observe.records": {"PastMove", "old_data_changed"},
    "_observe.state": {"State", "differing_keys"},
    "_service.containerd": {"CONTAINERD_OWNER"},
    "_service.service": {"CONTAINERD", "SOCKET"},
}
# Files that are pure as a whole.
PURE = {"_errors", "_host.formats", "_engine.addresses", "_engine.daemon_json", "_engine.options", "_service.unit_file"}


def faults(text: str) -> list[str]:
    """What in a file of package _plan could fetch something."""
    return [one for node in ast.walk(ast.parse(text)) for one in _faults(node)]


def _faults(node: ast.AST) -> t.Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name not in STANDARD or (alias.name == "os" and alias.asname))
    elif isinstance(node, ast.ImportFrom) and node.level == 2:
        module = node.module or ""
        names = {alias.name for alias in node.names}
        yield from (f"{module}.{name}" for name in names if module not in PURE and f"{module}.{name}" not in PURE and name not in DATA.get(module, ()))
    elif isinstance(node, ast.ImportFrom) and not node.level and (node.module == "os" or node.module not in STANDARD):
        yield node.module or ""
    elif isinstance(node, ast.Name) and node.id in ("open", "exec", "eval", "__import__"):
        yield node.id
    elif isinstance(node, ast.Attribute):
        words = ast.unparse(node)
        if words.startswith("os.") and words not in TEXT_ONLY:
            yield words


@pytest.mark.parametrize("path", sorted(PLAN.glob("*.py")), ids=lambda path: path.name)
def test_planning_is_pure(path: pathlib.Path) -> None:
    assert faults(path.read_text(encoding="utf-8")) == []


IMPURE = [
    *(f"import os\nos.path.{name}(x)" for name in ("exists", "lexists", "realpath", "isdir", "isfile", "islink", "ismount", "abspath", "getsize")),
    *(f"import os\nos.{name}(x)" for name in ("stat", "lstat", "listdir", "scandir", "open", "urandom", "getcwd", "walk")),
    *(f"import {name}" for name in ("uuid", "time", "random", "pathlib", "datetime")),
    "import os as text",
    *("from time import time", "from os.path import exists", "from os import stat"),
    *("open(x)", "read = open"),
    *("from .._host import files", "from .._host.files import inode_of", "from .._host.mounts import nearest_directory"),
    *("from .._copy import kept_roots", "from .._copy.kept_roots import is_unfinished_copy", "from .._engine.certificates import checksums"),
    *("from .._observe import records", "from .._observe.state import observe", "from .._observe.paths import look_at_paths"),
]


@pytest.mark.parametrize("text", IMPURE)
def test_what_fetches_is_found(text: str) -> None:
    assert faults(text) != []


def test_what_works_on_text_is_none_of_that() -> None:
    assert faults("import os\nos.path.join(x, os.path.basename(y))\nfrom .plan import Plan\nfrom .._service import unit_file") == []


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., t.Any]:
    """Call something that gets to see nothing: whatever would look fails."""

    def call(function: t.Callable[..., t.Any], *arguments: t.Any) -> t.Any:
        with monkeypatch.context() as patched:
            for module, name in (
                *((os, name) for name in ("stat", "lstat", "listdir", "scandir", "readlink", "open", "urandom", "statvfs")),
                *((time, name) for name in ("time", "monotonic", "clock_gettime")),
                *((uuid, "uuid4"), (builtins, "open"), (io, "open")),
            ):
                patched.setattr(module, name, _looked)
            return function(*arguments)

    return call


def _looked(*arguments: t.Any, **_options: t.Any) -> t.NoReturn:
    raise AssertionError(f"looked at {arguments}")


MOUNTS = [Mount("/", "ext4", "/dev/vda", frozenset()), Mount("/mnt", "ext4", "/dev/vdb", frozenset())]


def plan_of(state: State, request: Request) -> Plan:
    """Plan with a root that has its marker, and nothing in the place of anything else but old data."""
    at = {path: PathFacts(path) for path in ("", "/mnt/new", "/old")}
    at["/root"] = PathFacts("/root", (1, 2), frozenset({"m"}))
    at["/kept"] = PathFacts("/kept", (5, 6))
    plan, problems = make_plan(state, request, Paths(at, FreshNames("d", "c", "r")), "/units", "/daemon.json")
    assert problems == []
    return plan


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()


LOOKS: dict[str, t.Callable[[], object]] = {
    "exists": lambda: os.path.exists("/etc"),
    "lexists": lambda: os.path.lexists("/etc"),
    "realpath": lambda: os.path.realpath("/etc"),
    "isdir": lambda: os.path.isdir("/etc"),
    "listdir": lambda: os.listdir("/etc"),
    "open": lambda: _read("/etc/passwd"),
    "pathlib": lambda: pathlib.Path("/etc/passwd").read_text(),
    "uuid4": lambda: uuid.uuid4(),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_whoever_looks_is_caught(blind: t.Callable[..., t.Any], look: t.Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="looked at"):
        blind(look)


@pytest.mark.parametrize("state", ["relocated", "prepared", "cancelled", "restored", "cleaned"])
def test_a_plan_is_made_from_what_was_handed_in(make_state: t.Callable[..., State], blind: t.Callable[..., t.Any], state: str) -> None:
    """Whatever the request: the same twice, and with nothing looked at."""
    history = (PastMove("/old", "/root", "/kept", (5, 6), False),)
    tls = {"hosts": ["fd://", "tcp://10.0.0.5:2376"], "tlscert": "/cert.pem"}
    there = make_state(tls, info={"DockerRootDir": "/root"}, running_flags={}, marker="m", history=history, mounts=MOUNTS, certificates={"/cert.pem": "1a2b"})
    asks = (Ask("data-root", {}, {"zz.conf": "[Unit]\nAfter=@data_root_mount@ @data_root_marker@\n"}),)
    path = None if state in ("restored", "cleaned") else "/mnt/new"
    request = Request(asks, path=path, state=state, confirm_timeout=30)
    assert blind(plan_of, there, request) == blind(plan_of, there, request)
    told = blind(lambda: (there.is_unused, there.containerd_is_unused, there.pending, there.addresses[1].port))
    assert told == (False, False, True, 2376)


def test_new_names_are_those_that_were_handed_in(make_state: t.Callable[..., State], blind: t.Callable[..., t.Any]) -> None:
    there = make_state(info={"DockerRootDir": "/root"}, marker="m", mounts=MOUNTS)
    plan = blind(plan_of, there, Request(path="/mnt/new"))
    assert (plan.move.marker, plan.move.run) == (".drydock-root-d", "r")
