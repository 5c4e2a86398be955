# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the playbooks ask of _batches.py."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _batches


def rolling_batches(value: t.Any) -> list[int | str]:
    """Sizes of batches for a play's serial."""
    try:
        return _batches.batches(value)
    except DrydockError as exc:
        raise AnsibleFilterError(str(exc)) from exc


def rolling_report(troubles: list[str], batch: list[str], everybody: list[str], present: list[str]) -> list[str]:
    """Lines that say how far a change came, when not all hosts of a batch are well."""
    return _batches.report(list(troubles), list(batch), list(everybody), set(present))


def rolling_trouble(failed: dict[str, t.Any], reached: dict[str, t.Any], findings: list[dict[str, str]]) -> str:
    """What is the matter with a host, in words."""
    return _batches.trouble(failed, reached, findings)


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {one.__name__: one for one in (rolling_batches, rolling_report, rolling_trouble)}


__all__ = ("FilterModule", "rolling_batches", "rolling_report", "rolling_trouble")
