# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What role docker_listen asks of _firewall.py in its templates."""

from __future__ import annotations

import typing as t

from ansible_collections.drydock.dockerd.plugins.plugin_utils import _firewall


def firewall_plan(sources: t.Any, hosts: list[str]) -> dict[str, t.Any]:
    """The ports that are guarded and who is let in, or why that cannot be done."""
    return _firewall.plan(sources, hosts)


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {"firewall_plan": firewall_plan}


__all__ = ("FilterModule", "firewall_plan")
