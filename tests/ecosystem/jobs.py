#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Scenario awx, the playbooks of all job templates, with the oldest and the newest ansible-core: jobs.py [2.16 ...]

Too long for every run of the tests: whatever differs between releases of ansible-core in what the roles do is found here.
"""

from __future__ import annotations

import sys

from controller import CORES, programs_of
from places import TOP, run


def main(cores: list[str]) -> int:
    for core in cores or list(CORES):
        print(f"ansible-core {core}", flush=True)
        run("env", f"DRYDOCK_ANSIBLE={programs_of(core)}", "python3", TOP / "tests/run.py", "molecule:awx")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
