# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Jobs as AWX runs them: a private data directory for ansible-runner, the survey's answers as !unsafe extra variables, a machine credential."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import typing as t

import ansible_runner
import yaml
from running import EPHEMERAL, PLAYBOOKS, address

ROOT = PLAYBOOKS.parent
PASSWORD = "of the operator"  # see prepare.yml
# The jobs' own Ansible, where tests/ecosystem/jobs.py asks for another one than the tests'.
HERE = {"PATH": os.pathsep.join(filter(None, (os.environ.get("DRYDOCK_ANSIBLE"), os.environ["PATH"]))), "PYTHONPATH": ""}


class _Loader(yaml.SafeLoader):
    """Reads what Ansible reads."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
DATA = yaml.load((PLAYBOOKS / "vars" / "awx_job_templates.yml").read_text(), _Loader)
TEMPLATES: dict[str, dict[str, t.Any]] = {one["playbook"].removesuffix(".yml"): one for one in DATA["drydock_awx_job_templates"]}


@dataclasses.dataclass(frozen=True)
class Job:
    """What a job left: its status, its events, and all of that as text."""

    status: str
    events: list[dict[str, t.Any]]
    text: str

    def of(self, kind: str) -> list[dict[str, t.Any]]:
        """Events of one kind."""
        return [one for one in self.events if one["event"] == kind]

    @property
    def artifacts(self) -> dict[str, dict[str, t.Any]]:
        """What the job hands to the next one of a workflow, by host."""
        (end,) = self.of("playbook_on_stats")
        return end["event_data"]["artifact_data"]["drydock_dockerd"]

    @property
    def messages(self) -> dict[str, str]:
        """What is the matter, by host."""
        return {host: str(one["msg"]) for host, one in self.artifacts.items() if one["failed"]}


def defaults(name: str) -> dict[str, t.Any]:
    """What AWX sends for a survey that nobody filled in: text is empty text, a number or a choice without a default is not there."""
    survey = TEMPLATES[name]["survey"]
    return {one["variable"]: one["default"] for one in survey if one["default"] != "" or one["type"] in ("text", "textarea", "password")}


def install() -> pathlib.Path:
    """What a project update does with this repository as the project; where the collection is."""
    place = EPHEMERAL / "requirements_collections"
    if not place.exists():
        words = [
            "ansible-galaxy",
            "collection",
            "install",
            "--offline",
            "--requirements-file",
            "collections/requirements.yml",
            "--collections-path",
            str(place),
        ]
        subprocess.run(words, check=True, cwd=ROOT, capture_output=True, env={**os.environ, **HERE, "ANSIBLE_COLLECTIONS_PATH": str(place)})
    return place


def launch(
    host: t.Any,
    name: str,
    answers: dict[str, t.Any],
    *options: str,
    credential: dict[str, str] | None = None,
    variants: dict[str, dict[str, t.Any]] | None = None,
) -> Job:
    """Run a template's playbook on a lab host.

    :param credential: extra variables of a custom credential type.
    :param variants: further answers by a host's name; all these hosts are the lab host.
    """
    top = EPHEMERAL / "job"
    shutil.rmtree(top, ignore_errors=True)
    for directory in ("env", "inventory"):
        (top / directory).mkdir(parents=True)
    (top / "project").symlink_to(ROOT)
    where = {"ansible_host": address(host)}
    hosts = {one: {**where, **given} for one, given in (variants or {"trixie": {}}).items()}
    (top / "inventory" / "hosts.yml").write_text(f"all:\n  hosts:\n{''.join(f'    {one}: {unsafe(given)}{chr(10)}' for one, given in hosts.items())}")
    (top / "env" / "extravars").write_text(unsafe({**answers, "awx_job_id": 1, "tower_job_id": 1}))
    (top / "env" / "passwords").write_text(json.dumps({r"^BECOME password.*:\s*?$": PASSWORD}))
    (top / "env" / "ssh_key").write_text((EPHEMERAL / "operator").read_text())
    words = ["--user operator --become --become-method sudo --ask-become-pass", *options]
    if credential:
        (top / "env" / "credential").write_text(unsafe(credential))
        words.append(f"-e @{top}/env/credential")
    settings = {
        **HERE,
        "ANSIBLE_COLLECTIONS_PATH": str(install()),
        "ANSIBLE_CONFIG": str(top / "none.cfg"),
        "ANSIBLE_HOST_KEY_CHECKING": "False",
        "ANSIBLE_FORCE_COLOR": "True",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(top / "cp"),
    }
    run = ansible_runner.run(
        private_data_dir=str(top), playbook=f"playbooks/{TEMPLATES[name]['playbook']}", cmdline=" ".join(words), envvars=settings, quiet=True, ident="1"
    )
    files = sorted((top / "artifacts" / "1" / "job_events").glob("*.json"))
    return Job(
        run.status, sorted(map(load, files), key=lambda one: one["counter"]), "\n".join(path.read_text() for path in [*files, top / "artifacts/1/stdout"])
    )


def load(path: pathlib.Path) -> dict[str, t.Any]:
    return json.loads(path.read_text())


def unsafe(value: t.Any) -> str:
    """As AWX writes extra variables: nothing that somebody typed is ever a template."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{unsafe(key)}: {unsafe(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(unsafe, value)) + "]"
    return f"!unsafe {json.dumps(value)}" if isinstance(value, str) else json.dumps(value)


__all__ = ("DATA", "PASSWORD", "TEMPLATES", "Job", "defaults", "launch")
