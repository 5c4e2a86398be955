#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Runs on the benchmark's lab host: makes its partitions and data, does the operations that need no Ansible, reads the heartbeat.

bench-host partitions NAME SIZE   two equal ext4 partitions on /mnt/one and /mnt/two, mounted by units; the daemon begins on the first
bench-host seed FILES BYTES       layers, volumes and containers
bench-host machine                print what was measured on, as JSON
bench-host ready ROOT             bring everything into the same state before a run: page cache warm, nothing dirty, daemon idle
bench-host restart                A: the plain restart
bench-host by-hand FROM TO        B: stop, rsync, daemon.json, start
bench-host warm-copy FROM TO      D: rsync while containers run
bench-host collect SINCE          print the heartbeat's longest silence since then and what happened around it, as JSON
bench-host picture                print what has to be equal before and after, as JSON
bench-host clean ROOT OTHER       empty the other partition, forget what drydock noted

All times are seconds since boot, as /proc/uptime has them, which is what the heartbeat writes.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import typing as t

DAEMON_JSON = pathlib.Path("/etc/docker/daemon.json")
STATE = pathlib.Path("/var/lib/drydock")
TOOLS = ["sh", "sleep", "cat", "mv"]
# Their mean makes 2e9 bytes of 150,000 files; most files are small, as in package trees and volumes of mail or web caches.
SIZES = (200, 1_000, 4_000, 8_000, 20_000, 48_000)
LAYERS, VOLUMES, OTHERS = 5, 5, 6
BEAT = "trap 'exit 0' TERM; while :; do read up idle </proc/uptime; echo $up >>/beat/log; sleep 0.02; done"
WRITE = """
trap 'exit 0' TERM
n=0
while :; do
    n=$((n + 1))
    echo "line $n" >>/state/log
    echo $n >/state/new; mv /state/new /state/now
    echo $n >/state/slot-$((n % 8))
    [ $((n % 2000)) != 0 ] || mv /state/log /state/log.1
    sleep 0.05
done
"""
WORK = "trap 'exit 0' TERM; while :; do sleep 0.5; done"
# What systemd and dockerd say, and what it means.
MARKS = {
    "Stopping docker.service": "stopping",
    "Stopped docker.service": "stopped",
    "Starting docker.service": "starting",
    "Started docker.service": "started",
    "Loading containers: start": "loading",
    "Loading containers: done": "loaded",
}


def run(*words: str, check: bool = True, stdin: bytes | None = None) -> str:
    return subprocess.run(words, check=check, stdout=subprocess.PIPE, input=stdin).stdout.decode().strip()


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# The host --------------------------------------------------------------------------------------------------------


def partitions(name: str, size: str) -> None:
    free = shutil.disk_usage("/var/lib/lab").free
    if free < int(size) * 1.5:
        sys.exit(f"{int(size) * 1.5 / 1e9:.0f} GB of disk are needed where Docker keeps its volumes, and {free / 1e9:.0f} are free")
    for which in ("one", "two"):
        # The kernel's loop devices are shared by all lab hosts, and some versions of mount take one whose file has the same name.
        image = f"/var/lib/lab/{name}-{which}.img"
        run("truncate", "-s", size, image)
        # Nothing is left for the kernel to initialise in the background while we measure.
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        unit = pathlib.Path(f"/etc/systemd/system/mnt-{which}.mount")
        unit.write_text(f"[Mount]\nWhat={image}\nWhere=/mnt/{which}\nType=ext4\nOptions=loop\n\n[Install]\nWantedBy=local-fs.target\n")
        run("systemctl", "enable", "--now", "--quiet", unit.name)
    use("/mnt/one/docker")
    run("systemctl", "restart", "docker")
    shutil.rmtree("/var/lib/docker", ignore_errors=True)


def use(root: str) -> None:
    settings = json.loads(DAEMON_JSON.read_text()) if DAEMON_JSON.exists() else {}
    DAEMON_JSON.parent.mkdir(exist_ok=True)
    DAEMON_JSON.write_text(json.dumps({**settings, "data-root": root}, indent=4) + "\n")


def seed(files: int, volume: int) -> None:
    """Half of the files and bytes in image layers, the other half in volumes."""
    random.seed(1)
    noise = random.randbytes(8 << 20)
    # Sizes are scaled, so that any number of files makes the bytes asked for.
    scale = volume / files / (sum(SIZES) / len(SIZES))

    def contents(count: int) -> t.Iterator[tuple[str, bytes]]:
        for number in range(count):
            size = int(SIZES[number % len(SIZES)] * scale) + 1
            start = random.randrange(len(noise) - size) if size < len(noise) else 0
            yield f"{number // 1000:03}/{number // 50 % 20:02}/file-{number}", noise[start : start + size]

    load_image([base_layer(), *(layer(f"data/{number}", contents(files // 2 // LAYERS + 1)) for number in range(LAYERS))])
    for number in range(VOLUMES):
        run("docker", "volume", "create", f"data-{number}")
        top = run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", f"data-{number}")
        for name, content in contents(files // 2 // VOLUMES + 1):
            path = os.path.join(top, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as stream:
                stream.write(content)
    start = ["docker", "run", "--detach", "--stop-timeout", "3"]
    for number in range(OTHERS):
        mount = ["--volume", f"data-{number}:/data"] if number < VOLUMES else []
        policy = ("always", "unless-stopped")[number % 2]
        run(*start, "--name", f"work-{number}", "--restart", policy, *mount, "bench:app", "sh", "-c", WORK)
    run(*start, "--name", "write", "--restart", "always", "--volume", "state:/state", "bench:app", "sh", "-c", WRITE)
    run(*start, "--name", "beat", "--restart", "always", "--volume", "beat:/beat", "bench:app", "sh", "-c", BEAT)


def base_layer() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for tool in TOOLS:
            link = tarfile.TarInfo(f"bin/{tool}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return stream.getvalue()


def layer(prefix: str, contents: t.Iterable[tuple[str, bytes]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in contents:
            one = tarfile.TarInfo(f"{prefix}/{name}")
            one.size, one.mtime = len(content), 1_700_000_000
            tar.addfile(one, io.BytesIO(content))
    return stream.getvalue()


def load_image(layers: t.Iterable[bytes]) -> None:
    """One image of many layers, as 'docker save' would have written it: far quicker than building or committing it."""
    with tempfile.TemporaryDirectory(dir="/var/lib/lab") as top:
        names, digests = [], []
        for number, content in enumerate(layers):
            names.append(f"{number}/layer.tar")
            digests.append("sha256:" + hashlib.sha256(content).hexdigest())
            pathlib.Path(top, str(number)).mkdir()
            pathlib.Path(top, names[-1]).write_bytes(content)
        machine = run("docker", "version", "--format", "{{.Server.Arch}}")
        config = {"architecture": machine, "os": "linux", "config": {"Cmd": ["sh"]}, "rootfs": {"type": "layers", "diff_ids": digests}}
        config["history"] = [{"created": "2024-01-01T00:00:00Z"} for _ in names]
        pathlib.Path(top, "config.json").write_text(json.dumps(config))
        pathlib.Path(top, "manifest.json").write_text(json.dumps([{"Config": "config.json", "RepoTags": ["bench:app"], "Layers": names}]))
        with subprocess.Popen(["tar", "-C", top, "-c", "."], stdout=subprocess.PIPE) as pack:
            subprocess.run(["docker", "load", "--quiet"], stdin=pack.stdout, stdout=subprocess.DEVNULL, check=True)


def machine() -> dict[str, t.Any]:
    memory = next(int(line.split()[1]) for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    system = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return {
        "cpus": os.cpu_count(),
        "memory_gib": round(memory / (1 << 20)),
        "kernel": os.uname().release.split("-")[0],
        "system": system["PRETTY_NAME"].strip('"'),
        "engine": run("docker", "version", "--format", "{{.Server.Version}}"),
        "driver": run("docker", "info", "--format", "{{.Driver}}"),
        "rsync": run("rsync", "--version").split()[2],
        "file_system": run("findmnt", "--noheadings", "--output", "FSTYPE", "/mnt/one"),
        "containers": len(run("docker", "ps", "--quiet").splitlines()),
    }


# Runs ------------------------------------------------------------------------------------------------------------


def ready(root: str) -> dict[str, t.Any]:
    # Archived into nothing: every byte was read once. Files that change meanwhile are no matter.
    with subprocess.Popen(["tar", "-C", root, "--one-file-system", "-c", "."], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as pack:
        subprocess.run(["cat"], stdin=pack.stdout, stdout=subprocess.DEVNULL, check=True)
    run("sync")
    pid = run("systemctl", "show", "--property=MainPID", "--value", "docker.service")
    for _ in range(60):
        before = cpu_ticks(pid)
        time.sleep(1)
        if cpu_ticks(pid) - before <= 2:
            break
    # Earlier starts count against the unit's limit; none of them may fail the next one.
    run("systemctl", "reset-failed", "docker.service", "docker.socket")
    log = pathlib.Path(run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "beat"), "log")
    log.write_text("")
    return {"busy": busy(), "since": now()}


def cpu_ticks(pid: str) -> int:
    return sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


def busy() -> float:
    """The share of all CPUs that is in use within two seconds: what others did to the figures."""

    def ticks() -> list[int]:
        return [int(word) for word in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]

    before = ticks()
    time.sleep(2)
    spent = [later - earlier for earlier, later in zip(before, ticks())]
    return round(1 - (spent[3] + spent[4]) / sum(spent), 2)


class Clock:
    """Seconds of each part of an operation."""

    def __init__(self) -> None:
        self.began = self.last = now()
        self.phases: list[dict[str, t.Any]] = []

    def lap(self, phase: str) -> None:
        moment = now()
        self.phases.append({"phase": phase, "seconds": round(moment - self.last, 3)})
        self.last = moment

    def result(self) -> dict[str, t.Any]:
        return {"seconds": round(self.last - self.began, 3), "phases": self.phases}


def restart() -> dict[str, t.Any]:
    clock = Clock()
    run("systemctl", "restart", "docker")
    clock.lap("restart")
    return clock.result()


def by_hand(source: str, target: str) -> dict[str, t.Any]:
    clock = Clock()
    run("systemctl", "stop", "docker.socket", "docker")
    clock.lap("stop")
    os.makedirs(target)
    run("rsync", "-aHAXS", source + "/", target + "/")
    clock.lap("rsync")
    use(target)
    clock.lap("daemon.json")
    run("systemctl", "start", "docker")
    clock.lap("start")
    return clock.result()


def warm_copy(source: str, target: str) -> dict[str, t.Any]:
    clock = Clock()
    os.makedirs(target)
    # 24: files vanished while they were copied, which is normal here.
    rc = subprocess.run(["rsync", "-aHAXS", "--one-file-system", source + "/", target + "/"], check=False, stderr=subprocess.PIPE).returncode
    if rc not in (0, 24):
        sys.exit(f"rsync ended with {rc}")
    clock.lap("rsync")
    return clock.result()


def collect(since: float) -> dict[str, t.Any]:
    log = pathlib.Path(run("docker", "volume", "inspect", "--format", "{{.Mountpoint}}", "beat"), "log")
    deadline = now() + 60
    beats: list[float] = []
    while not beats or now() - beats[-1] > 0.5:
        if now() > deadline:
            sys.exit("the heartbeat does not beat")
        time.sleep(0.1)
        beats = [float(line) for line in log.read_text().splitlines()[:-1] if float(line) > since - 1]
    silences = sorted(((later - earlier, earlier) for earlier, later in zip(beats, beats[1:])), reverse=True)
    gap, last_beat = silences[0]
    ours = STATE / "dockerd/last/log.jsonl"
    # The journal of a move has the time of day.
    shift = time.time() - now()
    steps = [json.loads(line) for line in ours.read_text().splitlines() if line] if ours.exists() else []
    return {
        "gap": round(gap, 2),
        "other_gaps": [round(seconds, 2) for seconds, _at in silences[1:6] if seconds > 0.3],
        "marks": {name: round(at - last_beat, 3) for name, at in marks(last_beat - 2, last_beat + gap + 2).items()},
        "steps": {one["step"]: round(one["at"] - shift - last_beat, 3) for one in steps if one["event"] == "begin"},
        "first_pass": first_pass(since, steps, shift),
    }


def journal(*words: str) -> t.Iterator[tuple[float, str]]:
    for line in run("journalctl", "--boot", "--output=json", "--output-fields=MESSAGE", *words).splitlines():
        entry = json.loads(line)
        if isinstance(entry.get("MESSAGE"), str):
            yield int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6, entry["MESSAGE"]


def marks(begin: float, end: float) -> dict[str, float]:
    found = {}
    for at, message in journal("--unit=docker.service"):
        for words, name in MARKS.items():
            if begin < at < end and words in message:
                found[name] = at
    return found


def first_pass(since: float, steps: list[dict[str, t.Any]], shift: float) -> float | None:
    """Seconds of a move's first warm pass, from its own words in systemd's journal."""
    began = next((one["at"] - shift for one in steps if one["step"] == "warm copy"), None)
    ended = next((at for at, message in journal("--unit=drydock-dockerd.service") if at > since and message.startswith("warm copy, pass 1")), None)
    return round(ended - began, 2) if began and ended else None


def picture() -> dict[str, t.Any]:
    info = json.loads(run("docker", "info", "--format", "{{json .}}"))
    containers = run("docker", "ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.ID}} {{.State}}").splitlines()
    root = info["DockerRootDir"]
    sealed = [(f"{root}/volumes/data-{number}", False) for number in range(VOLUMES)] + [(f"{root}/{info['Driver']}", True)]
    return {
        "root": root,
        "driver": info["Driver"],
        "containers": sorted(containers),
        "images": sorted(run("docker", "images", "--all", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()),
        "volumes": sorted(run("docker", "volume", "ls", "--quiet").splitlines()),
        "files": {os.path.basename(top): count(top, only_diff) for top, only_diff in sealed},
        "total": count(root, False),
    }


def count(top: str, only_diff: bool) -> list[int]:
    """Files (no directories) and their bytes; of layers only what is in a 'diff' directory, since mounts come and go."""
    files = size = 0
    device = os.lstat(top).st_dev
    seen = set()
    for where, directories, names in os.walk(top):
        directories[:] = [name for name in directories if os.lstat(os.path.join(where, name)).st_dev == device]
        if only_diff and "/diff" not in where[len(top) :]:
            continue
        for name in names:
            try:
                status = os.lstat(os.path.join(where, name))
            except FileNotFoundError:
                continue
            files += 1
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                size += status.st_size
    return [files, size]


def clean(root: str, other: str) -> None:
    for path in [*glob.glob("/etc/systemd/system/docker.service.d/zz-drydock-*.conf"), *glob.glob(f"{root}/.drydock-*")]:
        os.unlink(path)
    shutil.rmtree(STATE, ignore_errors=True)
    run("systemctl", "daemon-reload")
    for name in set(os.listdir(other)) - {"lost+found"}:
        shutil.rmtree(os.path.join(other, name))
    run("sync")


def main() -> None:
    command, *rest = sys.argv[1:]
    commands: dict[str, t.Callable[[], t.Any]] = {
        "partitions": lambda: partitions(*rest),
        "seed": lambda: seed(*map(int, rest)),
        "machine": machine,
        "ready": lambda: ready(*rest),
        "restart": restart,
        "by-hand": lambda: by_hand(*rest),
        "warm-copy": lambda: warm_copy(*rest),
        "collect": lambda: collect(float(rest[0])),
        "picture": picture,
        "clean": lambda: clean(*rest),
    }
    print(json.dumps(commands[command]()))


if __name__ == "__main__":
    main()
