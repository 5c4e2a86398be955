# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What the worker's program does: run, supervise, recover, clean up at boot, give news."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
import typing as t

from .._errors import DrydockError, message, unexpected, wrapping
from .._host import files
from .._host.formats import parse_json
from .._host.host import Host
from .._plan.plan import Plan
from .._service.detect import service_of
from . import confirmation, results
from .journal import Journal
from .outcome import error_with_previous, report, with_previous
from .recovery import recover, undo_at_boot
from .runner import Transaction

# How long one question for news waits for them, how often it looks, and how often it asks systemd, in seconds.
_NEWS_SECONDS, _LOOK_SECONDS, _ASK_SECONDS = 20.0, 0.2, 2.0


def main() -> None:
    """Do what the first argument says."""
    host = Host()
    host.say = lambda line: _say(host, line)
    what, *rest = sys.argv[1:]
    actions: dict[str, t.Callable[..., None]] = {
        "run": _run, "supervise": _supervise, "recover": _recover, "boot": _at_boot, "news": _news,
        # That addresses were reached, and that the end has arrived.
        "confirm": _confirm, "heard": _heard,
    }  # fmt: skip
    actions[what](host, *rest)


def _say(host: Host, line: str) -> None:
    print(line, flush=True)
    with open(host.places.progress, "a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def _run(host: Host) -> None:
    journal = Journal(host)
    with files.making_room(journal.make_room):
        previous, run = (False, ""), results.last_run(host)
        try:
            asked = parse_json(files.read(host.places.asked), host.places.asked)
            previous = asked["earlier"]
            plan = Plan.from_data(journal.plan())
            outcome = Transaction(host, plan, journal).run()
            end = results.end_with(with_previous(previous, {**asked["planned"], **report(plan, outcome, asked["planned"])}))
        except Exception as exc:
            # Whatever it is, nobody killed the worker.
            traceback.print_exc()
            end = results.end_by(error_with_previous(previous, unexpected(exc)))
        results.write_end(host, run, end)


def _supervise(host: Host) -> None:
    """What the worker's unit does under systemd: run it, and recover when it is gone, however it ended."""
    for action in ("run", "recover"):
        subprocess.run([*host.places.worker_command, action], stdin=subprocess.DEVNULL, check=False)


def _recover(host: Host) -> None:
    """Its unit or supervisor runs this when the worker is gone, however it ended."""
    with files.making_room(Journal(host).make_room):
        cause: t.Optional[Exception] = None
        try:
            sentence = recover(host)
        except Exception as exc:
            traceback.print_exc()
            words = message("", exc.sentence, exc.hint) if isinstance(exc, DrydockError) else str(exc)
            cause, sentence = exc, f"Recovering failed: {words} The next run tries again."
        if not sentence:
            return
        # A worker that has told its own end was not killed.
        run = results.last_run(host)
        end = results.read_end(host, run)
        told = results.error_of(end) if "error" in end else DrydockError("worker-killed", "The worker was killed.")
        results.write_end(host, run, results.end_by(wrapping(cause or told, "recovery-failed", f"{told.sentence} {sentence}", "Run again.")))


def _at_boot(host: Host) -> None:
    evidence = undo_at_boot(host)
    if evidence:
        print(f"An interrupted change was undone; evidence: {evidence}", flush=True)


def _confirm(host: Host, run: str = "") -> None:
    """The addresses of a run were reached, not those of whoever came behind it."""
    if run in ("", results.last_run(host)):
        confirmation.give(host)


def _heard(host: Host, run: str = "") -> None:
    results.mark_heard(host, run or results.last_run(host))


def _news(host: Host, offset: str, run: str = "") -> None:
    """Print what a run's worker said since an offset, and the run's end where there is one; wait a while for either.

    :param run: without one, as an older controller asks, that of the worker that was started last.
    """
    run = run or results.last_run(host)
    at, waited = int(offset), 0.0
    while True:
        text = (files.read(host.places.progress) or "").encode("utf-8", "surrogateescape")
        # Looked at behind the text: whoever takes over is named before it says anything.
        last = results.last_run(host)
        asks = round(waited / _LOOK_SECONDS) % round(_ASK_SECONDS / _LOOK_SECONDS) == 0 or results.has_end(host, run)
        active = last == run and (not asks or service_of(host).worker_is_active())
        whole = text[at : text.rfind(b"\n") + 1] if last == run else b""
        confirm = confirmation.wanted(host) if last == run else None
        if whole or confirm or not active or waited >= _NEWS_SECONDS:
            break
        host.sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
    end = None if active else results.read_end(host, run) or results.end_by(results.silent(host, followed_by="" if last == run else last))
    print(json.dumps({"lines": whole.decode("utf-8", "replace").splitlines(), "offset": at + len(whole), "active": active, "confirm": confirm, "end": end}))


__all__ = ("main",)
