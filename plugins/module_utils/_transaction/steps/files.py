# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Write or remove one file."""

from __future__ import annotations

import typing as t

from ..._errors import DrydockError
from ..._host import files
from ..._plan.order import REMOVE, WRITE
from ..._plan.plan import FileChange
from .base import Step


class Write(Step):
    """Write a file of the plan."""

    name = WRITE

    @property
    def change(self) -> FileChange:
        """The file, which the step's text names."""
        path = self.text.partition(" ")[2]
        return next(one for one in self.plan.files if one.path == path)

    def apply(self) -> None:
        change = self.change
        if files.read(change.path) not in (change.before, change.after, self.context.live_restore_text(change.path)):
            raise DrydockError("file-changed", f"{change.path} was changed by somebody else since this change was planned.", "Run again.")
        files.put(change.path, change.after)

    def put_back(self, line: dict[str, t.Any]) -> None:
        self.context.put_back(self.change.path, self.change.before, self.change.after)

    def undo(self, line: dict[str, t.Any]) -> str:
        self.put_back(line)
        return "The old configuration was restored."


class Remove(Write):
    """Remove a file of the plan."""

    name = REMOVE


__all__ = ("Remove", "Write")
