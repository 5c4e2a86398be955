# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What role docker_containers asks of _wanted.py in its templates."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _wanted


def containers_archives(listed: t.Any) -> list[str]:
    """Paths of the archives that a list of containers names."""
    return [str(item["image_archive"]) for item in _call(_wanted.to_list, listed) if isinstance(item, dict) and item.get("image_archive")]


def containers_plan(listed: t.Any, now: dict[str, t.Any], purge: t.Any, check: bool = False) -> dict[str, t.Any]:
    """What has to be done, or why nothing may be."""
    return _call(lambda: _wanted.plan(listed, now, boolean(purge) if str(purge).strip() else False, check))


def containers_trouble(listed: t.Any, before: list[dict[str, t.Any]], after: list[dict[str, t.Any]]) -> list[str]:
    """A sentence for each container that does not run as its policy says."""
    return _call(_wanted.trouble, listed, before, after)


def _call(function: t.Callable[..., t.Any], *arguments: t.Any) -> t.Any:
    try:
        return function(*arguments)
    except (ValueError, TypeError) as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {one.__name__: one for one in (containers_archives, containers_plan, containers_trouble)}


__all__ = ("FilterModule", "containers_archives", "containers_plan", "containers_trouble")
