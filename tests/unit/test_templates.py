# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What a role's templates make systemd run does what it is for."""

from __future__ import annotations

import pathlib
import subprocess

import jinja2
import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils import _unit

TEMPLATES = pathlib.Path(__file__).resolve().parents[2] / "roles"
GUARD = TEMPLATES / "docker_data_root/templates/etc/systemd/system/docker.service.d/zz-drydock-data-root.conf.j2"


@pytest.mark.runs_commands
def test_the_daemon_starts_only_where_its_marker_is(tmp_path: pathlib.Path) -> None:
    """On an absent or wrong disk its command must not be reached, and its words must say why."""
    marker = ".drydock-root-1"
    text = jinja2.Template(GUARD.read_text()).render(docker_data_root_path=str(tmp_path), data_root_marker=marker, data_root_mount="mnt.mount")
    assert (_unit.values([text], "Unit", "Wants"), _unit.values([text], "Unit", "After")) == (["mnt.mount"], ["mnt.mount"])
    (command,) = _unit.values([text], "Service", "ExecStartPre")

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(_unit.split(command), capture_output=True, text=True, check=False)

    (tmp_path / ".drydock-root-2").touch()
    wrong = start()
    assert wrong.returncode == 1
    assert f"drydock: the data root {tmp_path} is not there" in wrong.stderr
    assert marker in wrong.stderr
    (tmp_path / marker).touch()
    assert (start().returncode, start().stderr) == (0, "")
