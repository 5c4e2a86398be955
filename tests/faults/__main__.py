#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Real power cuts and kills against a relocation under load, with a ledger of acknowledged writes.

    faults                        every step of a move cut and killed, both ways, and of a rename, and 20 random moments
    faults --short                the steps of a move that have a way back of their own cut, one way, the middle of a rename, and two random moments
    faults --rounds N --seed S    the number of random moments, and the seed that repeats them
    faults --suite bookworm       on another engine; default trixie
    faults --no-neighbour         nobody else at work: else somebody is, on the host beside half of the random moments

A lab host's system and data lie on file systems in image files. A power cut ends these file systems in one instant, without writing
anything more, then ends the host, and boots a fresh one from the images: what was not synced is lost. A container on the host
appends numbered records to a file in a volume, syncs each, and only then acknowledges it to this process. Whatever happens, no
acknowledged record may be missing in the data root that the daemon uses. Beside half of the random moments somebody else works on the host
(lab-neighbour): he makes and removes things, edits daemon.json and restarts the daemon, and what he was told is done has to hold, too. A move
may then be refused or undone. One line a fault says what happened. Where the engine itself does not survive a cut (instance.py), that is told and
counted apart, and the next fault comes on a new host.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import typing as t
import xml.etree.ElementTree

from instance import ENGINES_OWN, Instance, abandon, result_of, start_move
from ledger import Failed, Ledger, missing
from moments import Fault, at_random, long_form, renames, seconds_by_step, short, short_form

ROOTS = ("/var/lib/docker", "/mnt/data/docker")
# Containers run again that long after a worker was killed, with nobody coming.
PATIENCE = 60
# Whether the run after a power cut brings back the containers that their restart policies have left down at the boot.
NEXT_RUN_BRINGS_BACK_WHAT_RAN = False
# Whether an old root that is not to be kept is gone after the next run, when a fault interrupted its removal.
INTERRUPTED_REMOVAL_IS_FINISHED = True


def other(root: str, near: bool) -> str:
    """Where to move next: to the other file system, or to another name on the same one."""
    if near:
        return root[:-2] if root.endswith("-2") else f"{root}-2"
    return ROOTS[0] if root.startswith(os.path.dirname(ROOTS[1])) else ROOTS[1]


class EngineBroke(Exception):
    """The engine does not start any more after a power cut, for a reason of its own; the text says where it came."""


class Test:
    """One host through all its faults."""

    def __init__(self, suite: str) -> None:
        self.host = Instance(suite)
        self.phases: dict[str, float] = {}
        # Faults that came later than meant, and those by which the engine broke.
        self.late: list[Fault] = []
        self.broken: list[Fault] = []

    def prepare(self) -> None:
        self.host.prepare()
        self.ledger = Ledger(self.host.gateway())
        self.host.fault("load", self.ledger.server_address[0], str(self.ledger.port))
        self.ledger.wait_for_more(30)
        self.states = self.host.states()
        self.picture = json.loads(self.host.fault("picture"))
        policies = self.host.run("sh", "-c", "docker ps -aq | xargs docker inspect --format '{{.Name}} {{.HostConfig.RestartPolicy.Name}}'")
        always = [line.split()[0].lstrip("/") for line in policies.splitlines() if line.split()[1] in ("always", "unless-stopped")]
        self.beside_neighbour = {name: "running" for name in always if self.states[name] == "running"}
        self.after_boot = {name: "running" for name in always if self.states[name] in ("running", "paused")}

    def undisturbed(self) -> tuple[list[str], list[str]]:
        """One rename and one move without any fault: they tell their steps, and what each takes of the move."""
        renamed = self.move_on(other(ROOTS[0], near=True))
        result = self.move_on(ROOTS[1])
        self.phases = seconds_by_step(result)
        return result["plan"], renamed["plan"]

    def move_on(self, target: str, keep: bool = True) -> dict[str, t.Any]:
        """A run that nobody disturbs has to reach the wanted root with nothing lost."""
        result = result_of(start_move(target, keep))
        if result["failed"]:
            raise Failed(f"the undisturbed run failed: {result['msg']}")
        if NEXT_RUN_BRINGS_BACK_WHAT_RAN:
            self.host.wait_for(self.states, time.monotonic(), 5)
        self.host.fault("restore")
        self.host.wait_for(self.states, time.monotonic(), 15)
        if self.host.root() != target:
            raise Failed(f"after the undisturbed run the data root is {self.host.root()}, not {target}")
        self.nothing_is_lost()
        left = self.host.run("sh", "-c", "ls -d /var/lib/drydock/dockerd/journal /etc/systemd/system/drydock* /run/systemd/system/*/*drydock-hold* 2>&- || :")
        if left:
            raise Failed(f"after the undisturbed run there is still {left}")
        kept = self.host.fault("tidy")
        if kept and not keep and INTERRUPTED_REMOVAL_IS_FINISHED:
            raise Failed(f"the old root was not to be kept, and there is still {kept}")
        return result

    def nothing_is_lost(self) -> tuple[int, int]:
        """All that must never change is there; returns how many records were acknowledged and found.

        :raises Failed: something is missing or different.
        """
        acknowledged = set(self.ledger.records)
        top = self.host.run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "ledger")
        text = self.host.run("cat", f"{top}/log")
        lost = missing(acknowledged, text)
        if lost:
            raise Failed(f"{len(lost)} acknowledged records are missing in {top}: {', '.join(lost[:5])} ...")
        now = json.loads(self.host.fault("picture"))
        for subject, was in self.picture.items():
            if now[subject] != was:
                raise Failed(f"{subject} changed: {was} before, {now[subject]} now")
        broken = self.host.lost_by_neighbour(15)
        if broken:
            raise Failed(f"the neighbour misses: {broken}")
        return len(acknowledged), len(text.splitlines())

    def suffer(self, fault: Fault) -> str:
        """Start a move, strike it and look; in the end let an undisturbed run finish. Returns the line to print."""
        old = self.host.root()
        new = other(old, fault.near)
        words = [self.strike(fault, old, new)]
        for one in fault.then:
            self.host.fault("restore")
            words.append(self.strike(dataclasses.replace(one, keep=fault.keep), old, new))
        began = time.monotonic()
        self.move_on(new, fault.keep)
        return f"{'; then '.join(words)}; the next run took {time.monotonic() - began:.1f} s"

    def strike(self, fault: Fault, old: str, new: str) -> str:
        """One blow: start a move, strike it and look."""
        told = ""
        if fault.neighbour:
            self.host.let_in(fault.neighbour)
        process, struck = self.struck_move(fault, new)
        if fault.how == "cut":
            self.host.end()
            abandon(process)
            began = time.monotonic()
            self.host.boot()
            try:
                seconds = self.host.wait_for(self.beside_neighbour if fault.neighbour else self.after_boot, began, PATIENCE)
            except Failed as exc:
                if self.host.has_lost_its_bridge():
                    raise EngineBroke(f"struck behind '{struck['where']}', {exc}") from exc
                raise
        else:
            result = result_of(process)
            if not result["failed"] and self.host.root() != new:
                raise Failed(f"the run was struck behind '{struck['where']}', the data root is not {new}, and it says: {result['msg']}")
            self.host.wait_for_worker(struck["at"], PATIENCE)
            if fault.neighbour:
                self.host.send_out()
                told = f"; it said: {result['msg'][:200]}"
            # (His restarts leave down what has no policy.)
            seconds = self.host.wait_for(self.beside_neighbour if fault.neighbour else self.states, struck["at"], PATIENCE)
        self.ledger.wait_for_more(PATIENCE)
        root = self.host.root()
        if root != old and (root != new or "sabotage" in fault.how):
            raise Failed(f"struck behind '{struck['where']}', the data root is {root}")
        acknowledged, found = self.nothing_is_lost()
        late = fault.is_late(struck["where"])
        if late:
            self.late.append(fault)
        where = f"struck behind '{short(struck['where'])}'{' (too late)' if late else ''}{'' if struck['hit'] else ' (nobody was there to be hit)'}"
        which = f"on the {'old' if root == old else 'new'} root {root}"
        return f"{fault}: {where}, containers ran again after {seconds:.1f} s {which}, {acknowledged} records acknowledged, {found} found{told}"

    def struck_move(self, fault: Fault, new: str) -> tuple[subprocess.Popen[str], dict[str, t.Any]]:
        """Start a move and strike it; returns the running module and what was struck.

        :raises Failed: the moment never came.
        """
        strike = ["timeout", "120", "python3", "/usr/local/bin/lab-fault", "strike", fault.how, fault.step, fault.event, f"{fault.delay:.4f}"]
        with subprocess.Popen(["docker", "exec", self.host.name, *strike], stdout=subprocess.PIPE, text=True) as striker:
            assert striker.stdout is not None
            striker.stdout.readline()
            process = start_move(new, fault.keep)
            if fault.neighbour and self.has_ended_first(process, striker):
                return process, {"at": time.monotonic(), "where": "the end", "hit": False}
            reports = striker.stdout.read().splitlines()
        if not reports:
            raise Failed(f"the moment never came: {result_of(process)['msg']}")
        return process, json.loads(reports[-1])

    def has_ended_first(self, process: subprocess.Popen[str], striker: subprocess.Popen[str]) -> bool:
        """Whether the move ended before its moment came, as one does that a neighbour has thwarted: then nobody strikes the next one."""
        while process.poll() is None and striker.poll() is None:
            time.sleep(0.1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            striker.wait(5)
        if striker.poll() is not None:
            return False
        self.host.run("pkill", "-f", "lab-fault strike")
        return True


def suffer_all(test: Test, faults: list[Fault]) -> list[tuple[Fault, str]]:
    """One after the other until a check fails; returns each with what failed, empty where nothing did. What came too late is tried again, twice."""
    began = time.monotonic()
    rows: list[tuple[Fault, str]] = []
    # (The list grows on the way.)
    for fault in faults:
        failure, lates = "", len(test.late)
        try:
            line = test.suffer(fault)
        except EngineBroke as exc:
            line = f"{fault}: the engine itself does not start again, {ENGINES_OWN!r}; {exc}. A new host is prepared"
            test.broken.append(fault)
            test.prepare()
        except (Failed, subprocess.CalledProcessError) as exc:
            failure = line = f"{fault}: FAILED: {exc}"
        rows.append((fault, failure))
        if len(test.late) > lates and test.late.count(fault) < 3:
            faults.append(fault)
        print(f"{len(rows):>3}/{len(faults)} at {time.monotonic() - began:.0f} s: {line}", flush=True)
        if failure:
            break
    return rows


def report(rows: t.Sequence[tuple[Fault, str]]) -> None:
    """Leave what the runner of all parts counts."""
    directory = os.environ.get("DRYDOCK_REPORTS")
    if directory:
        bad = sum(bool(failure) for _fault, failure in rows)
        suite = xml.etree.ElementTree.Element("testsuite", name="faults", tests=str(len(rows)), failures=str(bad), errors="0", skipped="0")
        xml.etree.ElementTree.ElementTree(suite).write(pathlib.Path(directory, "faults.xml"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--suite", default="trixie", help="of Debian")
    parser.add_argument(
        "--neighbour", action=argparse.BooleanOptionalAction, default=True, help="whether somebody else works beside half of the random moments"
    )
    parser.add_argument("--only", help="faults such as 'cut:begin:commit', separated by commas")
    options = parser.parse_args()
    rounds = options.rounds if options.rounds is not None else (2 if options.short else 20)
    began = time.monotonic()
    test = Test(options.suite)
    test.prepare()
    steps, steps_of_rename = test.undisturbed()
    print(f"The steps of a move: {', '.join(steps)}; of a rename: {', '.join(steps_of_rename)}. SEED={options.seed} ROUNDS={rounds}", flush=True)
    if options.only:
        faults = [Fault(how, step, event, near="rename" in step) for how, event, step in (one.split(":") for one in options.only.split(","))]
    elif options.short:
        at = steps_of_rename.index("rename")
        faults = short_form(steps) + renames(steps_of_rename[at : at + 2], "cut")
    else:
        faults = long_form(steps) + [fault for how in ("cut", "kill") for fault in renames(steps_of_rename, how)]
    faults += at_random(random.Random(options.seed), test.phases, rounds, options.neighbour)
    rows = suffer_all(test, faults)
    report(rows)
    bad = sum(bool(failure) for _fault, failure in rows)
    never = sorted({str(fault) for fault in test.late if test.late.count(fault) == 3})
    print(f"{len(rows)} faults in {time.monotonic() - began:.0f} s, {bad} failed; SEED={options.seed} repeats the random ones.")
    if test.broken:
        print(f"The engine itself did not survive {len(test.broken)} cuts ({ENGINES_OWN!r}).")
    if never:
        print(f"The machine was too busy for these, three times each: {', '.join(never)}.")
    if bad:
        print(f"The host is kept: docker exec -it {test.host.name} bash; 'make clean' removes it.")
        return 1
    test.host.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
