# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The observed state as the tree that daemon_info returns. Pure, but for the look at what is around the daemon."""

from __future__ import annotations

import json
import os
import typing as t

from .._copy.kept_mark import read_mark
from .._endpoint.attempt import read_certificate
from .._engine.addresses import addresses_of
from .._engine.daemon_json import SNAPSHOTTER, flat
from .._engine.describe import describe_container
from .._engine.on_disk import out_of_sight
from .._host.files import inode_of
from .._host.host import Host
from .._host.mounts import mount_of
from .._service import unit_file
from . import cis_benchmark, disks, listening
from .records import MARKED, PastMove
from .state import State, differing_keys


def describe(state: State, output: t.Mapping[str, list[str]] | None = None) -> dict[str, t.Any]:
    """The state of a daemon for playbooks and reports.

    :param output: the last lines of containers by id.
    """
    effective = state.effective(state.daemon_json, state.unit.ours)
    mount = mount_of(os.path.realpath(state.data_root), state.mounts)
    return {
        "running": bool(state.pid),
        "pid": state.pid,
        "engine_version": state.engine_version,
        "addresses": addresses_of(state.in_force if state.pid else effective),
        "data_root": state.data_root,
        "data_root_mount": {"point": mount.point, "fstype": mount.fstype, "source": mount.source} if mount else {},
        "storage_driver": state.info.get("Driver", ""),
        "image_store": ("containerd" if state.snapshotter else "docker") if state.info else "",
        "containerd_root": state.containerd.root if state.containerd else "",
        "live_restore": bool(state.info.get("LiveRestoreEnabled")),
        "time": state.info.get("SystemTime", ""),
        "command": state.unit.command.argv,
        "unit": state.unit.fragment,
        "drop_ins": {"ours": sorted(state.unit.ours), "foreign": [path for path in state.unit.texts if path != state.unit.fragment]},
        "config": _config(state, effective),
        "owners": {name: {"settings": ask.settings, "allow_insecure": ask.allow_insecure} for name, ask in state.owners.items()},
        "restart_pending": state.pending,
        "pending": _pending(state, effective),
        "rewritten": list(state.rewritten),
        "cis": cis_benchmark.judge(state),
        "moves": [_move(one) for one in state.history],
        "containers": [
            describe_container(one, (output or {}).get(one.id, [])) for one in sorted(state.inventory.containers.values(), key=lambda one: one.name)
        ],
        "down": [{"name": one.name, "why": one.why, "at": one.at} for one in state.down],
        "other_log_settings": sorted(one.name for one in state.inventory.containers.values() if not one.has_logs_of(state.in_force)),
        "images": len(state.inventory.images),
        "volumes": list(state.inventory.volumes),
        "networks": sorted(state.inventory.networks.values()),
    }


def look_around(host: Host, state: State, *, measure: bool) -> dict[str, t.Any]:
    """What only the kernel and the disks know: sockets, certificates, file systems, sizes.

    :param measure: count what the roots take.
    """
    images = state.containerd.root if state.containerd and state.snapshotter else ""
    return {
        "listening": listening.describe(state, listening.of(state.pid)) if state.pid else [],
        "certificates": [
            {"key": key, "path": path, **read_certificate(path), "read": path in state.certificates and path not in state.changed_certificates}
            for key, path in _certificates_of(state)
        ],
        "file_systems": disks.file_systems(state.mounts, {"data-root": state.data_root, "containerd": images}),
        "out_of_sight": out_of_sight(state.data_root, state.info, state.inventory.containers) if state.info else None,
        "data_root_bytes": disks.size(host, state.data_root) if measure else None,
        "containerd_root_bytes": disks.size(host, images) if measure else None,
    }


def _certificates_of(state: State) -> t.Iterator[tuple[str, str]]:
    settings = state.in_force if state.pid else state.effective(state.daemon_json, state.unit.ours)
    return ((key, str(settings[key])) for key in ("tlscacert", "tlscert") if settings.get(key))


def _config(state: State, effective: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Each key: its value, where that comes from and who asked for it; what was asked, what is in the file, and what is in force."""
    sources = {flag.key: state.unit.origin(flag) for flag in unit_file.parse_flags(state.unit.effective(state.unit.ours)[1:])}
    owners = {key: name for name, ask in state.owners.items() for key in ask.settings}
    asked = {key: value for ask in state.owners.values() for key, value in ask.settings.items()}
    return {
        key: {
            "value": effective.get(key),
            "source": sources.get(key, "daemon.json" if key in state.daemon_json else ""),
            "owner": owners.get(key, ""),
            "asked": asked.get(key),
            "in_file": state.daemon_json.get(key),
            "in_force": state.in_force.get(key) if state.pid else None,
        }
        for key in sorted({*effective, *asked, *(state.in_force if state.pid else ())})
    }


def _pending(state: State, effective: dict[str, t.Any]) -> list[str]:
    """Why a restart is pending."""
    if not state.pid:
        return []
    before, after = flat(state.in_force), flat(effective)
    found = [f"{key}: {json.dumps(before.get(key))} -> {json.dumps(after.get(key))}" for key in differing_keys(state, before, after)]
    if state.changes_store and before.get(SNAPSHOTTER) == after.get(SNAPSHOTTER):
        found.append(f"image store: {state.store.name} -> {state.changes_store}")
    return [*found, *(f"{path} was changed since the daemon was started" for path in (*state.changed_certificates, *state.newer))]


def _move(one: PastMove) -> dict[str, t.Any]:
    """A move that was made; what nobody measured is null."""
    measured = dict.fromkeys(("ended", "bytes", "files", "downtime_seconds", "forecast_seconds"))
    kept = one.kept if one.kept and one.is_there(inode_of(one.kept), read_mark(one.kept)) else ""
    paths = {"tree": one.tree, "source": one.origin, "target": one.root, "kept": kept, "restored": one.restored, "run": one.run}
    return {**paths, "phases": [], **measured, **{key: value for key, value in one.record.items() if key != MARKED}}


__all__ = (
    "describe",
    "look_around",
)
