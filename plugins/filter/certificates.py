# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What role docker_tls asks of _tls.py in its templates."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _tls


def certificates_names(asked: t.Any, listens: t.Any, facts: dict[str, t.Any], known: list[str]) -> list[str]:
    """The alternative names of a host's certificate."""
    try:
        return _tls.names(asked, listens, facts, known)
    except DrydockError as exc:
        raise AnsibleFilterError(str(exc)) from exc


def certificates_refusals(given: dict[str, t.Any]) -> list[str]:
    """A sentence for each variable that cannot be used as it is."""
    # What AWX gives to each job.
    return _tls.refusals(given, passing={"JOB_ID", "INVENTORY_ID"} <= set(os.environ))


def certificates_trouble(certificates: list[t.Any], keys: list[t.Any], called: dict[str, str], signed: bool = True) -> list[str]:
    """A sentence for each certificate or key that cannot be used."""
    return _tls.trouble(certificates, keys, called, signed)


class FilterModule:
    """Filters of this collection."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """By name."""
        return {one.__name__: one for one in (certificates_names, certificates_refusals, certificates_trouble)}


__all__ = ("FilterModule", "certificates_names", "certificates_refusals", "certificates_trouble")
