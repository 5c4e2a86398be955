#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Take one protection out at a time, and see the test fail that is there for it.

    mutants              every patch in the folders here, one for each subject
    mutants NAME ...     these, without their .patch

A patch says above its diff which protection it takes out and, behind 'Test:', which test then has to fail. It is applied to a copy of
the checkout, and taken back; nothing is left of the copies. A patch that does not apply, and a test that cannot be run, are broken: no kill.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t

# What each child would load anew.
import hypothesis  # noqa: F401
import jinja2  # noqa: F401
import pytest
import testinfra.plugin  # noqa: F401
import yaml  # noqa: F401

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
            shutil.copytree(TOP / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.patch"))
        else:
            shutil.copy2(TOP / name, copy / name)
    return copy


def apply(copy: pathlib.Path, mutant: Mutant, *options: str) -> str:
    """Apply a patch to a copy, or take it back; returns why it does not apply, or nothing."""
    # Inside of somebody's git repository, git would leave out all that the patch names.
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    command = ["git", "apply", *options, str(mutant.path)]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr or "it does not apply"


def start_tests(tree: pathlib.Path, copy: pathlib.Path, tests: list[str], log: pathlib.Path) -> int:
    """Run tests of a copy in a child of this process, which has all that they need loaded but the collection; returns its number."""
    pid = os.fork()
    if pid:
        return pid
    code = -1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
        os.dup2(1, 2)
        os.chdir(copy)
        # A failure here is what is wanted, so it goes into nobody's report.
        os.environ.pop("DRYDOCK_REPORTS", None)
        os.environ.update(PYTHONPATH=str(tree), PYTHONDONTWRITEBYTECODE="1", TMPDIR=str(tree))
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(tree))
        code = int(pytest.main(["-q", "-x", "-rf", "--tb=short", *tests]))
        sys.stdout.flush()
    finally:
        os._exit(code & 255)


class Bench:
    """A copy of the checkout on which one mutant at a time is tried."""

    def __init__(self, tree: pathlib.Path) -> None:
        self.tree = tree
        self.copy = copy_checkout(tree)
        self.log = tree / "log"
        self.pid = 0

    def begin(self, mutant: Mutant) -> str:
        """Apply the patch and start its test; returns why that cannot be, or nothing."""
        self.mutant, self.began = mutant, time.monotonic()
        why = apply(self.copy, mutant)
        if not why:
            self.pid = start_tests(self.tree, self.copy, [mutant.test], self.log)
        return why

    def end(self) -> tuple[str, str] | None:
        """The verdict and the output, or None as long as the test runs; takes the patch back."""
        done, status = os.waitpid(self.pid, os.WNOHANG)
        late = time.monotonic() > self.began + PATIENCE
        if not done and not late:
            return None
        if not done:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        why = apply(self.copy, self.mutant, "--reverse")
        if why:
            sys.exit(f"{self.mutant.name} cannot be taken back: {why}")
        output = f"no end within {PATIENCE} s" if not done else self.log.read_text(encoding="utf-8", errors="replace")
        return verdict(os.waitstatus_to_exitcode(status) if done else -1, output), output


def without_mutant(bench: Bench, mutants: list[Mutant]) -> tuple[int, str]:
    """All tests at once, on a copy as it is."""
    pid = start_tests(bench.tree, bench.copy, sorted({mutant.test for mutant in mutants}), bench.log)
    _pid, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), bench.log.read_text(encoding="utf-8", errors="replace")


def judged(benches: list[Bench], mutants: list[Mutant]) -> t.Iterator[tuple[Mutant, str, str, float]]:
    """Try each mutant; yields it with the verdict, why it is broken or survived, and the seconds."""
    waiting, free, busy = list(reversed(mutants)), list(benches), []
    while waiting or busy:
        while waiting and free:
            bench, mutant = free.pop(), waiting.pop()
            why = bench.begin(mutant)
            if why:
                yield mutant, "broken", why, 0.0
                free.append(bench)
            else:
                busy.append(bench)
        for bench in list(busy):
            ended = bench.end()
            if ended:
                yield bench.mutant, *ended, time.monotonic() - bench.began
                busy.remove(bench)
                free.append(bench)
        time.sleep(0.02)


def main(names: list[str]) -> int:
    """Try the named mutants, or all of them."""
    mutants = [read(path) for path in sorted(HERE.rglob("*.patch")) if not names or path.stem in names]
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown or not mutants:
        sys.exit(f"There is no such mutant: {', '.join(sorted(unknown)) or 'none at all'}.")
    bad = 0
    with contextlib.ExitStack() as stack:
        benches = [Bench(pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutant-")))) for _ in range(os.cpu_count() or 1)]
        rc, output = without_mutant(benches[0], mutants)
        if rc != 0:
            sys.exit(f"{output}\nThe tests have to pass before anything is taken out.")
        for mutant, word, why, seconds in judged(benches, mutants):
            print(f"{mutant.name:<44} {word:<8} {seconds:>6.1f} s", flush=True)
            if word != "killed":
                bad += 1
                print(f"  {mutant.test}\n{why}", flush=True)
    print(f"\n{len(mutants)} mutants, {len(mutants) - bad} killed, {bad} not")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
