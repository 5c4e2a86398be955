# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""No unit test touches the machine: a command is an error unless the test is marked for it, and nothing waits for the disk."""

from __future__ import annotations

import os
import subprocess
import typing as t

import pytest

_MARKER = "runs_commands"
_STARTERS = ("system", "execv", "execve", "execl", "execle", "execlp", "execlpe", "execvp", "execvpe", "posix_spawn", "posix_spawnp")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{_MARKER}: the test really runs commands, in its own temporary directory")


@pytest.fixture(autouse=True)
def no_commands(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every way to start a command an error."""
    if request.node.get_closest_marker(_MARKER):
        return

    def refuse(*args: t.Any, **_options: t.Any) -> t.NoReturn:
        raise AssertionError(f"a unit test tried to run {args!r}; inject a Host, or mark the test with {_MARKER}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for name in _STARTERS:
        monkeypatch.setattr(os, name, refuse)


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may have a daemon: its socket stays where it is."""

    def guarded(act: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        def checked(path: t.Any, *more: t.Any, **options: t.Any) -> t.Any:
            if os.path.realpath(os.fspath(path)) in ("/run/docker.sock", "/run/.drydock-api"):
                raise AssertionError(f"a unit test tried to touch {path}")
            return act(path, *more, **options)

        return checked

    for name in ("rename", "replace", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test writes has to outlive nothing; that it is synced is noted where it matters."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
