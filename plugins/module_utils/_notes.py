# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What we keep on a host between runs: who asked for what, what was proved to be in force, and which moves were made."""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from . import _files
from ._daemon_json import Ask, Owners
from ._host import Host

NOTES_FILE = "owners.json"


@dataclasses.dataclass(frozen=True)
class Past:
    """A move that was made.

    :param tree: what moved, the data root or containerd's root.
    :param run: the same for all moves of one outage.
    :param origin: the root before it.
    :param root: the root after it.
    :param kept: where the old data were set aside; empty when they were not kept, or are gone.
    :param inode: device and inode of that directory, so that nothing else is ever removed or used in its place.
    :param restored: it took back the move before it.
    :param record: when that was, what moved, how long it took and what was forecast, for a report; empty when nobody noted it.
    """

    origin: str
    root: str
    kept: str
    inode: t.Tuple[int, int]
    restored: bool
    tree: str = "data-root"
    run: str = ""
    record: t.Dict[str, t.Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def from_data(cls, data: dict[str, t.Any]) -> Past:
        """Back from JSON."""
        return cls(**{**data, "inode": tuple(data["inode"])})

    @property
    def is_there(self) -> bool:
        """Whether the kept directory is still the one that was set aside."""
        return bool(self.kept) and inode_of(self.kept) == self.inode


@dataclasses.dataclass(frozen=True)
class Notes:
    """All of it.

    :param settled: the process of dockerd and the settings that it was proved to have in force.
    :param marker: name of the marker file in the data root.
    :param containerd_marker: name of the one in containerd's root, empty where that is not looked after.
    :param history: moves, the newest last.
    :param files: daemon.json, the unit and others' drop-ins as the last run left them, a checksum each.
    """

    owners: Owners
    settled: t.Dict[str, t.Any]
    marker: str
    history: t.Tuple[Past, ...] = ()
    containerd_marker: str = ""
    files: t.Dict[str, str] = dataclasses.field(default_factory=dict)

    def text(self) -> str:
        """The text of the file."""
        data = {
            "owners": {name: ask.to_data() for name, ask in self.owners.items()},
            "settled": self.settled,
            "marker": self.marker,
            "containerd_marker": self.containerd_marker,
            "files": self.files,
            "history": [dataclasses.asdict(one) for one in self.history],
        }
        return json.dumps(data, indent=2) + "\n"


def parse(text: str | None) -> Notes:
    """Read the text of the file; no file is no notes."""
    data = json.loads(text) if text else {}
    return Notes(
        {name: Ask(**ask) for name, ask in data.get("owners", {}).items()},
        data.get("settled", {}),
        data.get("marker", ""),
        tuple(Past.from_data(one) for one in data.get("history", [])),
        data.get("containerd_marker", ""),
        data.get("files", {}),
    )


def path_of(host: Host) -> str:
    """Where the file lies."""
    return os.path.join(host.places.state, NOTES_FILE)


def load(host: Host) -> Notes:
    """The notes of a host."""
    return parse(_files.read(path_of(host)))


def inode_of(path: str) -> tuple[int, int]:
    """Device and inode of a path; of one that is not there, what no file has."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return 0, 0
    return status.st_dev, status.st_ino


__all__ = ("NOTES_FILE", "Notes", "Past", "inode_of", "load", "parse", "path_of")
