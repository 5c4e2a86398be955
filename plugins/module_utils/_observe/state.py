# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Observe: what the host really does, changing nothing. Only `observe` and what it calls look; a State is plain data."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
import typing as t

from .._endpoint.stranger import ask_all
from .._engine import daemon_json, options
from .._engine.addresses import DEFAULT_HOST, Address, as_address, known_addresses, listen_addresses, socket_of
from .._engine.api import Engine
from .._engine.certificates import ENVIRONMENT, certificates_in_force, changed_certificates, checksums, default_files
from .._engine.daemon_json import SNAPSHOTTER, Owners, flat
from .._engine.image_store import Store, next_store, used_drivers
from .._engine.inventory import Inventory, take_inventory
from .._engine.on_disk import uses_containerd_store
from .._errors import DrydockError
from .._host import files
from .._host.host import Host
from .._host.mounts import Mount, parse_mountinfo
from .._host.processes import began_at, command_line, environment_of, process_identity
from .._service import unit_file
from .._service.containerd import CONTAINERD_DATABASE, Containerd, observe_containerd
from .._service.detect import service_of
from .._service.service import CONTAINERD, SOCKET
from .._service.unit import Unit
from . import records
from .down import Down, load_down, still_down
from .records import PastMove

DEFAULT_DATA_ROOT = "/var/lib/docker"


@dataclasses.dataclass(frozen=True)
class State:
    """Everything that planning needs to know.

    :param device_volumes: the volumes that dockerd itself mounts, and
    :param sized_volumes: those that it keeps to a size.
    :param certificates: the certificate files as the running process has read them, a checksum each, and
    :param certificates_now: as they are now.
    :param newer: files of others that were changed after the daemon's process began, and
    :param rewritten: after our last run.
    :param digests: a checksum of daemon.json, and of the unit and others' drop-ins each.
    :param systemd_socket: the path that docker.socket listens on, None where there is no such unit, and
    :param socket_unit: the unit.
    :param other_sockets: on what systemd listens for the daemon besides, by the unit that does so.
    :param left_by_us: daemon.json is as our last run left it.
    :param environment: the variables of the running daemon that say something of TLS.
    :param lets_in: whether somebody without a certificate is let in, by tcp address, of systemd's sockets too, as the socket answers.
    :param down: the containers that an earlier change left down.
    :param config_file: daemon.json, wherever the daemon reads it at its next start.
    :param process: of the running daemon, what no other process is mistaken for; empty when it is down.
    :param default_root_unused: where the data root of a daemon that is down would lie by default are no data, and
    :param containerd_root_unused: no containerd has used the root of the one that is there.
    :param used_drivers: the storage drivers that an earlier start has used below the data root.
    """

    engine_version: str
    pid: int
    unit: Unit
    daemon_json_text: t.Optional[str]
    daemon_json: t.Dict[str, t.Any]
    owners: Owners
    verified: t.Dict[str, t.Any]
    marker: str
    info: t.Dict[str, t.Any]
    inventory: Inventory
    device_volumes: t.FrozenSet[str]
    mounts: t.List[Mount]
    fstab: str
    socket: t.Optional[str]
    systemd_socket: t.Optional[str]
    running_flags: t.Dict[str, t.Any]
    history: t.Tuple[PastMove, ...] = ()
    containerd: t.Optional[Containerd] = None
    containerd_marker: str = ""
    certificates: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    socket_unit: t.Optional[Unit] = None
    newer: t.Tuple[str, ...] = ()
    rewritten: t.Tuple[str, ...] = ()
    digests: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    process: str = ""
    config_file: str = ""
    other_sockets: t.Dict[str, t.List[str]] = dataclasses.field(default_factory=dict)
    down: t.Tuple[Down, ...] = ()
    left_by_us: bool = False
    certificates_now: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    default_root_unused: bool = False
    containerd_root_unused: bool = False
    sized_volumes: t.FrozenSet[str] = frozenset()
    environment: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    lets_in: t.Dict[str, bool] = dataclasses.field(default_factory=dict)
    used_drivers: t.FrozenSet[str] = frozenset()

    @property
    def version(self) -> options.Version:
        """The engine's version as numbers."""
        return options.parse_version(self.engine_version)

    @property
    def file_in_force(self) -> dict[str, t.Any]:
        """daemon.json as the running daemon was proved to have read it, or as it is now when nobody proved it."""
        return verified_settings(self.verified, self.process, self.daemon_json)

    @property
    def in_force(self) -> dict[str, t.Any]:
        """The running daemon's flags and file together, and the certificates that it takes by itself."""
        settings = {**default_files(self.running_flags, self.file_in_force, self.environment), **self.file_in_force, **self.running_flags}
        features = settings.get("features")
        if self.info and SNAPSHOTTER in flat(settings) and isinstance(features, dict):
            # What dockerd has read since its start says nothing of that.
            settings["features"] = {**features, SNAPSHOTTER.partition(".")[2]: self.snapshotter}
        return settings

    @functools.cached_property
    def addresses(self) -> list[Address]:
        """Where the daemon listens; where it would, when it is down."""
        return listen_addresses(self.in_force if self.pid else self.effective(self.daemon_json, self.unit.ours))

    @property
    def data_root(self) -> str:
        """The data root in use, as it was asked for: without the part that userns-remap appends."""
        root: str = self.info.get("DockerRootDir") or self.in_force.get("data-root", DEFAULT_DATA_ROOT)
        return os.path.dirname(root) if self.maps_users and re.fullmatch(r"\d+\.\d+", os.path.basename(root)) else root

    @property
    def maps_users(self) -> bool:
        """Whether userns-remap is in force."""
        return any("name=userns" in option for option in self.info.get("SecurityOptions") or [])

    @property
    def is_unused(self) -> bool:
        """Whether the engine is there and was not used yet: it is down, nobody has said where its data are, and where they would be are none."""
        asked = self.effective(self.daemon_json, self.unit.ours).get("data-root")
        return not (self.pid or self.marker or asked) and self.default_root_unused

    @property
    def containerd_is_unused(self) -> bool:
        """The same of containerd."""
        there = self.containerd
        return there is not None and self.is_unused and not (there.pid or self.containerd_marker) and self.containerd_root_unused

    @property
    def is_swarm_manager(self) -> bool:
        """Whether the host is a manager of a swarm."""
        return bool((self.info.get("Swarm") or {}).get("ControlAvailable"))

    @property
    def snapshotter(self) -> bool:
        """Whether images lie in containerd's store and not below the data root."""
        return uses_containerd_store(self.info)

    @property
    def store(self) -> Store:
        """The image store in force."""
        return Store(self.snapshotter, str(self.info.get("Driver", "")))

    def next_store(self, settings: t.Mapping[str, t.Any]) -> Store:
        """The one that a start with these settings would use."""
        driver = self.unit.environment.get("DOCKER_DRIVER")
        return next_store({**settings, **({"storage-driver": driver} if driver else {})}, self.version, self.used_drivers)

    @property
    def changes_store(self) -> str:
        """The image store of the next start, where that is not the one in force; else empty."""
        then = self.next_store(self.effective(self.daemon_json, self.unit.ours))
        return then.name if self.info and then.in_containerd != self.snapshotter else ""

    def effective(self, settings: t.Mapping[str, t.Any], drop_ins: t.Mapping[str, str]) -> dict[str, t.Any]:
        """What dockerd would get with this file and these drop-ins of ours."""
        flags = _flags(self.unit.effective(drop_ins)[1:])
        # (Of the home of its user a unit says nothing.)
        environment = {**{name: value for name, value in self.environment.items() if name == "HOME"}, **self.unit.environment}
        return {**default_files(flags, settings, environment), **settings, **flags}

    @property
    def pending(self) -> bool:
        """Whether file, unit or certificates say something else than the running daemon does."""
        changed = self.effective(self.daemon_json, self.unit.ours) != self.in_force
        return bool(self.pid) and bool(changed or self.changed_certificates or self.newer or self.changes_store)

    @property
    def changed_certificates(self) -> list[str]:
        """Certificate files that the running daemon has not read as they are now."""
        return changed_certificates(self.certificates, self.certificates_now, self.in_force) if self.pid else []


def _read_config(path: str) -> str | None:
    """What dockerd reads as its configuration; None where there is no such file.

    :raises DrydockError: it is no file that can be read and replaced.
    """
    if os.path.isdir(path):
        empty = not os.listdir(path)
        way = f"rmdir {path}" if empty else f"mv {path} {path}.old"
        why = "a container that mounts a file which is not there makes such a directory"
        raise DrydockError("config-file", f"{path} is a directory, and dockerd does not start with it ({why}).", f"Take it away: {way}. Then run again.")
    if os.path.exists(path) and not os.path.isfile(path):
        sentence = f"{path} is no regular file, and cannot be replaced by one."
        raise DrydockError("config-file", sentence, f"Remove that name: rm {path}. It holds no settings. Then run again.")
    return files.read(path)


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


def _is_unused(root: str) -> bool:
    """Whether a data root is known to hold no data: of one that may not be read, that is not known."""
    try:
        return holds_no_data(root)
    except PermissionError:
        return False


def verified_settings(verified: t.Mapping[str, t.Any], process: str, settings: dict[str, t.Any]) -> dict[str, t.Any]:
    """daemon.json as a running daemon was proved to have it in force; the file itself where we proved nothing of this process. Pure."""
    if process and verified.get("process") == process:
        proved: dict[str, t.Any] = verified["settings"]
        return proved
    return settings


def running_flags(pid: int) -> dict[str, t.Any]:
    """The flags of the running dockerd, but for the one that our own starts add."""
    return _flags(command_line(pid)[1:])


def _flags(arguments: t.Sequence[str]) -> dict[str, t.Any]:
    return unit_file.flags_as_settings(flag for flag in unit_file.parse_flags(arguments) if flag.key != "restart")


def observe(host: Host) -> State:
    """Observe the daemon of a host.

    :raises DrydockError: no engine, an unreadable daemon.json, or a running daemon that does not answer.
    """
    service = service_of(host)
    notes = records.load(host)
    names = {name for ask in notes.owners.values() for name in ask.drop_ins}
    unit = service.read(names)
    config_file = str(_flags(unit.effective(unit.ours)[1:]).get("config-file") or host.places.daemon_json)
    text = _read_config(config_file)
    settings = daemon_json.parse(text, config_file)
    pid = service.main_pid()
    process = process_identity(pid) if pid else ""
    flags: dict[str, t.Any] = running_flags(pid) if pid else {}
    environment = {name: value for name, value in environment_of(pid).items() if name in ENVIRONMENT} if pid else {}
    from_file = verified_settings(notes.verified, process, settings)
    in_force = {**default_files(flags, from_file, environment), **from_file, **flags}
    systemd_socket = service.socket_path()
    socket = socket_of(listen_addresses(in_force), systemd_socket) if pid else None
    info: dict[str, t.Any] = {}
    inventory = Inventory({}, {}, (), {})
    volumes: dict[str, dict[str, str]] = {}
    if pid and not socket:
        raise DrydockError(
            "no-unix-socket", "The running daemon has no unix socket, so it cannot be changed safely.", "Add fd:// to its listen addresses and restart it."
        )
    if socket:
        engine = Engine(service.gate.path(socket))
        info = engine.get("/info")
        version = info["ServerVersion"]
        inventory = take_inventory(engine)
        volumes = {one["Name"]: one.get("Options") or {} for one in engine.get("/volumes").get("Volumes") or []}
    else:
        match = re.search(r"version ([^,\s]+)", host.must(unit.effective(unit.ours)[0], "--version").out)
        version = match[1] if match else ""
    watched = [config_file, *unit.texts]
    digests = {config_file: files.digest(config_file), **unit.digests}
    socket_unit = service.read_if_there(SOCKET, _names_in(names, SOCKET)) if systemd_socket else None
    other_sockets = service.other_sockets()
    listens = socket_unit.values("Socket", "ListenStream", socket_unit.ours) if socket_unit else []
    listens += [one for many in other_sockets.values() for one in many]
    containerd = observe_containerd(host, service, _names_in(names, CONTAINERD), in_force)
    return State(
        engine_version=version,
        pid=pid,
        unit=unit,
        daemon_json_text=text,
        daemon_json=settings,
        owners=notes.owners,
        verified=notes.verified,
        marker=notes.marker,
        info=info,
        inventory=inventory,
        device_volumes=frozenset(name for name, given in volumes.items() if given.get("device")),
        mounts=parse_mountinfo(files.read(host.places.mountinfo) or ""),
        fstab=files.read(host.places.fstab) or "",
        socket=socket,
        systemd_socket=systemd_socket,
        running_flags=flags,
        history=notes.history,
        containerd=containerd,
        containerd_marker=notes.containerd_marker,
        certificates=certificates_in_force(pid, notes.verified, in_force),
        newer=_newer(pid, notes.verified.get("process") == process, config_file, watched),
        rewritten=tuple(sorted(path for path in {*watched, *notes.files} if notes.files and files.digest(path) != notes.files.get(path, ""))),
        digests=digests,
        socket_unit=socket_unit,
        process=process,
        config_file=config_file,
        other_sockets=other_sockets,
        environment=environment,
        lets_in=ask_all([*listen_addresses(in_force), *known_addresses(map(as_address, listens))]) if pid else {},
        left_by_us=notes.files.get(config_file) == digests[config_file],
        down=still_down(load_down(host), inventory),
        used_drivers=used_drivers(str(info.get("DockerRootDir") or in_force.get("data-root") or DEFAULT_DATA_ROOT)),
        certificates_now=checksums(in_force) if pid else {},
        default_root_unused=not pid and _is_unused(DEFAULT_DATA_ROOT),
        sized_volumes=frozenset(name for name, given in volumes.items() if re.search(r"(^|,)size=", given.get("o", "")) and not given.get("device")),
        containerd_root_unused=containerd is not None and not os.path.exists(os.path.join(containerd.root, CONTAINERD_DATABASE)),
    )


def _newer(pid: int, proved: bool, daemon_json: str, watched: t.Iterable[str]) -> tuple[str, ...]:
    """Files that were changed after the daemon's process began. Of a process that was proved to have daemon.json in force, that is known better."""
    if not pid:
        return ()
    began = began_at(pid)
    return tuple(path for path in watched if began < files.changed_at(path) < float("inf") and not (proved and path == daemon_json))


def _names_in(names: t.Iterable[str], unit: str) -> set[str]:
    """The file names of our drop-ins of another unit than docker.service."""
    return {os.path.basename(name) for name in names if name.startswith(f"{unit}.d/")}


def differing_keys(state: State, before: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any]) -> list[str]:
    """Keys, and features by themselves, whose value in force changes; a default written out changes nothing."""
    defaults: dict[str, t.Any] = {
        "data-root": state.data_root,
        "storage-driver": state.info.get("Driver"),
        "hosts": [DEFAULT_HOST],
        "tls": False,
        "labels": [],
        "features": {},
        SNAPSHOTTER: state.snapshotter,
    }
    before, after = flat(before), flat(after)

    def value(settings: t.Mapping[str, t.Any], key: str) -> t.Any:
        found = settings.get(key, defaults.get(key))
        return sorted(found) if key in options.LIST_KEYS and isinstance(found, list) else found

    return sorted(key for key in {*before, *after} if value(before, key) != value(after, key))


__all__ = (
    "DEFAULT_DATA_ROOT",
    "State",
    "differing_keys",
    "holds_no_data",
    "observe",
    "running_flags",
    "verified_settings",
)
