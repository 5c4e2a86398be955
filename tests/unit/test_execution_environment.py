# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""ansible-builder takes what the collection says that it needs, and the definition in docs."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
DEFINITION = ROOT / "docs" / "execution-environment.yml"
pytestmark = pytest.mark.runs_commands


def build(*words):
    return subprocess.run([sys.executable, "-m", "ansible_builder", *map(str, words)], check=True, capture_output=True, text=True).stdout


def test_the_collection_asks_for_no_packages(tmp_path):
    """And not for those of its own tests: that is why its files are there although they are empty."""
    place = tmp_path / "ansible_collections" / "drydock" / "dockerd"
    place.mkdir(parents=True)
    for name in ("meta", "galaxy.yml"):
        (place / name).symlink_to(ROOT / name)
    (place / "requirements.txt").write_text("a-package-for-tests\n")
    found = yaml.safe_load(build("introspect", tmp_path))
    assert not found.get("python")
    assert not found.get("system")


def test_the_definition_is_one(tmp_path):
    build("create", "--file", DEFINITION, "--context", tmp_path, "--output-filename", "Containerfile")
    text = (tmp_path / "Containerfile").read_text(encoding="utf-8")
    assert "quay.io/centos/centos:stream9-minimal" in text
    wanted = yaml.safe_load((tmp_path / "_build" / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    assert {one["name"]: one["version"] for one in wanted} == yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["dependencies"]
