# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What we keep on a host between runs: who asked for what, what was proved to be in force, and which moves were made."""

from __future__ import annotations

import dataclasses
import json
import os
import typing as t

from .._engine.daemon_json import Ask, Owners
from .._errors import DrydockError
from .._host import files
from .._host.formats import FORMAT, check_fields, parse_json, read_as
from .._host.host import Host
from .._host.processes import boot_id

RECORDS_FILE = "owners.json"
# In what was proved of a process; release 0.1.0 has none and passes over it.
BOOT = "boot"
# In the record of a move whose kept data have their mark.
MARKED = "marked"


@dataclasses.dataclass(frozen=True)
class PastMove:
    """A move that was made.

    :param tree: what moved, the data root or containerd's root.
    :param run: the same for all moves of one outage.
    :param origin: the root before it.
    :param root: the root after it.
    :param kept: where the old data were set aside; empty when they were not kept, or are gone.
    :param inode: device and inode of that directory, by which it is known where it has no mark.
    :param restored: it took back the move before it.
    :param record: when that was, what moved, how long it took and what was forecast, for a report; empty when nobody noted it. And whether
        the kept directory has its mark: release 0.1.0 reads no other new field, and writes no mark.
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
    def from_data(cls, data: dict[str, t.Any]) -> PastMove:
        """Back from JSON.

        :raises DrydockError: another release wrote it, in a form that is not known.
        """
        check_fields(cls, data, "A move in the records")
        return cls(**{**data, "inode": tuple(data["inode"])})

    @property
    def kept_id(self) -> str:
        """The id in the mark of its kept data."""
        return kept_id(self.tree, self.run)

    def is_there(self, inode: tuple[int, int], id: str) -> bool:
        """Whether the kept directory is still the one that was set aside: nothing else is ever removed or used in its place.

        :param inode: device and inode of what lies at its path now, and
        :param id: the id in its mark, empty where it has none.
        """
        if id or self.record.get(MARKED):
            return bool(self.kept) and id == self.kept_id
        return bool(self.kept) and inode == self.inode != (0, 0)


def old_data_changed(kept: str) -> DrydockError:
    """What is said of something else in the place of old data."""
    return DrydockError("old-data-changed", f"{kept} is not the directory that the move set aside.", "Look what it is, and remove it by hand.")


def kept_id(tree: str, run: str) -> str:
    """The id in the mark of kept data: of one tree and one outage."""
    return f"{tree} {run}"


@dataclasses.dataclass(frozen=True)
class Records:
    """All of it.

    :param verified: the process of dockerd and the settings that it was proved to have in force.
    :param marker: name of the marker file in the data root.
    :param containerd_marker: name of the one in containerd's root, empty where that is not looked after.
    :param history: moves, the newest last.
    :param files: daemon.json, the unit and others' drop-ins as the last run left them, a checksum each.
    """

    owners: Owners
    verified: t.Dict[str, t.Any]
    marker: str
    history: t.Tuple[PastMove, ...] = ()
    containerd_marker: str = ""
    files: t.Dict[str, str] = dataclasses.field(default_factory=dict)

    def text(self) -> str:
        """The text of the file."""
        data = {
            "format": FORMAT,
            "owners": {name: ask.to_data() for name, ask in self.owners.items()},
            "settled": self.verified,
            "marker": self.marker,
            "containerd_marker": self.containerd_marker,
            "files": self.files,
            "history": [dataclasses.asdict(one) for one in self.history],
        }
        return json.dumps(data, indent=2) + "\n"


def parse(text: str | None, where: str = RECORDS_FILE) -> Records:
    """Read the text of the file; no file is no records.

    :param where: its path, for a message.
    :raises DrydockError: another release wrote it, in a form that is not known.
    """
    data = {"owners": {}, "settled": {}, "marker": "", **parse_json(text, where)}
    # Its name in the file, which other releases read.
    data["verified"] = data.pop("settled")
    data.pop("format", None)
    check_fields(Records, data, where)
    return Records(
        {name: read_as(Ask, ask, where) for name, ask in data.get("owners", {}).items()},
        data["verified"],
        data.get("marker", ""),
        tuple(PastMove.from_data(one) for one in data.get("history", [])),
        data.get("containerd_marker", ""),
        data.get("files", {}),
    )


def path_of(host: Host) -> str:
    """Where the file lies."""
    return os.path.join(host.places.state_dir, RECORDS_FILE)


def load(host: Host) -> Records:
    """The records of a host. What was proved of a process of another boot is left out: one of this boot may have its id and its start."""
    there = parse(files.read(path_of(host)), path_of(host))
    return there if there.verified.get(BOOT) in (None, boot_id()) else dataclasses.replace(there, verified={})


__all__ = ("BOOT", "MARKED", "RECORDS_FILE", "PastMove", "Records", "kept_id", "load", "old_data_changed", "parse", "path_of")
