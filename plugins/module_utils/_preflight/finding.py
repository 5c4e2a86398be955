# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What preflight finds, and what it forecasts."""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import message

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that a person should know before the change.

    :param severity: error (nothing is done), warning, or note (nothing is wrong).
    """

    id: str
    severity: str
    sentence: str
    hint: str = ""

    def to_data(self) -> dict[str, str]:
        """The form that modules return."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return message(self.id, self.sentence, self.hint)


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a move would take.

    :param bytes: bytes on disk and
    :param files: entries below the data root now.
    :param changed_bytes: the part that a copy which was prepared does not have yet.
    :param outage_seconds: how long the daemon's last start and stop took; what changes while containers run is not known yet.
    :param longest_outage_seconds: the same where containers use their stop timeouts; None where one has no limit.
    """

    bytes: int
    files: int
    changed_bytes: int
    changed_files: int
    outage_seconds: float
    longest_outage_seconds: t.Optional[float]

    def to_data(self) -> dict[str, t.Any]:
        """The form that modules return."""
        return dataclasses.asdict(self)


__all__ = ("ERROR", "NOTE", "WARNING", "Finding", "Forecast")
