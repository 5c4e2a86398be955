# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Playbook awx_setup with the modules of awx.awx, against a fake of AWX's API."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import awx_api
import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
NAMES = [f"playbooks/{path.name}" for path in sorted((ROOT / "playbooks").glob("*.yml")) if path.name != "awx_setup.yml"]


class Loader(yaml.SafeLoader):
    """Reads what Ansible reads."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
# Those of the workflow, and one that needs more: each takes a second.
TEMPLATES = [
    one
    for one in yaml.load((ROOT / "playbooks/vars/awx_job_templates.yml").read_text(), Loader)["drydock_awx_job_templates"]
    if one["playbook"] in ("certificates.yml", "prepare.yml", "relocate.yml", "report.yml")
]
GIVEN = {
    "drydock_awx_job_templates": TEMPLATES, "drydock_awx_inventory": "Docker hosts", "drydock_awx_credential": "operator", "drydock_awx_scm_url": "https://git.example.org/docker.git",
}  # fmt: skip
pytestmark = pytest.mark.runs_commands


@pytest.fixture
def awx():
    return awx_api.Awx(NAMES)


def setup(awx, **variables):
    """Run the playbook; whether it failed, how much it changed, and what it printed."""
    server = awx_api.serve(awx)
    environ = {
        **os.environ, "CONTROLLER_HOST": f"http://127.0.0.1:{server.server_port}", "CONTROLLER_OAUTH_TOKEN": "token", "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_LOCALHOST_WARNING": "0", "ANSIBLE_PIPELINING": "1",
    }  # fmt: skip
    words = [sys.executable, "-m", "ansible", "playbook", str(ROOT / "playbooks/awx_setup.yml"), "-e", json.dumps({**GIVEN, **variables})]
    try:
        done = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    finally:
        server.shutdown()
    text = awx_api.plain(done.stdout + done.stderr)
    changed = int(text.rpartition("changed=")[2].split()[0])
    return done.returncode != 0, changed, text


def names(awx, kind):
    return {one["name"] for one in awx.items[kind].values()}


def test_setup_makes_all_of_it_and_then_changes_nothing(awx):
    failed, changed, text = setup(awx, drydock_awx_ca_credential="the CA")
    assert not failed, text
    assert names(awx, "job_templates") == {one["name"] for one in TEMPLATES}
    # Of two organizations that have these names.
    assert {one["inventory"] for one in awx.items["job_templates"].values()} == {2}
    certificates = next(one for one in awx.items["job_templates"].values() if one["name"] == "Docker - certificates")
    assert awx.links["job_templates", certificates["id"], "credentials"] == [3, 7]
    # Somebody's own settings, and a credential and a label more.
    certificates.update(timeout=5, description="mine", job_slice_count=4)
    awx.links["job_templates", certificates["id"], "labels"].append(awx.add("labels", {"name": "mine", "organization": 1})["id"])
    was, awx.changes[:] = json.dumps([awx.items, sorted(map(str, awx.links.items()))]), []

    failed, changed, text = setup(awx)
    assert (failed, changed, awx.changes) == (False, 0, []), text
    assert json.dumps([awx.items, sorted(map(str, awx.links.items()))]) == was


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"drydock_awx_inventory": "Hosts"}, "drydock_awx_inventory is 'Hosts', and AWX has no inventories of that name"),
        ({"drydock_awx_credential": "the CA"}, "drydock_awx_credential is 'the CA', and AWX has no machine credentials of that name"),
        ({"drydock_awx_playbook_directory": ""}, "Project 'Docker hosts' has no prepare.yml; it has playbooks/cancel.yml, playbooks/certificates.yml"),
    ],
)
def test_setup_with_a_wrong_name_says_it_once(awx, variables, words):
    failed, _changed, text = setup(awx, **variables)
    assert failed
    assert words in text
    assert len(text) < 4000
    assert "job_templates" not in awx.items


def test_setup_with_a_wrong_branch_says_why(awx):
    awx.update = {"status": "failed", "failed": True, "content": "fatal: Remote branch nowhere not found\n"}
    failed, _changed, text = setup(awx, drydock_awx_scm_branch="nowhere")
    assert failed
    assert "could not be fetched from https://git.example.org/docker.git, branch 'nowhere': fatal: Remote branch nowhere not found" in text
