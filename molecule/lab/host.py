#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Runs on a lab host: fills its Docker, and takes pictures of what is there, with the docker client and plain files only.

lab-host seed FILES few|all
                        create images, volumes, networks and containers; keep the picture in /var/lib/lab/before.json
lab-host snapshot       print the picture as JSON
lab-host configuration  print a line for each file below /etc, and for each container (not with --files)
lab-host gap SECONDS    print the longest silence of the heartbeat within the last SECONDS
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import typing as t

import compare

BEFORE = pathlib.Path("/var/lib/lab/before.json")
TOOLS = ["sh", "sleep", "date", "cat", "sync", "mkdir", "mkfifo", "dd", "tail", "sed", "echo", "touch", "ls", "rm", "nc", "httpd"]
OBEY = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
# It waits by reading what nobody writes: ten new processes a second, of each host, would be a load of their own.
BEAT = "trap 'exit 0' TERM; [ -p /pulse ] || mkfifo /pulse; exec 3<>/pulse; while :; do read up x </proc/uptime; echo $up >>/beat/log; read -t 0.1 x <&3; done"


def docker(*words: str, check: bool = True) -> str:
    return subprocess.run(["docker", *words], check=check, stdout=subprocess.PIPE, text=True).stdout.strip()


def make_images() -> None:
    with tempfile.TemporaryDirectory() as top:
        binaries = pathlib.Path(top, "bin")
        binaries.mkdir()
        shutil.copy("/bin/busybox", binaries)
        for tool in TOOLS:
            (binaries / tool).symlink_to("busybox")
        pathlib.Path(top, "tmp").mkdir(mode=0o1777)
        tar = subprocess.run(["tar", "-C", top, "-c", "."], check=True, capture_output=True).stdout
        subprocess.run(["docker", "import", "-", "lab:base"], input=tar, check=True, stdout=subprocess.DEVNULL)
    # Layers: a file that is added, one that is removed (a whiteout), a directory made anew (an opaque one).
    docker("run", "--name", "layer", "lab:base", "sh", "-c", "mkdir /d && touch /d/one /d/two && echo 1 >/a")
    docker("commit", "layer", "lab:layer1")
    docker("rm", "layer")
    docker("run", "--name", "layer", "lab:layer1", "sh", "-c", "rm -r /d /a && mkdir /d && touch /d/three")
    docker("commit", "layer", "lab:app")
    docker("rm", "layer")
    docker("tag", "lab:app", "lab:same")


def fill_volume(name: str, files: int) -> None:
    docker("volume", "create", name)
    top = pathlib.Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", name))
    random.seed(name)
    for number in range(files):
        path = top / f"{number // 100:04}" / f"file-{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(random.randbytes(random.choice((10, 500, 4000, 20000))))
    os.link(top / "0000" / "file-0", top / "hard-link")
    (top / "link").symlink_to("0000/file-1")
    os.mkfifo(top / "fifo")
    os.chown(top / "0000" / "file-2", 12345, 54321)
    os.chmod(top / "0000" / "file-3", 0o4711)
    os.setxattr(top / "0000" / "file-4", "user.lab", b"kept")
    with open(top / "sparse", "wb") as stream:
        stream.seek(10 << 20)
        stream.write(b"end")
    os.utime(top / "0000" / "file-5", ns=(1_000_000_000_123_456_789, 1_000_000_000_123_456_789))
    torture(top / "torture")


def torture(top: pathlib.Path) -> None:
    """One of everything that a copy can get wrong."""
    top.mkdir()
    os.mknod(top / "whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    os.mknod(top / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(top / "loop", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(top / "socket"))
    (top / "dangling").symlink_to("nowhere\n")
    for name in (b"line\nfeed", b"not \xff\xfe UTF-8", b" blanks ", b"-dash", b"#comment", b"back\\slash", b"*?[glob", b"\x01\x7f", b"n" * 255):
        pathlib.Path(os.fsdecode(os.path.join(os.fsencode(top), name))).write_bytes(name)
    os.mkdir(os.path.join(os.fsencode(top), b"directory\n\xff"))
    for mode in (0o4755, 0o2755, 0o1777, 0o000):
        (top / f"mode-{mode:o}").touch()
        # Owner first: a change of owner clears the setuid bits.
        os.chown(top / f"mode-{mode:o}", 100000 + mode, 4_000_000_000)
        os.chmod(top / f"mode-{mode:o}", mode)
    (top / "attributes").touch()
    for name in ("user.lab", "user.empty", "trusted.lab", "trusted.overlay.origin", "security.lab"):
        os.setxattr(top / "attributes", name, b"" if "empty" in name else bytes(range(0, 256, 5)))
    (top / "capable").touch()
    # CAP_NET_RAW, as setcap writes it (version 2, effective).
    os.setxattr(top / "capable", "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    (top / "opaque").mkdir()
    os.setxattr(top / "opaque", "trusted.overlay.opaque", b"y")
    (top / "acl").mkdir()
    subprocess.run(["setfacl", "-m", "u:4321:rwx,g:8765:r-x", "-m", "d:u:4321:r--", str(top / "acl")], check=True)
    (top / "acl" / "inherits").touch()
    (top / "links").mkdir()
    for kind, mode in (("file", stat.S_IFREG), ("fifo", stat.S_IFIFO), ("node", stat.S_IFCHR)):
        # All whiteouts of a container's layer are such links, too.
        first = top / "links" / f"{kind}-1"
        os.mknod(first, mode | 0o640, os.makedev(1, 5))
        os.link(first, top / "links" / f"{kind}-2")
        os.link(first, top / "acl" / f"{kind}-3")
    os.symlink("target", top / "links" / "symlink-1")
    os.link(top / "links" / "symlink-1", top / "links" / "symlink-2", follow_symlinks=False)
    with open(top / "holes", "wb") as stream:
        for number in range(3):
            stream.seek(number << 22)
            stream.write(b"data")
        stream.truncate(1 << 24)
    for number, path in enumerate(sorted(top.iterdir())):
        when = (1_234_567_890 - number) * 1_000_000_000 + number + 1
        os.utime(path, ns=(when, when), follow_symlinks=False)


def make_containers(few: bool) -> None:
    docker("network", "create", "backend")
    run = ["run", "--detach", "--stop-timeout", "3"]
    docker(*run, "--name", "beat", "--restart", "always", "--volume", "beat:/beat", "lab:app", "sh", "-c", BEAT)
    docker(*run, "--name", "stopped", "--restart", "unless-stopped", "lab:app", "sh", "-c", OBEY)
    docker("stop", "stopped")
    docker("run", "--name", "ended", "lab:app", "sh", "-c", "echo done >/result")
    if few:
        return
    docker(*run, "--name", "no-policy", "--network", "backend", "--volume", "library:/library", "lab:app", "sh", "-c", OBEY)
    docker(*run, "--name", "on-failure", "--restart", "on-failure:5", "lab:app", "sh", "-c", OBEY)
    docker(*run, "--name", "unless-stopped", "--restart", "unless-stopped", "--volume", "/anonymous", "lab:same", "sh", "-c", OBEY)
    docker(*run, "--name", "joined", "--network", "container:no-policy", "lab:app", "sh", "-c", OBEY)
    docker(*run, "--name", "paused", "--restart", "always", "lab:app", "sh", "-c", OBEY)
    docker("pause", "paused")


def state_of(name: str, state: str) -> str:
    """What docker says; one that ends and is restarted again and again is found in either state."""
    return "restarting or running" if name == "flapping" and state in ("restarting", "running") else state


def inspect(kind: str, names: str) -> list[dict[str, t.Any]]:
    return json.loads(docker(kind, "inspect", *names.split())) if names else []


def snapshot() -> dict[str, object]:
    info = json.loads(docker("info", "--format", "{{json .}}"))
    containers = {}
    for raw in inspect("container", docker("ps", "--all", "--quiet")):
        name = raw["Name"].lstrip("/")
        containers[name] = {
            "id": raw["Id"],
            "state": state_of(name, raw["State"]["Status"]),
            "policy": raw["HostConfig"]["RestartPolicy"]["Name"] or "no",
            "started": raw["State"]["StartedAt"],
        }
    volumes = {}
    for raw in inspect("volume", docker("volume", "ls", "--quiet")):
        # These are written all the time.
        volumes[raw["Name"]] = "" if raw["Name"] in ("beat", "late", "slow", "writer") else compare.digest(raw["Mountpoint"])
    images = {line.split()[0]: line.split()[1] for line in docker("images", "--all", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").splitlines()}
    networks = sorted(docker("network", "ls", "--format", "{{.Name}}").splitlines())
    sockets = subprocess.run(["ss", "-H", "-l", "-t", "-x", "-n", "-p"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {
        "root": info["DockerRootDir"],
        "listens": sorted({line.split()[4] for line in sockets if '"dockerd"' in line and ("docker.sock" in line or line.startswith("tcp"))}),
        "driver": info["Driver"],
        "pid": int(pathlib.Path("/run/docker.pid").read_text()),
        "containers": containers,
        "volumes": volumes,
        "images": images,
        "networks": networks,
        "ended": docker("diff", "ended"),
    }


def configuration(files_only: bool) -> str:
    lines = []
    for where, directories, files in sorted(os.walk("/etc")):
        directories.sort()
        for name in sorted(files):
            path = pathlib.Path(where, name)
            status = path.lstat()
            content = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{path} {status.st_mode:o} {status.st_uid} {content}")
    if not files_only:
        lines += sorted(f"container {line}" for line in docker("ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}").splitlines())
    return "\n".join(lines)


def worker() -> int:
    """The worker's own process: the first one of its unit, or the one whose command ends with its operation."""
    try:
        return min(map(int, pathlib.Path("/sys/fs/cgroup/system.slice/drydock-dockerd.service/cgroup.procs").read_text().split()))
    except FileNotFoundError:
        return min(pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if command_of(pid).endswith(b"worker.pyz\0run\0"))


def command_of(pid: int) -> bytes:
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def strike_at(step: str, how: str) -> None:
    journal = pathlib.Path("/var/lib/drydock/dockerd/journal/log.jsonl")
    begun = f'"event": "begin", "step": "{step}"'
    # On a busy machine an ordinary process would come too late.
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    # The search for the worker takes its time; the steps behind the one that is waited for do not.
    while not journal.exists() or '"event": "begin"' not in journal.read_text():
        time.sleep(0.0005)
    pid = worker()
    while begun not in journal.read_text():
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL if how == "kill-at" else signal.SIGSTOP)
    if how == "freeze-at":
        pathlib.Path("/run/lab-frozen").touch()


def gap(seconds: float) -> float:
    top = docker("volume", "inspect", "--format", "{{.Mountpoint}}", "beat")
    since = time.clock_gettime(time.CLOCK_BOOTTIME) - seconds
    beats = [float(line) for line in pathlib.Path(top, "log").read_text().split() if float(line) > since]
    return max(later - earlier for earlier, later in zip(beats, beats[1:]))


def main() -> None:
    command, *rest = sys.argv[1:]
    if command == "seed":
        make_images()
        fill_volume("library", int(rest[0]))
        make_containers(few=rest[1] == "few")
        BEFORE.write_text(json.dumps(snapshot(), indent=1))
    elif command == "snapshot":
        print(json.dumps(snapshot(), indent=1))
    elif command == "configuration":
        print(configuration("--files" in rest))
    elif command in ("kill-at", "freeze-at"):
        strike_at(rest[0], command)
    elif command == "gap":
        print(f"{gap(float(rest[0])):.2f}")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
