# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What drop-in templates and lists of addresses write where only the host knows the value. Pure."""

from __future__ import annotations

import os
import typing as t

from .._engine.addresses import DEFAULT_HOST

# What a drop-in template writes where the name of the marker file in the data root belongs.
MARKER_MARK = "@data_root_marker@"
# What a template writes for the data root where only the host knows it: when a move is taken back.
PATH_MARK = "@data_root@"
# And for the unit that mounts its file system.
MOUNT_MARK = "@data_root_mount@"
# What a list of addresses has for the local socket, and for one that only root can use; here as dockerd makes them itself.
LOCAL_SOCKET_MARK, ROOT_SOCKET_MARK = "@local_socket@", "@root_socket@"
SOCKET_MARKS = {LOCAL_SOCKET_MARK: DEFAULT_HOST, ROOT_SOCKET_MARK: "unix:///run/drydock-docker.sock"}


def drop_ins_of_docker(drop_ins: t.Mapping[str, str]) -> dict[str, str]:
    """The drop-ins of docker.service: those that name no other unit's directory."""
    return {name: text for name, text in drop_ins.items() if "/" not in name}


def drop_ins_of(unit: str, drop_ins: t.Mapping[str, str]) -> dict[str, str]:
    """The drop-ins of another unit, by their names there."""
    return {os.path.basename(name): text for name, text in drop_ins.items() if name.startswith(f"{unit}.d/")}


def substitute(text: str, marks: t.Mapping[str, str]) -> str:
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text


__all__ = (
    "MARKER_MARK",
    "MOUNT_MARK",
    "PATH_MARK",
    "ROOT_SOCKET_MARK",
    "SOCKET_MARKS",
    "drop_ins_of",
    "drop_ins_of_docker",
    "substitute",
)
