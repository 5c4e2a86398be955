#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Real power cuts and kills against a relocation under load, with a ledger of acknowledged writes.

    faults.py                          every step of the move killed and cut, both ways, and ROUNDS random moments
    faults.py --short                  every step cut, some killed, one way, and two random moments
    faults.py --rounds N --seed S      the number of random moments, and the seed that repeats them

A lab host's system and data lie on file systems in image files. A power cut ends these file systems in one instant, without writing
anything more, then ends the host, and boots a fresh one from the images: what was not synced is lost. A container on the host
appends numbered records to a file in a volume, syncs each, and only then acknowledges it to this process. Whatever happens, no
acknowledged record may be missing in the data root that the daemon uses. One line a fault says what happened.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import random
import re
import socketserver
import subprocess
import sys
import threading
import time
import typing as t
import xml.etree.ElementTree

TOP = pathlib.Path(__file__).resolve().parent.parent
LAB = TOP / "molecule" / "lab"
INVENTORY = TOP / ".cache" / "faults" / "hosts.yml"
ROOTS = ("/var/lib/docker", "/mnt/data/docker")
# Containers run again that long after a worker was killed, with nobody coming.
PATIENCE = 60
# Whether the run after a power cut brings back the containers that their restart policies have left down at the boot.
NEXT_RUN_BRINGS_BACK_WHAT_RAN = False

INVENTORY_TEXT = """\
all:
  hosts:
    faults:
      ansible_connection: community.docker.docker
      ansible_host: {name}
      ansible_python_interpreter: /usr/bin/python3
"""


class Failed(Exception):
    """A check failed; the text says which."""


# The ledger ------------------------------------------------------------------------------------------------------


class Ledger(socketserver.ThreadingTCPServer):
    """Collects the records that were acknowledged."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Acknowledgements)
        self.records: set[str] = set()
        self.last = 0.0
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def wait_for_more(self, seconds: float) -> None:
        """Wait until somebody acknowledges again.

        :raises Failed: nobody does.
        """
        count, deadline = len(self.records), time.monotonic() + seconds
        while len(self.records) < count + 5:
            if time.monotonic() > deadline:
                raise Failed(f"no record was acknowledged within {seconds:g} s")
            time.sleep(0.02)


class _Acknowledgements(socketserver.StreamRequestHandler):
    server: Ledger

    def handle(self) -> None:
        try:
            for line in self.rfile:
                # A line that a fault has cut short acknowledges nothing.
                if line.endswith(b"\n"):
                    self.server.records.add(line.decode().strip())
                    self.server.last = time.monotonic()
        except OSError:
            return


def missing(acknowledged: t.Iterable[str], text: str) -> list[str]:
    """The acknowledged records that a ledger's file lacks."""
    return sorted(set(acknowledged) - set(text.splitlines()))


# The faults ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is done, and when: at a line of the journal, and that many seconds later; without a step that long after the run began.

    :param how: a word of lab-fault.
    :param then: what strikes the next run.
    """

    how: str
    step: str
    event: str = "begin"
    delay: float = 0.0
    then: tuple[Fault, ...] = ()

    def is_late(self, where: str) -> bool:
        """Whether the change was a step further when it was struck: a busy machine does that."""
        return self.how != "sabotage" and bool(self.step) and not self.delay and where != f"{self.event} {self.step}"

    def __str__(self) -> str:
        moment = f"{self.event} of '{short(self.step)}'" if self.step else "any moment"
        return f"{self.how} at {moment}" + (f" + {self.delay:.3f} s" if self.delay else "")


def short(step: str) -> str:
    """A step without the directories of the file that it writes."""
    return re.sub(r"/\S*/", "", step)


def every_step(steps: t.Sequence[str], how: str) -> list[Fault]:
    """A fault between every two things that the move does."""
    return [Fault(how, step) for step in steps]


def both_ways(faults: t.Sequence[Fault]) -> list[Fault]:
    """Each fault twice, once in each direction: directions alternate from fault to fault, so an odd number has to lie between the two."""
    return [*faults, *faults] if len(faults) % 2 else [*faults, faults[-1], *faults[:-1]]


def unprovable() -> list[Fault]:
    """The new root cannot be proved; and on top of that, the worker is killed while it proves."""
    return [Fault("sabotage", "prove"), Fault("sabotage+kill", "prove")]


def short_form(steps: t.Sequence[str]) -> list[Fault]:
    """A cut at every step, a kill at some: the scenario 'crash' kills at every step, without load."""
    return [*every_step(steps, "cut"), *every_step(steps[3::4], "kill"), *unprovable()]


def long_form(steps: t.Sequence[str]) -> list[Fault]:
    """All of it at every step, both ways."""
    return [fault for how in ("cut", "kill", "kill-both") for fault in both_ways(every_step(steps, how))] + unprovable() * 2


def at_random(rng: random.Random, phases: t.Mapping[str, float], count: int) -> list[Fault]:
    """Random moments: each step is as likely as any other, whatever it takes; the seconds after the end are one more for a cut. Every third
    cut is followed by another one in the next run, which recovers.

    :param phases: the steps of an undisturbed move with their seconds.
    """
    faults = []
    for number in range(count):
        how = "kill" if number % 2 else "cut"
        step = rng.choice([*phases, *(["end"] if how == "cut" else [])])
        again = (Fault("cut", "", delay=rng.uniform(1, 8)),) if number % 6 == 2 else ()
        faults.append(Fault(how, step, delay=rng.uniform(0, phases.get(step, 3.0)), then=again))
    return faults


# The host --------------------------------------------------------------------------------------------------------


def output(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def read(path: pathlib.Path) -> str:
    """The text of a file; nothing if it has gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


class Instance:
    """The lab host."""

    def __init__(self, suite: str) -> None:
        self.name = output(LAB / "prefix.sh") + "-faults"
        self.image = output(LAB / "image.sh", suite)

    def boot(self) -> None:
        """Boot a fresh instance from the images, or from nothing if there are none."""
        output(LAB / "create.sh", self.name, self.image, "1G", "powercut")
        output("docker", "cp", LAB / "host.py", f"{self.name}:/usr/local/lib/lab_host.py")
        output("docker", "cp", LAB / "fault.py", f"{self.name}:/usr/local/bin/lab-fault")

    def end(self) -> None:
        subprocess.run(["docker", "rm", "--force", self.name], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def remove(self) -> None:
        """Leave nothing behind, no loop device either.

        :raises Failed: something is left.
        """
        self.end()
        subprocess.run(["docker", "volume", "rm", "--force", f"{self.name}-lib"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _try in range(50):
            left = [path for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file") if f"/{self.name}" in read(path)]
            if not left:
                return
            time.sleep(0.1)
        raise Failed(f"loop devices are left: {left}")

    def run(self, *words: str) -> str:
        return output("docker", "exec", self.name, *words)

    def fault(self, *words: str) -> str:
        return self.run("python3", "/usr/local/bin/lab-fault", *words)

    def gateway(self) -> str:
        return output("docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", self.name)

    def root(self) -> str:
        return self.run("docker", "info", "--format", "{{.DockerRootDir}}")

    def states(self) -> dict[str, str]:
        """Each container with its state; none while the daemon does not answer."""
        result = subprocess.run(
            ["docker", "exec", self.name, "docker", "ps", "--all", "--format", "{{.Names}} {{.State}}"],
            check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        return dict(line.split() for line in result.stdout.splitlines()) if result.returncode == 0 else {}

    def wait_for(self, wanted: t.Mapping[str, str], since: float, seconds: float) -> float:
        """Wait until containers are in these states; returns the seconds since then.

        :raises Failed: they are not in time.
        """
        while True:
            now = self.states()
            if all(now.get(name) == state for name, state in wanted.items()):
                return time.monotonic() - since
            if time.monotonic() > since + seconds:
                bad = {name: now.get(name) for name, state in wanted.items() if now.get(name) != state}
                raise Failed(f"within {seconds:g} s these containers are not {', '.join(sorted(set(wanted.values())))}: {bad}")
            time.sleep(0.1)


def start_move(target: str, *more: str) -> subprocess.Popen[str]:
    """Run the module as a playbook would."""
    arguments = " ".join([f"path={target}", *more])
    words = ["ansible", "--inventory", str(INVENTORY), "faults", "--module-name", "drydock.dockerd.data_root", "--args", arguments]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_PIPELINING": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def result_of(process: subprocess.Popen[str]) -> dict[str, t.Any]:
    out, _nothing = process.communicate()
    try:
        data = json.loads(out.partition(" => ")[2] or "{}")
    except ValueError:
        data = {}
    return {"msg": out, **data, "failed": process.returncode != 0}


# The test --------------------------------------------------------------------------------------------------------


class Test:
    """One host through all its faults."""

    def __init__(self, suite: str) -> None:
        self.host = Instance(suite)
        self.phases: dict[str, float] = {}
        # Faults that came later than meant.
        self.late: list[Fault] = []

    def prepare(self) -> None:
        INVENTORY.parent.mkdir(parents=True, exist_ok=True)
        INVENTORY.write_text(INVENTORY_TEXT.format(name=self.host.name))
        self.host.remove()
        self.host.boot()
        self.host.run("python3", "/usr/local/lib/lab_host.py", "seed", "200")
        self.ledger = Ledger(self.host.gateway())
        self.host.fault("load", self.ledger.server_address[0], str(self.ledger.port))
        self.ledger.wait_for_more(30)
        self.states = self.host.states()
        self.picture = json.loads(self.host.fault("picture"))
        policies = self.host.run("sh", "-c", "docker ps -aq | xargs docker inspect --format '{{.Name}} {{.HostConfig.RestartPolicy.Name}}'")
        always = [line.split()[0].lstrip("/") for line in policies.splitlines() if line.split()[1] in ("always", "unless-stopped")]
        self.after_boot = {name: "running" for name in always if self.states[name] in ("running", "paused")}

    def undisturbed(self) -> list[str]:
        """One move without any fault: it tells the steps, and what each takes."""
        result = self.move_on(ROOTS[1])
        self.phases = {one["phase"]: one["seconds"] for one in result["phases"]}
        return result["plan"]

    def move_on(self, target: str) -> dict[str, t.Any]:
        """A run that nobody disturbs has to reach the wanted root with nothing lost."""
        result = result_of(start_move(target))
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
        self.host.fault("tidy")
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
        return len(acknowledged), len(text.splitlines())

    def suffer(self, fault: Fault) -> str:
        """Start a move, strike it and look; in the end let an undisturbed run finish. Returns the line to print."""
        old = self.host.root()
        new = ROOTS[1 - ROOTS.index(old)]
        words = [self.strike(fault, old, new)]
        for one in fault.then:
            self.host.fault("restore")
            words.append(self.strike(one, old, new))
        began = time.monotonic()
        self.move_on(new)
        return f"{'; then '.join(words)}; the next run took {time.monotonic() - began:.1f} s"

    def strike(self, fault: Fault, old: str, new: str) -> str:
        """One blow: start a move, strike it and look."""
        process, struck = self.struck_move(fault, new)
        if fault.how == "cut":
            self.host.end()
            result = result_of(process)
            began = time.monotonic()
            self.host.boot()
            seconds = self.host.wait_for(self.after_boot, began, PATIENCE)
        else:
            result = result_of(process)
            seconds = self.host.wait_for(self.states, struck["at"], PATIENCE)
        self.ledger.wait_for_more(PATIENCE)
        root = self.host.root()
        if root != old and (root != new or "sabotage" in fault.how):
            raise Failed(f"struck behind '{struck['where']}', the data root is {root}")
        if not result["failed"] and root != new:
            raise Failed(f"the run was struck behind '{struck['where']}', the data root is {root}, and it says: {result['msg']}")
        acknowledged, found = self.nothing_is_lost()
        late = fault.is_late(struck["where"])
        if late:
            self.late.append(fault)
        where = f"struck behind '{short(struck['where'])}'{' (too late)' if late else ''}{'' if struck['hit'] else ' (nobody was there to be hit)'}"
        which = f"on the {'old' if root == old else 'new'} root {root}"
        return f"{fault}: {where}, containers ran again after {seconds:.1f} s {which}, {acknowledged} records acknowledged, {found} found"

    def struck_move(self, fault: Fault, new: str) -> tuple[subprocess.Popen[str], dict[str, t.Any]]:
        """Start a move and strike it; returns the running module and what was struck.

        :raises Failed: the moment never came.
        """
        strike = ["timeout", "60", "python3", "/usr/local/bin/lab-fault", "strike", fault.how, fault.step, fault.event, f"{fault.delay:.4f}"]
        with subprocess.Popen(["docker", "exec", self.host.name, *strike], stdout=subprocess.PIPE, text=True) as striker:
            assert striker.stdout is not None
            striker.stdout.readline()
            process = start_move(new)
            reports = striker.stdout.read().splitlines()
        if not reports:
            raise Failed(f"the moment never came: {result_of(process)['msg']}")
        return process, json.loads(reports[-1])


def suffer_all(test: Test, faults: list[Fault]) -> list[tuple[Fault, str]]:
    """One after the other until a check fails; returns each with what failed, empty where nothing did. What came too late is tried again, twice."""
    began = time.monotonic()
    rows: list[tuple[Fault, str]] = []
    for fault in faults:
        failure, lates = "", len(test.late)
        try:
            line = test.suffer(fault)
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
    parser.add_argument("--only", help="faults such as 'cut:begin:commit', separated by commas")
    options = parser.parse_args()
    rounds = options.rounds if options.rounds is not None else (2 if options.short else 20)
    began = time.monotonic()
    test = Test(options.suite)
    test.prepare()
    steps = test.undisturbed()
    print(f"The steps of a move: {', '.join(steps)}. SEED={options.seed} ROUNDS={rounds}", flush=True)
    if options.only:
        faults = [Fault(how, step, event) for how, event, step in (one.split(":") for one in options.only.split(","))]
    else:
        faults = short_form(steps) if options.short else long_form(steps)
    faults += at_random(random.Random(options.seed), test.phases, rounds)
    rows = suffer_all(test, faults)
    report(rows)
    bad = sum(bool(failure) for _fault, failure in rows)
    never = sorted({str(fault) for fault in test.late if test.late.count(fault) == 3})
    print(f"{len(rows)} faults in {time.monotonic() - began:.0f} s, {bad} failed; SEED={options.seed} repeats the random ones.")
    if never:
        print(f"The machine was too busy for these, three times each: {', '.join(never)}.")
    if bad:
        print(f"The host is kept: docker exec -it {test.host.name} bash; 'make clean' removes it.")
        return 1
    test.host.remove()
    return 0


if __name__ == "__main__":
    sys.exit(main())
