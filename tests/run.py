#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Run the parts of the test suite, each with its seconds and PASS, FAIL or SKIP; no part's output is lost.

    run.py              every part once
    run.py --all        and the matrix of engines
    run.py PART ...     these parts

Parts run two at a time, those with lab hosts last; only the mutants, which use all processors, run alone.

A part fails when its command fails, and a part with tests when none was collected: Molecule passes a scenario whose tests or
playbooks are missing with a warning. The output of each part is kept in .cache/logs and printed when it fails.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import subprocess
import sys
import time
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parent.parent
LOGS = TOP / ".cache" / "logs"
# Molecule's words for something that was not run although the scenario names it.
MISSING = ("Missing playbook", "No tests found", "glob failed.", "Skipping, ")
STREAMS = 2
# Those that take longest begin first, so that none of them runs alone in the end.
LONGEST = (
    *("unit", "molecule:tls", "molecule:crash", "molecule:options", "molecule:data_root", "faults", "molecule:firewall"),
    *("molecule:local_socket", "molecule:tls_renewal", "molecule:sysv", "molecule:containers"),
)


@dataclasses.dataclass(frozen=True)
class Part:
    """One part: its command, and whether it has to report tests."""

    name: str
    command: tuple[str, ...]
    has_tests: bool = False
    suites: str = ""

    @property
    def has_hosts(self) -> bool:
        """Whether it has lab hosts of its own."""
        return self.name == "faults" or self.name.startswith("molecule:")

    @property
    def is_alone(self) -> bool:
        """Whether nothing may run beside it: the mutants use all processors, the matrix has hosts of a scenario's names."""
        return self.name == "mutants" or self.name.startswith("matrix:")


def matrix() -> list[Part]:
    """The engines that the scenarios themselves do not cover."""
    return [
        Part(f"matrix:{name}:{suite}", ("molecule", "test", "--scenario-name", name), has_tests=True, suites=suite)
        for suite in ("bullseye", "forky")
        for name in ("daemon", "listen")
    ]


def parts() -> list[Part]:
    scenarios = sorted(path.parent.name for path in TOP.glob("molecule/*/molecule.yml"))
    return [
        Part("yamllint", ("yamllint", "--strict", ".")),
        Part("ruff", ("ruff", "check", ".")),
        Part("ruff-format", ("ruff", "format", "--check", ".")),
        Part("ansible-lint", ("ansible-lint", "--offline", "--profile", "production")),
        Part("unit", ("pytest", "-q", "tests/unit"), has_tests=True),
        Part("mutants", ("python3", "tests/mutants")),
        *(Part(f"molecule:{name}", ("molecule", "test", "--scenario-name", name), has_tests=True) for name in scenarios),
        Part("faults", ("python3", "tests/faults", "--short"), has_tests=True),
    ]


def run(part: Part) -> tuple[bool, int, int]:
    """Run a part; returns whether it passed, and how many tests passed and failed."""
    log = LOGS / f"{part.name.replace(':', '-')}.log"
    reports = LOGS / f"{part.name.replace(':', '-')}.reports"
    reports.mkdir(parents=True, exist_ok=True)
    for old in reports.iterdir():
        old.unlink()
    # Each pytest run of a scenario (it may have several) leaves its own report.
    environment = {
        **os.environ,
        "DRYDOCK_REPORTS": str(reports),
        "LAB_SUITES": part.suites,
        "PYTHONPATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
        "ANSIBLE_NOCOLOR": "1",
    }
    with open(log, "w", encoding="utf-8") as stream:
        rc = subprocess.run(part.command, cwd=TOP, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, check=False).returncode
    passed, failed = count(reports)
    text = log.read_text(encoding="utf-8", errors="replace")
    good = rc == 0 and not failed
    if part.has_tests and not passed:
        text += "\nno test was collected\n"
        good = False
    missing = [line for line in text.splitlines() if part.command[0] == "molecule" and any(word in line for word in MISSING) and "default" not in line]
    if missing:
        text += "\nnot everything was run:\n" + "\n".join(missing) + "\n"
        good = False
    if not good:
        print(f"{text}\n", end="", flush=True)
    return good, passed, failed


def count(reports: pathlib.Path) -> tuple[int, int]:
    passed = failed = 0
    for report in reports.glob("*.xml"):
        for suite in xml.etree.ElementTree.parse(report).iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0)) + int(suite.get("skipped", 0))
            failed += bad
            passed += int(suite.get("tests", 0)) - bad
    return passed, failed


def timed(part: Part) -> tuple[str, float, bool, int, int]:
    """Run a part and say how it went: its name, seconds, whether it passed, and how many tests passed and failed."""
    print(f"{part.name} ...\n", end="", flush=True)
    began = time.monotonic()
    good, passed, failed = run(part)
    seconds = time.monotonic() - began
    print(f"{part.name:<24} {'PASS' if good else 'FAIL'} {seconds:>7.1f} s  {f'{passed} tests' if part.has_tests else ''}\n", end="", flush=True)
    return part.name, seconds, good, passed, failed


def main(arguments: list[str]) -> int:
    known = [*parts(), *matrix()]
    names = [one for one in arguments if not one.startswith("--")]
    unknown = set(names) - {part.name for part in known}
    if unknown:
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(part.name for part in known)}")
    began = time.monotonic()
    chosen = [one for one in known if one.name in names] if names else known if "--all" in arguments else parts()
    chosen.sort(key=lambda part: LONGEST.index(part.name) if part.name in LONGEST else len(LONGEST))
    with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool:
        rows = list(pool.map(timed, [part for part in chosen if not part.has_hosts and not part.is_alone]))
        rows += [timed(part) for part in chosen if part.is_alone]
        rows += pool.map(timed, [part for part in chosen if part.has_hosts])
    print("\npart                     result  seconds")
    for name, seconds, good, _passed, _failed in rows:
        print(f"{name:<24} {'PASS' if good else 'FAIL'}  {seconds:>8.1f}")
    bad_parts = sum(not good for _name, _seconds, good, _passed, _failed in rows)
    failed = max(sum(row[4] for row in rows), bad_parts)
    print(f"{'all of it':<24}       {time.monotonic() - began:>8.1f}")
    print(f"\n{sum(row[3] for row in rows)} passed, {failed} failed")
    return 1 if bad_parts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
