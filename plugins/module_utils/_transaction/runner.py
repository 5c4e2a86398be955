# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""One mechanism for everything that touches the daemon: apply a plan step by step, prove the result, undo on any failure.

Each step is noted in the journal before it acts, with all that undoing it needs, so that undoing reads nothing but the journal:
it works the same in this process and in the next one after a crash. Up to the release of the containers the new state has
written nothing that the old one lacks, and undoing loses nothing; from the release on there is no undoing.

Undoing brings the daemon up first, each step of it on its own, and looks afterwards. What cannot be brought back is told as a difference, and
the journal is closed all the same: the next run starts from what is.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

from .._engine import running_set
from .._errors import DrydockError, unexpected, wrapping
from .._host import files
from .._host.host import Host
from .._observe import records
from .._observe.down import note_down
from .._plan.order import INSTALL_PACKAGES, RELEASE, STOP, steps_of
from .._plan.plan import DaemonConfig, Plan
from .journal import Journal
from .outcome import Outcome
from .steps.base import Context, Step
from .steps.commit import committed_records
from .steps.prove import prove
from .steps.table import step_of
from .verified import record_verified

# For what a change adds to the records: the settings that were proved, and the moves.
_RECORDS_ROOM = 16 << 10


class Transaction:
    """A plan under way; its journal is open."""

    def __init__(self, host: Host, plan: Plan, journal: Journal) -> None:
        # Where the daemon reads its configuration elsewhere.
        config_file = next((line["config_file"] for line in journal.lines() if line.get("config_file")), "")
        host = host.reading(config_file) if config_file else host
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
        outcome.failures += self.told_differences()
        self.keep_records()
        self.close()
        return outcome

    def _do(self, text: str) -> None:
        began = time.monotonic()
        try:
            self.context.do(step_of(self.context, text))
        except Exception as exc:
            if self.is_undoable:
                raise self._undone(text, exc) from exc
            # The new state is in force and containers run on it: what is left is done all the same.
            self.context.outcome.failures.append(f"'{text}' failed: {_words(exc)[0]}.")
            if text == RELEASE:
                self.come_up(self.plan.after)
        self.context.took(text, began)

    def _stage(self) -> None:
        """Write every file beside its place, so that a disk that fills up later stops neither the change nor its undoing."""
        for change in self.plan.files:
            files.stage(change.path, change.after)
        path, text = records.path_of(self.host), committed_records(self.context)
        files.stage(path, text, 0o600)
        # What will be in force and was moved comes to it in the end.
        files.reserve(path, 2 * len(text) + _RECORDS_ROOM)

    def keep_records(self) -> None:
        """Note what is in force and what was moved; where that fails, the change is done all the same."""
        try:
            record_verified(self.host, self.plan, self.context.outcome)
        except Exception as exc:
            self.context.outcome.failures.append(f"What is in force could not be noted: {_words(exc)[0]}.")

    def close(self) -> str:
        """Remove what was staged, let others start the daemon again, and close the journal; returns where it is kept."""
        for path in (*(change.path for change in self.plan.files), records.path_of(self.host)):
            with contextlib.suppress(OSError):
                files.unstage(path)
        try:
            if self.context.service.is_held():
                self.context.service.unhold()
        except Exception as exc:
            # The journal is closed all the same: each later run would only find the same.
            self.context.outcome.failures.append(f"The hold could not be taken away: {_words(exc)[0]}.")
        return self.journal.close()

    @property
    def is_undoable(self) -> bool:
        """Whether nothing was begun yet that cannot be undone."""
        return all(step.undoable for step, _line in self.begun())

    def undo(self) -> str:
        """Undo what the journal says was begun, the latest first, each step on its own; then look what is there.

        :returns: sentences about what was restored, and what could not be.
        :raises DrydockError: another release wrote the journal; nothing was undone.
        """
        context, begun = self.context, self.begun()
        names = [step.name for step, _line in begun]
        if STOP in names and INSTALL_PACKAGES in names:
            # The old daemon starts with its own packages.
            begun.insert(names.index(STOP), begun.pop(names.index(INSTALL_PACKAGES)))
        said = []
        for step, line in begun:
            try:
                said.append(step.undo(line))
            except Exception as exc:
                context.differences.append(f"'{step.text}' could not be undone: {_words(exc)[0]}")
        try:
            if self.plan.effect == "none" and self.plan.unit_changes:
                context.service.reload_units()
        except Exception as exc:
            context.differences.append(_words(exc)[0])
        if STOP in names or (INSTALL_PACKAGES in names and self.plan.effect == "restart"):
            self.come_up(self.plan.before)
        # A step that undid more says the same and goes on.
        told = [one for one in dict.fromkeys(said) if one and not any(other != one and other.startswith(one.rstrip(".")) for other in said)]
        return " ".join([*(told or ["Nothing had been changed."]), *self.told_differences()])

    def told_differences(self) -> list[str]:
        """What is different from what was there before, in a sentence; nothing where all is as it was."""
        differences = list(dict.fromkeys(one.rstrip(".") for one in self.context.differences))
        return [f"Ended with differences: {'; '.join(differences)}."] if differences else []

    def come_up(self, side: DaemonConfig, with_containers: bool = True) -> None:
        """The daemon runs, be it with what is there now, and so does what ran; what is not as it was on one side is a difference.

        :param with_containers: also where the daemon is up by itself; after a boot, what runs is the users' business.
        """
        context, hidden = self.context, side is self.plan.after and bool(self.plan.hides)
        try:
            if not context.service.main_pid():
                context.service.unhold()
                context.service.start(self.plan.ready_timeout)
                with_containers = True
            engine = context.engine(side)
            if with_containers and not hidden:
                running = context.running_set(engine)
                failures = running_set.start_again(engine, running)
                note_down(self.host, running, failures)
                context.differences += failures.values()
            prove(context, side)
        except Exception as exc:
            context.differences.append(_words(exc)[0])
        try:
            # Whatever has failed, nobody is kept from starting the daemon, and systemd knows no command of ours any more.
            context.service.unhold()
            if not context.service.main_pid():
                down = ", ".join(one.name for one in context.inventory().running_set()) or "none"
                context.differences.append(
                    f"the daemon is down, and with it these containers: {down} (mend what {context.service.log} says, then: {context.service.start_command})"
                )
        except Exception as exc:
            context.differences.append(_words(exc)[0])

    def undo_files(self) -> None:
        """Undo what a boot would start the daemon with, and nothing else: for the time before it starts."""
        for step, line in self.begun():
            try:
                step.put_back(line)
            except Exception as exc:
                self.context.differences.append(f"'{step.text}' could not be undone: {_words(exc)[0]}")

    def begun(self) -> list[tuple[Step, dict[str, t.Any]]]:
        """What was begun, the latest first: all of it is known before the first is undone."""
        return [(step_of(self.context, line["step"]), line) for line in self.context.begun()]

    def _undone(self, text: str, cause: Exception) -> DrydockError:
        """Undo everything and make the one message of it."""
        sentence, hint = _words(cause)
        try:
            restored = self.undo()
            evidence = self.close()
        except Exception as exc:
            return wrapping(cause, "step-failed", f"Failed at '{text}': {sentence}. Undoing failed as well: {_words(exc)[0]}. The next run tries again.", hint)
        restored = " ".join([restored, *self.context.outcome.failures])
        return wrapping(cause, "step-failed", f"Failed at '{text}': {sentence}. {restored} Evidence: {evidence} and {self.context.service.log}.", hint)


def _words(cause: Exception) -> tuple[str, str]:
    return unexpected(cause).sentence.rstrip("."), cause.hint if isinstance(cause, DrydockError) else ""


__all__ = ("Transaction",)
