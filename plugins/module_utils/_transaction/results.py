# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""How each run ended: a file a run, named after the run's id, in which that waits for whoever asks.

Reading takes nothing away: two controllers may follow one worker, and whoever asks second gets the same answer. An end that has
arrived is only marked, so that no later run tells it again. Nobody takes the end of another run for its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import typing as t

from .._errors import DrydockError
from .._host import files
from .._host.formats import FORMAT, parse_json
from .._host.host import Host
from .._service.detect import service_of

End = t.Dict[str, t.Any]
"""C(result), a module's result; or C(error), C(hint) and C(id) of an error."""

# How many ends are kept, the newest: a controller comes back for one within minutes.
_KEPT = 20
_HEARD = ".heard"


def end_with(result: dict[str, t.Any]) -> End:
    """The form of an end that went well."""
    return {"format": FORMAT, "result": result}


def end_by(error: DrydockError) -> End:
    """The form of an end by an error."""
    return {"format": FORMAT, "id": error.id, "error": error.sentence, "hint": error.hint}


def last_run(host: Host) -> str:
    """The id of the run whose worker was started last; empty where nobody knows: none since the boot, or by another release."""
    with contextlib.suppress(DrydockError):
        return str(parse_json(files.read(host.places.asked), host.places.asked).get("run_id", ""))
    return ""


def _path(host: Host, run: str) -> str:
    return os.path.join(host.places.ends, run or "unknown")


def write_end(host: Host, run: str, end: End) -> None:
    """Leave the end of a run for whoever asks, and let go of the oldest ones."""
    # What a result has in it is root's.
    files.make_directories(host.places.ends, 0o700)
    files.write(_path(host, run), json.dumps(end), 0o600)
    for path in _newest_first(host)[_KEPT:]:
        files.remove(path)


def _newest_first(host: Host) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        # What begins with a dot is just being written.
        entries = [entry for entry in os.scandir(host.places.ends) if not entry.name.startswith(".")]
        return [entry.path for entry in sorted(entries, key=lambda entry: entry.stat().st_mtime_ns, reverse=True)]
    return []


def has_end(host: Host, run: str) -> bool:
    """Whether a run has left its end."""
    return any(os.path.exists(path) for path in (_path(host, run), _path(host, run) + _HEARD))


def read_end(host: Host, run: str) -> End:
    """The end of a run; empty where it has left none.

    :raises DrydockError: another release wrote it in a form that is not known.
    """
    path = _path(host, run)
    return parse_json(files.read(path), path) or parse_json(files.read(path + _HEARD), path)


def mark_heard(host: Host, run: str) -> None:
    """The end of a run has arrived; no later run has to tell it."""
    path = _path(host, run)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, path + _HEARD)


def tell_unheard(host: Host) -> dict[str, str]:
    """How runs ended of which nobody heard, by their ids, the oldest first. From now on that is told."""
    told = {}
    for run in map(os.path.basename, reversed(_newest_first(host))):
        if not run.endswith(_HEARD):
            told[run] = words_of(host, run)
            mark_heard(host, run)
    return told


def words_of(host: Host, run: str) -> str:
    """How a run ended, for the middle of a message. What another release has left is told and stops nobody."""
    try:
        end = read_end(host, run)
        return sentence_of(end) if end else silent(host).sentence
    except DrydockError as exc:
        return exc.sentence


def result_of(end: End) -> dict[str, t.Any]:
    """A module's result.

    :raises DrydockError: it ended by this error.
    """
    if "error" in end:
        raise error_of(end)
    result: dict[str, t.Any] = end["result"]
    return result


def sentence_of(end: End) -> str:
    """How an earlier run ended, for the middle of a message: without the id, which stands at the end of one."""
    return end.get("error") or re.sub(r" \[[a-z-]+\]$", "", end["result"]["msg"])


def error_of(end: End) -> DrydockError:
    """The error of an end. A worker of an older release has left no id there."""
    return DrydockError(end.get("id", ""), end["error"], end["hint"])


def silent(host: Host, followed_by: str = "") -> DrydockError:
    """What is said of a run that left no end.

    :param followed_by: the run whose worker was started since, empty where there is none.
    """
    if followed_by:
        return DrydockError("worker-killed", "The worker was killed, and another run has gone on from there.", "Run again.")
    return DrydockError(
        "worker-killed",
        "The worker ended without a word, and so did its recovery.",
        f"Run again: the next run recovers. See {service_of(host).worker_log}.",
    )


__all__ = (
    "End",
    "end_by",
    "end_with",
    "error_of",
    "has_end",
    "last_run",
    "mark_heard",
    "read_end",
    "result_of",
    "sentence_of",
    "silent",
    "tell_unheard",
    "words_of",
    "write_end",
)
