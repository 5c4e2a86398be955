#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Everything that tries to bring a stopped daemon back: a client on docker.socket (it asks what 'docker ps' asks), and 'systemctl start docker'.

Runs until it is terminated. Then it writes to /run/lab-fire how often the client was answered and refused, and how many starts there were.
"""

from __future__ import annotations

import json
import pathlib
import signal
import socket
import subprocess
import threading
import time

counts = {"answers": 0, "refusals": 0, "starts": 0}


def ask() -> None:
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                client.connect("/run/docker.sock")
                client.sendall(b"GET /containers/json HTTP/1.0\r\n\r\n")
                with client.makefile("rb") as answer:
                    counts["answers" if answer.read().startswith(b"HTTP/1.0 200") else "refusals"] += 1
        except OSError:
            counts["refusals"] += 1
        time.sleep(0.1)


def start() -> None:
    while True:
        subprocess.run(["systemctl", "start", "docker.service"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        counts["starts"] += 1
        time.sleep(0.25)


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
for loop in (ask, start):
    threading.Thread(target=loop, daemon=True).start()
signal.sigwait({signal.SIGTERM})
pathlib.Path("/run/lab-fire").write_text(json.dumps(counts))
