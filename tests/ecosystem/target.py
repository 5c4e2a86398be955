#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What runs on the hosts, with another Python than the development's: target.py 3.9

The unit tests of module_utils, without Ansible. The labs of bullseye (3.9) and forky (3.14) run the modules on those for real.
"""

from __future__ import annotations

import sys

from places import TOP, environment, interpreter, run, skip

TESTS = TOP / "tests/unit/plugins/module_utils"
# These take minutes with any Python, and part unit runs them. test_argument_spec holds a specification against Ansible itself.
LEFT_OUT = {
    *(f"_copy/test_{name}.py" for name in ("races", "copier", "clock", "first_pass", "fanotify", "trust_index")),
    "_transaction/test_runner.py",
    "_plan/test_argument_spec.py",
}


def main(version: str) -> int:
    python = interpreter(version)
    if not python:
        skip(f"this machine has no Python {version}")
    programs = environment(f"target-{version}", python, "pytest", "hypothesis", "PyYAML", "jinja2", "cryptography")
    run(programs / "python", "-m", "pytest", "-q", *(f"--ignore={TESTS / name}" for name in sorted(LEFT_OUT)), TESTS, cwd=TOP)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
