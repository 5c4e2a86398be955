# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What does not arrive on the file system of a target: long paths, large attributes, quotas, subvolumes."""

from __future__ import annotations

import os
import shlex
import typing as t

from .._copy.listing import Listing, longest, subvolumes, too_long
from .._host.host import Host
from .._host.mounts import Mount, mount_of
from .._observe.state import State
from .._plan.plan import DATA_ROOT, Move, Plan
from .finding import ERROR, WARNING, Finding

_EXT = ("ext2", "ext3", "ext4")
# What a btrfs takes for one attribute: a leaf of its tree, 16 KiB unless it was made with other ones.
_BTRFS_ATTRIBUTE = 16 << 10
# Mount options of xfs by which it counts projects and keeps them to their limits (xfs(5)).
_PROJECT_QUOTA = frozenset({"pquota", "prjquota"})
# How many are told by name.
_TOLD = 3


def file_system_findings(host: Host, state: State, plan: Plan, move: Move, now: Listing) -> t.Iterator[Finding]:
    """What of a listed tree does not arrive on the file system of its target, or not with all that it has.

    :param now: the source.
    """
    if move.rename:
        return
    path = longest(now, move.target)
    if path:
        error = too_long(path)
        yield Finding(error.id, ERROR, error.sentence, error.hint)
    left_out = [os.path.join(move.source, os.fsdecode(path)) for path in subvolumes(move.source, now)]
    if left_out and state.info.get("Driver") != "btrfs":
        yield _subvolume_finding(left_out, move)
    mounts = [mount_of(os.path.realpath(root), state.mounts) for root in (move.source, move.target)]
    source, target = mounts
    if target:
        yield from _attribute_findings(host, move, now, source, target)
        if move.tree == DATA_ROOT:
            yield from _quota_findings(state, plan, target)


def _subvolume_finding(paths: t.Sequence[str], move: Move) -> Finding:
    """They are the administrator's own; as a part of a rename they go along."""
    first, more = shlex.quote(paths[0]), f", one of {len(paths)}," if len(paths) > 1 else ""
    sentence = f"{paths[0]}{more} is a btrfs subvolume of its own below the old {move.what}: what is in it would not be copied."
    way = f"cp -a {first} {first}.plain && btrfs subvolume delete {first} && mv {first}.plain {first}"
    return Finding("subvolume-below", ERROR, sentence, f"Stop the containers that use it, and make a directory of it: {way}.")


def _attribute_findings(host: Host, move: Move, now: Listing, source: Mount | None, target: Mount) -> t.Iterator[Finding]:
    block = os.statvfs(target.point).f_frsize
    if target.fstype == "btrfs":
        limit = _BTRFS_ATTRIBUTE
    elif target.fstype in _EXT and not (source and source.fstype in _EXT and os.statvfs(source.point).f_frsize <= block):
        # Apart from what the inode itself has room for, all attributes of a file share one block (ext4(5), ea_inode).
        limit = block
        if "ea_inode" in host.run("dumpe2fs", "-h", target.source).out:
            return
    else:
        return
    for path in now:
        there = os.path.join(os.fsencode(move.source), path)
        try:
            sizes = {name: len(os.getxattr(there, name, follow_symlinks=False)) for name in os.listxattr(there, follow_symlinks=False)}
        except OSError:
            # Gone since it was listed, or not to be read: the copy is told.
            continue
        for name, size in sizes.items():
            if size > limit:
                which = f"The extended attribute {name} of {os.fsdecode(there)}"
                sentence = f"{which} has {size:,} bytes, and the {target.fstype} on {target.point} takes {limit:,}."
                yield Finding("attribute-too-big", ERROR, sentence, "Choose a target on xfs, or take the attribute away: setfattr -x.")
                return


def _quota_findings(state: State, plan: Plan, target: Mount) -> t.Iterator[Finding]:
    """dockerd gives a layer or a volume its project and limit when it makes it, and never again; a copy has neither."""
    limited = [f"container {one.name}" for one in state.inventory.containers.values() if one.size_limit]
    limited += [f"volume {name}" for name in sorted(state.sized_volumes)]
    if limited:
        names = ", ".join(limited[:_TOLD]) + (f" and {len(limited) - _TOLD} more" if len(limited) > _TOLD else "")
        sentence = f"The size limit of {names} does not arrive: the engine sets it when it makes them, and a copy has none."
        yield Finding("quota-lost", WARNING, sentence, "Create them again afterwards to have it back.")
    wanted = [one for one in plan.after.settings.get("storage-opts") or [] if one.startswith("overlay2.size=")]
    if wanted and not (target.fstype == "xfs" and target.options & _PROJECT_QUOTA):
        there = f"{target.point} is {target.fstype} without"
        sentence = f"{wanted[0]} in storage-opts needs an xfs that is mounted with pquota, and {there}: dockerd would not start."
        yield Finding("quota-unsupported", ERROR, sentence, "Mount it with pquota, or take that option away first.")


__all__ = ("file_system_findings",)
