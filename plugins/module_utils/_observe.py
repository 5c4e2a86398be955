# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Observe: what the host really does, changing nothing."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from . import _certificates, _containerd, _daemon_json, _files, _keys, _mounts, _notes, _unit
from ._addresses import addresses, find_socket
from ._containerd import Containerd
from ._daemon_json import Owners
from ._engine import Engine
from ._errors import DrydockError, EngineError
from ._host import Host, began_at, process_identity
from ._notes import Past
from ._service import CONTAINERD, SOCKET, Systemd, Unit
from ._sysv import service_of

DEFAULT_DATA_ROOT = "/var/lib/docker"
# The engine's zero time.
_NEVER = "0001-01-01T00:00:00Z"


@dataclasses.dataclass(frozen=True)
class Container:
    """A container as far as a restart of the daemon concerns it.

    :param state: created, running, paused, restarting, exited, removing or dead.
    :param policy: restart policy; an empty one is 'no'.
    :param needs: names or ids of containers that have to run first.
    :param binds: host paths that it mounts.
    :param health: starting, healthy or unhealthy; empty without a health check.
    :param started_at: when it was last started, in the engine's own words; empty when it never was.
    :param tty: its output is one stream, as a terminal shows it.
    """

    id: str
    name: str
    image: str
    state: str
    policy: str
    max_retries: int
    exit_code: int
    restart_count: int
    auto_remove: bool
    needs: t.Tuple[str, ...]
    binds: t.Tuple[str, ...]
    health: str = ""
    started_at: str = ""
    tty: bool = False

    @property
    def alive(self) -> bool:
        """Whether it counts to the running set."""
        return self.state in ("running", "paused", "restarting")


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What a daemon has: it must be the same after a restart or a move."""

    containers: t.Dict[str, Container]
    images: t.Dict[str, t.Tuple[str, ...]]
    volumes: t.Tuple[str, ...]
    networks: t.Dict[str, str]

    def to_data(self) -> dict[str, t.Any]:
        """The form that the journal keeps."""
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, t.Any]) -> Inventory:
        """Back from the journal's form."""
        return cls(
            containers={key: Container(**{**one, "needs": tuple(one["needs"]), "binds": tuple(one["binds"])}) for key, one in data["containers"].items()},
            images={key: tuple(tags) for key, tags in data["images"].items()},
            volumes=tuple(data["volumes"]),
            networks=data["networks"],
        )

    def running_set(self) -> list[Container]:
        """The containers that have to run again after a stop."""
        return [one for one in self.containers.values() if one.alive and not one.auto_remove]

    def differences(self, after: Inventory) -> list[str]:
        """What another inventory lacks, a sentence each; containers that remove themselves at a stop are left out."""
        found = []
        mine = {one.id: one.name for one in self.containers.values() if not one.auto_remove}
        theirs = {one.id: one.name for one in after.containers.values()}
        for kind, before, now in (
            ("container", mine, theirs),
            ("image", self.images, after.images),
            ("volume", dict.fromkeys(self.volumes), dict.fromkeys(after.volumes)),
            ("network", self.networks, after.networks),
        ):
            found += [f"{kind} {before[key] or key} is missing" for key in before if key not in now]
        found += [f"image {key} has the tags {after.images[key]}, not {tags}" for key, tags in self.images.items() if after.images.get(key, tags) != tags]
        return found


@dataclasses.dataclass(frozen=True)
class State:
    """Everything that planning needs to know.

    :param device_volumes: the volumes that dockerd itself mounts.
    :param certificates: the certificate files as the running process has read them, a checksum each.
    :param newer: files of others that were changed after the daemon's process began, and
    :param rewritten: after our last run.
    :param systemd_socket: the path that docker.socket listens on, None where there is no such unit, and
    :param socket_unit: the unit.
    """

    engine_version: str
    pid: int
    unit: Unit
    daemon_json_text: t.Optional[str]
    daemon_json: t.Dict[str, t.Any]
    owners: Owners
    settled: t.Dict[str, t.Any]
    marker: str
    info: t.Dict[str, t.Any]
    inventory: Inventory
    device_volumes: t.FrozenSet[str]
    mounts: t.List[_mounts.Mount]
    fstab: str
    socket: t.Optional[str]
    systemd_socket: t.Optional[str]
    running_flags: t.Dict[str, t.Any]
    history: t.Tuple[Past, ...] = ()
    containerd: t.Optional[Containerd] = None
    containerd_marker: str = ""
    certificates: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    socket_unit: t.Optional[Unit] = None
    newer: t.Tuple[str, ...] = ()
    rewritten: t.Tuple[str, ...] = ()

    @property
    def version(self) -> _keys.Version:
        """The engine's version as numbers."""
        return _keys.parse_version(self.engine_version)

    @property
    def file_in_force(self) -> dict[str, t.Any]:
        """daemon.json as the running daemon was proved to have read it, or as it is now when nobody proved it."""
        return settled_settings(self.settled, self.pid, self.daemon_json)

    @property
    def in_force(self) -> dict[str, t.Any]:
        """The running daemon's flags and file together."""
        return {**self.file_in_force, **self.running_flags}

    @property
    def data_root(self) -> str:
        """The data root in use, as it was asked for: without the part that userns-remap appends."""
        remapped = any("name=userns" in option for option in self.info.get("SecurityOptions") or [])
        root = self.info.get("DockerRootDir") or self.in_force.get("data-root", DEFAULT_DATA_ROOT)
        return os.path.dirname(root) if remapped and re.fullmatch(r"\d+\.\d+", os.path.basename(root)) else root

    @property
    def is_unused(self) -> bool:
        """Whether the engine is there and was not used yet: it is down, nobody has said where its data are, and where they would be are none."""
        asked = self.effective(self.daemon_json, self.unit.ours).get("data-root")
        return not (self.pid or self.marker or asked) and holds_no_data(DEFAULT_DATA_ROOT)

    @property
    def containerd_is_unused(self) -> bool:
        """The same of containerd."""
        there = self.containerd
        return (
            there is not None and self.is_unused and not (there.pid or self.containerd_marker or os.path.exists(os.path.join(there.root, _containerd.DATABASE)))
        )

    @property
    def snapshotter(self) -> bool:
        """Whether images lie in containerd's store and not below the data root."""
        return any("io.containerd.snapshotter" in " ".join(pair) for pair in self.info.get("DriverStatus") or [])

    def effective(self, settings: t.Mapping[str, t.Any], drop_ins: t.Mapping[str, str]) -> dict[str, t.Any]:
        """What dockerd would get with this file and these drop-ins of ours."""
        return {**settings, **_unit.flags_as_settings(_unit.parse_flags(self.unit.effective(drop_ins)[1:]))}

    @property
    def pending(self) -> bool:
        """Whether file, unit or certificates say something else than the running daemon does."""
        changed = self.effective(self.daemon_json, self.unit.ours) != self.in_force
        return bool(self.pid) and bool(changed or self.changed_certificates or self.newer)

    @property
    def changed_certificates(self) -> list[str]:
        """Certificate files that the running daemon has not read as they are now."""
        return _certificates.changed(self.certificates, self.in_force) if self.pid else []


def holds_no_data(root: str) -> bool:
    """Whether a data root has no container, volume or image in it: there is none yet, or dockerd has only just made it."""
    below = _names(root)
    # With mapped users the data lie one deeper, and dockerd makes nothing beside them.
    mapped = any(re.fullmatch(r"\d+\.\d+", name) for name in below)
    volumes = _names(root, "volumes") - {"metadata.db", "backingFsBlockDev"}
    images = [name for driver in _names(root, "image") for name in _names(root, "image", driver, "imagedb", "content", "sha256")]
    return not (mapped or _names(root, "containers") or volumes or images)


def _names(*parts: str) -> set[str]:
    try:
        return set(os.listdir(os.path.join(*parts)))
    except (FileNotFoundError, NotADirectoryError):
        return set()


def settled_settings(settled: t.Mapping[str, t.Any], pid: int, settings: dict[str, t.Any]) -> dict[str, t.Any]:
    """daemon.json as a running daemon was proved to have it in force; the file itself where we proved nothing of this process."""
    if pid and settled.get("process") == process_identity(pid):
        return settled["settings"]
    return settings


def running_flags(pid: int) -> dict[str, t.Any]:
    """The flags of the running dockerd, but for the one that our own starts add."""
    with open(f"/proc/{pid}/cmdline", "rb") as stream:
        argv = stream.read().decode(errors="replace").split("\0")[1:-1]
    return _unit.flags_as_settings(flag for flag in _unit.parse_flags(argv) if flag.key != "restart")


def observe(host: Host) -> State:
    """Observe the daemon of a host.

    :raises DrydockError: no engine, an unreadable daemon.json, or a running daemon that does not answer.
    """
    service = service_of(host)
    notes = _notes.load(host)
    names = {name for ask in notes.owners.values() for name in ask.drop_ins}
    unit = service.read(names)
    text = _files.read(host.places.daemon_json)
    settings = _daemon_json.parse(text, host.places.daemon_json)
    pid = service.main_pid()
    flags: dict[str, t.Any] = running_flags(pid) if pid else {}
    in_force = {**settled_settings(notes.settled, pid, settings), **flags}
    systemd_socket = service.socket_path()
    socket = find_socket(addresses(in_force), systemd_socket) if pid else None
    info: dict[str, t.Any] = {}
    inventory = Inventory({}, {}, (), {})
    device_volumes: frozenset[str] = frozenset()
    if pid and not socket:
        raise DrydockError(
            "no-unix-socket", "The running daemon has no unix socket, so it cannot be changed safely.", "Add fd:// to its listen addresses and restart it."
        )
    if socket:
        engine = Engine(socket)
        info = engine.get("/info")
        version = info["ServerVersion"]
        inventory = take_inventory(engine)
        device_volumes = frozenset(one["Name"] for one in engine.get("/volumes").get("Volumes") or [] if (one.get("Options") or {}).get("device"))
    else:
        match = re.search(r"version ([^,\s]+)", host.must(unit.effective(unit.ours)[0], "--version").out)
        version = match[1] if match else ""
    files = [host.places.daemon_json, *unit.texts]
    return State(
        engine_version=version,
        pid=pid,
        unit=unit,
        daemon_json_text=text,
        daemon_json=settings,
        owners=notes.owners,
        settled=notes.settled,
        marker=notes.marker,
        info=info,
        inventory=inventory,
        device_volumes=device_volumes,
        mounts=_mounts.parse_mountinfo(_files.read(host.places.mountinfo) or ""),
        fstab=_files.read(host.places.fstab) or "",
        socket=socket,
        systemd_socket=systemd_socket,
        running_flags=flags,
        history=notes.history,
        containerd=_containerd.observe(host, service, _names_in(names, CONTAINERD)),
        containerd_marker=notes.containerd_marker,
        certificates=_certificates.in_force(pid, notes.settled, in_force),
        newer=_newer(pid, notes.settled, host.places.daemon_json, files),
        rewritten=tuple(sorted(path for path in {*files, *notes.files} if notes.files and _files.digest(path) != notes.files.get(path, ""))),
        socket_unit=service.read_if_there(SOCKET, _names_in(names, SOCKET)) if systemd_socket and isinstance(service, Systemd) else None,
    )


def _newer(pid: int, settled: t.Mapping[str, t.Any], daemon_json: str, files: t.Iterable[str]) -> tuple[str, ...]:
    """Files that were changed after the daemon's process began. Of a process that was proved to have daemon.json in force, that is known better."""
    if not pid:
        return ()
    began = began_at(pid)
    proved = settled.get("process") == process_identity(pid)
    return tuple(path for path in files if began < _files.changed_at(path) < float("inf") and not (proved and path == daemon_json))


def _names_in(names: t.Iterable[str], unit: str) -> set[str]:
    """The file names of our drop-ins of another unit than docker.service."""
    return {os.path.basename(name) for name in names if name.startswith(f"{unit}.d/")}


def take_inventory(engine: Engine) -> Inventory:
    """Ask the daemon for all it has."""
    return Inventory(
        containers={one.id: one for one in map(to_container, inspect_containers(engine))},
        images={one["Id"]: tuple(sorted(one.get("RepoTags") or ())) for one in engine.get("/images/json")},
        volumes=tuple(sorted(one["Name"] for one in engine.get("/volumes").get("Volumes") or [])),
        # The engine makes its own bridge anew at each start, with another id.
        networks={one["Id"] if one["Name"] != "bridge" else "bridge": one["Name"] for one in engine.get("/networks")},
    )


def inspect_containers(engine: Engine, names: t.Container[str] | None = None) -> t.Iterator[dict[str, t.Any]]:
    """All that the engine says of each of its containers, or of those of these names."""
    for brief in engine.get("/containers/json", all=1):
        if names is not None and not any(name.lstrip("/") in names for name in brief.get("Names") or []):
            continue
        try:
            yield engine.get(f"/containers/{brief['Id']}/json")
        except EngineError:
            # Removed since the list was made (--rm); any other trouble shows in the next call.
            continue


def to_container(raw: t.Mapping[str, t.Any]) -> Container:
    """A container as the engine describes it."""
    config, state = raw["HostConfig"], raw["State"]
    policy = config.get("RestartPolicy") or {}
    modes = [config.get(key) or "" for key in ("NetworkMode", "IpcMode", "PidMode")]
    needs = [mode.split(":", 1)[1] for mode in modes if mode.startswith("container:")]
    needs += [link.split(":", 1)[0].lstrip("/") for link in config.get("Links") or []]
    return Container(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        image=raw["Config"].get("Image") or raw.get("Image") or "",
        state=state["Status"],
        policy=policy.get("Name") or "no",
        max_retries=policy.get("MaximumRetryCount") or 0,
        exit_code=state.get("ExitCode") or 0,
        restart_count=raw.get("RestartCount") or 0,
        auto_remove=bool(config.get("AutoRemove")),
        needs=tuple(needs),
        binds=tuple(mount["Source"] for mount in raw.get("Mounts") or [] if mount.get("Type") == "bind"),
        health=_health(state),
        started_at="" if state.get("StartedAt", _NEVER) == _NEVER else state["StartedAt"],
        tty=bool(raw["Config"].get("Tty")),
    )


def _health(state: t.Mapping[str, t.Any]) -> str:
    status = (state.get("Health") or {}).get("Status") or ""
    return "" if status == "none" else status


__all__ = (
    "DEFAULT_DATA_ROOT",
    "Container",
    "Inventory",
    "State",
    "addresses",
    "find_socket",
    "holds_no_data",
    "inspect_containers",
    "observe",
    "process_identity",
    "running_flags",
    "settled_settings",
    "take_inventory",
    "to_container",
)
