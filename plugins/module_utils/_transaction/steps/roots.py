# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Whole roots: taken back, renamed, removed, and what is left of a move when the daemon runs on its new root."""

from __future__ import annotations

import contextlib
import datetime
import os
import typing as t

from ..._copy import kept_roots, root_links
from ..._copy.kept_mark import read_mark, write_mark
from ..._copy.listing import COPY_MARK, list_tree, totals
from ..._engine import stored_paths
from ..._errors import DrydockError, unexpected
from ..._host import files
from ..._host.mounts import is_below, points_below
from ..._host.processes import command_line, process_fields, processes
from ..._observe import records
from ..._observe.state import DEFAULT_DATA_ROOT
from ..._plan.order import DISCARD, FINISH, RENAME, TAKE_BACK
from ..._plan.plan import DATA_ROOT, Move
from ..._service.containerd import is_dockers, namespace_of_shim
from ..outcome import Moved
from ..surroundings import foreign_mounts, mounts, nobody_writes
from .base import Context, Step

# How often the daemon is given a tenth of a second more for containers that are just dying.
_DYING_LOOKS = 50


class TakeBack(Step):
    """Begin with the old data that an earlier move set aside: they lie at their old place again, marked as an unfinished copy."""

    name = TAKE_BACK

    def facts(self) -> dict[str, t.Any]:
        links = [root_links.links_into(move.target, move.source) for move in self.plan.moves]
        return {"links": {path: where for one in links for path, where in one.items()}}

    def apply(self) -> None:
        for path in self.context.noted("links"):
            files.remove(path)
        for move in self.plan.moves:
            if move.base:
                # Release 0.1.0 has set it aside without: what is undone after a boot has to be known by it, too.
                past = next(one for one in self.plan.history if one.kept == move.base)
                if read_mark(move.base) != past.kept_id:
                    write_mark(move.base, past.kept_id)
                kept_roots.take_back(move.base, move.target)

    def put_back(self, line: dict[str, t.Any]) -> None:
        for move in self.plan.moves:
            if move.base:
                kept_roots.set_aside_again(move.target, move.base)
        for path, where in (line.get("links") or {}).items():
            if not os.path.lexists(path):
                os.symlink(where, path)


class Discard(Step):
    """Remove what is ours: an unfinished copy, or old data that were kept."""

    name = DISCARD

    def apply(self) -> None:
        history = {one.kept: one for one in records.load(self.host).history}
        for one in self.plan.doomed:
            if os.path.lexists(one.path):
                past = history.get(one.path)
                if past and not past.is_there(files.inode_of(one.path), read_mark(one.path)):
                    raise records.old_data_changed(one.path)
                self.host.say(f"removing {one.path}")
                kept_roots.remove(one.path, one.inode, files.read(self.host.places.mountinfo) or "")


class Rename(Step):
    """Move a root within its file system, in one step that leaves no moment without a root."""

    name = RENAME

    def apply(self) -> None:
        for move in self.plan.moves:
            if move.rename:
                rename(self.context, move)

    def put_back(self, line: dict[str, t.Any]) -> None:
        for move in self.plan.moves:
            if move.rename:
                if os.path.islink(move.source):
                    self.context.is_rewritten = True
                kept_roots.exchange_back(move.source, move.target)
                self.context.differences += rewrite_paths(move, move.source)


class Finish(Step):
    """Nothing reads the old root any more: it is set aside, or removed."""

    name = FINISH
    undoable = False

    def facts(self) -> dict[str, t.Any]:
        return {"kept": names_of_kept(self.context)}

    def apply(self) -> None:
        kept = self.context.noted("kept")
        for move in self.plan.moves:
            copier = self.context.copiers.get(move.tree)
            whole = totals(copier.copied if copier else list_tree(move.target))
            files.remove(os.path.join(move.target, COPY_MARK))
            kept_roots.forget_kept(move.base, move.target)
            self.context.outcome.moved.append(Moved(move, whole.bytes, whole.files, self._set_aside(move, kept[move.tree])))

    def _set_aside(self, move: Move, kept: str) -> str:
        """Returns where the old root is kept, empty where it is not."""
        if move.rename:
            # What is no link is the same directory by another name.
            if os.path.islink(move.source) and not _binds_below(self.context, move):
                files.remove(move.source)
            return ""
        try:
            kept_roots.set_aside(move.source, kept)
        except OSError as exc:
            # The daemon has long been at work on its new root: nothing here is a reason to fail, now or in each later run.
            words = unexpected(exc).sentence.rstrip(".")
            self.context.outcome.remarks.append(f"The old {move.what} still lies in {move.source}, because setting it aside failed: {words}.")
            return ""
        if not os.path.lexists(kept):
            return ""
        # Before the records name it: a crash in between must not leave data that nobody knows.
        _mark_kept(move, kept)
        if move.keep_source:
            return kept
        try:
            kept_roots.remove(kept, files.inode_of(kept), files.read(self.host.places.mountinfo) or "")
        except (OSError, DrydockError) as exc:
            # Immutable, or busy.
            words = unexpected(exc).sentence.rstrip(".")
            self.context.outcome.remarks.append(
                f"{kept} was to be removed and is kept, because that failed: {words}. Mend that, then remove it: state cleaned."
            )
            return kept
        return ""


def names_of_kept(context: Context) -> dict[str, str]:
    """Where each old root is set aside, by tree; an interrupted run may have come this far: the names are the ones that it noted."""
    kept: dict[str, str] = context.noted("kept")
    when = datetime.datetime.fromtimestamp(context.host.now()).strftime("%Y%m%dT%H%M%S")
    return kept or {move.tree: kept_roots.kept_name(move.source, when) for move in context.plan.moves}


def _binds_below(context: Context, move: Move) -> list[str]:
    """What containers mount below an old root by its path."""
    return sorted({bind for one in context.inventory().containers.values() for bind in one.binds if is_below(bind, move.source)})


def lead_to_new_roots(context: Context) -> None:
    """Containers that mount a place below an old root by its path find the new one there, and so does whoever goes by a link: an old root that is
    mounted so is set aside before they start, and a link takes its place."""
    mounted = [bind for one in context.inventory().containers.values() for bind in one.binds]
    known = [DEFAULT_DATA_ROOT, *(one.origin for one in context.plan.history), *mounted]
    for move in context.plan.moves:
        binds = _binds_below(context, move)
        try:
            if binds and not move.rename:
                kept_roots.set_aside(move.source, context.noted("kept")[move.tree])
                root_links.lead_all(move.source, move.target, binds)
            for link in root_links.links_to(move.source, known):
                root_links.lead(link, move.target)
        except OSError as exc:
            context.outcome.remarks.append(f"What is mounted by a path below {move.source} is not led to {move.target}: {unexpected(exc).sentence}")


def _mark_kept(move: Move, kept: str) -> None:
    """Mark old data, where their disk has the room: it may be full, and without a mark they are known by device and inode."""
    with contextlib.suppress(OSError):
        write_mark(kept, records.kept_id(move.tree, move.run))


def rename(context: Context, move: Move) -> None:
    """Rename one root, with the daemon stopped.

    :raises DrydockError: a container outlived the stop.
    """
    nothing_left_alive(context, move)
    mark(move, move.source)
    kept_roots.exchange(move.source, move.target)
    context.outcome.remarks += rewrite_paths(move, move.target)


def rewrite_paths(move: Move, root: str) -> list[str]:
    """Let what an engine has stored below a data root name this root; returns the words about what cannot be rewritten."""
    return stored_paths.rewrite_all(root) if move.tree == DATA_ROOT else []


def mark(move: Move, root: str) -> None:
    """Write the marker that the unit looks for."""
    files.write(
        os.path.join(root, move.marker),
        f"The {move.what} of this host's Docker daemon, moved from {move.source}. docker.service does not start without this file.\n",
    )


def nothing_left_alive(context: Context, move: Move) -> None:
    """No container outlived the daemon, nothing of it is mounted (a classic build may leave its layer after a clean stop), and nobody else is at work there.

    :raises DrydockError: a container did, or somebody else has mounted something there or writes to a file.
    """
    looks = 0
    while shims := _busy_shims(context.plan.before.settings):
        if looks == _DYING_LOOKS:
            raise DrydockError(
                "containers-alive",
                f"{len(shims)} containers outlived the daemon's stop (containerd-shim {', '.join(shims)}).",
                "Stop them, then run again.",
            )
        looks += 1
        context.host.sleep(0.1)
    foreign_mounts(context, move)
    for point in points_below(move.source, mounts(context.host)):
        context.host.must("umount", point)
    nobody_writes(move)


def _busy_shims(settings: t.Mapping[str, t.Any]) -> list[str]:
    """Those of Docker's shims, by process id, whose container has a process: each is the shim's child, because it adopts orphans.

    A shim alone has nothing that could write. An engine now and then fails to remove the task of a container that has ended
    ("cannot delete running task", seen with 20.10.24), forgets the shim, and tidies up at its next start.
    """
    pids = processes()
    shims = {pid for pid in pids if _is_shim(pid, settings)}
    parents: set[str] = set()
    for pid in pids if shims else ():
        with contextlib.suppress(OSError):
            parents.add(process_fields(pid)[1])
    return sorted(shims & parents, key=int)


def _is_shim(pid: str, settings: t.Mapping[str, t.Any]) -> bool:
    return is_dockers(namespace_of_shim(command_line(pid)), settings)


__all__ = ("Discard", "Finish", "Rename", "TakeBack", "lead_to_new_roots", "mark", "names_of_kept", "nothing_left_alive", "rename", "rewrite_paths")
