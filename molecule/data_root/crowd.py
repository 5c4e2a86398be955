#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Beside what every lab host has: containers that are hard to bring back, and builds.

lab-crowd SECONDS    how long the slowest container takes to stop
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

OBEY = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
# Whether it was allowed to come to its end is in its log.
SLOW = "trap 'echo asked >/slow/log; sleep %d; echo ended >>/slow/log; exit 0' TERM; while :; do sleep 1000 & wait; done"
DOCKERFILE = "FROM lab:app\nCOPY f /f\nRUN echo built >/built && rm /f\nRUN mkdir /x && echo 2 >/x/y\n"


def docker(*words: str, kit: str = "0") -> str:
    return subprocess.run(["docker", *words], check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, "DOCKER_BUILDKIT": kit}).stdout.strip()


def make_containers(seconds: int) -> None:
    run = ["run", "--detach", "--stop-timeout", "3"]
    docker(*run, "--name", "flapping", "--restart", "always", "lab:app", "sh", "-c", "sleep 0.3; exit 1")
    docker(*run, "--name", "exhausted", "--restart", "on-failure:2", "lab:app", "sh", "-c", "exit 3")
    docker(*run, "--name", "linked", "--link", "unless-stopped:friend", "lab:app", "sh", "-c", OBEY)
    docker("create", "--name", "created", "--restart", "always", "--volume", "untouched:/untouched", "lab:app", "sh", "-c", OBEY)
    slow = ["run", "--detach", "--volume", "slow:/slow", "--name", "slow", "--stop-timeout", str(seconds + 15)]
    docker(*slow, "--restart", "unless-stopped", "lab:app", "sh", "-c", SLOW % seconds)
    # Python from the host: the images hold busybox only.
    binds = [word for one in ("/usr", "/lib", "/lib64") if os.path.isdir(one) for word in ("--volume", f"{one}:{one}:ro")]
    writer = ["run", "--detach", "--stop-timeout", "30", "--name", "writer", "--volume", "writer:/writer", *binds]
    docker(*writer, "lab:app", "/usr/bin/python3", "/usr/local/bin/lab-writer", "/writer")


def make_builds() -> None:
    """A classic build, whose cache is its images, and one by BuildKit where the client can (20.10; newer ones need buildx)."""
    top = pathlib.Path("/var/lib/lab/build")
    top.mkdir()
    (top / "Dockerfile").write_text(DOCKERFILE)
    (top / "f").write_text("file\n")
    docker("build", "--quiet", "--tag", "lab:built", str(top))
    if docker("version", "--format", "{{.Client.Version}}").startswith("20.10"):
        docker("build", "--quiet", "--tag", "lab:kit", str(top), kit="1")


def main() -> None:
    make_containers(int(sys.argv[1]))
    make_builds()
    picture = subprocess.run(["lab-host", "snapshot"], check=True, stdout=subprocess.PIPE, text=True).stdout
    pathlib.Path("/var/lib/lab/before.json").write_text(picture)
    pathlib.Path("/var/lib/lab/crowd").touch()


if __name__ == "__main__":
    main()
