# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Undo or finish what an interrupted run left open."""

from __future__ import annotations

import contextlib
import os

from .._copy.copier import Copier
from .._engine import running_set
from .._engine.api import Engine
from .._engine.container import Container
from .._engine.inventory import Inventory
from .._errors import CommandFailed, DrydockError, unexpected, wrapping
from .._host import files
from .._host.host import Host
from .._host.processes import command_line
from .._plan.order import COMMIT, PROVE, RELEASE, steps_of
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
from .verified import record_verified


def recover(host: Host) -> str | None:
    """Undo or finish what an interrupted run left open; returns a sentence about it, None where there was nothing.

    :raises DrydockError: it could not be recovered.
    """
    journal = Journal(host)
    if not journal.is_open:
        return None
    with files.making_room(journal.make_room):
        return _recovered(Transaction(host, Plan.from_data(journal.plan()), journal))


def _recovered(transaction: Transaction) -> str:
    """Finish or undo, as the journal of a transaction says."""
    if has_to_roll_forward(transaction.context):
        # The hold lies in /run: as long as it is there, no boot has let containers write, and undoing still loses nothing.
        undoable = transaction.context.service.is_held() and transaction.is_undoable
        try:
            return roll_forward(transaction, compare=undoable)
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
        return transaction.close()


def has_to_roll_forward(context: Context) -> bool:
    """Whether an interrupted transaction can only go forward: behind its commit point, or when a boot between two writes has
    already let the daemon, and with it the containers, work on the new root."""
    committed = context.journal.committed
    if committed or not context.plan.moves or not context.service.main_pid() or context.service.is_held():
        return committed
    return any(_is_in_use(context, move) for move in context.plan.moves)


def roll_forward(transaction: Transaction, compare: bool) -> str:
    """Finish a transaction that was interrupted behind its commit point: from there on the new state is the truth.

    :param compare: whether the daemon must have all that it had; after a boot, what was removed since is the users' business.
    """
    context, plan = transaction.context, transaction.plan
    if not context.journal.committed:
        _commit_late(context)
    done = {line["step"] for line in context.journal.lines() if line["event"] == "done"}
    steps = steps_of(plan)
    for text in steps[steps.index(COMMIT) + 1 :]:
        step = step_of(context, text)
        if text == PROVE:
            prove(context, plan.after, compare)
        elif step.repeatable or text not in done:
            context.do(step)
    record_verified(transaction.host, plan, context.outcome)
    return " ".join([f"An interrupted change was finished (evidence: {transaction.close()}).", *context.outcome.failures, *context.outcome.remarks])


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
    if move.tree == DATA_ROOT:
        root = str(context.engine(context.plan.before).get("/info")["DockerRootDir"])
        return os.path.realpath(move.target) in (root, os.path.dirname(root))
    command = command_line(context.service.main_pid(CONTAINERD))
    return bool(command) and os.path.realpath(containerd_root(context.host, command)) == os.path.realpath(move.target)


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
    return " ".join([f"The hold was taken away, {how}{back}.{_given_up(host, journal)}", *failures])


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
