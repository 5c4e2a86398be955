#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Molecule, with Ansible loaded once for all playbooks of a scenario: what 'molecule test --scenario-name NAME' does, some fifteen seconds sooner.

scenario.py NAME
"""

from __future__ import annotations

import importlib
import os
import pathlib
import subprocess
import sys
import typing as t

from molecule.app import App
from molecule.provisioner.ansible_playbook import AnsiblePlaybook

from molecule import shell

PLAYBOOK = "ansible-playbook"
as_a_program = App.run_command


def run_command(self: App, cmd: list[str], env: t.Any = None, cwd: pathlib.Path | None = None, **how: t.Any) -> subprocess.CompletedProcess[str]:
    """Molecule's App.run_command, that a playbook need not start from nothing."""
    if cmd[0] != PLAYBOOK:
        return as_a_program(self, cmd, env, cwd, **how)
    # As Molecule's own: what follows a warning is no part of what it reads.
    environment = {**self.runtime.environ, **(env or {}), "ANSIBLE_VERBOSE_TO_STDERR": "True"}
    # Ansible reads its configuration when it is loaded; the same for all playbooks of a scenario.
    os.environ.update({name: value for name, value in environment.items() if name.startswith("ANSIBLE_")})
    forked = importlib.import_module("forked")
    process = forked.start(cmd, environment, cwd=cwd, stdout=subprocess.PIPE, stderr=sys.stderr)
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    return subprocess.CompletedProcess(cmd, process.wait(), "".join(lines), "")


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "molecule"))
    App.run_command = run_command
    # It starts 'ansible-playbook --version' before each playbook.
    AnsiblePlaybook._validate_backend = lambda *_: None
    sys.argv = ["molecule", "test", "--scenario-name", *sys.argv[1:]]
    shell.main()
