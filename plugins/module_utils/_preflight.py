# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Preflight: everything that can be known to go wrong, before anything is written."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import shutil
import socket
import typing as t

from . import _addresses, _certificates, _files, _index, _keys, _mounts, _roots, _tree, _unit
from ._daemon_json import DATA_ROOT_OWNER
from ._errors import DrydockError, message
from ._host import Host, process_fields
from ._journal import JOURNAL_ROOM
from ._observe import State, addresses
from ._plan import CONTAINERD_ROOT, Move, Plan, Request, drop_in_problems, has_its_plugins
from ._service import Systemd
from ._sysv import service_of

ERROR, WARNING = "error", "warning"

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
_PLAIN_DRIVERS = frozenset({"overlay2", "overlay", "vfs", "fuse-overlayfs", "aufs", "overlayfs", "native"})
_SYSTEM_DIRECTORIES = frozenset(
    {
        "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin",
        "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib", "/var/log", "/var/run",
    }
)  # fmt: skip
_VOLATILE = ("/dev", "/proc", "/run", "/sys", "/tmp", "/var/run", "/var/tmp")
# What dockerd itself mounts below its root while containers run, volumes aside; with userns-remap all of it lies in UID.GID.
_DOCKERS_OWN = re.compile(r"(\d+\.\d+/)?(overlay2|overlay|fuse-overlayfs|aufs|btrfs|zfs|vfs|rootfs|containers|plugins|buildkit|containerd)/")
_CONTAINERDS_OWN = re.compile(r"(io\.containerd\.[a-z0-9.]+|tmpmounts)/")
_MARGIN_BYTES, _MARGIN_SHARE = 64 << 20, 0.05


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that a person should know before the change.

    :param severity: error (nothing is done) or warning.
    """

    id: str
    severity: str
    sentence: str
    hint: str = ""

    def to_data(self) -> dict[str, str]:
        """The form that modules return."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return message(self.id, self.sentence, self.hint)


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What a move would take.

    :param bytes: bytes on disk and
    :param files: entries below the data root now.
    :param changed_bytes: the part that a copy which was prepared does not have yet.
    :param outage_seconds: how long the daemon's last start and stop took; what changes while containers run is not known yet.
    """

    bytes: int
    files: int
    changed_bytes: int
    changed_files: int
    outage_seconds: float

    def to_data(self) -> dict[str, t.Any]:
        """The form that modules return."""
        return dataclasses.asdict(self)


def preflight(
    host: Host, state: State, plan: Plan, request: Request, problems: t.Iterable[DrydockError], check_mode: bool
) -> tuple[list[Finding], Forecast | None]:
    """All findings, and the forecast of a move."""
    findings = [Finding(one.id, ERROR, one.sentence, one.hint) for one in (*problems, *drop_in_problems(state, plan.owners))]
    findings += list(_owner_findings(plan))
    findings += list(_key_findings(state, plan))
    findings += list(_address_findings(state, plan, check_mode))
    findings += list(_socket_findings(state, plan, request))
    findings += list(_plugin_findings(state, plan))
    findings += list(_flag_findings(state, plan))
    findings += list(_hidden_data_findings(state, plan, request))
    forecast = None
    for path, what in ((request.path, "Data root"), (request.containerd_path, "Root of containerd")):
        if path:
            findings += list(_path_findings(path, what))
    if plan.effect == "start" and plan.after.data_root != state.data_root and not any(one.severity == ERROR for one in findings):
        findings += list(_first_place_findings(host, state, plan.after.data_root, request))
    moves = plan.moves or plan.prepares
    if moves and not any(one.severity == ERROR for one in findings):
        findings += list(_move_findings(host, state, moves, request))
        if not any(one.severity == ERROR for one in findings):
            forecast, space = _space_findings(host, moves)
            findings += space
    if plan.steps:
        findings += list(_room_findings(host))
    for doomed in plan.doomed:
        for point in _mounts.points_below(doomed.path, state.mounts):
            findings.append(Finding("mount-in-old", ERROR, f"{point} is mounted below {doomed.path}, which is to be removed.", "Unmount it first."))
    if plan.effect == "none" and plan.why and state.pid:
        findings.append(
            Finding(
                "restart-pending",
                WARNING,
                f"The running daemon does not have this in force: {'; '.join(plan.why)}.",
                "Run again with restart: auto, or restart it.",
            )
        )
    if not any(one.severity == ERROR for one in findings):
        findings += list(_validate(host, state, plan, check_mode))
    # Two trees on one mount are told of it once.
    return list(dict.fromkeys(findings)), forecast


def _room_findings(host: Host) -> t.Iterator[Finding]:
    """The usual reason for a move is a full disk: what the journal needs has to be there."""
    there = os.statvfs(_mounts.nearest_directory(host.places.state))
    free = there.f_bfree * there.f_frsize
    if free < JOURNAL_ROOM:
        sentence = f"There is no room for a journal of {_tree.human(JOURNAL_ROOM)} in {host.places.state}: {_tree.human(free)} are free."
        yield Finding("no-journal-space", ERROR, sentence, "Free that much and run again.")


def _owner_findings(plan: Plan) -> t.Iterator[Finding]:
    allowed = {"listen": {"docker_listen"}, "tls": {"docker_listen"}, DATA_ROOT_OWNER: {"docker_data_root"}}
    for owner, ask in plan.owners.items():
        for key in ask.settings:
            role = _keys.ROLE_OF_KEY.get(key)
            if role and role not in allowed.get(owner, set()):
                yield Finding("wrong-role", ERROR, f"Key '{key}' cannot be set by owner '{owner}'.", f"Use role {role} for it.")
    if "restart" in plan.file_settings:
        yield Finding(
            "restart-key", ERROR, "daemon.json has the key 'restart', which keeps or starts all containers at once.", "Remove it; true is the default."
        )


def _key_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """What the catalogue says of the keys. Those of others are in force as they are, or keep dockerd from starting, which it says itself."""
    asked = {key for ask in plan.owners.values() for key in ask.settings}
    for name, value in plan.file_settings.items():
        found = _keys.fault(name, value, state.version)
        # 'restart' is a flag that dockerd takes from the file, too; what is wrong with it is told above.
        if found and name != "restart":
            yield Finding(found[0], ERROR if name in asked else WARNING, found[1], found[2])


def _plugin_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """A plugin that is in the file and not in force: dockerd ends where it is not there, and so would it with the old file."""
    key = "authorization-plugins"
    there = state.daemon_json.get(key)
    if there and plan.effect != "none" and plan.file_settings.get(key) == there and not has_its_plugins(state, plan.after.settings):
        sentence = f"daemon.json has {key} {', '.join(map(str, there))}, which is not in force, and without such a plugin dockerd does not start."
        yield Finding("plugin-pending", ERROR, sentence, "Restart the daemon with it first, or take it out of the file.")


def _socket_findings(state: State, plan: Plan, request: Request) -> t.Iterator[Finding]:
    """docker.socket: where systemd listens in the daemon's place."""
    path = plan.after.systemd_socket
    if path != plan.before.systemd_socket and (request.restart == "never" or not state.pid):
        sentence = f"docker.socket cannot listen on {path} without a restart of a running daemon."
        yield Finding("socket-restart", ERROR, sentence, "Leave out restart: never." if state.pid else f"Start it first: {Systemd.start_command}.")
    if not state.socket_unit or _addresses.verifies_clients(plan.after.settings) or any(ask.allow_insecure for ask in plan.owners.values()):
        return
    for file, text in state.socket_unit.texts.items():
        for value in _unit.values([text], "Socket", "ListenStream"):
            if not value.startswith(("/", "@", "%")):
                sentence = f"{file} lets systemd listen on {value} for the daemon, which gives root on this host to everybody who reaches it."
                yield Finding("open-api", ERROR, sentence, "Take that ListenStream out, or set docker_listen_tls_ca, _cert and _key.")


def _address_findings(state: State, plan: Plan, check_mode: bool) -> t.Iterator[Finding]:
    parsed = []
    for text in addresses(plan.after.settings):
        try:
            parsed.append(_addresses.parse(text))
        except DrydockError as exc:
            yield Finding(exc.id, ERROR, exc.sentence, exc.hint)
    allowed = any(ask.allow_insecure for ask in plan.owners.values())
    for address in _addresses.plain(parsed, plan.after.settings):
        if address.loopback:
            yield Finding(
                "plain-loopback", WARNING, f"{address.text} is open to every user of this host: whoever reaches it is root.", "Set up TLS to close it."
            )
        elif not allowed:
            yield Finding(
                "open-api",
                ERROR,
                f"{address.text} would give root on this host to everybody who reaches it: "
                f"there is no TLS client verification ({_source(state, plan, address.text)}).",
                "Set docker_listen_tls_ca, _cert and _key, or docker_listen_allow_insecure: true if the network is safe.",
            )
    if plan.after.settings.get("hosts") == []:
        yield Finding("no-address", ERROR, "No address is left to listen on.", "Name one in docker_listen_addresses, for example fd://.")
    for key in ("tlscacert", "tlscert", "tlskey"):
        path = plan.after.settings.get(key)
        if not path and plan.after.settings.get("tlsverify"):
            yield Finding("tls-incomplete", ERROR, f"TLS with client verification needs {key} too.", "Set docker_listen_tls_ca, _cert and _key.")
        if path and not os.path.isfile(path):
            # What makes it may come before this in the same play, and makes nothing in check mode.
            severity = WARNING if check_mode else ERROR
            yield Finding("tls-file", severity, f"{key} {path} does not exist on this host.", "Put the certificate there first.")
    yield from _certificate_findings(state, plan)
    if any(one.scheme == "fd" for one in parsed) and state.systemd_socket is None:
        yield Finding(
            "no-socket-unit", ERROR, "fd:// needs docker.socket, which this host does not have or has masked.", "Use unix:///var/run/docker.sock instead."
        )
    before = _addresses.known(addresses(plan.before.settings)) if state.pid else []
    for address in parsed:
        if address.scheme == "tcp" and address.text not in [one.text for one in before]:
            yield from _bind_finding(address, any(_share(address, one) for one in before))


def _certificate_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """What is wrong with the certificates. dockerd starts with an expired one all the same: what it has already is no reason to refuse."""
    settings = plan.after.settings
    files = _certificates.files_of(settings)
    if not (settings.get("tls") or settings.get("tlsverify")) or not all(os.path.isfile(path) for path in files):
        return
    fresh = set(files) - set(_certificates.files_of(plan.before.settings)) or set(files) & set(state.changed_certificates)
    for name, sentence, hint in _certificates.faults(settings):
        fatal = name in ("tls-mismatch", "tls-unreadable") or (fresh and name != "tls-other-ca")
        yield Finding(name, ERROR if fatal else WARNING, sentence, hint)


def _source(state: State, plan: Plan, address: str) -> str:
    if address in (plan.file_settings.get("hosts") or []):
        return "asked for in daemon.json"
    for flag in _unit.parse_flags(plan.after.command[1:]):
        if flag.key == "hosts" and flag.value == address:
            return f"from {state.unit.origin(flag)}"
    return "dockerd's default"


def _share(one: _addresses.Address, other: _addresses.Address) -> bool:
    """Whether the daemon has what it is to get, in part: all addresses for one of them, or the other way round."""
    return other.scheme == "tcp" and one.port == other.port and (one.unspecified or other.unspecified or one.host == other.host)


def _bind_finding(address: _addresses.Address, has_it: bool) -> t.Iterator[Finding]:
    """Try the address as dockerd will.

    :param has_it: the daemon listens there now, so that it cannot be told who else does.
    """
    try:
        family, kind, proto, _name, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, UnicodeError) as exc:
        yield Finding("address-unknown", ERROR, f"{address.text} cannot be resolved: {getattr(exc, 'strerror', exc)}.", "Use an address of this host.")
        return
    with contextlib.closing(socket.socket(family, kind, proto)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(where)
            probe.listen()
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE and has_it:
                return
            if exc.errno == errno.EADDRINUSE:
                yield Finding("address-in-use", ERROR, f"{address.text} is taken: another process listens there.", "Choose another port, or stop that process.")
            elif exc.errno == errno.EADDRNOTAVAIL:
                yield Finding(
                    "address-not-here", ERROR, f"{address.text} is not an address of this host.", "Use one that 'ip address' shows, or tcp://0.0.0.0 for all."
                )
            else:
                yield Finding("address-refused", ERROR, f"{address.text} cannot be listened on: {exc.strerror}.")


def _flag_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """Keys that dockerd gets both as a flag and from the file (it does not start then), and addresses of others that ours would drop."""
    first = {flag.key: flag for flag in reversed(_unit.parse_flags(plan.after.command[1:]))}
    for key in sorted(set(first) & set(plan.file_settings) - {"runtimes"}):
        flag = first[key]
        yield Finding(
            "flag-conflict",
            ERROR,
            f"'{key}' is given by {' '.join(flag.words)} in {state.unit.origin(flag)} and in daemon.json; dockerd does not start with both.",
            "Remove the flag there, or the key.",
        )
    asked = plan.file_settings.get("hosts")
    if asked:
        for flag in _unit.parse_flags(_unit.expand(state.unit.command, state.unit.environment)[1:]):
            origin = state.unit.origin(flag)
            if flag.key == "hosts" and flag.value not in asked and origin != state.unit.fragment:
                yield Finding(
                    "foreign-address",
                    ERROR,
                    f"{origin} lets the daemon listen on {flag.value}, which is not asked for.",
                    "Add it to docker_listen_addresses, or remove it there.",
                )


def _hidden_data_findings(state: State, plan: Plan, request: Request) -> t.Iterator[Finding]:
    for key, value in plan.hides if state.inventory.containers or state.inventory.images else ():
        yield Finding(
            "hides-data",
            WARNING if request.allow_hidden_data and not plan.moves else ERROR,
            f"Setting '{key}' to '{value}' would hide the images and containers that this host has.",
            "Remove them first, leave the key alone, or set docker_options_allow_hidden_data: true, in a run that moves nothing.",
        )


def _path_findings(path: str, what: str) -> t.Iterator[Finding]:
    hint = "Give an absolute path such as /mnt/data/docker."
    if not os.path.isabs(path):
        yield Finding("path-relative", ERROR, f"{what} '{path}' is a relative path.", hint)
    elif not re.fullmatch(r"[A-Za-z0-9_./+@=-]+", path):
        yield Finding(
            "path-characters", ERROR, f"{what} '{path}' has characters that mounts or units treat specially.", "Use letters, digits and . _ + @ = - only."
        )
    elif os.path.normpath(path) in _SYSTEM_DIRECTORIES:
        yield Finding("path-system", ERROR, f"{what} '{path}' is a system directory.", hint)
    elif any(_mounts.is_below(os.path.realpath(path), one) for one in _VOLATILE):
        yield Finding("path-volatile", ERROR, f"{what} '{path}' lies where a boot clears everything.", hint)


def _move_findings(host: Host, state: State, moves: t.Sequence[Move], request: Request) -> t.Iterator[Finding]:
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
    for flag in _unit.parse_flags(state.unit.effective(state.unit.ours)[1:]):
        if flag.key in ("data-root", "live-restore"):
            yield Finding(
                "flag", ERROR, f"{' '.join(flag.words)} is given as a flag in {state.unit.origin(flag)}.", "Remove it there; for live-restore use daemon.json."
            )
    driver = state.info.get("Driver", "")
    if driver not in _PLAIN_DRIVERS:
        yield Finding("storage-driver", ERROR, f"Storage driver '{driver}' does not keep its data in plain files.", "It cannot be moved by copying.")
    if (state.info.get("Swarm") or {}).get("ControlAvailable") and not request.allow_swarm_manager:
        yield Finding(
            "swarm-manager",
            ERROR,
            "This host is a swarm manager; while its daemon is down the cluster may lose its majority.",
            "Set docker_data_root_allow_swarm_manager: true to move all the same.",
        )
    for move in moves:
        yield from _place_findings(host, state, move, request)
        for point in _mounts.points_below(move.source, state.mounts):
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
            if any(_mounts.is_below(bind, move.source) for move in moves):
                yield Finding(
                    "bind-below",
                    WARNING,
                    f"Container {container.name} mounts {bind} by its path, which will not exist any more.",
                    "Create it again with the new path.",
                )


def _containerd_findings(state: State, moves: t.Sequence[Move]) -> t.Iterator[Finding]:
    """What stays behind in containerd's root, and whom its move would stop."""
    there = state.containerd
    if not any(move.tree == CONTAINERD_ROOT for move in moves):
        if there and state.snapshotter and not all(move.rename for move in moves) and os.path.isdir(there.root):
            left = _tree.totals(_tree.listing(there.root))
            sentence = f"{_tree.human(left.bytes)} stay behind in {there.root}: this engine keeps its images in containerd's store, which is not moved."
            yield Finding(
                "containerd-stays", WARNING, sentence, "Set docker_data_root_containerd_path to move it too, if its file system is the one that is full."
            )
        return
    if there and not there.pid:
        yield Finding("containerd-down", ERROR, "containerd is not running, so what has to arrive cannot be known.", "Start it: systemctl start containerd.")
    for namespace, count in sorted(there.others.items() if there else ()):
        sentence = f"containerd runs {count} {'tasks' if count > 1 else 'task'} in namespace '{namespace}', which are not Docker's and would stop."
        yield Finding("containerd-shared", ERROR, sentence, "Stop them first, or leave out docker_data_root_containerd_path.")
    for one in moves:
        for other in moves:
            if one is not other and _mounts.is_below(os.path.realpath(one.target), os.path.realpath(other.target)):
                sentence = f"{one.target} for the {one.what} lies inside {other.target}, which is for the {other.what}."
                yield Finding("paths-nested", ERROR, sentence, "Give two paths beside each other.")


def _reader_findings(state: State, move: Move) -> t.Iterator[Finding]:
    """Processes of the host that have files open below the old root, such as shippers of logs: they would go on with the old ones.

    (What containers have open shows by its path in the container; dockerd is stopped, and with it a containerd of its own.)
    """
    daemons = {state.pid, state.containerd.pid if state.containerd else 0} - {0}
    for pid in (name for name in os.listdir("/proc") if name.isdigit() and not daemons & {int(name), _parent_of(name)}):
        below = sorted(name for name in _open_files(pid) if name.startswith(move.source + "/"))
        if below:
            command = (_files.read(f"/proc/{pid}/comm") or "?").strip()
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


def _open_files(pid: str) -> t.Iterator[str]:
    # Processes end and files are closed meanwhile, and into some processes not even root may look.
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                yield os.readlink(f"/proc/{pid}/fd/{fd}")


def _is_dockers(path: str, move: Move, state: State) -> bool:
    """Whether the daemon mounted this path below its root: dockerd does so for layers, and for volumes that name a device."""
    if move.tree == CONTAINERD_ROOT:
        return bool(_CONTAINERDS_OWN.match(path))
    volume = re.fullmatch(r"(?:\d+\.\d+/)?volumes/([^/]+)/_data", path)
    return volume[1] in state.device_volumes if volume else bool(_DOCKERS_OWN.match(path))


def _place_findings(host: Host, state: State, move: Move, request: Request) -> t.Iterator[Finding]:
    source, target = os.path.realpath(move.source), os.path.realpath(move.target)
    if _mounts.is_below(target, source):
        yield Finding("path-inside", ERROR, f"{move.target} lies inside the old {move.what} {move.source}.", "Choose a path outside of it.")
        return
    if _mounts.is_below(source, target):
        yield Finding("path-around", ERROR, f"{move.target} contains the old {move.what} {move.source}.", "Choose a path outside of it.")
        return
    if os.path.isdir(move.target):
        names = {name for name in os.listdir(move.target) if name != "lost+found" and not name.startswith(_roots.KEPT)}
        if move.tree == CONTAINERD_ROOT:
            # Debian's makes a directory for its plugins below its usual root, wherever its root is.
            names -= _roots.empty_ones(move.target)
        if names and (move.rename or not _roots.is_unfinished_copy(move.target)):
            yield Finding(
                "not-empty",
                ERROR,
                f"{move.target} is not empty: it holds {', '.join(sorted(names)[:3])}.",
                "Empty it or choose another path; what is there was not put there by a move.",
            )
    yield from _file_system_findings(host, state, move.target, request)


def _first_place_findings(host: Host, state: State, path: str, request: Request) -> t.Iterator[Finding]:
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
    mount = _mounts.mount_of(os.path.realpath(path), state.mounts)
    if mount is None:
        yield Finding("no-mount", ERROR, f"No file system holds {path}.", "Mount one there.")
        return
    if mount.fstype in _UNUSABLE or mount.fstype.startswith("fuse"):
        reason = _UNUSABLE.get(mount.fstype, "cannot carry overlay2 layers")
        yield Finding("file-system", ERROR, f"{path} is on a {mount.fstype} file system ({mount.point}), which {reason}.", "Use ext4 or xfs on a disk.")
    if "ro" in mount.options:
        yield Finding("read-only", ERROR, f"{path} is on {mount.point}, which is mounted read-only.", "Mount it read-write.")
    if mount.fstype == "xfs" and "ftype=0" in host.run("xfs_info", mount.point).out:
        yield Finding("no-d-type", ERROR, f"The xfs on {mount.point} was made with ftype=0, which overlay2 cannot use.", "Make it anew with ftype=1.")
    if mount.point != "/" and not _is_persistent(host, state, mount):
        severity, hint = (
            (ERROR, "Put it into /etc/fstab, or set docker_data_root_require_persistent_mount: false.") if request.require_persistent_mount else (WARNING, "")
        )
        yield Finding("not-persistent", severity, f"{mount.point} is mounted by hand: neither /etc/fstab nor a mount unit brings it back after a boot.", hint)
    device = _mounts.in_fstab(mount.point, state.fstab)
    if device and re.match(r"/dev/(sd|vd|xvd|nvme)", device):
        yield Finding("device-name", WARNING, f"/etc/fstab mounts {mount.point} from {device}, a name that may change at a boot.", "Use UUID= there.")


def _is_persistent(host: Host, state: State, mount: _mounts.Mount) -> bool:
    if _mounts.in_fstab(mount.point, state.fstab):
        return True
    name = host.run("systemd-escape", "--path", "--suffix=mount", mount.point).out.strip()
    fragment = _unit.parse_show(host.run("systemctl", "show", name, "--property", "FragmentPath").out).get("FragmentPath", "")
    return bool(fragment)


def _space_findings(host: Host, moves: t.Sequence[Move]) -> tuple[Forecast, list[Finding]]:
    """The forecast of all moves, and whether each file system has the room for all that goes there."""
    restart = service_of(host).last_restart_seconds()
    whole, left = _tree.Totals(0, 0), _tree.Totals(0, 0)
    needs: dict[int, tuple[str, _tree.Totals]] = {}
    for move in moves:
        now = _tree.listing(move.source)
        tree = _tree.totals(now)
        whole += tree
        if move.rename:
            continue
        kept = _index.load(move.source, move.target)
        trusted = kept[1] if kept else {}
        left += _tree.totals({path: one for path, one in now.items() if trusted.get(path) != one})
        copy = move.base or move.target
        copied = _tree.totals(_tree.listing(copy)) if os.path.isdir(copy) else _tree.Totals(0, 0)
        need = _tree.Totals(int(tree.bytes * (1 + _MARGIN_SHARE)) + _MARGIN_BYTES - copied.bytes, int(tree.files * (1 + _MARGIN_SHARE)) - copied.files)
        device = os.stat(_mounts.nearest_directory(move.target)).st_dev
        targets, before = needs.get(device, ("", _tree.Totals(0, 0)))
        needs[device] = (f"{targets} and {move.target}" if targets else move.target, before + need)
    findings = [finding for targets, need in needs.values() for finding in _room_for(targets, need)]
    return Forecast(whole.bytes, whole.files, left.bytes, left.files, restart), findings


def _room_for(targets: str, need: _tree.Totals) -> t.Iterator[Finding]:
    there = os.statvfs(_mounts.nearest_directory(targets.split(" and ")[0]))
    free = there.f_bavail * there.f_frsize
    if need.bytes > free:
        sentence = f"{targets} has {_tree.human(free)} free, and {_tree.human(need.bytes)} are needed: {_tree.human(need.bytes - free)} are missing."
        yield Finding("no-space", ERROR, sentence, "Make room there, or choose another target.")
    if there.f_files and need.files > there.f_favail:
        sentence = f"{targets} has {there.f_favail} inodes free, and {need.files} files have to be copied."
        yield Finding("no-inodes", ERROR, sentence, "Make the file system with more inodes, or choose another target.")


def _validate(host: Host, state: State, plan: Plan, check_mode: bool) -> t.Iterator[Finding]:
    """Let dockerd itself judge the new configuration, where it can (23.0 and newer)."""
    if state.version < (23, 0) or not plan.files:
        return
    if check_mode and plan.file_settings.get("userns-remap") == "default":
        # Validating would create the user dockremap.
        return
    if check_mode and not all(os.path.isfile(path) for path in _certificates.files_of(plan.after.settings)):
        return
    text = next((one.after for one in plan.files if one.path == host.places.daemon_json), None)
    if text is None:
        text = _files.read(host.places.daemon_json) or "{}"
    result = host.run(plan.after.command[0], "--validate", "--config-file", "/dev/stdin", *plan.after.command[1:], stdin=text.encode())
    if result.rc != 0:
        words = re.sub(r"^unable to configure the Docker daemon with file /dev/stdin: ", "", result.words)
        yield Finding("validate", ERROR, f"dockerd rejects the new configuration: {words}.", "Correct what is asked for.")


__all__ = ("ERROR", "WARNING", "Finding", "Forecast", "preflight")
