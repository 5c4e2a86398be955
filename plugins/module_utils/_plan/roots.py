# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What a request means for the data root, and for containerd's root. Pure."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._errors import DrydockError
from .._host.mounts import mount_of
from .._observe.paths import Paths
from .._observe.records import PastMove, old_data_changed
from .._observe.state import State
from .._service import unit_file
from .placeholders import MARKER_MARK, MOUNT_MARK, PATH_MARK
from .plan import CONTAINERD_ROOT, DATA_ROOT, MARKER_PREFIX, NAMES, FileChange, Move, Removal
from .request import Request


def missing_marker(aim: RootTarget) -> list[FileChange]:
    """The marker of a root that is where it should be, and in use: only then is it known to be the right one. Or that is the first one."""
    return [FileChange(os.path.join(aim.path, aim.marker), None, "")] if aim.path and aim.lacks_marker and (aim.runs or aim.unused) else []


def lost_root(aim: RootTarget) -> t.Iterator[DrydockError]:
    """A root that is where it should be by its path, and is not there: without its marker it may be an empty mount point.

    One that we have not looked after before cannot be marked while its daemon is down, and a unit that looks for the mark would never start.
    """
    if not aim.lacks_marker or aim.runs:
        return
    if not aim.known and not aim.unused:
        sentence = f"The daemon is not running, so whether {aim.path} is the right {aim.what} cannot be known."
        yield DrydockError("daemon-down", sentence, "Start it, then run again.")
    if aim.known:
        sentence = f"The {aim.what} {aim.path} is not there: its daemon is down, and {aim.marker_before} is missing in it."
        yield DrydockError("root-missing", sentence, "Mount the right file system there and start the daemon, then run again.")


def make_move(state: State, request: Request, paths: Paths, aim: RootTarget) -> Move:
    return Move(
        source=aim.root,
        target=aim.target,
        marker=aim.marker,
        keep_source=request.keep_source,
        verify=request.verify,
        bandwidth_limit=request.bandwidth_limit,
        rename=not aim.base and _can_rename(paths, aim.root, aim.target),
        base=aim.base,
        restores=request.state == "restored",
        tree=aim.tree,
        run=paths.fresh.run,
    )


def marks_of(state: State, paths: Paths, aim: RootTarget) -> dict[str, str]:
    """What the templates' marks stand for."""
    if aim.tree == DATA_ROOT:
        return {MARKER_MARK: aim.marker, PATH_MARK: aim.path or "", MOUNT_MARK: _mount_unit(state, paths, aim.path)}
    command = state.containerd.command if state.containerd else ""
    return {
        "@containerd_marker@": aim.marker,
        "@containerd_root@": aim.path or "",
        "@containerd_mount@": _mount_unit(state, paths, aim.path),
        "@containerd_command@": command,
    }


def _mount_unit(state: State, paths: Paths, path: str | None) -> str:
    mount = mount_of(paths.at[path].real, state.mounts) if path else None
    return unit_file.mount_unit(mount.point if mount else "/")


@dataclasses.dataclass(frozen=True)
class RootTarget:
    """What a request means for the data root of this host, or for containerd's root.

    :param root: where it lies now.
    :param runs: its daemon runs.
    :param unused: its daemon was never used, so that there is nothing to move.
    :param path: the root that is wanted, None to leave it alone.
    :param target: where a move or a copy goes.
    :param marker: the name of the marker that belongs into the root.
    :param marked: a marker of that name lies in the root that is wanted.
    """

    tree: str
    root: str
    runs: bool
    unused: bool
    marker_before: str
    path: t.Optional[str] = None
    target: str = ""
    moving: bool = False
    base: str = ""
    doomed: t.Tuple[Removal, ...] = ()
    problems: t.Tuple[DrydockError, ...] = ()
    marker: str = ""
    marked: bool = False

    @property
    def what(self) -> str:
        return NAMES[self.tree]

    @property
    def lacks_marker(self) -> bool:
        """Whether it is to stay where it is, and has no marker there."""
        return bool(self.path) and not self.moving and not self.marked

    @property
    def known(self) -> bool:
        """Whether we have looked after it before."""
        return bool(self.marker_before)


def root_targets(state: State, request: Request, paths: Paths) -> tuple[RootTarget, RootTarget]:
    """What a request means for both trees; a new place gets a new marker."""
    data = RootTarget(DATA_ROOT, state.data_root, bool(state.pid), state.is_unused, state.marker)
    there = state.containerd
    containerd = RootTarget(CONTAINERD_ROOT, there.root if there else "", bool(there and there.pid), state.containerd_is_unused, state.containerd_marker)
    aims = []
    for aim, asked, name in ((data, request.path, paths.fresh.marker), (containerd, request.containerd_path, paths.fresh.containerd_marker)):
        aim = _root_target(state, request, paths, aim, os.path.normpath(asked) if asked else None)
        fresh = aim.path and (aim.moving or not aim.known)
        marker = MARKER_PREFIX + name if fresh else aim.marker_before
        aims.append(dataclasses.replace(aim, marker=marker, marked=bool(aim.path) and marker in paths.at[aim.path or ""].markers))
    if request.state in ("prepared", "cancelled") and not (request.path or request.containerd_path):
        problem = DrydockError("variable-value", f"State '{request.state}' needs to know the path.", "Set path.")
        aims[0] = dataclasses.replace(aims[0], problems=(problem,))
    if request.containerd_path and not there:
        problem = DrydockError(
            "no-containerd",
            f"containerd's root cannot move to {request.containerd_path}: this host has no containerd.service, its dockerd runs containerd itself.",
            "Leave out containerd_path: that containerd keeps its data below the data root.",
        )
        aims[1] = dataclasses.replace(aims[1], path=None, moving=False, problems=(problem,))
    return aims[0], aims[1]


def _root_target(state: State, request: Request, paths: Paths, aim: RootTarget, path: str | None) -> RootTarget:
    elsewhere = path is not None and paths.at[path].real != paths.at[aim.root].real
    if path and path != aim.root and not elsewhere and any(one.origin == path and one.root == aim.root for one in state.history):
        sentence = f"{path} is a link to {aim.root}, which the move from there has left."
        return dataclasses.replace(aim, path=aim.root, problems=(DrydockError("path-link", sentence, "Take the move back: state restored."),))
    if request.state == "relocated":
        return dataclasses.replace(aim, path=path, target=path or "", moving=elsewhere and not aim.unused)
    if request.state == "restored":
        return _root_target_back(state, paths, aim)
    if request.state == "cleaned":
        there = [one for one in state.history if one.kept and one.tree == aim.tree]
        doomed = tuple(Removal(one.kept, paths.at[one.kept].inode) for one in there if paths.at[one.kept].is_there)
        return dataclasses.replace(aim, doomed=doomed, problems=tuple(_unproved(paths, aim, there)))
    if request.state == "prepared":
        return dataclasses.replace(aim, target=path or "", moving=elsewhere)
    doomed = (Removal(path, paths.at[path].inode),) if path and elsewhere and paths.at[path].unfinished_copy else ()
    return dataclasses.replace(aim, doomed=doomed)


def _root_target_back(state: State, paths: Paths, aim: RootTarget) -> RootTarget:
    """Where the data were before the last outage that moved any."""
    if not state.history:
        problem = DrydockError("nothing-to-restore", "No move of this host's data is known, so none can be taken back.", "Name the path, with state relocated.")
        return dataclasses.replace(aim, problems=(problem,) if aim.tree == DATA_ROOT else ())
    last = next((one for one in reversed(state.history) if one.tree == aim.tree and one.run == state.history[-1].run), None)
    if last is None:
        return aim
    if paths.at[last.root].real != paths.at[aim.root].real:
        sentence = f"The {aim.what} is {aim.root}, and the last move went from {last.origin} to {last.root}."
        return dataclasses.replace(
            aim, problems=(DrydockError("nothing-to-restore", sentence, "It cannot be taken back; name the path, with state relocated."),)
        )
    if last.restored:
        return dataclasses.replace(aim, path=last.root)
    base = last.kept if _is_there(paths, last) and _can_take_back(paths, last) else ""
    return dataclasses.replace(aim, path=last.origin, target=last.origin, moving=True, base=base)


def _can_take_back(paths: Paths, past: PastMove) -> bool:
    """Whether kept data can be laid at their old place: by a rename, and it has no copy of its own, which is gone on with then.

    Within a mount point a copy at the old place is a part of the kept data.
    """
    if os.path.dirname(past.kept) == past.origin:
        return True
    origin = paths.at[past.origin]
    return (past.kept, past.origin) in paths.renames and not origin.special and not origin.is_copy


def _is_there(paths: Paths, past: PastMove) -> bool:
    """Whether the kept data of a move are where it set them aside."""
    there = paths.at[past.kept]
    return past.is_there(there.inode, there.kept_id)


def _unproved(paths: Paths, aim: RootTarget, past: t.Iterable[PastMove]) -> t.Iterator[DrydockError]:
    """Why old data must not go."""
    for one in past:
        if paths.at[one.kept].is_there and not _is_there(paths, one):
            yield old_data_changed(one.kept)
    if past and not (aim.runs and aim.known and aim.marker_before in paths.at[aim.root].markers):
        yield DrydockError(
            "root-missing",
            f"The {aim.what} {aim.root} is not proved: its daemon is down, or its marker is missing.",
            "Start the daemon there first, then clean.",
        )


def _can_rename(paths: Paths, root: str, target: str) -> bool:
    """Whether a move is a rename: the kernel can do it and nobody's directory is in the way, or it is one directory by two names."""
    return paths.are_same(root, target) or ((root, target) in paths.renames and not paths.at[target].special)


__all__ = (
    "RootTarget",
    "lost_root",
    "make_move",
    "marks_of",
    "missing_marker",
    "root_targets",
)
