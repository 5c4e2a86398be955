#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Makes the daemon's start fail after preflight and validation have passed, each time that a change is under way.

saboteur port    take the TCP port as soon as the daemon is held
saboteur root    break the volumes' database in the new root as soon as the configuration names it
"""

from __future__ import annotations

import os
import pathlib
import socket
import sys
import time

HELD = pathlib.Path("/run/systemd/system/docker.service.d/zzzz-drydock-hold.conf")
CONFIGURATION = pathlib.Path("/etc/docker/daemon.json")
DATABASE = pathlib.Path("/mnt/data/docker/volumes/metadata.db")


def wait_for(there: bool) -> None:
    while HELD.exists() is not there:
        time.sleep(0.002)


def take_port() -> None:
    with socket.create_server(("0.0.0.0", 2375)):
        wait_for(False)


def break_root() -> None:
    while HELD.exists():
        if "/mnt/data/docker" in CONFIGURATION.read_text():
            os.unlink(DATABASE)
            DATABASE.mkdir()
            wait_for(False)
        time.sleep(0.0005)


while True:
    wait_for(True)
    {"port": take_port, "root": break_root}[sys.argv[1]]()
