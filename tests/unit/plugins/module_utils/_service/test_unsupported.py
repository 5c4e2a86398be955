# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import os

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._service import unsupported


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """A machine on which nothing answers to the name docker."""
    monkeypatch.setattr(unsupported, "_SNAP", str(tmp_path / "snap"))
    monkeypatch.setattr(unsupported, "_CLIENT", str(tmp_path / "docker"))
    monkeypatch.setattr(unsupported, "command_line", lambda pid: [])
    return tmp_path


def test_no_engine(nothing):
    assert str(unsupported.not_installed("docker.service")).startswith("This host has no docker.service: the engine is not installed.")


def test_a_snap(nothing):
    (nothing / "snap").mkdir()
    assert str(unsupported.not_installed("docker.service")).startswith("This host's Docker is a snap")


def test_podman_that_is_called_docker(nothing):
    (nothing / "docker").write_text('#!/bin/sh\nexec /usr/bin/podman "$@"\n')
    assert "has podman" in str(unsupported.not_installed("docker.service"))


def test_a_client_alone_is_no_podman(nothing):
    (nothing / "docker").write_bytes(b"\x7fELF podman" + bytes(1 << 17))
    assert "the engine is not installed" in str(unsupported.not_installed("docker.service"))


@pytest.mark.parametrize(("user", "rootless"), [(1000, True), (0, False)])
def test_a_rootless_daemon(nothing, monkeypatch, user, rootless):
    monkeypatch.setattr(unsupported, "_users_of_daemons", lambda: [0, user])
    assert ("is rootless: dockerd runs as user 1000" in str(unsupported.not_installed("docker.service"))) == rootless


def test_whose_each_dockerd_is(nothing, monkeypatch):
    mine = {str(os.getpid()): ["/usr/bin/dockerd", "--rootless"], str(os.getppid()): ["/usr/bin/docker"]}
    monkeypatch.setattr(unsupported, "command_line", lambda pid: mine.get(pid, []))
    assert list(unsupported._users_of_daemons()) == [os.getuid()]
