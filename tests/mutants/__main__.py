#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Take one protection out at a time, and see the test fail that is there for it.

    mutants              every patch in this directory
    mutants NAME ...     these, without their .patch

A patch says above its diff which protection it takes out and, behind 'Test:', which test then has to fail. It is applied to a copy of
the checkout; nothing is left of the copies. A patch that does not apply, and a test that cannot be run, are broken: no kill.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
NEEDED = ("conftest.py", "pyproject.toml", "galaxy.yml", "meta", "plugins", "roles", "tests")
# pytest's exit code when tests were run and some failed.
FAILED = 1
# A mutant whose test takes longer than this hangs, which nobody would wait for.
PATIENCE = 180


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One patch.

    :param test: pytest's id of the test that has to fail.
    """

    name: str
    path: pathlib.Path
    test: str


def read(path: pathlib.Path) -> Mutant:
    """Read a patch.

    :raises ValueError: it does not name its test.
    """
    head = path.read_text(encoding="utf-8").split("\n--- ", 1)[0]
    match = re.search(r"^Test: (\S.*)$", head, re.MULTILINE)
    if match is None:
        raise ValueError(f"{path} has no line 'Test: ...' above its diff.")
    return Mutant(path.stem, path, match[1].strip())


def verdict(rc: int, output: str) -> str:
    """What the end of a mutant's test says: a test that failed is a kill, one that could not be run is not."""
    if rc == 0:
        return "SURVIVED"
    return "killed" if rc == FAILED and re.search(r"^FAILED ", output, re.MULTILINE) else "broken"


def copy_checkout(tree: pathlib.Path) -> pathlib.Path:
    """Copy what the tests need into a tree in which it is found as the collection; returns where it lies."""
    copy = tree / "ansible_collections" / "drydock" / "dockerd"
    copy.mkdir(parents=True)
    for name in NEEDED:
        if (TOP / name).is_dir():
            shutil.copytree(TOP / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(TOP / name, copy / name)
    return copy


def run_tests(tree: pathlib.Path, copy: pathlib.Path, tests: list[str], patience: float | None = None) -> tuple[int, str]:
    """Run tests of a copy; returns pytest's exit code and output."""
    # A failure here is what is wanted, so it goes into nobody's report.
    environment = {name: value for name, value in os.environ.items() if name != "DRYDOCK_REPORTS"}
    environment.update(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1", TMPDIR=str(tree))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-rf", "--tb=short", *tests]
    try:
        done = subprocess.run(command, cwd=copy, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return -1, f"no end within {patience:g} s"
    return done.returncode, done.stdout + done.stderr


def judge(mutant: Mutant) -> tuple[str, str, float]:
    """Try one mutant; returns the verdict, why it is broken or survived, and the seconds."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        tree = pathlib.Path(directory)
        copy = copy_checkout(tree)
        # Inside of somebody's git repository, git would leave out all that the patch names.
        environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
        applied = subprocess.run(["git", "apply", str(mutant.path)], cwd=copy, env=environment, capture_output=True, text=True, check=False)
        if applied.returncode != 0:
            return "broken", applied.stderr, time.monotonic() - began
        rc, output = run_tests(tree, copy, [mutant.test], PATIENCE)
        return verdict(rc, output), output, time.monotonic() - began


def without_mutant(mutants: list[Mutant]) -> tuple[int, str]:
    """All tests at once, on a copy as it is."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as directory:
        tree = pathlib.Path(directory)
        return run_tests(tree, copy_checkout(tree), sorted({mutant.test for mutant in mutants}))


def main(names: list[str]) -> int:
    """Try the named mutants, or all of them."""
    mutants = [read(path) for path in sorted(HERE.glob("*.patch")) if not names or path.stem in names]
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown or not mutants:
        sys.exit(f"There is no such mutant: {', '.join(sorted(unknown)) or 'none at all'}.")
    rc, output = without_mutant(mutants)
    if rc != 0:
        sys.exit(f"{output}\nThe tests have to pass before anything is taken out.")
    bad = 0
    # They wait for the disk more than for a processor.
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        for mutant, (word, why, seconds) in zip(mutants, pool.map(judge, mutants)):
            print(f"{mutant.name:<44} {word:<8} {seconds:>6.1f} s", flush=True)
            if word != "killed":
                bad += 1
                print(f"  {mutant.test}\n{why}", flush=True)
    print(f"\n{len(mutants)} mutants, {len(mutants) - bad} killed, {bad} not")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
