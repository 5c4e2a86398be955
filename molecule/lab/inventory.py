#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Inventory of a Molecule scenario's lab hosts, in the group 'lab', from the platforms in its molecule.yml."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import yaml

HERE = pathlib.Path(__file__).resolve().parent


def main() -> None:
    scenario = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
    platforms = yaml.safe_load((scenario / "molecule.yml").read_text())["platforms"]
    if os.environ.get("LAB_SUITES"):
        # The matrix of engines: the same scenario on other suites.
        platforms = [{"name": suite} for suite in os.environ["LAB_SUITES"].split()]
    if os.environ.get("LAB_SHORT"):
        platforms = [platform for platform in platforms if not platform.get("extra")]
    prefix = subprocess.check_output([HERE / "prefix.sh"], text=True).strip()
    hosts = {}
    for platform in platforms:
        suite = platform.get("suite", platform["name"])
        hosts[platform["name"]] = {
            "ansible_connection": "community.docker.docker",
            "ansible_host": f"{prefix}-{scenario.name}-{platform['name']}",
            "ansible_python_interpreter": "/usr/bin/python3",
            "lab_prefix": prefix,
            "lab_image": subprocess.check_output([HERE / ("bare.sh" if platform.get("bare") else "image.sh"), suite], text=True).strip(),
            "lab_disk": platform.get("disk", "4G"),
            # Little for a daemon to start, where nothing depends on what it runs.
            "lab_files": 20 if platform.get("light") else 200,
            "lab_containers": "few" if platform.get("light") else "all",
        }
    print(json.dumps({"lab": {"hosts": list(hosts)}, "_meta": {"hostvars": hosts}}))


if __name__ == "__main__":
    main()
