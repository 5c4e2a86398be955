# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.


"""Containers that a change left down: noted until they run again or are gone, so that the next run and the report still tell of them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import typing as t

from .._engine.container import Container
from .._engine.inventory import Inventory
from .._errors import DrydockError
from .._host import files
from .._host.formats import FORMAT, parse_json, read_as
from .._host.host import Host

_FILE = "down.json"
# The newest: those that nobody cares for must not pile up.
_MOST = 100


@dataclasses.dataclass(frozen=True)
class Down:
    """A container that ran before a change and did not behind it.

    :param why: a sentence.
    :param at: seconds since the epoch.
    :param started_at: when it had been started before, in the engine's own words.
    """

    id: str
    name: str
    why: str
    at: int
    started_at: str = ""


def note_down(host: Host, containers: t.Iterable[Container], failures: t.Mapping[str, str]) -> None:
    """Note those of the containers that do not run again.

    :param failures: a sentence by container id.
    """
    found = [Down(one.id, one.name, failures[one.id], int(host.now()), one.started_at) for one in containers if one.id in failures]
    if not found:
        return
    # It is told in this run's result in any case.
    with contextlib.suppress(OSError, DrydockError):
        left = [one for one in load_down(host) if one.id not in failures]
        data = {"format": FORMAT, "down": [dataclasses.asdict(one) for one in [*left, *found][-_MOST:]]}
        files.write(_path(host), json.dumps(data, indent=2) + "\n", 0o600)


def load_down(host: Host) -> list[Down]:
    """All that was noted.

    :raises DrydockError: another release wrote it, in a form that is not known.
    """
    where = _path(host)
    return [read_as(Down, one, where) for one in parse_json(files.read(where), where).get("down", [])]


def still_down(noted: t.Iterable[Down], inventory: Inventory) -> tuple[Down, ...]:
    """Those that are there, do not run and were not started since. Pure."""
    there = {one.id: one for one in inventory.containers.values() if not one.alive}
    return tuple(one for one in noted if one.id in there and there[one.id].started_at == one.started_at)


def _path(host: Host) -> str:
    return os.path.join(host.places.state_dir, _FILE)


__all__ = ("Down", "load_down", "note_down", "still_down")
