# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What a change has open on a host at this moment, or has left behind. It only looks."""

from __future__ import annotations

import datetime
import typing as t

from .._host.host import Host
from .._service.detect import service_of
from .journal import Journal

# For a message: how a person gets out of it without knowing any of our files.
WAY_OUT = "Module daemon_state with state=recovered recovers or gives up what is left."


def find_interruption(host: Host) -> dict[str, t.Any] | None:
    """What is open or held, for a playbook and for a person; None where nothing is.

    :returns: C(since) when the journal was opened, None without one; C(step), the last one that was begun; C(held); C(under_way), whether a
        worker lives; and C(what), a sentence.
    :raises DrydockError: nobody can tell whether a worker lives.
    """
    journal, service = Journal(host), service_of(host)
    # The worker first: what it has closed by the time of the second look was not left behind.
    under_way, opened, held = service.worker_is_active(), journal.opened_at(), service.is_held()
    if opened is None and not held and not under_way:
        return None
    since = None if opened is None else datetime.datetime.fromtimestamp(opened, tz=datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    step = next((line["step"] for line in reversed(journal.lines()) if line.get("event") == "begin"), "") if since else ""
    what = _sentence(since, step, under_way)
    return {"since": since, "step": step, "held": held, "under_way": under_way, "what": what}


def _sentence(since: str | None, step: str, under_way: bool) -> str:
    where = f" at '{step}'" if step else ""
    if under_way:
        return f"A change is under way{where}{f', since {since}' if since else ''}."
    if since:
        return f"A change that was begun at {since} was interrupted{where or ' before its first step'} and is still open. {WAY_OUT}"
    return f"The daemon is held, so that nobody can start it, and no change is open that would let it go. {WAY_OUT}"


__all__ = ("WAY_OUT", "find_interruption")
