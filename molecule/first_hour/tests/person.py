# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A person at a controller: a virtual environment with Ansible, the collection from its tarball, ssh, and sudo with a password."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import re
import subprocess
import tempfile
import typing as t

from controller import CORES, install
from pages import EXAMPLES
from places import interpreter
from running import EPHEMERAL, address, connect

PAGE = [one.text for one in EXAMPLES if one.page.stem == "first_hour"]
# The names that the page has for the lab's hosts.
NAMES = {"host1": "host1.example.com", "client": "client.example.com", "new": "new.example.com"}
# The newest that this machine can run.
NEWEST = next(core for core in sorted(CORES, reverse=True) if interpreter(*CORES[core][0]))


@dataclasses.dataclass(frozen=True)
class Run:
    """What a person sees of a playbook.

    :param text: without colours and broken lines.
    :param changed: by host, of those that are in the recap.
    """

    good: bool
    text: str
    changed: dict[str, int]

    @property
    def warnings(self) -> list[str]:
        """What was warned of."""
        return re.findall(r"\[(?:DEPRECATION )?WARNING\].*", self.text)


class Person:
    """Runs playbooks as they are written."""

    def __init__(self, core: str) -> None:
        # A short path: the sockets of ssh's connections lie below it.
        self.directory = tempfile.TemporaryDirectory(prefix="drydock-")
        self.home = pathlib.Path(self.directory.name) / "home"
        self.programs, self.environment = install(core, self.home)
        common = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o IdentitiesOnly=yes"
        mine = {"ansible_user": "ann", "ansible_ssh_private_key_file": str(EPHEMERAL / "id"), "ansible_ssh_common_args": common}
        hosts = {name: {**mine, "ansible_host": address(connect(short)), "ansible_python_interpreter": "/usr/bin/python3"} for short, name in NAMES.items()}
        (self.home / "hosts.yml").write_text(PAGE[0])
        (self.home / "mine.yml").write_text(json.dumps({"all": {"hosts": hosts}}))
        (self.home / "password").write_text("correct horse\n")

    def play(self, playbook: str, *words: str, password: bool = True) -> Run:
        """Run a playbook.

        :param playbook: its text.
        """
        (self.home / "playbook.yml").write_text(playbook)
        command = [self.programs / "ansible-playbook", "-i", "hosts.yml", "-i", "mine.yml", "playbook.yml", *words]
        if password:
            command += ["--become-password-file", "password"]
        done = subprocess.run(
            command, cwd=self.home, env={**self.environment, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "100000"}, capture_output=True, text=True, check=False
        )
        text = done.stdout + done.stderr
        changed = {name: int(number) for name, number in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", text, re.M)}
        return Run(done.returncode == 0, text, changed)


@functools.cache
def person_with(core: str) -> Person:
    """The one with an ansible-core."""
    return Person(core)


def one(*roles: str, hosts: str = "docker_hosts", become: bool = True, **variables: t.Any) -> str:
    """The text of a playbook with one play."""
    return json.dumps([{"hosts": hosts, "become": become, "gather_facts": False, "vars": variables, "roles": [f"drydock.dockerd.{role}" for role in roles]}])


__all__ = ("NAMES", "NEWEST", "PAGE", "Person", "Run", "one", "person_with")
