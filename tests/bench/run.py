#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Measure, side by side in one run on a throw-away host: a plain restart, a move by hand, a move by drydock.dockerd, a warm copy.

The environment says how: SIZE_FACTOR (1: two thousand million bytes, 150,000 files), RUNS of each (3), SUITE of Debian (trixie), KEEP=1 to keep
the host. Writes docs/benchmark.json, .md and .svg; sizes below 1 are trials, and are written to .cache/bench instead.
"""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import subprocess
import sys
import time
import typing as t

import report

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
LAB = TOP / "molecule" / "lab"
CACHE = TOP / ".cache" / "bench"
BYTES, FILES = 2_050_000_000, 151_000
# After a restart, containers come back one after the other; read too early, a heartbeat shows no silence at all.
SETTLE = 8

INVENTORY = """\
all:
  hosts:
    bench:
      ansible_connection: community.docker.docker
      ansible_host: {name}
      ansible_python_interpreter: /usr/bin/python3
"""


def output(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def say(text: str) -> None:
    print(f"{datetime.datetime.now():%H:%M:%S} {text}", flush=True)


class Bench:
    """One lab host; after each move the other partition is empty again."""

    def __init__(self, name: str, inventory: pathlib.Path) -> None:
        self.name = name
        self.inventory = inventory
        self.root, self.other = "/mnt/one/docker", "/mnt/two/docker"
        self.before: dict[str, t.Any] = {}

    def host(self, *words: object) -> t.Any:
        return json.loads(output("docker", "exec", self.name, "bench-host", *words))

    def measure(self, method: str, round_: int) -> dict[str, t.Any]:
        """One operation, from the same state as all others, checked afterwards.

        :raises AssertionError: something is missing after it.
        """
        source, target = self.root, self.other
        files, size = self.host("picture")["total"] if method != "restart" else (None, None)
        ready = self.host("ready", source)
        began = time.monotonic()
        result = {"restart": self.restart, "by hand": self.by_hand, "drydock": self.drydock, "warm copy": self.warm_copy}[method](source, target)
        result = {"seconds": round(time.monotonic() - began, 3), **result}
        time.sleep(SETTLE)
        result.update(self.host("collect", ready["since"]))
        self.check(target if method in ("by hand", "drydock") else source)
        self.host("clean", self.root, "/" + "/".join(self.other.split("/")[1:3]))
        direction = "" if method == "restart" else f"{source.split('/')[2]} to {target.split('/')[2]}"
        return {"round": round_, "method": method, "direction": direction, "files": files, "bytes": size, "busy": ready["busy"], **result}

    def restart(self, _source: str, _target: str) -> dict[str, t.Any]:
        return self.host("restart")

    def by_hand(self, source: str, target: str) -> dict[str, t.Any]:
        return self.host("by-hand", source, target)

    def warm_copy(self, source: str, target: str) -> dict[str, t.Any]:
        return self.host("warm-copy", source, target)

    def drydock(self, _source: str, target: str) -> dict[str, t.Any]:
        """As a user would run it, from outside; the time is that of the whole command."""
        words = ["ansible", "bench", "-i", self.inventory, "-m", "drydock.dockerd.data_root", "-a", f"path={target}"]
        environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True, env=environment)
        if done.returncode != 0:
            raise AssertionError(f"the move failed: {done.stdout}")
        result = json.loads(done.stdout[done.stdout.index("{") :])
        return {"phases": result["phases"], "downtime": result["downtime_seconds"]}

    def check(self, root: str) -> None:
        """No figure comes from a broken move."""
        wanted = {**self.before, "root": root}
        deadline = time.monotonic() + 60
        # On a busy machine the last container may come back late; the heartbeat tells how late it was itself.
        while (after := self.host("picture"))["containers"] != wanted["containers"] and time.monotonic() < deadline:
            time.sleep(1)
        for key in ("root", "driver", "containers", "images", "volumes", "files"):
            if after[key] != wanted[key]:
                raise AssertionError(f"{key} should be {wanted[key]} and is {after[key]}")
        if root != self.root:
            self.root, self.other = self.other, self.root


def order(number: int) -> tuple[str, ...]:
    """Interleaved, so that drift hits all; turned round every other time, so that each move goes both ways."""
    return ("restart", "by hand", "drydock", "warm copy") if number % 2 else ("restart", "drydock", "warm copy", "by hand")


def create(name: str, suite: str, factor: float) -> Bench:
    CACHE.mkdir(parents=True, exist_ok=True)
    inventory = CACHE / "hosts.yml"
    inventory.write_text(INVENTORY.format(name=name))
    remove(name)
    say(f"a throw-away host: Debian {suite}, {output(LAB / 'create.sh', name, output(LAB / 'image.sh', suite), '64M')}")
    output("docker", "cp", TOP / "tests" / "bench" / "host.py", f"{name}:/usr/local/bin/bench-host")
    output("docker", "exec", name, "chmod", "0755", "/usr/local/bin/bench-host")
    bench = Bench(name, inventory)
    bench.host("partitions", name, max(1 << 30, int(BYTES * factor * 2.5)))
    say(f"layers, volumes and containers: {BYTES * factor:,.0f} bytes in {FILES * factor:,.0f} files")
    bench.host("seed", round(FILES * factor), round(BYTES * factor))
    bench.before = bench.host("picture")
    # The disk images grow now and not in the first run that is measured.
    say("one copy that is not measured, so that the other partition was written once")
    bench.host("warm-copy", bench.root, bench.other)
    bench.host("clean", bench.root, "/mnt/two")
    return bench


def remove(name: str) -> None:
    subprocess.run(["docker", "rm", "--force", "--volumes", name], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run(["docker", "volume", "rm", "--force", f"{name}-lib"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def write(factor: float, size: dict[str, t.Any]) -> pathlib.Path:
    place = TOP / "docs" if factor >= 1 else CACHE
    data = place / "benchmark.json"
    sizes = json.loads(data.read_text()) if data.exists() else {}
    sizes[f"{factor:g}"] = size
    data.write_text(report.dump(sizes))
    (place / "benchmark.md").write_text(report.markdown(sizes))
    (place / "benchmark.svg").write_text(report.svg(sizes))
    return place


def main() -> int:
    factor = float(os.environ.get("SIZE_FACTOR") or 1)
    runs = int(os.environ.get("RUNS") or 3)
    name = output(LAB / "prefix.sh") + "-bench"
    try:
        size = measure_all(name, factor, runs)
    except (AssertionError, subprocess.CalledProcessError) as exc:
        print(f"\nFailed: {exc}\n{hints(name)}", file=sys.stderr)
        return 1
    place = write(factor, size)
    print("\n" + report.summary(size))
    say(f"written: {place.relative_to(TOP)}/benchmark.json, .md and .svg")
    if os.environ.get("KEEP"):
        print(hints(name))
    else:
        remove(name)
    return 0


def measure_all(name: str, factor: float, runs: int) -> dict[str, t.Any]:
    bench = create(name, os.environ.get("SUITE") or "trixie", factor)
    size = {"date": f"{datetime.date.today()}", "machine": bench.host("machine"), "files": bench.before["total"][0], "bytes": bench.before["total"][1]}
    size["runs"] = results = []
    for number in range(1, runs + 1):
        for method in order(number):
            result = bench.measure(method, number)
            results.append(result)
            # What a run that fails later has measured is not lost.
            (CACHE / "runs.json").write_text(json.dumps(size, indent=1) + "\n")
            say(f"round {number} of {runs}, {method:<9}  silent for {result['gap']:>6.2f} s, took {result['seconds']:>6.1f} s")
    return size


def hints(name: str) -> str:
    return f"Look around:  docker exec -it {name} bash\nRemove it:    make clean"


if __name__ == "__main__":
    sys.exit(main())
