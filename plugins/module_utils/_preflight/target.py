# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Whether a path can be a data root."""

from __future__ import annotations

import os
import re
import typing as t

from .._copy import kept_roots
from .._copy.root_links import is_link_to, links_into
from .._host.host import Host
from .._host.mounts import are_one_place, in_fstab, is_below, mount_of
from .._observe.state import DEFAULT_DATA_ROOT, State
from .._plan.plan import CONTAINERD_ROOT, Move
from .._plan.request import Request
from .._service.detect import service_of
from .finding import ERROR, WARNING, Finding
from .writable import keeper_findings

# File systems that overlay2 cannot work on, or that do not survive a boot.
_UNUSABLE = {
    "tmpfs": "lives in memory and is gone after a boot",
    "ramfs": "lives in memory and is gone after a boot",
    "overlay": "cannot carry overlay2 layers",
    "nfs": "cannot carry overlay2 layers",
    "nfs4": "cannot carry overlay2 layers",
    "cifs": "cannot carry overlay2 layers",
    "smb3": "cannot carry overlay2 layers",
    "vfat": "has no owners and modes",
    "exfat": "has no owners and modes",
    "ntfs3": "has no owners and modes",
    "9p": "cannot carry overlay2 layers",
    "squashfs": "is read-only",
    "iso9660": "is read-only",
}
_SYSTEM_DIRECTORIES = frozenset(
    {
        "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin",
        "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/log", "/var/run",
    }
)  # fmt: skip
_VOLATILE = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/run", "/var/tmp")


def path_findings(path: str, what: str) -> t.Iterator[Finding]:
    hint = "Give an absolute path such as /mnt/data/docker."
    if not os.path.isabs(path):
        yield Finding("path-relative", ERROR, f"{what} '{path}' is a relative path.", hint)
    elif not re.fullmatch(r"[A-Za-z0-9_./+@=-]+", path):
        yield Finding(
            "path-characters", ERROR, f"{what} '{path}' has characters that mounts or units treat specially.", "Use letters, digits and . _ + @ = - only."
        )
    elif os.path.normpath(path) in _SYSTEM_DIRECTORIES:
        yield Finding("path-system", ERROR, f"{what} '{path}' is a system directory.", hint)
    elif any(is_below(os.path.realpath(path), one) for one in _VOLATILE):
        yield Finding("path-volatile", ERROR, f"{what} '{path}' lies where a boot clears everything.", hint)


def place_findings(host: Host, state: State, move: Move, request: Request) -> t.Iterator[Finding]:
    source, target = os.path.realpath(move.source), os.path.realpath(move.target)
    if move.restores and is_link_to(move.target, move.source):
        # The move that is taken back has left it for those who go by the old path.
        yield from _file_system_findings(host, state, os.path.dirname(move.target), request)
        return
    if is_below(target, source):
        yield Finding("path-inside", ERROR, f"{move.target} lies inside the old {move.what} {move.source}.", "Choose a path outside of it.")
        return
    if is_below(source, target):
        yield Finding("path-around", ERROR, f"{move.target} contains the old {move.what} {move.source}.", "Choose a path outside of it.")
        return
    if move.rename and are_one_place(move.source, move.target):
        sentence = f"{move.source} and {move.target} are one directory: nothing is moved, the {move.what} gets the other name, and no space is freed."
        yield Finding(
            "same-directory", WARNING, sentence, f"Leave what makes {move.source} another name of it (a mount, a line in /etc/fstab) until that is done."
        )
        yield from _file_system_findings(host, state, move.target, request)
        return
    if move.rename and not move.restores:
        sentence = f"{move.target} lies on the file system of {move.source}: the {move.what} is renamed, and no space is freed."
        yield Finding("same-file-system", WARNING, sentence, "Choose a path on another disk if that is what it is for.")
    if os.path.isdir(move.target):
        names = {name for name in os.listdir(move.target) if name != "lost+found" and not name.startswith(kept_roots.KEPT)}
        if move.tree == CONTAINERD_ROOT or move.restores or move.target == DEFAULT_DATA_ROOT:
            # Debian's containerd makes a directory for its plugins below its usual root, wherever its root is; dockerd makes what a container
            # mounts there, and files of a swarm's load balancers.
            names -= kept_roots.empty_ones(move.target)
            names -= {os.path.basename(path) for path in links_into(move.target, move.source)}
        if names and (move.rename or not kept_roots.is_unfinished_copy(move.target)):
            yield Finding(
                "not-empty",
                ERROR,
                f"{move.target} is not empty: it holds {', '.join(sorted(names)[:3])}.",
                "Empty it or choose another path; what is there was not put there by a move.",
            )
    yield from _file_system_findings(host, state, move.target, request)


def first_place_findings(host: Host, state: State, path: str, request: Request) -> t.Iterator[Finding]:
    """What a data root may not be that was not moved there: it is new, or one of a daemon that this host had before."""
    names = set(os.listdir(path)) - {"lost+found"} if os.path.isdir(path) else set()
    if names and "containers" not in names:
        sentence = f"{path} is not empty, and no data root: it holds {', '.join(sorted(names)[:3])}."
        yield Finding("not-empty", ERROR, sentence, "Empty it or choose another path.")
    yield from _file_system_findings(host, state, path, request)


def _file_system_findings(host: Host, state: State, path: str, request: Request) -> t.Iterator[Finding]:
    """Whether a path is a directory, or can be one, on a file system that carries a data root and is there after a boot."""
    if os.path.lexists(path) and not os.path.isdir(path):
        yield Finding("not-a-directory", ERROR, f"{path} exists and is not a directory.", "Remove it or choose another path.")
        return
    yield from keeper_findings(path)
    yield from _unmounted_findings(host, state, path)
    mount = mount_of(os.path.realpath(path), state.mounts)
    if mount is None:
        yield Finding("no-mount", ERROR, f"No file system holds {path}.", "Mount one there.")
        return
    if mount.fstype in _UNUSABLE or mount.fstype.startswith("fuse"):
        reason = _UNUSABLE.get(mount.fstype, "cannot carry overlay2 layers")
        yield Finding("file-system", ERROR, f"{path} is on a {mount.fstype} file system ({mount.point}), which {reason}.", "Use ext4 or xfs on a disk.")
    if "ro" in mount.options:
        yield Finding("read-only", ERROR, f"{path} is on {mount.point}, which is mounted read-only.", "Mount it read-write.")
    if mount.fstype == "xfs":
        yield from _xfs_findings(host, mount.point)
    if mount.point != "/" and not in_fstab(mount.point, state.fstab) and not service_of(host).mounts_at_boot(mount.point):
        severity, hint = (ERROR, "Put it into /etc/fstab, or set require_persistent_mount: false.") if request.require_persistent_mount else (WARNING, "")
        yield Finding("not-persistent", severity, f"{mount.point} is mounted by hand: neither /etc/fstab nor a mount unit brings it back after a boot.", hint)
    device = in_fstab(mount.point, state.fstab)
    if device and re.match(r"/dev/(sd|vd|xvd|nvme)", device):
        yield Finding("device-name", WARNING, f"/etc/fstab mounts {mount.point} from {device}, a name that may change at a boot.", "Use UUID= there.")


def _unmounted_findings(host: Host, state: State, path: str) -> t.Iterator[Finding]:
    """A file system that belongs above a path and is not mounted: what is written there now disappears below it as soon as it is."""
    at, points = os.path.realpath(path), {one.point for one in state.mounts}
    while at != "/":
        if at not in points:
            device = in_fstab(at, state.fstab)
            where = f"/etc/fstab mounts {device} on {at}" if device else f"a mount unit mounts {at}" if service_of(host).mounts_at_boot(at) else ""
            if where:
                sentence = f"{where[0].upper() + where[1:]}, and it is not mounted: the data would lie below it, and be hidden as soon as it is."
                yield Finding("not-mounted", ERROR, sentence, f"Mount it: mount {at}. Then run again.")
        at = os.path.dirname(at)


def _xfs_findings(host: Host, point: str) -> t.Iterator[Finding]:
    told = host.run("xfs_info", point)
    if "ftype=0" in told.out:
        yield Finding("no-d-type", ERROR, f"The xfs on {point} was made with ftype=0, which overlay2 cannot use.", "Make it anew with ftype=1.")
    elif told.rc != 0:
        sentence = f"Whether overlay2 can use the xfs on {point} is not known: xfs_info says '{told.words}'."
        yield Finding(
            "xfs-unknown", WARNING, sentence, "Without ftype=1 the daemon does not start there, and the change is undone. Install xfsprogs to know before."
        )


__all__ = (
    "first_place_findings",
    "path_findings",
    "place_findings",
)
