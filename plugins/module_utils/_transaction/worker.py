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
import os
import typing as t

from .._errors import DrydockError
from .._host import files
from .._host.formats import FORMAT, parse_json
from .._host.host import Host
from .._plan.plan import Plan
from .._service.detect import service_of
from . import confirmation, results, worker_main
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
        journal.create(plan.to_data())
        program = make_program(worker_main.__name__)
        files.retry_when_full(lambda: write_program(host.places.program, program))
        journal.guard_boot(f"{' '.join(host.places.worker_command)} boot")
        if not plan.long:
            return _right_here(Transaction(host, plan, journal), planned, previous)
        results.forget_end(host)
        confirmation.end(host)
        files.write(host.places.asked, json.dumps({"format": FORMAT, "run": run_id, "planned": planned, "earlier": previous}), 0o600)
        files.write(host.places.progress, "", 0o600)
    service_of(host).start_worker(host.places.worker_command)
    if run_id:
        return _to_follow(host, attached=False)
    return results.result_of(_wait(host))


def _right_here(transaction: Transaction, planned: dict[str, t.Any], previous: PreviousRun) -> dict[str, t.Any]:
    try:
        outcome = transaction.run()
    except DrydockError as exc:
        raise error_with_previous(previous, exc) from exc
    return with_previous(previous, {**planned, **report(transaction.plan, outcome, planned)})


def under_way(host: Host, run_id: str) -> dict[str, t.Any] | None:
    """What an action plugin gets when a worker is under way, or has ended for this very run while the connection was lost."""
    if not run_id:
        return None
    mine = parse_json(files.read(host.places.asked), host.places.asked).get("run") == run_id
    if service_of(host).worker_is_active() or (mine and os.path.exists(host.places.result)):
        return _to_follow(host, attached=not mine)
    return None


def previous_run(host: Host) -> PreviousRun:
    """Deal with what an earlier run left behind: wait for its worker, recover what it did not end, tell what nobody heard of."""
    if service_of(host).worker_is_active():
        return True, f"An earlier run was still under way and has ended: {results.sentence_of(_wait(host))}"
    try:
        recovered = recover(host)
    except OSError as exc:
        raise DrydockError("recovery-failed", f"An interrupted change cannot be dealt with yet: {exc}.", "Mend that, then run again.") from exc
    unheard = results.read_end(host)
    results.forget_end(host)
    if recovered:
        return True, recovered
    if unheard:
        return False, f"An earlier run, whose end nobody heard of, ended like this: {results.sentence_of(unheard)}"
    return False, ""


def _to_follow(host: Host, attached: bool) -> dict[str, t.Any]:
    """Not a result yet: how an action plugin gets it."""
    return {"changed": False, "follow": " ".join(host.places.worker_command), "attached": attached}


def _wait(host: Host) -> results.End:
    """Wait for the worker's end; what it left is read once."""
    while service_of(host).worker_is_active():
        host.sleep(0.1)
    end = results.read_end(host)
    if not end:
        raise results.silent(host)
    results.forget_end(host)
    return end


__all__ = ("perform", "previous_run", "under_way")
