# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The engine's moments.

In a module that needs nothing else: Ansible loads all filters of a collection in each task that uses one, and the report's filters compare moments.
"""

from __future__ import annotations

import datetime
import re

from .._errors import DrydockError


def seconds(moment: str) -> float:
    """One of the engine's moments as seconds since the epoch. Pure."""
    match = re.fullmatch(r"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?(Z|[+-]\d+:\d+)", moment)
    if match is None:
        raise DrydockError("api-error", f"The daemon tells the time as '{moment}'.", "That is no form that is known here.")
    zone = "+00:00" if match[3] == "Z" else match[3]
    return datetime.datetime.fromisoformat(match[1] + zone).timestamp() + float(match[2] or 0)


__all__ = ("seconds",)
