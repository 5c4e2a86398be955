# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the tests of module_utils share: a host that only records, and states of a daemon made by hand."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.api import Engine
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.certificates import checksums
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.inventory import Container, Inventory
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, EngineError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host, Places, Result
from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import process_identity
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.state import State
from ansible_collections.drydock.dockerd.plugins.module_utils._service import systemd
from ansible_collections.drydock.dockerd.plugins.module_utils._service.containerd import Containerd
from ansible_collections.drydock.dockerd.plugins.module_utils._service.unit_file import flags_as_settings, parse_flags

FRAGMENT = "/lib/systemd/system/docker.service"
SOCKET_FRAGMENT = "/lib/systemd/system/docker.socket"
UNIT = "[Service]\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\n"


class Recorder:
    """Stands in for the host's commands: notes each, answers by the first prefix that fits, otherwise with rc 0 and nothing."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.inputs: list[bytes | None] = []
        self.answers: dict[str, tuple[int, str]] = {}

    def __call__(self, argv: t.Sequence[str], timeout: float | None, stdin: bytes | None) -> Result:
        command = " ".join(argv)
        self.commands.append(command)
        self.inputs.append(stdin)
        rc, out = next((answer for prefix, answer in self.answers.items() if command.startswith(prefix)), (0, ""))
        return Result(tuple(argv), rc, out if rc == 0 else "", out if rc else "")


class FakeEngine(Engine):
    """Answers from a table by path, EngineError where it has nothing, and notes each POST."""

    def __init__(self, answers: dict[str, t.Any]) -> None:
        super().__init__("/nowhere")
        object.__setattr__(self, "answers", answers)
        object.__setattr__(self, "posts", [])

    def _call(self, method: str, path: str, query: t.Mapping[str, t.Any]) -> t.Any:
        if method == "POST":
            self.posts.append(path)
        if method == "GET" and path not in self.answers:
            raise EngineError("api-error", f"The daemon answered {method} {path} with 404: no such thing", status=404)
        return self.answers.get(path)

    def _exchange(self, method: str, path: str, query: t.Mapping[str, t.Any]) -> bytes:
        return self._call(method, path, query)


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host whose places all lie in the temporary directory; its commands are in host.execute.commands."""
    names = [field.name for field in dataclasses.fields(Places)]
    top = tmp_path / "host"
    top.mkdir()
    monkeypatch.setattr(systemd, "_VENDOR_DIRECTORIES", (str(top / "vendor"),))
    # What else runs on the machine that runs the tests is nobody's business.
    monkeypatch.setattr(systemd, "not_installed", lambda what: DrydockError("no-engine", f"no {what}"))
    return Host(execute=Recorder(), now=lambda: 1_700_000_000.0, sleep=lambda seconds: None, places=Places(**{name: str(top / name) for name in names}))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced to the disk, in order."""
    paths: list[str] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (paths.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    return paths


@pytest.fixture
def fake_engine() -> t.Callable[..., FakeEngine]:
    return FakeEngine


@pytest.fixture
def make_container() -> t.Callable[..., Container]:
    """A running container; every field can be given another value."""

    def make(name: str = "web", **changes: t.Any) -> Container:
        fields: dict[str, t.Any] = {
            **{"id": f"id-{name}", "name": name, "image": "debian", "state": "running", "policy": "no", "max_retries": 0, "exit_code": 0},
            **{"restart_count": 0, "auto_remove": False, "needs": (), "binds": ()},
        }
        return Container(**{**fields, **changes})

    return make


@pytest.fixture
def make_unit() -> t.Callable[..., systemd.Unit]:
    """docker.service with our drop-ins by name and foreign ones by path."""

    def make(
        text: str = UNIT, ours: dict[str, str] | None = None, foreign: dict[str, str] | None = None, environment: dict[str, str] | None = None
    ) -> systemd.Unit:
        return systemd.Unit(FRAGMENT, {FRAGMENT: text, **(foreign or {})}, ours or {}, environment or {})

    return make


@pytest.fixture
def containerd(tmp_path: pathlib.Path) -> Containerd:
    """A running containerd; its process is the test's own."""
    root = tmp_path / "containerd"
    root.mkdir()
    fragment = "/lib/systemd/system/containerd.service"
    unit = systemd.Unit(fragment, {fragment: "[Service]\nExecStart=/usr/bin/containerd\n"}, {}, {})
    return Containerd(unit, os.getpid(), str(root), {})


@pytest.fixture
def make_state(make_unit: t.Callable[..., systemd.Unit]) -> t.Callable[..., State]:
    """A running daemon that has its files in force; every field can be given another value. Its process is the test's own."""

    def make(daemon_json: dict[str, t.Any] | None = None, **changes: t.Any) -> State:
        unit = changes.get("unit", make_unit())
        fields: dict[str, t.Any] = {
            "engine_version": "20.10.24+dfsg1",
            "pid": os.getpid(),
            "unit": unit,
            "daemon_json_text": None if daemon_json is None else json.dumps(daemon_json),
            "daemon_json": daemon_json or {},
            "owners": {},
            "verified": {},
            "marker": "",
            "info": {"DockerRootDir": "/var/lib/docker", "Driver": "overlay2"},
            "inventory": Inventory({}, {}, (), {}),
            "device_volumes": frozenset(),
            "mounts": [],
            "fstab": "",
            "socket": "/run/docker.sock",
            "systemd_socket": "/run/docker.sock",
            "config_file": "/etc/docker/daemon.json",
            "socket_unit": systemd.Unit(SOCKET_FRAGMENT, {SOCKET_FRAGMENT: "[Socket]\nListenStream=/var/run/docker.sock\n"}, {}, {}),
            "running_flags": flags_as_settings(parse_flags(unit.effective(unit.ours)[1:])),
        }
        fields.update(changes)
        made = State(**{"process": process_identity(fields["pid"]) if fields["pid"] else "", **fields})
        return dataclasses.replace(made, certificates_now=checksums(made.in_force))

    return make
