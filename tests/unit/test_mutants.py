# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A mutant is killed by a test that failed, and by nothing else."""

from __future__ import annotations

import importlib.util
import pathlib
import sys

import pytest

MUTANTS = pathlib.Path(__file__).resolve().parents[1] / "mutants"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("mutants_tool", MUTANTS / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("rc", "output", "word"),
    [
        (0, "1 passed\n", "SURVIVED"),
        (1, "FAILED tests/unit/x.py::test_y - assert 0\n", "killed"),
        (1, "ERROR tests/unit/x.py::test_y - a fixture failed\n", "broken"),
        (2, "ERROR tests/unit/x.py - cannot be imported\n", "broken"),
        (4, "ERROR: not found: tests/unit/x.py::test_z\n", "broken"),
        (5, "no tests ran\n", "broken"),
        (-1, "no end within 180 s", "broken"),
    ],
)
def test_verdict(tool, rc, output, word):
    assert tool.verdict(rc, output) == word


def test_a_patch_names_its_test_above_its_diff(tool, tmp_path):
    (tmp_path / "no-x.patch").write_text("Without x all is lost.\nTest: tests/x.py::test_x[a b]\n\n--- a/x\n+++ b/x\n")
    assert (tool.read(tmp_path / "no-x.patch").name, tool.read(tmp_path / "no-x.patch").test) == ("no-x", "tests/x.py::test_x[a b]")
    (tmp_path / "no-y.patch").write_text("Without y all is lost.\n\n--- a/y\n+++ b/y\n Test: this is in the diff\n")
    with pytest.raises(ValueError, match=r"no-y\.patch has no line 'Test: "):
        tool.read(tmp_path / "no-y.patch")


def test_every_patch_can_be_read(tool):
    patches = sorted(MUTANTS.rglob("*.patch"))
    assert len(patches) > 100
    for patch in patches:
        assert tool.read(patch).test.startswith("tests/unit/")
