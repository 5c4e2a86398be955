# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What role docker_containers asks of _containers_plan.py in its templates."""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _containers_plan


def containers_archives(listed: t.Any) -> list[str]:
    """Paths of the archives that a list of containers names."""
    try:
        items = _containers_plan.to_list(listed)
    except DrydockError:
        # The plan says why.
        return []
    return [str(item["image_archive"]) for item in items if isinstance(item, dict) and item.get("image_archive")]


def containers_plan(listed: t.Any, now: dict[str, t.Any], purge: t.Any, check: bool = False, take_over: t.Any = ()) -> dict[str, t.Any]:
    """What has to be done, or why nothing may be."""
    try:
        return _containers_plan.plan(listed, now, _is_true(purge), check, take_over)
    except DrydockError as exc:
        return {"refusals": [str(exc)]}


def containers_trouble(listed: t.Any, before: list[dict[str, t.Any]], after: list[dict[str, t.Any]]) -> list[str]:
    """A sentence for each container that does not run as its policy says."""
    return _containers_plan.trouble(listed, before, after)


def _is_true(purge: t.Any) -> bool:
    if purge is None or not str(purge).strip():
        return False
    try:
        return bool(boolean(purge))
    except TypeError as exc:
        raise DrydockError("variable-value", f"docker_containers_purge is {purge!r}.", "Give true or false.") from exc


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {one.__name__: one for one in (containers_archives, containers_plan, containers_trouble)}


__all__ = ("FilterModule", "containers_archives", "containers_plan", "containers_trouble")
