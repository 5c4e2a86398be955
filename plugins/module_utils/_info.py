# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The observed state as the tree that daemon_info returns. Pure, but for the look at what is around the daemon."""

from __future__ import annotations

import json
import os
import typing as t

from . import _benchmark, _disks, _mounts, _sockets, _unit
from ._attempt import read_certificate
from ._host import Host
from ._notes import Past
from ._observe import Container, State, addresses
from ._plan import differing_keys


def describe(state: State, output: t.Mapping[str, list[str]] | None = None) -> dict[str, t.Any]:
    """The state of a daemon for playbooks and reports.

    :param output: the last lines of containers by id.
    """
    effective = state.effective(state.daemon_json, state.unit.ours)
    mount = _mounts.mount_of(os.path.realpath(state.data_root), state.mounts)
    return {
        "running": bool(state.pid),
        "pid": state.pid,
        "engine_version": state.engine_version,
        "addresses": addresses(state.in_force if state.pid else effective),
        "data_root": state.data_root,
        "data_root_mount": {"point": mount.point, "fstype": mount.fstype, "source": mount.source} if mount else {},
        "storage_driver": state.info.get("Driver", ""),
        "image_store": ("containerd" if state.snapshotter else "docker") if state.info else "",
        "containerd_root": state.containerd.root if state.containerd else "",
        "live_restore": bool(state.info.get("LiveRestoreEnabled")),
        "time": state.info.get("SystemTime", ""),
        "command": state.unit.command,
        "unit": state.unit.fragment,
        "drop_ins": {"ours": sorted(state.unit.ours), "foreign": [path for path in state.unit.texts if path != state.unit.fragment]},
        "config": _config(state, effective),
        "owners": {name: {"settings": ask.settings, "allow_insecure": ask.allow_insecure} for name, ask in state.owners.items()},
        "restart_pending": state.pending,
        "pending": _pending(state, effective),
        "rewritten": list(state.rewritten),
        "cis": _benchmark.judge(state),
        "moves": [_move(one) for one in state.history],
        "containers": [
            describe_container(one, (output or {}).get(one.id, [])) for one in sorted(state.inventory.containers.values(), key=lambda one: one.name)
        ],
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
        "listening": _sockets.describe(state, _sockets.of(state.pid)) if state.pid else [],
        "certificates": [
            {"key": key, "path": path, **read_certificate(path), "read": path in state.certificates and path not in state.changed_certificates}
            for key, path in _certificates_of(state)
        ],
        "file_systems": _disks.file_systems(state.mounts, {"data-root": state.data_root, "containerd": images}),
        "data_root_bytes": _disks.size(host, state.data_root) if measure else None,
        "containerd_root_bytes": _disks.size(host, images) if measure else None,
    }


def _certificates_of(state: State) -> t.Iterator[tuple[str, str]]:
    settings = state.in_force if state.pid else state.effective(state.daemon_json, state.unit.ours)
    return ((key, str(settings[key])) for key in ("tlscacert", "tlscert") if settings.get(key))


def _config(state: State, effective: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Each key: its value, where that comes from and who asked for it; what was asked, what is in the file, and what is in force."""
    sources = {flag.key: state.unit.origin(flag) for flag in _unit.parse_flags(state.unit.effective(state.unit.ours)[1:])}
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
    keys = differing_keys(state, state.in_force, effective)
    found = [f"{key}: {json.dumps(state.in_force.get(key))} -> {json.dumps(effective.get(key))}" for key in keys]
    return [*found, *(f"{path} was changed since the daemon was started" for path in (*state.changed_certificates, *state.newer))]


def _move(one: Past) -> dict[str, t.Any]:
    """A move that was made; what nobody measured is null."""
    measured = dict.fromkeys(("ended", "bytes", "files", "downtime_seconds", "forecast_seconds"))
    paths = {"tree": one.tree, "source": one.origin, "target": one.root, "kept": one.kept if one.is_there else "", "restored": one.restored, "run": one.run}
    return {**paths, "phases": [], **measured, **one.record}


def describe_container(one: Container, log: list[str]) -> dict[str, t.Any]:
    """One container for playbooks and reports."""
    return {
        "id": one.id,
        "name": one.name,
        "image": one.image,
        "state": one.state,
        "policy": one.policy,
        "max_retries": one.max_retries,
        "restart_count": one.restart_count,
        "exit_code": one.exit_code,
        "health": one.health,
        "started_at": one.started_at,
        "log": log,
    }


__all__ = ("describe", "describe_container", "look_around")
