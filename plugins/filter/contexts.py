# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What role docker_client asks of _contexts.py in its templates."""

from __future__ import annotations

import typing as t

from ansible_collections.drydock.dockerd.plugins.plugin_utils import _contexts


def contexts_plan(endpoints: t.Any, directory: str, default_context: str) -> dict[str, t.Any]:
    """The contexts that endpoints ask for, or why there cannot be any."""
    return _contexts.plan(endpoints, directory, default_context)


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {"contexts_plan": contexts_plan}


__all__ = ("FilterModule", "contexts_plan")
