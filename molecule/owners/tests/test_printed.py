# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What a person sees of a play with several roles, and of one that begins in the middle of a role."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import forked
import pytest
from running import EPHEMERAL, INVENTORY

VARIABLES = {
    "docker_listen_addresses": ["fd://", "tcp://127.0.0.1:2375"],
    "docker_options_settings": {"debug": True},
    "docker_data_root_path": "/var/lib/docker",
    "docker_tls_ca_dir": str(EPHEMERAL / "ca"),
    "docker_client_endpoints": [{"name": "one", "host": "tcp://192.0.2.1:2376"}],
    "docker_client_default_context": "one",
    "docker_containers_list": [{"name": "one", "image": "lab:busybox"}],
    "docker_report_path": str(EPHEMERAL / "report.html"),
}
# A third of the 84 that it was of six roles would be 28.
MOST_TASKS, MOST_SKIPPED = 16, 5


def play(host: t.Any, directory: pathlib.Path, roles: t.Sequence[str], *options: str) -> tuple[int, str]:
    """Run a play of roles as a person does; its return code, and what it printed."""
    path = directory / "play.yml"
    one = {"hosts": host.ansible.get_variables()["inventory_hostname"], "become": True, "gather_facts": False, "vars": VARIABLES}
    path.write_text(json.dumps([{**one, "roles": [f"drydock.dockerd.{role}" for role in roles]}]))
    done = forked.run(["ansible-playbook", "--inventory", str(INVENTORY), str(path), *options])
    return done.returncode, done.stdout + (done.stderr or "")


def test_a_play_with_nothing_to_do_prints_little(host: t.Any, tmp_path: pathlib.Path) -> None:
    roles = ("docker_engine", "docker_listen", "docker_options")
    play(host, tmp_path, roles)
    code, out = play(host, tmp_path, roles)
    assert code == 0, out
    assert "changed=0" in out
    tasks = re.split(r"^TASK \[", out.partition("PLAY RECAP")[0], flags=re.MULTILINE)[1:]
    assert len(tasks) <= MOST_TASKS, out
    assert len([one for one in tasks if "skipping: [" in one]) <= MOST_SKIPPED, out


@pytest.mark.parametrize(
    "roles",
    [
        ("docker_engine",),
        *(
            pytest.param(roles, marks=pytest.mark.extra)
            for roles in (
                ("docker_tls", "docker_listen"),
                ("docker_options",),
                ("docker_data_root",),
                ("docker_daemon",),
                ("docker_client",),
                ("docker_containers",),
                ("docker_report",),
            )
        ),
    ],
    ids=" ".join,
)
def test_a_role_that_is_begun_in_its_middle_works_or_says_with_what_to_begin(host: t.Any, tmp_path: pathlib.Path, roles: t.Sequence[str]) -> None:
    _code, listed = play(host, tmp_path, roles, "--list-tasks")
    names = [name for name in re.findall(r"^      (\S.*?)\s+TAGS: ", listed, re.MULTILINE) if "Validating arguments" not in name]
    assert names
    for name in names:
        code, out = play(host, tmp_path, roles, "--check", "--start-at-task", name)
        assert "No matching task" not in out, name
        assert "undefined" not in out, out
        assert code == 0 or re.search(r"\[(begun-midway|image-missing)\]", out), out
