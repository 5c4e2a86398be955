# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What others may have done since the plan was made: judged again right before the stop, behind it, and right before the start."""

from __future__ import annotations

import os

from .._copy.listing import COPY_MARK
from .._engine.on_disk import is_containerds_mount, is_dockers_mount, is_on_root
from .._errors import DrydockError
from .._host import files
from .._host.host import Host
from .._host.mounts import Mount, parse_mountinfo, points_below
from .._host.processes import command_line, open_files, processes
from .._observe import records
from .._plan.plan import DATA_ROOT, Move
from .._service.unit import Unit
from .steps.base import Context

# What all of these end with: nothing was lost, since the change is undone.
_AGAIN = "Run again when that is done."

# What the kernel appends to the path of an open file that has no name any more (proc(5)).
_DELETED = " (deleted)"


def before_stop(context: Context) -> None:
    """The host is still the one that the plan was made for.

    :raises DrydockError: it is not; nothing was stopped yet.
    """
    plan = context.plan
    as_planned(context)
    _unit_as_planned(context)
    info = context.engine(plan.before).get("/info")
    root = os.path.realpath(plan.before.data_root)
    if not is_on_root(info, root):
        raise DrydockError("not-as-planned", f"The daemon was restarted by somebody else on {info['DockerRootDir']}, no longer on {root}.", _AGAIN)
    if plan.moves and (info.get("Swarm") or {}).get("ControlAvailable") and not context.noted("swarm_manager"):
        raise DrydockError("swarm-manager", "This host has become a swarm manager meanwhile.", "Set allow_swarm_manager: true to move all the same.")
    for move in plan.moves:
        foreign_mounts(context, move)
        _same_target(context, move)


def as_planned(context: Context) -> None:
    """daemon.json says what the plan was made for, but for what the hold has written there.

    :raises DrydockError: somebody else has changed it.
    """
    path = context.host.places.daemon_json
    digest = files.digest(path)
    if digest != (context.noted("seen") or {}).get(path, digest) and files.read(path) != context.live_restore_text(path):
        raise _changed(path)


def _unit_as_planned(context: Context) -> None:
    """So do the unit and the drop-ins of others."""
    seen = {name: digest for name, digest in (context.noted("seen") or {}).items() if name != context.host.places.daemon_json}
    if not seen:
        return
    now = unit_now(context).digests
    changed = sorted(name for name in {*seen, *now} if seen.get(name) != now.get(name))
    if changed:
        raise _changed(changed[0])


def unit_now(context: Context) -> Unit:
    """The daemon's service as its files say it now."""
    return context.service.read({name for ask in records.load(context.host).owners.values() for name in ask.drop_ins})


def _changed(what: str) -> DrydockError:
    return DrydockError("file-changed", f"{what} was changed by somebody else since this change was planned.", _AGAIN)


def before_start(context: Context) -> None:
    """daemon.json is what this change has made of it: with another one nobody knows on which root, or whether, the daemon would come up.

    :raises DrydockError: somebody else has changed it.
    """
    path = context.host.places.daemon_json
    seen = (context.noted("seen") or {}).get(path)
    change = next((one for one in context.plan.files if one.path == path), None)
    now = files.read(path)
    same = now == change.after if change else seen in (None, files.digest(path)) or now == context.live_restore_text(path)
    if not same:
        raise DrydockError("file-changed", f"{path} was changed by somebody else while the daemon was down.", _AGAIN)


def foreign_mounts(context: Context, move: Move) -> None:
    """Nobody but Docker has mounted anything below an old root: what lies in such a mount would not move, and is not ours to unmount.

    :raises DrydockError: somebody has.
    """
    volumes = device_volumes(context)
    for point in points_below(move.source, mounts(context.host)):
        path = point[len(move.source) + 1 :]
        if not (is_dockers_mount(path, volumes) if move.tree == DATA_ROOT else is_containerds_mount(path)):
            raise DrydockError("mount-below", f"{point} is mounted below the old {move.what} and is not Docker's.", "Unmount it first, then run again.")


def device_volumes(context: Context) -> list[str]:
    """The volumes that dockerd itself mounts, as the daemon says, or as it said right before its stop."""
    noted = context.noted("device_volumes")
    if noted is None:
        there = context.engine(context.plan.before).get("/volumes").get("Volumes") or []
        noted = sorted(one["Name"] for one in there if (one.get("Options") or {}).get("device"))
    return list(noted)


def _same_target(context: Context, move: Move) -> None:
    """The copy lies where it was made: nothing was mounted over it or in it, and its file system is there."""
    if move.rename:
        return
    below = points_below(os.path.realpath(move.target), mounts(context.host))
    if below or not os.path.exists(os.path.join(move.target, COPY_MARK)):
        what = f"{below[0]} was mounted below it" if below else "another file system is mounted or unmounted there"
        raise DrydockError("target-changed", f"{move.target} is not as it was when the copy began: {what}.", "Look what was done there, then run again.")


def nobody_writes(move: Move) -> None:
    """With the daemon stopped nobody writes below an old root: what comes behind the copy would be lost.

    :raises DrydockError: a process has a file open for it.
    """
    for pid in processes():
        written = [path for path, is_written in open_files(pid, move.source) if is_written and not path.endswith(_DELETED)]
        if written:
            command = (command_line(pid) or ["?"])[0]
            raise DrydockError("writer", f"Process {pid} ({command}) writes to {written[0]}, below the old {move.what}.", "End it, then run again.")


def mounts(host: Host) -> list[Mount]:
    """What is mounted now."""
    return parse_mountinfo(files.read(host.places.mountinfo) or "")


__all__ = ("as_planned", "before_start", "before_stop", "device_volumes", "foreign_mounts", "mounts", "nobody_writes", "unit_now")
