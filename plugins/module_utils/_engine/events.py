# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What a daemon says that happened (GET /events): by it, what others did is told from what went wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import socket
import threading
import typing as t

from .._errors import EngineError
from .api import Engine

# How long the last of a stream may take to arrive behind the end of its daemon, in seconds.
_REST_SECONDS = 5.0
# How long it is read on behind the order to stop, in seconds.
_SOON_SECONDS = 0.1
# Actions by which something is not there any more, or an image has other names.
_TAKEN = {
    "container": ("destroy",),
    "volume": ("destroy",),
    "network": ("destroy",),
    "image": ("delete", "untag", "tag"),
}
# Actions by which a daemon has something that it did not have before, or lacks something that it had.
_DEEDS = {
    **_TAKEN,
    "container": ("create", "start", "destroy", "rename", "update", "archive-path", "extract-to-dir"),
    "volume": ("create", "destroy"),
    "network": ("create", "destroy"),
    "image": (*_TAKEN["image"], "pull", "load", "import"),
}

Thing = t.Tuple[str, str]
"""A kind (container, image, volume or network) and an id; of a volume its name."""


@dataclasses.dataclass(frozen=True)
class Event:
    """One thing that happened.

    :param kind: container, image, volume, network, or another word of the engine's.
    :param id: of what it happened to; of a volume its name.
    :param at: when, in seconds since the epoch.
    """

    kind: str
    action: str
    id: str
    name: str
    at: float


def parse_event(line: bytes) -> Event | None:
    """One line of the stream; None of one that was cut short. Pure."""
    try:
        data = json.loads(line)
        actor = data["Actor"]
        return Event(data["Type"], data["Action"], actor["ID"], (actor.get("Attributes") or {}).get("name") or actor["ID"], data["timeNano"] / 1e9)
    except (ValueError, KeyError, TypeError):
        return None


def events_between(engine: Engine, since: float, until: float) -> list[Event]:
    """What a daemon that runs still knows of a span of time; it keeps the last few hundred events.

    :raises EngineError: it does not answer.
    """
    lines = engine.get_bytes("/events", since=f"{since:.9f}", until=f"{until:.9f}").splitlines()
    return [one for one in map(parse_event, lines) if one]


def taken(events: t.Iterable[Event]) -> set[Thing]:
    """What was removed, or has other names. Pure."""
    return {(one.kind, one.id) for one in events if one.action in _TAKEN.get(one.kind, ())}


def deeds(events: t.Iterable[Event]) -> list[str]:
    """What was made, started or removed, each in a few words for a person. Pure."""
    return list(dict.fromkeys(f"{one.kind} {one.name} ({one.action})" for one in events if one.action in _DEEDS.get(one.kind, ())))


def running_after(running: t.Iterable[str], events: t.Iterable[Event], restarted: t.Container[str]) -> list[str]:
    """Which containers ran behind some events, by id. Pure.

    :param running: those that ran before them.
    :param restarted: those whose restart policy starts them again where they end by themselves.
    """
    alive = dict.fromkeys(running)
    stopped = set()
    for one in events:
        if one.kind != "container":
            continue
        if one.action == "start":
            alive[one.id] = None
            stopped.discard(one.id)
        elif one.action == "kill":
            # By somebody: a policy does not start what was stopped by hand.
            stopped.add(one.id)
        elif one.action == "destroy" or (one.action == "die" and (one.id in stopped or one.id not in restarted)):
            alive.pop(one.id, None)
    return list(alive)


class EventStream:
    """The events of a daemon from now on, read until it ends: afterwards nobody could ask for them.

    :raises EngineError: the daemon does not answer.
    """

    def __init__(self, engine: Engine, since: float) -> None:
        self._events: list[Event] = []
        self._connection = engine.connection()
        try:
            self._connection.request("GET", f"/events?since={since:.9f}")
            self._socket: socket.socket = self._connection.sock
            self._answer = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as exc:
            self._connection.close()
            raise EngineError("api-silent", f"The daemon does not answer on {engine.where}: {exc}.") from exc
        # A stop takes as long as the containers do.
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # However it ends: what has arrived by then is what is known.
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            for line in self._answer:
                event = parse_event(line)
                if event:
                    self._events.append(event)

    def end_soon(self) -> None:
        """Read on for the moment in which a stop of the daemon closes its API; releases 25 and newer wait five seconds for whoever reads longer."""
        timer = threading.Timer(_SOON_SECONDS, self._cut)
        timer.daemon = True
        timer.start()

    def _cut(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def end(self) -> list[Event]:
        """All that happened until the daemon's end, or until now."""
        self._thread.join(_REST_SECONDS)
        self._cut()
        self._thread.join(_REST_SECONDS)
        self._connection.close()
        return list(self._events)


__all__ = ("Event", "EventStream", "Thing", "deeds", "events_between", "parse_event", "running_after", "taken")
