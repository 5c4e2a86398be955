#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Runs on a lab host beside lab-host: puts it under load, strikes a change that is under way, and tells what is there afterwards.

lab-fault load ADDRESS PORT              start a container that keeps a ledger and acknowledges it there, and one that churns
lab-fault strike HOW STEP EVENT DELAY    wait for that line of the journal (STEP '': do not), and that many seconds, then do it
lab-fault picture                        print what must never change, as JSON
lab-fault restore                        bring each container into the state in which lab-host found it
lab-fault tidy                           remove the old roots that moves have kept, and print them

HOW is one of these, or 'sabotage+kill', which does both in turn:

kill           SIGKILL to the worker's own process, whatever it has started
kill-both      to the module, too, so that nobody is left who waits
cut            the power: from this moment on nothing more reaches the disks, not even the file systems' own journals
sabotage       when the copy is done, the new root loses the names of its images: it starts, and cannot be proved
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess
import sys
import time

import compare
import lab_host
from lab_host import docker

LOCK = pathlib.Path("/run/drydock-dockerd.lock")
JOURNAL = pathlib.Path("/var/lib/drydock/dockerd/journal")
PROCESSES = pathlib.Path("/sys/fs/cgroup/system.slice/drydock-dockerd.service/cgroup.procs")
DISKS = ("/var/lib", "/mnt/data")
# The kernel's EXT4_IOC_SHUTDOWN, and its word for "without writing the journal first".
SHUTDOWN, AT_ONCE = 0x8004587D, struct.pack("I", 2)
# What lab-neighbour makes has such a name.
NEIGHBOUR = "neighbour"
# What changes all the time: not in the picture, but checked in its own way.
MOVING = ("beat", "ledger", "churn")

# A record is acknowledged when it is on the disk, and not before. A new run has a new name, so that no record is written twice: a
# lost one could otherwise be replaced unseen. The first line feed ends what a power cut may have torn.
LEDGER = """
trap 'exit 0' TERM
trap '' PIPE
run=$(busybox head -c 5 /dev/urandom | busybox od -An -tx1 | busybox tr -d ' \\n')
put() { echo "$1" | dd of=/ledger/log oflag=append conv=notrunc,fsync 2>/dev/null || exit 1; }
put ""
n=0
while :; do
    rm -f /tmp/line
    busybox mkfifo /tmp/line
    nc "$1" "$2" </tmp/line >/dev/null 2>&1 &
    exec 3>/tmp/line
    while n=$((n + 1)); do
        put "$run $n"
        echo "$run $n" >&3 || break
        sleep 0.005
    done
    exec 3>&-
    sleep 0.2
done
"""

# Small files are written, replaced, renamed and removed. What is called whole-* was synced before it got its name: never half of one.
CHURN = """
trap 'exit 0' TERM
cd /churn
n=0
while n=$((n + 1)); do
    name=whole-$((n % 30))
    { busybox seq $((n % 500)); echo "$name end"; } | dd of=new conv=fsync 2>/dev/null || exit 1
    busybox mv new $name
    echo $n >>log-$((n % 7))
    echo $n >same-$((n % 5))
    busybox mv same-$((n % 5)) same-$(((n + 1) % 5))
    mkdir -p d-$((n % 4))/deep
    touch d-$((n % 4))/deep/$n
    rm -rf e-$((n % 4))
    busybox mv d-$((n % 4)) e-$((n % 4))
    rm -f log-$(((n + 3) % 7)) whole-$(((n + 7) % 30))
    sleep 0.05
done
"""


def load(address: str, port: str) -> None:
    run = ["run", "--detach", "--stop-timeout", "3", "--restart", "always"]
    docker(*run, "--name", "ledger", "--volume", "ledger:/ledger", "lab:app", "sh", "-c", LEDGER, "ledger", address, port)
    docker(*run, "--name", "churn", "--volume", "churn:/churn", "lab:app", "sh", "-c", CHURN)
    # The host was used for a while; its power is not cut right after its first boot.
    os.sync()


def wait_for_line(step: str, event: str) -> None:
    begun = f'"event": "{event}", "step": "{step}"'
    log = JOURNAL / "log.jsonl"
    while True:
        try:
            if begun in log.read_text():
                return
        except FileNotFoundError:
            pass
        time.sleep(0.0005)


def last_line() -> str:
    """Where the change is, in its own words."""
    try:
        line = json.loads((JOURNAL / "log.jsonl").read_text().splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return "no step under way"
    return f"{line['event']} {line['step']}"


def worker() -> int | None:
    """The worker's own process is the first one of its unit."""
    try:
        return min(map(int, PROCESSES.read_text().split()), default=None)
    except OSError:
        return None


def wait_for(step: str, event: str, delay: float) -> None:
    if step == "end":
        wait_for_line("finish", "begin")
        while JOURNAL.exists():
            time.sleep(0.0005)
    elif step:
        wait_for_line(step, event)
    time.sleep(delay)


def send(pid: int | None, number: int) -> bool:
    """Send a signal; returns whether there was somebody to get it."""
    if pid is None:
        return False
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def sabotage() -> None:
    wait_for_line("final copy", "done")
    pid = worker()
    send(pid, signal.SIGSTOP)
    target = json.loads((JOURNAL / "plan.json").read_text())["move"]["target"]
    names = glob.glob(f"{target}/image/*/repositories.json")
    for path in names:
        os.unlink(path)
    send(pid, signal.SIGCONT)
    print(json.dumps({"at": time.monotonic(), "where": last_line(), "hit": bool(names)}), flush=True)


def strike(how: str, step: str, event: str, delay: str) -> None:
    """Do it, and print where and when as JSON."""
    disks = [os.open(path, os.O_RDONLY) for path in DISKS] if how == "cut" else []
    # On a busy machine an ordinary process would come too late.
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    print("armed", flush=True)
    if "sabotage" in how:
        sabotage()
    if how == "sabotage":
        return
    wait_for(step, event, float(delay))
    hit = send(worker(), signal.SIGSTOP if how == "cut" else signal.SIGKILL)
    if how == "kill-both":
        # The lock says who holds it: "data_root, process 123, since ...".
        send(int(LOCK.read_text().split()[2].rstrip(",")), signal.SIGKILL)
    where, at = last_line(), time.monotonic()
    if how == "cut":
        # All stops in one instant. A sync that is under way just then returns without an error from the dying file system, and the
        # container would acknowledge what is lost: frozen, it never sees it return.
        for path in glob.glob("/sys/fs/cgroup/system.slice/docker-*.scope/cgroup.freeze"):
            with contextlib.suppress(OSError):
                pathlib.Path(path).write_text("1")
    for disk in disks:
        fcntl.ioctl(disk, SHUTDOWN, AT_ONCE)
    print(json.dumps({"at": at, "where": where, "hit": hit or how == "cut"}), flush=True)


def half_files() -> list[str]:
    """Files that must be whole and are not."""
    top = pathlib.Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", "churn"))
    half = []
    for path in top.glob("whole-*"):
        try:
            text = path.read_text(errors="replace")
        except FileNotFoundError:
            continue
        if not text.endswith(f"{path.name} end\n"):
            half.append(f"{path}: {text[-40:]!r}")
    return half


def own(lines: str) -> list[str]:
    """What is not a neighbour's, who knows himself what he has."""
    return sorted(line for line in lines.splitlines() if not line.startswith(NEIGHBOUR))


def picture() -> dict[str, object]:
    volumes = {}
    for line in docker("volume", "inspect", "--format", "{{.Name}} {{.Mountpoint}}", *docker("volume", "ls", "--quiet").split()).splitlines():
        name, top = line.split()
        if name.startswith(NEIGHBOUR):
            continue
        volumes[name] = compare.digest(top) if name not in MOVING else os.path.isdir(top)
    # All layers of an image, and what a container has of its own.
    exported = subprocess.run("docker export ended | sha256sum", shell=True, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {
        "containers": own(docker("ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.ID}}")),
        "volumes": volumes,
        "images": sorted(docker("images", "--all", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()),
        # (dockerd makes its own bridge anew at each start.)
        "networks": own(docker("network", "ls", "--no-trunc", "--format", '{{.Name}} {{if ne .Name "bridge"}}{{.ID}}{{end}}')),
        "ended": exported,
        "half": half_files(),
    }


def restore() -> None:
    before = json.loads(lab_host.BEFORE.read_text())["containers"]
    shown = docker("inspect", "--format", "{{.HostConfig.NetworkMode}} {{.State.Status}} {{.Name}}", *before)
    # A container in another one's network can only be started behind it.
    for _mode, state, name in sorted((line.split() for line in shown.splitlines()), key=lambda one: "container:" in one[0]):
        wanted = before[name.lstrip("/")]["state"]
        if wanted in ("running", "paused") and state not in ("running", "paused"):
            docker("start", name)
        if wanted == "paused" and state != "paused":
            docker("pause", name)


def main() -> None:
    command, *rest = sys.argv[1:]
    if command == "load":
        load(*rest)
    elif command == "strike":
        strike(*rest)
    elif command == "picture":
        print(json.dumps(picture()))
    elif command == "restore":
        restore()
    elif command == "tidy":
        for kept in glob.glob("/var/lib/docker*.drydock-kept-*") + glob.glob("/mnt/data/*.drydock-kept-*"):
            shutil.rmtree(kept)
            print(kept)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
