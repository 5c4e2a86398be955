# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What lies at the paths that a plan is about, and names that nothing has yet: all that planning needs besides the daemon's state."""

from __future__ import annotations

import dataclasses
import os
import typing as t
import uuid

from .._copy import kept_roots
from .._copy.kept_mark import read_mark
from .._copy.listing import COPY_MARK
from .._copy.renaming import can_rename, is_special
from .._host.files import inode_of
from .state import State


@dataclasses.dataclass(frozen=True)
class PathFacts:
    """What lies at a path.

    :param real: the path with all links followed.
    :param inode: device and inode, of a link its own; where nothing lies, what no file has.
    :param directory: device and inode of the directory there, links followed; what no file has where there is none.
    :param special: it is a directory that is more than what mkdir makes, and is no one's to remove but its administrator's.
    :param markers: which of our marker files lie in it.
    :param kept_id: the id in its mark of kept data, empty where it has none.
    :param is_copy: it has the mark of a copy of ours.
    :param unfinished_copy: it is a copy of ours that did not come to its end; told only of a path whose copy is to be given up.
    """

    real: str
    inode: t.Tuple[int, int] = (0, 0)
    markers: t.FrozenSet[str] = frozenset()
    kept_id: str = ""
    is_copy: bool = False
    unfinished_copy: bool = False
    directory: t.Tuple[int, int] = (0, 0)
    special: bool = False

    @property
    def is_there(self) -> bool:
        """Whether anything lies there, be it a link to nowhere."""
        return self.inode != (0, 0)


class FreshNames(t.NamedTuple):
    """Random names that nothing has yet: of a marker in the data root, of one in containerd's root, and of one outage."""

    marker: str
    containerd_marker: str
    run: str


@dataclasses.dataclass(frozen=True)
class Paths:
    """What was seen.

    :param at: by path, as the request (normalized) or the records write it.
    :param renames: pairs of them, where the first can become the second by a rename.
    """

    at: t.Dict[str, PathFacts]
    fresh: FreshNames
    renames: t.FrozenSet[t.Tuple[str, str]] = frozenset()

    def are_same(self, one: str, other: str) -> bool:
        """Whether two paths are one directory, whatever it is called."""
        return self.at[one].directory == self.at[other].directory != (0, 0)


def look_at_paths(state: State, path: str | None = None, containerd_path: str | None = None, wanted: str = "relocated") -> Paths:
    """Look at the roots in use, and at what a request and the records name.

    :param path: the data root that is wanted, None to leave it alone, and
    :param containerd_path: the root of containerd, likewise.
    :param wanted: the request's state. Earlier moves are looked at only where they are its matter: their disks may be gone. And so are
        copies, because that may read a whole tree.
    """
    roots = (state.data_root, state.containerd.root if state.containerd else "")
    asked = tuple(os.path.normpath(one) if one else "" for one in (path, containerd_path))
    named = {*roots, *filter(None, asked)}
    if wanted in ("restored", "cleaned"):
        named.update(one for past in state.history for one in (past.origin, past.root, past.kept))
    past = state.history if wanted == "restored" else ()
    pairs = {*((one.root, one.origin) for one in past), *((one.kept, one.origin) for one in past)}
    pairs |= {(root, one) for root in roots for one in asked if root and one}
    copies = {one for one, root in zip(asked, roots) if one and wanted == "cancelled" and os.path.realpath(one) != os.path.realpath(root)}
    markers = {state.marker, state.containerd_marker} - {""}
    fresh = FreshNames(*(uuid.uuid4().hex[:12] for _name in FreshNames._fields))
    renames = frozenset(pair for pair in pairs if all(pair) and can_rename(*pair))
    return Paths({one: _look_at(one, markers, one in copies) for one in named}, fresh, renames)


def _look_at(path: str, markers: t.Iterable[str], may_be_copy: bool) -> PathFacts:
    return PathFacts(
        os.path.realpath(path),
        inode_of(path) if os.path.lexists(path) else (0, 0),
        frozenset(name for name in markers if os.path.exists(os.path.join(path, name))),
        read_mark(path),
        os.path.exists(os.path.join(path, COPY_MARK)),
        may_be_copy and kept_roots.is_unfinished_copy(path),
        _directory(path),
        is_special(path),
    )


def _directory(path: str) -> tuple[int, int]:
    try:
        status = os.stat(os.path.join(path, ""))
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


__all__ = (
    "FreshNames",
    "PathFacts",
    "Paths",
    "look_at_paths",
)
