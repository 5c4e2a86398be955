# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Undo or finish what an interrupted run left open."""

from __future__ import annotations

import contextlib
import functools
import os
import typing as t

from .._copy.copier import Copier
from .._engine import running_set
from .._engine.api import Engine
from .._engine.container import Container
from .._engine.inventory import Inventory
from .._engine.on_disk import is_on_root
from .._errors import CommandFailed, DrydockError, EngineError, unexpected, wrapping
from .._host import files
from .._host.host import Host
from .._host.processes import command_line, open_files
from .._observe.down import note_down
from .._plan.order import COMMIT, FINISH, PROVE, RELEASE, steps_of
from .._plan.plan import DATA_ROOT, Move, Plan
from .._service.containerd import containerd_root
from .._service.detect import service_of
from .._service.service import CONTAINERD
from .journal import Journal
from .runner import Transaction
from .steps.base import Context
from .steps.copy import final_copy
from .steps.prove import prove
from .steps.roots import rename
from .steps.table import step_of


def recover(host: Host) -> str | None:
    """Undo or finish what an interrupted run left open; returns a sentence about it, None where there was nothing.

    What cannot be recovered is given up, with the daemon as it comes up: the same attempt in each later run would be an outage each.

    :raises DrydockError: another release has to do it, which wrote the journal; or the daemon is down.
    """
    journal = Journal(host)
    if not journal.is_open:
        return None
    with files.making_room(journal.make_room):
        transaction = Transaction(host, Plan.from_data(journal.plan()), journal)
        # Another release's steps are known to be so before anything is done.
        transaction.begun()
        try:
            return _recovered(transaction)
        except Exception as exc:
            return f"An interrupted change could not be recovered: {unexpected(exc).sentence} {abandon(host)}"


def _recovered(transaction: Transaction) -> str:
    """Finish or undo, as the journal of a transaction says."""
    if has_to_roll_forward(transaction.context):
        # The hold lies in /run: as long as it is there, no boot has let containers write, and undoing still loses nothing.
        undoable = transaction.context.service.is_held() and transaction.is_undoable
        try:
            return roll_forward(transaction, undoable)
        except Exception:
            if not undoable:
                raise
    restored = transaction.undo()
    return f"An interrupted change was undone: {restored} Evidence: {transaction.close()}."


def undo_at_boot(host: Host) -> str | None:
    """Before the daemon starts: half a change goes back to the old state; a committed one stays, and the next run finishes it.

    :returns: where the journal is kept, None where nothing was undone.
    """
    journal = Journal(host)
    if os.path.exists(host.places.lock) or journal.committed:
        return None
    with files.making_room(journal.make_room):
        transaction = Transaction(host, Plan.from_data(journal.plan()), journal)
        transaction.undo_files()
        with contextlib.suppress(CommandFailed):
            transaction.context.service.reload_units()
        for difference in transaction.context.differences:
            host.say(difference)
        return transaction.close()


def has_to_roll_forward(context: Context) -> bool:
    """Whether an interrupted transaction can only go forward: behind its commit point, or when a boot between two writes has
    already let the daemon, and with it the containers, work on the new root."""
    committed = context.journal.committed
    if committed or not context.plan.moves or not context.service.main_pid() or context.service.is_held():
        return committed
    return any(_is_in_use(context, move) for move in context.plan.moves)


def roll_forward(transaction: Transaction, undoable: bool) -> str:
    """Finish a transaction that was interrupted behind its commit point: from there on the new state is the truth.

    :param undoable: it can still be undone without a loss. After a boot it cannot: what was removed since is the users' business, and what fails is
        a difference, with which the journal is closed as well.
    :raises Exception: it is to be undone.
    """
    context, plan = transaction.context, transaction.plan
    done = {line["step"] for line in context.journal.lines() if line["event"] == "done"}
    steps = steps_of(plan)
    ahead = [text for text in steps[steps.index(COMMIT) + 1 :] if text not in done or step_of(context, text).repeatable]
    proved = _forward(transaction, undoable, None if context.journal.committed else functools.partial(_commit_late, context))
    for text in ahead:
        # The old root stays where it is, until it is known that nobody needs it.
        if text != FINISH or proved:
            proved &= _forward(transaction, undoable, functools.partial(_again, context, text, undoable))
    if proved:
        transaction.keep_records()
    words = [*context.outcome.failures, *context.outcome.remarks, *transaction.told_differences()]
    return " ".join([f"An interrupted change was finished (evidence: {transaction.close()}).", *words])


def _forward(transaction: Transaction, undoable: bool, work: t.Optional[t.Callable[[], None]]) -> bool:
    """Do one piece; where it fails and cannot be undone, the daemon comes up with what is there. Says whether it was done."""
    try:
        if work:
            work()
        return True
    except Exception as exc:
        if undoable:
            raise
        transaction.context.differences.append(unexpected(exc).sentence.rstrip("."))
        transaction.come_up(transaction.plan.after, with_containers=False)
        return False


def _again(context: Context, text: str, compare: bool) -> None:
    if text == PROVE:
        prove(context, context.plan.after, compare)
    else:
        context.do(step_of(context, text))


def _commit_late(context: Context) -> None:
    """A boot has let the daemon work on a new root before the commit: the rest follows it there."""
    plan = context.plan
    behind = [move for move in plan.moves if not _is_in_use(context, move)]
    if behind or any(move.rename for move in plan.moves):
        # It came up by the link, with the old configuration, or with one root new and the other one old.
        context.hold(plan.after)
        context.service.stop()
    for move in behind:
        _catch_up(context, move)
    for change in plan.files:
        files.put(change.path, change.after)
    context.do(step_of(context, COMMIT))


def _is_in_use(context: Context, move: Move) -> bool:
    """Whether the running daemon works on the new root, be it by the link that a rename leaves."""
    target = os.path.realpath(move.target)
    if move.tree == DATA_ROOT:
        try:
            return is_on_root(context.engine(context.plan.before).get("/info"), target)
        except EngineError:
            # It may be on its way up, or down: what it has open tells, too.
            return any(True for _open in open_files(context.service.main_pid(), target))
    command = command_line(context.service.main_pid(CONTAINERD))
    return bool(command) and os.path.realpath(containerd_root(context.host, command)) == target


def _catch_up(context: Context, move: Move) -> None:
    """Move a root that the daemon has gone on working on since it was copied."""
    if move.rename:
        return rename(context, move)
    copier = Copier(context.host, move.source, move.target)
    copier.resume()
    return final_copy(context, move, copier)


def abandon(host: Host, ready_timeout: float = 120) -> str:
    """Give up what cannot be recovered: take the hold away, start the daemon as its files say now, and what ran with it.

    Whatever comes of the start, the journal is kept as evidence and is open no more: nothing of ours stands in the way of a person, or of
    the next run. It reads no plan, which may be what is broken. A hold that is left without a journal is taken away in the same way.

    :returns: a sentence about what was done.
    :raises DrydockError: the daemon does not start.
    """
    journal, service = Journal(host), service_of(host)
    running = _noted_running(journal)
    service.unhold()
    try:
        if service.main_pid():
            how = "the daemon runs"
        else:
            service.start(ready_timeout)
            how = "the daemon was started as its files say now"
    except Exception as exc:
        error = unexpected(exc)
        raise wrapping(error, error.id, f"The hold was taken away, but {error.sentence.rstrip('.')}.{_given_up(host, journal)}", error.hint) from exc
    failures = running_set.start_again(Engine(service.socket_path() or "/var/run/docker.sock"), running)
    back = f", {len(running) - len(failures)} of {len(running)} containers that ran before run again" if running else ""
    note_down(host, running, failures)
    return " ".join([f"The hold was taken away, {how}{back}.{_given_up(host, journal)}", *failures.values()])


def _given_up(host: Host, journal: Journal) -> str:
    """Close a journal that is open, be it readable or not, and say where it is."""
    if not journal.is_open:
        return ""
    try:
        evidence = Transaction(host, Plan.from_data(journal.plan()), journal).close()
    except Exception:
        # What was staged stays where it is; it has names of its own and does nothing.
        evidence = journal.close()
    return f" The change was given up where it stood; its journal is kept in {evidence}."


def _noted_running(journal: Journal) -> list[Container]:
    """What ran before the daemon was stopped, as far as the journal can be read; nothing once containers were let loose, since people act on them."""
    lines = journal.lines() if journal.is_open else []
    if any(line.get("step") == RELEASE for line in lines):
        return []
    with contextlib.suppress(DrydockError, KeyError, TypeError, ValueError):
        return next((Inventory.from_data(line["inventory"]).running_set() for line in lines if "inventory" in line), [])
    return []


__all__ = ("abandon", "has_to_roll_forward", "recover", "roll_forward", "undo_at_boot")
