# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Each playbook on a page for users, run as it is shown."""

from __future__ import annotations

import ipaddress
import json

import forked
import pytest
from pages import EXAMPLES, PLAYBOOKS, Example
from running import EPHEMERAL, address, connect

# With what cannot be had here.
NOT_HERE = {"docs/awx.md:1": "an AWX"}
# The inventory of the README, which belongs to the playbook behind it. Both come first, on a host that nobody has touched; then the page whose certificates the
# others take as given.
INVENTORY = next(one for one in EXAMPLES if str(one) == "README.md:1")
FIRST = "README.md:2"
CERTIFICATES = "roles/docker_tls/README.md:1"
# Those that have a scenario of their own.
ELSEWHERE = {str(one) for one in PLAYBOOKS if one.page.stem in ("first_hour", "image_store")}
# Roles, and what they do, that others show as well; 'make test-all' runs them.
EXTRA = {
    *("roles/docker_listen/README.md:2", "roles/docker_engine/README.md:2", "docs/docsite/rst/certificates.rst:1"),
    *("docs/docsite/rst/containers.rst:1", "docs/docsite/rst/options.rst:2"),
}
HERE = sorted((one for one in PLAYBOOKS if str(one) not in {*NOT_HERE, *ELSEWHERE}), key=lambda one: (str(one) != FIRST, str(one) != CERTIFICATES))


@pytest.fixture(scope="module")
def inventory() -> str:
    """One host under all names."""
    variables = connect("trixie").ansible.get_variables()
    host = {name: value for name, value in variables.items() if name.startswith("ansible_") and isinstance(value, str)}
    groups = {"docker_hosts": "host1", "build": "build.example.com", "web": "web1.example.com"}
    path = EPHEMERAL / "examples.yml"
    path.write_text(json.dumps({group: {"hosts": {name: host}} for group, name in groups.items()}))
    return str(path)


def fitted(text: str) -> str:
    """With an address that the host has."""
    here = address(connect("trixie"))
    return text.replace("10.0.0.0/24", str(ipaddress.ip_network(f"{here}/16", strict=False))).replace("10.0.0.5", here)


@pytest.mark.parametrize("example", [pytest.param(one, id=str(one), marks=[pytest.mark.extra] if str(one) in EXTRA else []) for one in HERE])
def test_an_example_does_what_it_says(example: Example, inventory: str) -> None:
    book, hosts = EPHEMERAL / "example.yml", EPHEMERAL / "hosts.yml"
    book.write_text(fitted(example.text))
    hosts.write_text(fitted(INVENTORY.text) if example.page == INVENTORY.page else "{}")
    words = ["ansible-playbook", "--inventory", inventory, "--inventory", str(hosts), str(book)]
    if "ansible.builtin.import_playbook" in example.content[0]:
        # What the survey of the job template asks for.
        words += ["--extra-vars", json.dumps({"target": "docker_hosts", "docker_data_root_path": "/mnt/data/docker"})]
    changes = []
    # Of the first page everything has to hold: what check mode says of it, and that it is done then.
    for more in (["--check"], [], []) if str(example) == FIRST else ([],):
        done = forked.run([*words, *more], {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "HOME": str(EPHEMERAL)})
        # What is said on the way leaves it JSON.
        told = json.loads(done.stdout)
        results = [result for play in told["plays"] for task in play["tasks"] for result in task["hosts"].values()]
        assert [one["msg"] for one in results if one.get("failed")] == []
        assert (done.returncode, len(told["stats"])) == (0, 1)
        changes.append(next(iter(told["stats"].values()))["changed"] > 0)
    if str(example) == FIRST:
        assert changes == [True, True, False]


def test_only_what_needs_more_than_a_host_is_left_out() -> None:
    assert len(HERE) >= 15
    assert {str(one) for one in HERE} > EXTRA
    assert {str(one) for one in PLAYBOOKS} - {str(one) for one in HERE} == {*NOT_HERE, *ELSEWHERE}
