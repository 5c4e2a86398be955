#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Runs on a lab host: which image store its dockerd takes, tried with a second one beside the daemon.

stores.py <CASES            a JSON list of pairs: settings, and paths of directories that the data root has before; prints a list with the store and
                            its driver, nothing where dockerd does not start
"""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

# Nothing of the host's own: no network, and a namespace of containerd's that is nobody's.
ALONE = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--containerd=/run/containerd/containerd.sock", "--containerd-namespace=tried"]
FORM = "{{json .DriverStatus}} {{.Driver}}"


def store(settings: dict[str, object], directories: list[str]) -> str:
    """The store and the driver of a dockerd with these settings on such a data root."""
    root = pathlib.Path(tempfile.mkdtemp(dir="/var/lib"))
    runs = pathlib.Path(tempfile.mkdtemp(dir="/run"))
    try:
        for one in directories:
            (root / one).mkdir(parents=True)
        (runs / "daemon.json").write_text(json.dumps(settings))
        words = [f"--config-file={runs}/daemon.json", f"--data-root={root}", f"--exec-root={runs}", f"--pidfile={runs}/pid", f"--host=unix://{runs}/sock"]
        with subprocess.Popen(["dockerd", *words, *ALONE], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as daemon:
            found = ""
            for _turn in range(300):
                asked = subprocess.run(["docker", f"--host=unix://{runs}/sock", "info", "--format", FORM], capture_output=True, text=True, check=False)
                status, _space, driver = asked.stdout.rstrip("\n").rpartition(" ")
                if asked.returncode == 0 and driver:
                    found = f"{'containerd' if 'io.containerd.snapshotter' in status else 'docker'} {driver}"
                if found or daemon.poll() is not None:
                    break
                time.sleep(0.05)
            daemon.terminate()
        return found
    finally:
        shutil.rmtree(root)
        shutil.rmtree(runs)


def main() -> None:
    print(json.dumps([store(*case) for case in json.load(sys.stdin)]))


if __name__ == "__main__":
    main()
