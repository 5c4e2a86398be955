#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Runs on a lab host: somebody else who works there, and notes what he was told is done.

lab-neighbour work SEED DEED ...    do one of these at random again and again, until SIGTERM
lab-neighbour lost                  print what he was told is done and is not so, a line each

DEED is one of these:

container, volume, network          make one, or remove one of his
policy                              stop or start a container that is to run unless stopped
edit                                write a key into daemon.json
restart                             restart the daemon
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import typing as t

LEDGER = pathlib.Path("/var/lib/lab/neighbour.jsonl")
CONFIGURATION = pathlib.Path("/etc/docker/daemon.json")
KEY = "max-concurrent-uploads"
# How many of a kind he keeps.
FEW = 3


def docker(*words: str) -> bool:
    """Whether a client was told that it is done. One that waits for a daemon that is held is given up: he has not been told."""
    try:
        return subprocess.run(["docker", *words], capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def note(thing: str, state: str) -> None:
    """On the disk before it counts; empty is what he does not know."""
    os.sync()
    with open(LEDGER, "a", encoding="utf-8") as stream:
        stream.write(json.dumps([thing, state]) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def noted() -> dict[str, str]:
    """Each thing with the state that he was told last; half a line, the end of his host, tells nothing."""
    states: dict[str, str] = {}
    for line in LEDGER.read_text().splitlines() if LEDGER.exists() else []:
        try:
            thing, state = json.loads(line)
        except ValueError:
            continue
        states[thing] = state
    return states


def attempt(thing: str, state: str, *words: str) -> None:
    note(thing, "")
    if docker(*words):
        note(thing, state)


def make_or_remove(kind: str, rng: random.Random) -> None:
    his = [thing for thing, state in noted().items() if thing.startswith(f"{kind} ") and state not in ("", "gone")]
    if len(his) >= FEW or (his and rng.random() < 0.3):
        thing = rng.choice(his)
        words = ["rm", "--force"] if kind == "container" else [kind, "rm"]
        return attempt(thing, "gone", *words, thing.split()[1])
    name = f"neighbour-{time.monotonic_ns()}"
    words = ["run", "--detach", "--stop-timeout", "1", "--restart", "always", "--name", name, "lab:app", "sleep", "1d"]
    return attempt(f"{kind} {name}", "running" if kind == "container" else "there", *(words if kind == "container" else [kind, "create", name]))


def stop_or_start(rng: random.Random) -> None:
    thing = "container neighbour"
    if thing not in noted():
        words = ["run", "--detach", "--stop-timeout", "1", "--restart", "unless-stopped", "--name", "neighbour", "lab:app", "sleep", "1d"]
        attempt(thing, "running", *words)
    elif rng.random() < 0.5:
        attempt(thing, "exited", "stop", "--time", "0", "neighbour")
    else:
        attempt(thing, "running", "start", "neighbour")


def edit(rng: random.Random) -> None:
    value = rng.randrange(2, 1000)
    note(KEY, "")
    new = CONFIGURATION.with_name("daemon.json.neighbour")
    text = None
    # He looks once more before he saves: whoever writes back what he has read before a change takes the change back with it.
    while text is None or text != read():
        text = read()
        new.write_text(json.dumps({**json.loads(text), KEY: value}, indent=1))
    new.rename(CONFIGURATION)
    note(KEY, str(value))


def read() -> str:
    return CONFIGURATION.read_text() if CONFIGURATION.exists() else "{}"


def restart() -> None:
    # He restarts it now and then; four times within a minute, as here, systemd would not let him.
    subprocess.run(["systemctl", "reset-failed", "docker.socket", "docker.service"], capture_output=True, check=False)
    subprocess.run(["systemctl", "restart", "docker.service"], capture_output=True, check=False)


def work(seed: str, *deeds: str) -> None:
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopping.append(number))
    rng = random.Random(seed)
    while not stopping:
        deed = rng.choice(deeds)
        if deed in ("container", "volume", "network"):
            make_or_remove(deed, rng)
        elif deed == "policy":
            stop_or_start(rng)
        else:
            {"edit": lambda: edit(rng), "restart": restart}[deed]()
        time.sleep(rng.uniform(0, 0.3))


def state_of(thing: str) -> str:
    """What there is now of a thing."""
    if thing == KEY:
        return str(json.loads(CONFIGURATION.read_text()).get(KEY)) if CONFIGURATION.exists() else "gone"
    kind, name = thing.split()
    form = ["--format", "{{.State.Status}}"] if kind == "container" else []
    done = subprocess.run(["docker", kind, "inspect", name, *form], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return "gone" if done.returncode else done.stdout.strip() if form else "there"


def lost() -> t.Iterator[str]:
    for thing, state in noted().items():
        now = state_of(thing)
        if state not in ("", now):
            yield f"{thing} is {now}, and somebody was told that it is {state}"


def main() -> None:
    command, *rest = sys.argv[1:] or [""]
    if command == "work":
        work(*rest)
    elif command == "lost":
        for line in lost():
            print(line)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
