# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""How a run ended, in the file in which that waits for whoever asks."""

from __future__ import annotations

import json
import re
import typing as t

from .._errors import DrydockError
from .._host import files
from .._host.formats import FORMAT, parse_json
from .._host.host import Host
from .._service.detect import service_of

End = t.Dict[str, t.Any]
"""C(result), a module's result; or C(error), C(hint) and C(id) of an error."""


def end_with(result: dict[str, t.Any]) -> End:
    """The form of an end that went well."""
    return {"format": FORMAT, "result": result}


def end_by(error: DrydockError) -> End:
    """The form of an end by an error."""
    return {"format": FORMAT, "id": error.id, "error": error.sentence, "hint": error.hint}


def write_end(host: Host, end: End) -> None:
    """Leave an end for whoever asks."""
    files.write(host.places.result, json.dumps(end), 0o600)


def read_end(host: Host) -> End:
    """The end that waits; empty where none does.

    :raises DrydockError: another release wrote it in a form that is not known.
    """
    return parse_json(files.read(host.places.result), host.places.result)


def forget_end(host: Host) -> None:
    """The end has arrived; no later run has to tell it."""
    files.remove(host.places.result)


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


def silent(host: Host) -> DrydockError:
    """What is said of a worker that left no end."""
    return DrydockError(
        "worker-killed",
        "The worker ended without a word, and so did its recovery.",
        f"Run again: the next run recovers. See {service_of(host).worker_log}.",
    )


__all__ = ("End", "end_by", "end_with", "error_of", "forget_end", "read_end", "result_of", "sentence_of", "silent", "write_end")
