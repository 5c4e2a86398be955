# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What role docker_engine asks of _engine_packages.py and _apt_sources.py in its templates."""

from __future__ import annotations

import typing as t

from ansible_collections.drydock.dockerd.plugins.plugin_utils import _apt_sources, _engine_packages


def engine_plan(asked: dict[str, t.Any], facts: dict[str, t.Any], installed: list[str]) -> dict[str, t.Any]:
    """What has to be done for the engine's packages, or why it cannot be."""
    return _engine_packages.plan(asked, facts, dict(line.split() for line in installed))


def engine_sources(listed: list[str], uri: str) -> dict[str, t.Any]:
    """Where else apt has Docker's repository."""
    return _apt_sources.plan(listed, uri)


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {"engine_plan": engine_plan, "engine_sources": engine_sources}


__all__ = ("FilterModule", "engine_plan", "engine_sources")
