# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What a move would break, leave behind or interrupt."""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

from .._copy.listing import list_tree, totals
from .._copy.root_links import is_led_below
from .._engine.container import Container
from .._engine.on_disk import is_containerds_mount, is_dockers_mount
from .._errors import format_bytes
from .._host import files
from .._host.host import Host
from .._host.mounts import is_below, is_mount_point, points_below
from .._host.processes import open_files, process_fields
from .._observe.state import State
from .._plan.plan import CONTAINERD_ROOT, Move
from .._plan.request import Request
from .._service import unit_file
from .._service.detect import service_of
from .finding import ERROR, WARNING, Finding
from .target import place_findings

_PLAIN_DRIVERS = frozenset({"overlay2", "overlay", "vfs", "fuse-overlayfs", "aufs", "overlayfs", "native"})


def move_findings(host: Host, state: State, moves: t.Sequence[Move], request: Request) -> t.Iterator[Finding]:
    if not state.pid:
        yield Finding(
            "daemon-down",
            ERROR,
            "The daemon is not running, so what has to arrive cannot be known.",
            f"Start it, then run again: {service_of(host).start_command}.",
        )
        return
    if request.restart == "never" and request.state != "prepared":
        targets = " and ".join(move.target for move in moves)
        yield Finding("restart-never", ERROR, f"The data cannot move to {targets} without a restart of the daemon.", "Leave out restart: never.")
    if shutil.which("rsync") is None and not all(move.rename for move in moves):
        yield Finding("no-rsync", ERROR, "rsync is not installed on this host.", "Install the package rsync.")
    for flag in unit_file.parse_flags(state.unit.effective(state.unit.ours)[1:]):
        if flag.key == "live-restore":
            yield Finding("flag", ERROR, f"{' '.join(flag.words)} is given as a flag in {state.unit.origin(flag)}.", "Remove it there, and use daemon.json.")
    driver = state.info.get("Driver", "")
    if driver not in _PLAIN_DRIVERS:
        yield Finding("storage-driver", ERROR, f"Storage driver '{driver}' does not keep its data in plain files.", "It cannot be moved by copying.")
    if state.is_swarm_manager and not request.allow_swarm_manager:
        yield Finding(
            "swarm-manager",
            ERROR,
            "This host is a swarm manager; while its daemon is down the cluster may lose its majority.",
            "Set allow_swarm_manager: true to move all the same.",
        )
    for move in moves:
        yield from place_findings(host, state, move, request)
        for point in points_below(move.source, state.mounts):
            if not _is_dockers(point[len(move.source) + 1 :], move, state):
                yield Finding("mount-below", ERROR, f"{point} is mounted below the old {move.what} and is not Docker's.", "Unmount it first.")
        yield from _reader_findings(state, move)
    yield from _containerd_findings(state, moves)
    for container in state.inventory.containers.values():
        if container.state == "paused":
            yield Finding("paused", WARNING, f"Container {container.name} is paused: its process starts anew, and is paused again.")
        if container.auto_remove and container.alive:
            yield Finding(
                "auto-remove", WARNING, f"Container {container.name} was started with --rm: the daemon's stop removes it, with its anonymous volumes."
            )
        for bind in container.binds:
            for move in moves:
                if is_led_below(bind, move.source) and not move.restores:
                    yield _bind_finding(container, bind, move)


def _bind_finding(container: Container, bind: str, move: Move) -> Finding:
    """A container that mounts a place below an old root by its path."""
    if is_mount_point(move.source) and os.path.realpath(bind) == os.path.realpath(move.source):
        sentence = f"Container {container.name} mounts {bind}, a mount point, where only the old {move.what} will be, set aside."
        return Finding("bind-below", WARNING, sentence, "Create it again with the new path.")
    sentence = f"Container {container.name} mounts {bind} by its path below the old {move.what}: a link there leads to {move.target}, and it starts with that."
    return Finding("bind-below", WARNING, sentence, "Create it again with the new path, then the link can go.")


def _containerd_findings(state: State, moves: t.Sequence[Move]) -> t.Iterator[Finding]:
    """What stays behind in containerd's root, and whom its move would stop."""
    there = state.containerd
    if not any(move.tree == CONTAINERD_ROOT for move in moves):
        if there and state.snapshotter and not all(move.rename for move in moves) and os.path.isdir(there.root):
            left = totals(list_tree(there.root))
            sentence = f"{format_bytes(left.bytes)} stay behind in {there.root}: this engine keeps its images in containerd's store, which is not moved."
            yield Finding("containerd-stays", WARNING, sentence, "Set containerd_path to move it too, if its file system is the one that is full.")
        return
    if there and not there.pid:
        yield Finding("containerd-down", ERROR, "containerd is not running, so what has to arrive cannot be known.", "Start it: systemctl start containerd.")
    for namespace, count in sorted(there.others.items() if there else ()):
        sentence = f"containerd runs {count} {'tasks' if count > 1 else 'task'} in namespace '{namespace}', which are not Docker's and would stop."
        yield Finding("containerd-shared", ERROR, sentence, "Stop them first, or leave out containerd_path.")
    for one in moves:
        for other in moves:
            if one is not other and is_below(os.path.realpath(one.target), os.path.realpath(other.target)):
                sentence = f"{one.target} for the {one.what} lies inside {other.target}, which is for the {other.what}."
                yield Finding("paths-nested", ERROR, sentence, "Give two paths beside each other.")


def _reader_findings(state: State, move: Move) -> t.Iterator[Finding]:
    """Processes of the host that have files open below the old root, such as shippers of logs: they would go on with the old ones.

    (What containers have open shows by its path in the container; dockerd is stopped, and with it a containerd of its own.)
    """
    daemons = {state.pid, state.containerd.pid if state.containerd else 0} - {0}
    for pid in (name for name in os.listdir("/proc") if name.isdigit() and not daemons & {int(name), _parent_of(name)}):
        below = sorted(name for name, _is_written in open_files(pid, move.source))
        if below:
            command = (files.read(f"/proc/{pid}/comm") or "?").strip()
            yield Finding(
                "open-files",
                WARNING,
                f"Process {pid} ({command}) has files open below the old {move.what}, {below[0]} for example, and will not notice the move.",
                "Restart it afterwards.",
            )


def _parent_of(pid: str) -> int:
    with contextlib.suppress(OSError):
        return int(process_fields(pid)[1])
    return 0


def _is_dockers(path: str, move: Move, state: State) -> bool:
    return is_containerds_mount(path) if move.tree == CONTAINERD_ROOT else is_dockers_mount(path, state.device_volumes)


__all__ = ("move_findings",)
