# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""One mechanism for everything that touches the daemon: apply a plan step by step, prove the result, undo on any failure.

Each step is noted in the journal before it acts, with all that undoing it needs, so that undoing reads nothing but the journal:
it works the same in this process and in the next one after a crash. Up to the release of the containers the new state has
written nothing that the old one lacks, and undoing loses nothing; from the release on there is no undoing.
"""

from __future__ import annotations

import time
import typing as t

from .._errors import DrydockError, unexpected, wrapping
from .._host import files
from .._host.host import Host
from .._observe import records
from .._plan.order import steps_of
from .._plan.plan import Plan
from .journal import Journal
from .outcome import Outcome
from .steps.base import Context, Step
from .steps.commit import committed_records
from .steps.table import step_of
from .verified import record_verified

# For what a change adds to the records: the settings that were proved, and the moves.
_RECORDS_ROOM = 16 << 10


class Transaction:
    """A plan under way; its journal is open."""

    def __init__(self, host: Host, plan: Plan, journal: Journal) -> None:
        self.context = Context(host, plan, journal)
        self.host, self.plan, self.journal = host, plan, journal

    def run(self) -> Outcome:
        """Apply the whole plan.

        :raises DrydockError: it failed and everything was undone; the message says what failed and what was restored.
        """
        try:
            self._stage()
        except Exception as exc:
            # A file that may not be changed, or a full disk: the journal has to be closed, or nobody could do anything here any more.
            raise self._undone("prepare", exc) from exc
        outcome = self.context.outcome
        try:
            for text in steps_of(self.plan):
                self._do(text)
        finally:
            for copier in self.context.copiers.values():
                copier.untrack()
        outcome.applied = self.plan.effect
        record_verified(self.host, self.plan, outcome)
        self.close()
        return outcome

    def _do(self, text: str) -> None:
        began = time.monotonic()
        try:
            self.context.do(step_of(self.context, text))
        except Exception as exc:
            if not self.is_undoable:
                raise _unfinished(text, exc) from exc
            raise self._undone(text, exc) from exc
        self.context.took(text, began)

    def _stage(self) -> None:
        """Write every file beside its place, so that a disk that fills up later stops neither the change nor its undoing."""
        for change in self.plan.files:
            files.stage(change.path, change.after)
        path, text = records.path_of(self.host), committed_records(self.context)
        files.stage(path, text, 0o600)
        # What will be in force and was moved comes to it in the end.
        files.reserve(path, 2 * len(text) + _RECORDS_ROOM)

    def close(self) -> str:
        """Remove what was staged and close the journal; returns where it is kept."""
        for path in (*(change.path for change in self.plan.files), records.path_of(self.host)):
            files.unstage(path)
        return self.journal.close()

    @property
    def is_undoable(self) -> bool:
        """Whether nothing was begun yet that cannot be undone."""
        return all(step.undoable for step, _line in self._begun())

    def undo(self) -> str:
        """Undo what the journal says was begun, the latest first; prove the old state.

        :returns: a sentence about what was restored.
        :raises DrydockError: something could not be undone; the journal stays open.
        """
        said = [step.undo(line) for step, line in self._begun()]
        if self.plan.effect == "none" and self.plan.unit_changes:
            self.context.service.reload_units()
        # A step that undid more says the same and goes on.
        told = [one for one in dict.fromkeys(said) if one and not any(other != one and other.startswith(one.rstrip(".")) for other in said)]
        return " ".join(told) or "Nothing had been changed."

    def undo_files(self) -> None:
        """Undo what a boot would start the daemon with, and nothing else: for the time before it starts."""
        for step, line in self._begun():
            step.put_back(line)

    def _begun(self) -> list[tuple[Step, dict[str, t.Any]]]:
        """What was begun, the latest first: all of it is known before the first is undone."""
        return [(step_of(self.context, line["step"]), line) for line in self.context.begun()]

    def _undone(self, text: str, cause: Exception) -> DrydockError:
        """Undo everything and make the one message of it."""
        sentence, hint = _words(cause)
        try:
            restored = self.undo()
        except Exception as exc:
            return wrapping(cause, "step-failed", f"Failed at '{text}': {sentence}. Undoing failed as well: {_words(exc)[0]}. The next run tries again.", hint)
        evidence = self.close()
        return wrapping(cause, "step-failed", f"Failed at '{text}': {sentence}. {restored} Evidence: {evidence} and {self.context.service.log}.", hint)


def _words(cause: Exception) -> tuple[str, str]:
    return unexpected(cause).sentence.rstrip("."), cause.hint if isinstance(cause, DrydockError) else ""


def _unfinished(text: str, cause: Exception) -> DrydockError:
    sentence, hint = _words(cause)
    return wrapping(
        cause, "step-failed", f"The change is in force and the containers were started, but '{text}' failed: {sentence}. The next run goes on from there.", hint
    )


__all__ = ("Transaction",)
