# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The guard itself: without it a unit test could change the machine that runs it."""

from __future__ import annotations

import os
import subprocess

import pytest

STARTERS = {
    "subprocess.run": lambda: subprocess.run(["true"], check=False),
    "os.system": lambda: os.system("true"),
    "os.popen": lambda: os.popen("true"),
    "os.posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
}


@pytest.mark.parametrize("start", STARTERS.values(), ids=STARTERS)
def test_commands_are_errors(start):
    with pytest.raises(AssertionError, match="tried to run"):
        start()


@pytest.mark.runs_commands
def test_marked_tests_may_run_commands():
    assert subprocess.run(["true"], check=False).returncode == 0
