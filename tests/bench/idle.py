#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Measure what role docker_daemon costs when there is nothing to change: remote calls and seconds, for 1, 5 and 20 hosts.

The hosts are throw-away hosts of the lab, with facts gathered as by default. The environment says how: HOSTS ('1 5 20'), RUNS of each (3).
Writes docs/benchmark-idle.md; with other numbers of hosts, .cache/bench/benchmark-idle.md.
"""

from __future__ import annotations

import concurrent.futures
import datetime
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LAB = TOP / "molecule" / "lab"
CACHE = TOP / ".cache" / "bench"
USUAL = "1 5 20"
GOAL = 3

PLAY = """\
- name: Nothing to change
  hosts: all
  roles:
    - role: drydock.dockerd.docker_daemon
      vars:
        docker_listen_addresses: [fd://, "tcp://127.0.0.1:2375"]
        docker_options_settings: {log-driver: local, log-opts: {max-size: 10m}}
"""

PAGE = """\
# Benchmark with nothing to change

`make bench-idle` runs role `docker_daemon` on throw-away hosts on which everything is as it should be, and writes this page. The goal: at most {goal}
remote calls for each host, fact gathering included.

The goal is {met}.

| hosts | remote calls for each host | seconds for each host, median | seconds in all, median (min to max) |
|--:|--:|--:|--:|
{rows}

A call is what ansible-playbook -vvv shows as EXEC, with pipelining: one for the facts, one to see that the host is there, one for the module. Measured
on {date} on a machine with {cpus} CPUs that the hosts share with Ansible, forks as many as hosts, {runs} runs each. So with many hosts the seconds are those
of processors that all of them want, and on machines of their own they are fewer.
"""


def output(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def inventory(names: list[str]) -> pathlib.Path:
    path = CACHE / f"idle-{len(names)}.yml"
    lines = ["all:", "  vars: {ansible_connection: community.docker.docker, ansible_python_interpreter: /usr/bin/python3}", "  hosts:"]
    path.write_text("\n".join([*lines, *(f"    host-{number}: {{ansible_host: {name}}}" for number, name in enumerate(names, 1))]) + "\n")
    return path


def play(names: list[str]) -> tuple[float, str]:
    """Run it; returns seconds and output.

    :raises RuntimeError: a host failed.
    """
    (CACHE / "idle.yml").write_text(PLAY)
    environment = {**os.environ, "ANSIBLE_PIPELINING": "1", "ANSIBLE_FORKS": str(len(names)), "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
    words = ["ansible-playbook", "-vvv", "--inventory", str(inventory(names)), str(CACHE / "idle.yml")]
    began = time.monotonic()
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False)
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-4000:])
    return seconds, done.stdout


def measure(names: list[str], runs: int) -> tuple[float, list[float]]:
    """Remote calls for each host, and the seconds of each run.

    :raises RuntimeError: a host failed or was changed.
    """
    calls, took = [], []
    for _turn in range(runs):
        seconds, text = play(names)
        if set(re.findall(r"changed=(\d+)", text)) != {"0"}:
            raise RuntimeError("there was something to change")
        calls.append(len(re.findall(r"^<.+?> EXEC ", text, re.MULTILINE)) / len(names))
        took.append(seconds)
    return max(calls), took


def main() -> int:
    numbers = [int(one) for one in (os.environ.get("HOSTS") or USUAL).split()]
    runs = int(os.environ.get("RUNS") or 3)
    CACHE.mkdir(parents=True, exist_ok=True)
    prefix = output(LAB / "prefix.sh")
    names = [f"{prefix}-idle-{number}" for number in range(1, max(numbers) + 1)]
    image = output(LAB / "image.sh", "trixie")
    rows, worst = [], 0.0
    try:
        print(f"{len(names)} throw-away hosts, a minute or two", flush=True)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: output(LAB / "create.sh", name, image, "64M"), names))
        play(names)
        for number in numbers:
            calls, took = measure(names[:number], runs)
            worst = max(worst, calls)
            middle = statistics.median(took)
            rows.append(f"| {number} | {calls:g} | {middle / number:.2f} | {middle:.1f} ({min(took):.1f} to {max(took):.1f}) |")
            print(f"{number:>3} hosts: {calls:g} remote calls each, {middle:.1f} s in all", flush=True)
    finally:
        for name in names:
            subprocess.run(["docker", "rm", "--force", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            subprocess.run(["docker", "volume", "rm", "--force", f"{name}-lib"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    met = f"met: {worst:g}" if worst <= GOAL else f"not met: {worst:g}"
    usual = " ".join(map(str, numbers)) == USUAL
    place = (TOP / "docs" if usual else CACHE) / "benchmark-idle.md"
    place.write_text(PAGE.format(goal=GOAL, met=met, rows="\n".join(rows), date=datetime.date.today(), cpus=os.cpu_count(), runs=runs))
    print(f"The goal is {met}; written: {place.relative_to(TOP)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
