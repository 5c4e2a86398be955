# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The worker: a change that stops the daemon runs as a process of its own, one file on the host, in a unit of its own.

Neither a lost connection nor a killed module ends it. When it is killed itself, its unit recovers at once; when the whole host
dies, the recovery unit does so at the next boot, before the daemon starts; and the next run of any module does what is left.

An action plugin does not wait in the module: it gets a command back, and asks that for news and for the end as often as it likes,
over as many connections as it takes. So the lock is free although the worker still runs, and whoever gets it asks for the worker
first: he follows that one, or waits for its end. Without systemd a supervisor of ours is to the worker what its unit is there.

This is the module's side; worker_main.py is the worker's.
"""

from __future__ import annotations

import json
import typing as t
import uuid

from .._errors import DrydockError, wrapping
from .._host import files
from .._host.formats import FORMAT
from .._host.host import Host
from .._plan.plan import Plan
from .._service.detect import service_of
from . import confirmation, results, worker_main
from .interruption import WAY_OUT
from .journal import Journal
from .outcome import PreviousRun, error_with_previous, report, with_previous
from .program import make_program, write_program
from .recovery import recover
from .runner import Transaction


def perform(host: Host, plan: Plan, planned: dict[str, t.Any], run_id: str, previous: PreviousRun) -> dict[str, t.Any]:
    """Carry out a plan: in a worker where it is long, else right here.

    :param planned: the module's result so far; what was done is merged into it.
    :param run_id: of an action plugin's run that wants to follow; without one, the end is waited for here.
    :param previous: what `previous_run` said.
    :raises DrydockError: it failed; the message says what was restored.
    """
    journal = Journal(host)
    with files.making_room(journal.make_room):
        journal.create(plan.to_data(), plan.surroundings)
        program = make_program(worker_main.__name__)
        files.retry_when_full(lambda: write_program(host.places.program, program))
        journal.guard_boot(f"{' '.join(host.places.worker_command)} boot")
        if not plan.long:
            return _right_here(Transaction(host, plan, journal), planned, previous)
        # Whoever waits here has an id of its own, too: a later run that meets its worker asks for its end by that.
        run = run_id or uuid.uuid4().hex
        confirmation.end(host)
        files.write(host.places.asked, json.dumps({"format": FORMAT, "run_id": run, "planned": planned, "earlier": previous}), 0o600)
        files.write(host.places.progress, "", 0o600)
    service_of(host).start_worker(host.places.worker_command)
    if run_id:
        return _to_follow(host, run, attached=False)
    _wait_for_worker(host)
    end = results.read_end(host, run)
    results.mark_heard(host, run)
    if not end:
        raise results.silent(host)
    return results.result_of(end)


def _right_here(transaction: Transaction, planned: dict[str, t.Any], previous: PreviousRun) -> dict[str, t.Any]:
    try:
        outcome = transaction.run()
    except DrydockError as exc:
        raise error_with_previous(previous, exc) from exc
    return with_previous(previous, {**planned, **report(transaction.plan, outcome, planned)})


def under_way(host: Host, run_id: str) -> dict[str, t.Any] | None:
    """What an action plugin gets when a worker is under way, or has ended for this very run while the connection was lost.

    A worker of another run is followed to its end, which stays where it is: its own controller asks for it as well.
    """
    if not run_id:
        return None
    if results.has_end(host, run_id):
        return _to_follow(host, run_id, attached=False)
    if service_of(host).worker_is_active():
        run = results.last_run(host)
        return _to_follow(host, run, attached=run != run_id)
    return None


def previous_run(host: Host) -> PreviousRun:
    """Deal with what an earlier run left behind: wait for its worker, recover what it did not end, tell what nobody heard of."""
    waited, run = _wait_for_worker(host), results.last_run(host)
    ended = results.words_of(host, run) if waited and results.has_end(host, run) else ""
    # Behind a worker, too: its own recovery may have failed, and a new journal would take the place of one that is open.
    recovered = _recovered(host, run)
    unheard = results.tell_unheard(host)
    if ended or recovered:
        # This says more than what the run itself has left.
        unheard.pop(run, None)
    told = [f"An earlier run, whose end nobody heard of, ended like this: {words}" for words in unheard.values()]
    told += [f"An earlier run was still under way and has ended: {ended}"] if ended else []
    return waited or bool(recovered), " ".join([*told, *([recovered] if recovered else [])])


def _wait_for_worker(host: Host) -> bool:
    """Wait until no worker is under way, and none recovers; whether there was one."""
    waited = False
    while service_of(host).worker_is_active():
        waited = True
        host.sleep(0.1)
    return waited


def _recovered(host: Host, run: str) -> str:
    """Recover what is open, and leave that as the end of the run that was cut off: its controller may still ask."""
    try:
        recovered = recover(host) or ""
    except OSError as exc:
        raise DrydockError("recovery-failed", f"An interrupted change cannot be dealt with yet: {exc}.", f"Mend that, then run again. {WAY_OUT}") from exc
    except DrydockError as exc:
        raise wrapping(exc, exc.id, exc.sentence, f"{exc.hint} {WAY_OUT}".strip()) from exc
    if recovered and run and not results.has_end(host, run):
        results.write_end(host, run, results.end_by(DrydockError("worker-killed", f"The worker was killed. {recovered}", "Run again.")))
    return recovered


def _to_follow(host: Host, run: str, attached: bool) -> dict[str, t.Any]:
    """Not a result yet: how an action plugin gets it."""
    return {"changed": False, "follow": " ".join(host.places.worker_command), "run": run, "attached": attached}


__all__ = ("perform", "previous_run", "under_way")
