# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""One container as modules return it. Pure."""

from __future__ import annotations

import typing as t

from .container import Container


def describe_container(one: Container, log: list[str]) -> dict[str, t.Any]:
    """One container for playbooks and reports."""
    return {
        "id": one.id,
        "name": one.name,
        "image": one.image,
        "state": one.state,
        "policy": one.policy,
        "max_retries": one.max_retries,
        "restart_count": one.restart_count,
        "exit_code": one.exit_code,
        "health": one.health,
        "started_at": one.started_at,
        "log": log,
    }


__all__ = ("describe_container",)
