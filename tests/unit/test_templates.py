# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What a role's templates make systemd run does what it is for."""

from __future__ import annotations

import pathlib
import subprocess

import jinja2
import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._service import unit_file
from ansible_collections.drydock.dockerd.plugins.module_utils._service.command import words_of

TEMPLATES = pathlib.Path(__file__).resolve().parents[2] / "roles"
UNITS = TEMPLATES / "docker_data_root/templates/etc/systemd/system"


# Each drop-in with a guard, the tree that it is about, and how its templates call that.
GUARDS = {
    "docker.service.d/zz-drydock-data-root.conf.j2": ("data root", "docker_data_root_path", "data_root"),
    "docker.service.d/zz-drydock-containerd.conf.j2": ("root of containerd", "docker_data_root_containerd_path", "containerd"),
    "containerd.service.d/zz-drydock-containerd.conf.j2": ("root of containerd", "docker_data_root_containerd_path", "containerd"),
}


@pytest.mark.runs_commands
@pytest.mark.parametrize("name", GUARDS)
def test_the_daemon_starts_only_where_its_marker_is(tmp_path: pathlib.Path, name: str) -> None:
    """On an absent or wrong disk its command must not be reached, and its words must say why."""
    what, path, prefix = GUARDS[name]
    marker = ".drydock-root-1"
    variables = {path: str(tmp_path), f"{prefix}_marker": marker, f"{prefix}_mount": "mnt.mount", "containerd_command": "containerd --debug"}
    text = jinja2.Template((UNITS / name).read_text(), undefined=jinja2.StrictUndefined).render(variables)
    assert (unit_file.values([text], "Unit", "Wants"), unit_file.values([text], "Unit", "After")) == (["mnt.mount"], ["mnt.mount"])
    (command,) = unit_file.values([text], "Service", "ExecStartPre")
    starts = [f"containerd --debug --root {tmp_path}"] if name.startswith("containerd") else []
    assert unit_file.values([text], "Service", "ExecStart") == starts

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(words_of(command), capture_output=True, text=True, check=False)

    (tmp_path / ".drydock-root-2").touch()
    wrong = start()
    assert wrong.returncode == 1
    assert f"drydock: the {what} {tmp_path} is not there" in wrong.stderr
    assert marker in wrong.stderr
    (tmp_path / marker).touch()
    assert (start().returncode, start().stderr) == (0, "")
