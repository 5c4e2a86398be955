#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Run the parts of the test suite, each with its seconds and PASS, FAIL or SKIP; no part's output is lost.

    run.py              every part once, without what is marked as 'extra': the same on one engine more, or at one step more
    run.py --all        with it, and the mutants, ansible-lint for the tests' playbooks, and the matrix of engines
    run.py PART ...     these parts, with it; unit:FILE is one file of the unit tests, or a test of it by pytest's id

Parts run two at a time, those without tests first: they tell soonest, and lab hosts need the images, which are built meanwhile. (Three
at a time are too much for tests that strike at one moment.) Beside them, one at a time, run those in which nothing does, and then what other
tools say of the collection: these take what the others leave of the processors.

A part fails when its command fails, and a part with tests when none was collected: Molecule passes a scenario whose tests or
playbooks are missing with a warning. A part that hangs is ended, and fails with what each of its processes did. The output of each
part is kept in .cache/logs and printed when it fails.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parent.parent
LOGS = TOP / ".cache" / "logs"
# Molecule's words for something that was not run although the scenario names it.
MISSING = ("Missing playbook", "No tests found", "glob failed.", "Skipping, ")
# The page is what its data say.
CHANGELOG = "antsibull-changelog lint && antsibull-changelog generate --output .cache/c.md --output-format md && cmp .cache/c.md CHANGELOG.md"
STREAMS = 2
# Seconds in which a part that does not hang says something; the longest silence, a test of scenario options, is a quarter of it. Those that can
# wait get four times as much: they may say nothing before their end.
LIMIT = 600
# What is told of a lab host on which a part hangs: how far it is, and what the daemon and those who wait for it do.
LOOK = "systemctl is-system-running; systemctl list-jobs --no-legend; ps -o pid,ppid,stat,wchan:24,args -C docker,dockerd,containerd,runc,systemctl,python3"
# A command ends so that could not test anything here; the last line of its output is the reason.
SKIPPED = 77
# Those that take longest begin first, so that none of them runs alone in the end.
LONGEST = (
    *("unit", "molecule:awx", "molecule:engine", "molecule:rolling", "molecule:upgrade"),
    *("molecule:tls", "molecule:others_hosts", "faults", "molecule:options", "molecule:others_at_work", "molecule:crash", "molecule:firewall"),
    *("molecule:examples", "molecule:refusals", "molecule:local_socket", "molecule:sysv"),
)
# Their hosts wait for much of the time (for a container that has to stay up, an address that is late, a swarm) or do what a person does, one thing
# after the other; nothing strikes meanwhile, so that they can bear a third beside them.
ASIDE = tuple(
    f"molecule:{name}"
    for name in (
        *("data_root", "listen", "swarm", "containers", "containers_remote", "containers_flapping", "first_hour", "examples"),
        *("engine_repository", "owners", "report"),
    )
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
    def is_scenario(self) -> bool:
        """Whether Molecule runs it."""
        return self.command[0] == "molecule"

    @property
    def is_patient(self) -> bool:
        """Whether it can do with what others leave of the processors: nothing in it has to happen at one moment."""
        return self.name in ("sanity", "galaxy", "site", "importer") or self.name.startswith("controller:")

    @property
    def is_aside(self) -> bool:
        """Whether nothing strikes in it at one moment."""
        return self.name in ASIDE

    @property
    def is_alone(self) -> bool:
        """Whether nothing may run beside it: the matrix has hosts of a scenario's names."""
        return self.name.startswith("matrix:")


def more() -> list[Part]:
    """Each protection taken out, the tests' own playbooks, and the engines that the scenarios themselves do not cover."""
    return [
        Part("mutants", ("python3", "tests/mutants")),
        # Most of its time is ansible-playbook --syntax-check of each playbook; whether they work is what the scenarios are about.
        Part("ansible-lint:molecule", ("ansible-lint", "--offline", "--profile", "production", "molecule/")),
    ] + [
        Part(f"matrix:{name}:{suite}", ("molecule", "test", "--scenario-name", name), has_tests=True, suites=suite)
        for suite in ("bullseye", "forky")
        for name in ("daemon", "listen")
    ]


def parts() -> list[Part]:
    scenarios = sorted(path.parent.name for path in TOP.glob("molecule/*/molecule.yml"))
    return [
        # The quick ones first, beside the one that is not; behind them those that take longest.
        Part("ansible-lint", ("ansible-lint", "--offline", "--profile", "production", "--exclude", "molecule/")),
        Part("yamllint", ("yamllint", "--strict", ".")),
        Part("ruff", ("ruff", "check", ".")),
        Part("ruff-format", ("ruff", "format", "--check", ".")),
        Part("reuse", ("reuse", "lint")),
        Part("changelog", ("sh", "-c", CHANGELOG)),
        Part("readmes", ("python3", "tests/readmes.py", "--check")),
        # 'make mutants' takes its time; code that has changed under a patch is told at once.
        Part("patches", ("sh", "-c", "git apply --check tests/mutants/*/*.patch")),
        Part("mypy", ("mypy", "--cache-dir", ".cache/mypy")),
        Part("shellcheck", ("sh", "-c", "git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck --external-sources")),
        Part("antsibull-docs", ("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", ".")),
        Part("unit", ("pytest", "-q", "tests/unit"), has_tests=True),
        Part("images", ("molecule/lab/images.sh",)),
        Part("sanity", ("python3", "tests/ecosystem/sanity.py")),
        Part("galaxy", ("pytest", "-q", "tests/ecosystem"), has_tests=True),
        Part("site", ("python3", "tests/ecosystem/site.py")),
        Part("importer", ("python3", "tests/ecosystem/importer.py")),
        Part("target:3.9", ("python3", "tests/ecosystem/target.py", "3.9"), has_tests=True),
        Part("target:3.14", ("python3", "tests/ecosystem/target.py", "3.14"), has_tests=True),
        # The oldest and the newest ansible-core; the development environment has one between them.
        *(Part(f"controller:{core}", ("python3", "tests/ecosystem/controller.py", core), has_tests=True) for core in ("2.16", "2.21")),
        *(Part(f"molecule:{name}", ("molecule", "test", "--scenario-name", name), has_tests=True) for name in scenarios),
        Part("faults", ("python3", "tests/faults", "--short"), has_tests=True),
    ]


def run(part: Part) -> tuple[str, int, int]:
    """Run a part; returns how it went, and how many tests passed and failed."""
    name = re.sub(r"[^\w.-]+", "-", part.name)
    log, reports = LOGS / f"{name}.log", LOGS / f"{name}.reports"
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
        # Whoever is ended says where it was.
        "PYTHONFAULTHANDLER": "1",
        "NO_COLOR": "1",
        "ANSIBLE_NOCOLOR": "1",
    }
    limit = LIMIT * 4 if part.is_patient else LIMIT
    with open(log, "w", encoding="utf-8") as stream:
        command = ("nice", "-n", "19", *part.command) if part.is_patient else part.command
        process = subprocess.Popen(command, cwd=TOP, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT)
        while is_under_way(process):
            if time.time() - max(path.stat().st_mtime for path in (log, reports)) > limit:
                on_hosts = look(part)
                stream.write(f"\nnot a word for {limit} s; what there was of it, and where:\n{end(reports)}{on_hosts}")
                stream.flush()
        rc = process.wait()
    passed, failed = count(reports)
    text = log.read_text(encoding="utf-8", errors="replace") + "".join(path.read_text() for path in sorted(reports.glob("*.stack")))
    if rc == SKIPPED:
        return f"SKIP ({text.strip().splitlines()[-1]})", 0, 0
    good = rc == 0 and not failed
    if part.has_tests and not passed:
        text += "\nno test was collected\n"
        good = False
    missing = [line for line in text.splitlines() if part.is_scenario and any(word in line for word in MISSING) and "default" not in line]
    if missing:
        text += "\nnot everything was run:\n" + "\n".join(missing) + "\n"
        good = False
    if not good:
        print(f"{text}\n", end="", flush=True)
    return "PASS" if good else "FAIL", passed, failed


def is_under_way(process: subprocess.Popen[bytes]) -> bool:
    """Wait a little; returns whether it has not ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    return process.returncode is None


def look(part: Part) -> str:
    """What there is on the lab hosts of a part."""
    prefix = subprocess.run([TOP / "molecule/lab/prefix.sh"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    command = ["docker", "ps", "--filter", f"name=^{prefix}-{part.name.rpartition(':')[2]}-", "--format", "{{.Names}}"]
    text = ""
    for name in subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.split():
        try:
            said = subprocess.run(["docker", "exec", name, "sh", "-c", LOOK], stdout=subprocess.PIPE, text=True, timeout=30, check=False).stdout
        except subprocess.TimeoutExpired:
            said = "docker exec did not return\n"
        text += f"{name}:\n{said}"
    return text


def processes(reports: pathlib.Path) -> list[int]:
    """All that a part has started and that is still there: no matter whose children they are now, its reports are in their environment."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"DRYDOCK_REPORTS={reports}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return sorted(found)


def end(reports: pathlib.Path) -> str:
    """End all processes of a part; returns a line for each: its id, its parent's, its state, what it waits for in the kernel, its command."""
    lines = []
    for pid in processes(reports):
        with contextlib.suppress(OSError):
            entry = pathlib.Path(f"/proc/{pid}")
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            lines.append(f"{pid:>8} {parent:>8} {state} {(entry / 'wchan').read_text():<24} {command[:300]}\n")
    # The first asks those in Python or Go for where they are.
    for number in (signal.SIGABRT, signal.SIGKILL):
        for pid in processes(reports):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(5)
    return "".join(lines)


def count(reports: pathlib.Path) -> tuple[int, int]:
    passed = failed = 0
    for report in reports.glob("*.xml"):
        for suite in xml.etree.ElementTree.parse(report).iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0)) + int(suite.get("skipped", 0))
            failed += bad
            passed += int(suite.get("tests", 0)) - bad
    return passed, failed


def timed(part: Part) -> tuple[str, float, str, int, int]:
    """Run a part and say how it went: its name, seconds, PASS, FAIL or SKIP, and how many tests passed and failed."""
    print(f"{part.name} ...\n", end="", flush=True)
    began = time.monotonic()
    result, passed, failed = run(part)
    seconds = time.monotonic() - began
    print(f"{part.name:<24} {result[:4]} {seconds:>7.1f} s  {f'{passed} tests' if part.has_tests else result[5:]}\n", end="", flush=True)
    return part.name, seconds, result, passed, failed


def main(arguments: list[str]) -> int:
    known = [*parts(), *more(), *(Part(one, ("pytest", "-q", one[len("unit:") :]), has_tests=True) for one in arguments if one.startswith("unit:"))]
    names = [one for one in arguments if not one.startswith("--")]
    unknown = set(names) - {part.name for part in known}
    if unknown:
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(part.name for part in known)}")
    if not arguments:
        os.environ["LAB_SHORT"] = "1"
    began = time.monotonic()
    chosen = [one for one in known if one.name in names] if names else known if "--all" in arguments else parts()
    chosen.sort(key=lambda part: LONGEST.index(part.name) if part.name in LONGEST else len(LONGEST))
    alone = [part for part in chosen if part.is_alone]
    beside = [part for part in chosen if part.is_aside] + [part for part in chosen if part.is_patient]
    if not any(part.has_hosts and not part.is_aside for part in chosen):
        beside = []
    first = [part for part in chosen if not part.has_tests and part not in beside]
    rest = [part for part in chosen if part not in (*first, *alone, *beside)]
    with concurrent.futures.ThreadPoolExecutor(STREAMS) as pool, concurrent.futures.ThreadPoolExecutor(1) as third:
        aside = third.map(timed, beside)
        rows = [*pool.map(timed, [*first, *rest]), *aside]
        rows += [timed(part) for part in alone]
    print("\npart                     result  seconds")
    for name, seconds, result, _passed, _failed in rows:
        print(f"{name:<24} {result[:4]}  {seconds:>8.1f}  {result[5:]}".rstrip())
    bad_parts = sum(result == "FAIL" for _name, _seconds, result, _passed, _failed in rows)
    failed = max(sum(row[4] for row in rows), bad_parts)
    print(f"{'all of it':<24}       {time.monotonic() - began:>8.1f}")
    print(f"\n{sum(row[3] for row in rows)} passed, {failed} failed")
    return 1 if bad_parts else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
