# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The commit point."""

from __future__ import annotations

import typing as t

from ..._host import files
from ..._observe import records
from ..._observe.records import Records
from ..._plan.order import COMMIT
from .base import Context, Step


class Commit(Step):
    """From here on a crash goes forward."""

    name = COMMIT

    def facts(self) -> dict[str, t.Any]:
        return {"text": files.read(records.path_of(self.host))}

    def apply(self) -> None:
        files.put(records.path_of(self.host), committed_records(self.context), 0o600)
        self.context.journal.commit()

    def put_back(self, line: dict[str, t.Any]) -> None:
        files.put(records.path_of(self.host), line["text"])

    def undo(self, line: dict[str, t.Any]) -> str:
        self.put_back(line)
        self.context.journal.revoke()
        return ""


def committed_records(context: Context) -> str:
    """What is kept on the host from the commit on, as text: who asks for what, and which markers are looked for."""
    there, plan = records.load(context.host), context.plan
    return Records(plan.owners, there.verified, plan.marker, plan.history, plan.containerd_marker, there.files).text()


__all__ = ("Commit", "committed_records")
