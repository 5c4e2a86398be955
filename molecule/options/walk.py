#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Runs on a lab host: asks its dockerd about configurations, one after the other, without disturbing the daemon.

walk.py <CONFIGURATIONS     a JSON list of objects; prints a list with dockerd's complaint about each, empty where it takes it

An engine without --validate is started as a user, at which it stops once it has taken its configuration.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

AS_USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
TAKEN = "needs to be started with root"


def complaint(program: list[str], settings: dict[str, object]) -> str:
    """What dockerd has against these settings."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(settings, file)
        file.flush()
        os.chmod(file.name, 0o644)
        words = [*program, "--config-file", file.name]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).strip()
    return "" if done.returncode == 0 or TAKEN in said else said


def main() -> None:
    validates = "--validate" in subprocess.run(["dockerd", "--help"], capture_output=True, text=True, check=True).stdout
    program = ["dockerd", "--validate"] if validates else [*AS_USER, "dockerd"]
    print(json.dumps([complaint(program, settings) for settings in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
