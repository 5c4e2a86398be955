# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""containerd's root is found however it was set, and nobody else's tasks are overlooked."""

from __future__ import annotations

import pathlib

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import CommandFailed
from ansible_collections.drydock.dockerd.plugins.module_utils._service import containerd as containerd_module
from ansible_collections.drydock.dockerd.plugins.module_utils._service.command import Command
from ansible_collections.drydock.dockerd.plugins.module_utils._service.containerd import (
    DEFAULT_ROOT,
    containerd_root,
    is_dockers,
    observe_containerd,
    root_flag,
    tasks_of_others,
    without_root,
)
from ansible_collections.drydock.dockerd.plugins.module_utils._service.systemd import Systemd

DUMP = "version = 3\nroot = '/srv/containerd'\nstate = '/run/containerd'\n[plugins]\n  root = '/no'\n"

COMMANDS = {
    "no root": (["containerd"], None, ["containerd"]),
    "two words": (["containerd", "--root", "/a", "--log-level", "warn"], "/a", ["containerd", "--log-level", "warn"]),
    "one word": (["containerd", "--root=/a"], "/a", ["containerd"]),
    "one dash": (["containerd", "-root", "/a"], "/a", ["containerd"]),
    "twice, the last one counts": (["containerd", "--root=/a", "--root", "/b"], "/b", ["containerd"]),
    "a flag without its value": (["containerd", "--root"], None, ["containerd"]),
}


@pytest.mark.parametrize(("command", "root", "without"), COMMANDS.values(), ids=COMMANDS)
def test_root_in_a_command(command, root, without):
    assert (root_flag(command), without_root(Command.of(" ".join(command))).argv) == (root, without)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration file, in the usual place."""
    path = tmp_path / "config.toml"
    path.write_text("")
    monkeypatch.setattr(containerd_module, "_DEFAULT_CONFIG", str(path))
    return str(path)


def test_the_flag_wins_over_the_configuration_file(host, config):
    host.execute.answers[f"containerd --config {config} config dump"] = (0, DUMP)
    host.execute.answers[f"containerd --config={config} config dump"] = (0, DUMP)
    assert containerd_root(host, ["containerd", "--config", config]) == "/srv/containerd"
    assert containerd_root(host, ["containerd", f"--config={config}"]) == "/srv/containerd"
    assert containerd_root(host, ["containerd", "--config", config, "--root", "/a"]) == "/a"
    assert containerd_root(host, ["containerd"]) == DEFAULT_ROOT


def test_a_containerd_without_a_configuration_file_is_on_its_default_root(host, config):
    """Some releases cannot dump what they start with then."""
    host.execute.answers["containerd config dump"] = (1, "failed to load TOML: no such file or directory")
    pathlib.Path(config).unlink()
    assert containerd_root(host, ["containerd"]) == DEFAULT_ROOT


def test_older_configuration_files_quote_otherwise(host, config):
    host.execute.answers["containerd config dump"] = (0, DUMP.replace("'", '"'))
    assert containerd_root(host, ["containerd"]) == "/srv/containerd"


def test_a_containerd_that_does_not_answer_is_not_taken_to_be_on_its_default_root(host, config):
    host.execute.answers["containerd config dump"] = (1, "toml: line 3: unexpected token")
    with pytest.raises(CommandFailed, match=r"'containerd config dump' failed \(rc 1\): toml: line 3: unexpected token\."):
        containerd_root(host, ["containerd"])


def test_tasks_of_others_are_told_by_their_shims():
    lines = [
        ["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", "a"],
        ["/usr/bin/containerd-shim-runc-v2", "-namespace", "plugins.moby", "-id", "a"],
        ["/usr/bin/containerd-shim-runc-v2", "-namespace", "k8s.io", "-id", "b"],
        ["/usr/bin/containerd-shim-runc-v2", "-namespace", "k8s.io", "-id", "c"],
        ["containerd-shim", "-namespace", "default", "-workdir", "/x"],
        ["grep", "-namespace", "nobody"],
    ]
    assert tasks_of_others(lines, {}) == {"k8s.io": 2, "default": 1}


NAMESPACES = [
    ("moby", {}, True),
    ("moby-100000.100000", {}, True),
    ("plugins.moby-100000.100000", {}, True),
    ("ours", {"containerd-namespace": "ours"}, True),
    ("ours-1.2", {"containerd-namespace": "ours"}, True),
    ("moby", {"containerd-namespace": "ours"}, False),
    ("plugins.ours", {"containerd-plugins-namespace": "plugins.ours"}, True),
    ("moby-other", {}, False),
    ("k8s.io", {}, False),
    ("", {}, False),
]


@pytest.mark.parametrize(("namespace", "settings", "dockers"), NAMESPACES, ids=str)
def test_dockers_namespaces(namespace, settings, dockers):
    assert is_dockers(namespace, settings) is dockers


def test_a_host_whose_dockerd_runs_containerd_itself_has_none(host):
    assert observe_containerd(host, Systemd(host), (), {}) is None


def test_a_containerd_that_is_down_is_on_the_root_of_its_unit(host):
    vendor = pathlib.Path(host.places.units)
    (vendor / "containerd.service.d").mkdir(parents=True)
    (vendor / "containerd.service").write_text("[Service]\nExecStart=/usr/bin/containerd --root /vendor\n")
    (vendor / "containerd.service.d" / "zz.conf").write_text("[Service]\nExecStart=\nExecStart=/usr/bin/containerd --root /ours\n")
    host.execute.answers["systemctl show containerd.service"] = (0, "ActiveState=inactive\nMainPID=0\n")
    there = observe_containerd(host, Systemd(host), {"zz.conf"}, {})
    assert (there.root, there.pid, there.command) == ("/ours", 0, "/usr/bin/containerd")
    assert list(there.unit.ours) == ["zz.conf"]
