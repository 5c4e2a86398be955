# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What answers to the name docker and is no dockerd of the system, so that nothing here can look after it."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._errors import DrydockError
from .._host import files
from .._host.processes import command_line

_SNAP = "/snap/docker/current"
_CLIENT = "/usr/bin/docker"


def not_installed(what: str) -> DrydockError:
    """Why a host has no engine that can be looked after.

    :param what: what is missing, as docker.service.
    """
    if os.path.exists(_SNAP):
        return DrydockError(
            "no-engine",
            "This host's Docker is a snap: its daemon.json, its data and its unit belong to snapd, which would undo what is changed there.",
            "Install the engine from packages and remove the snap.",
        )
    if "podman" in (files.read(_CLIENT) or "" if _is_script(_CLIENT) else ""):
        return DrydockError(
            "no-engine",
            f"This host has podman: {_CLIENT} only calls it, and there is no Docker daemon.",
            "Remove the package podman-docker and install the engine.",
        )
    users = sorted(set(_users_of_daemons()) - {0})
    if users:
        return DrydockError(
            "no-engine",
            f"This host's Docker is rootless: dockerd runs as user {users[0]}, as a unit of that user's own.",
            "Install the engine for the system; a rootless one is its user's to configure.",
        )
    return DrydockError(
        "no-engine",
        f"This host has no {what}: the engine is not installed.",
        "Install it first, from the package docker.io or docker-ce.",
    )


def _is_script(path: str) -> bool:
    """Whether it is a few lines, and not a program of some dozen megabytes."""
    return os.path.isfile(path) and os.path.getsize(path) < 1 << 16


def _users_of_daemons() -> t.Iterator[int]:
    """As whom each dockerd runs."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if os.path.basename((command_line(pid) or [""])[0]) == "dockerd":
            with contextlib.suppress(OSError):
                yield os.stat(f"/proc/{pid}").st_uid


__all__ = ("not_installed",)
