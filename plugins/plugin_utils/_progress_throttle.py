# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""How many lines of progress a person can bear. Pure."""

from __future__ import annotations

import re
import time
import typing as t

# How often the lines of all hosts together may come, in seconds, and each host's own: a share of the time that it has taken already.
_SECONDS, _SHARE = 10, 1 / 60
# A worker says this every ten seconds of a long copy; each of its other lines is a phase.
_PROGRESS = re.compile(r"warm copy: \d+ %")


class Pace:
    """Lets lines of progress through at a pace that neither many hosts nor many hours turn into a flood: AWX shows 4000 events of a job.

    :param hosts: how many hosts say something at the same time.
    """

    def __init__(self, hosts: int, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._hosts, self._clock = max(1, hosts), clock
        self._began = self._told = clock()

    def lets(self, line: str) -> bool:
        """Whether this line is shown."""
        if not _PROGRESS.match(line):
            return True
        now = self._clock()
        # The lines are ten seconds apart by another clock.
        if now - self._told < max(_SECONDS * self._hosts, (now - self._began) * _SHARE) - 1:
            return False
        self._told = now
        return True


def together(variables: t.Mapping[str, t.Any]) -> int:
    """How many hosts of a play are changed at the same time, as far as its variables say so."""
    return min(len(variables.get("ansible_play_batch") or [1]), int(variables.get("ansible_forks") or 1))


__all__ = ("Pace", "together")
