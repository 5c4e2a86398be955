# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""docker.service and docker.socket under systemd, and containerd.service where its data move: read, hold, stop, start."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
import re
import typing as t

from .._errors import CommandFailed, DrydockError
from .._host import files
from .._host.processes import began_at, command_line, environment_of
from . import unit_file
from .api_gate import hidden_path
from .command import Command, expand_specifiers, literal, parse_environment, split_words
from .launched import launched, program_of
from .service import CONTAINERD, SERVICE, SOCKET, Service, complaint
from .specifiers import specifiers_of
from .unit import Unit, starts_another
from .unsupported import not_installed

# The transient unit of the worker.
WORKER = "drydock-dockerd.service"
# Sorts behind every drop-in that people write, so that its word is the last one.
HOLD_DROP_IN = "zzzz-drydock-hold.conf"
STAY_DROP_IN = "zzzz-drydock-stay.conf"
# What each service runs.
_PROGRAMS = {SERVICE: "dockerd", CONTAINERD: "containerd"}
# Whose drop-ins are for every service (systemd.unit(5)).
_ALL_SERVICES = "service.d"
# In systemd's order (systemd-analyze unit-paths).
_FIRST_DIRECTORIES = ("/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early")
_VENDOR_DIRECTORIES = (
    "/run/systemd/generator", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system", "/run/systemd/generator.late"
)  # fmt: skip
# The unit that runs at boot while a journal is open, before anything of Docker, and what pulls it in.
RECOVERY_UNIT = "drydock-dockerd-recovery.service"
_WANTS = os.path.join("sysinit.target.wants", RECOVERY_UNIT)


def _exec_start(line: str) -> str:
    return f"ExecStart=\nExecStart={line}\n"


# By which a unit goes down with another one (systemd.unit(5)).
_DEPENDS = ("RequiredBy", "BoundBy", "ConsistsOf")
# What starts the daemon by itself.
_TRIGGERS = (".socket", ".path")
# How long the units that depend on the daemon may take to start, in seconds.
_DEPENDENTS_SECONDS = 300
# How often systemd is asked for the worker until it answers, and how long to wait between, in seconds.
_ATTEMPTS, _PAUSE = 5, 2.0


@dataclasses.dataclass(frozen=True)
class Systemd(Service):
    """The Docker units of a host with systemd.

    :param with_containerd: containerd is stopped, held and started together with the daemon.
    """

    with_containerd: bool = False
    log: t.ClassVar[str] = "'journalctl -u docker'"
    start_command: t.ClassVar[str] = "systemctl start docker"

    @property
    def worker_log(self) -> str:
        """Where the worker's own words are."""
        return "'journalctl -u drydock-dockerd'"

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit."""
        return unit_file.parse_show(self.host.must("systemctl", "show", unit, "--property", ",".join(properties)).out)

    def units(self) -> list[str]:
        """The units that make up the daemon here, the sockets first: docker.socket may be absent or masked."""
        state = self.show(SOCKET, "LoadState").get("LoadState")
        return [*([SOCKET] if state == "loaded" else []), *self.triggers(), SERVICE, *([CONTAINERD] if self.with_containerd else [])]

    def triggers(self) -> list[str]:
        """The other sockets and paths that start the daemon: those at work, where it is down those that a boot starts, and while it is held
        those that were at work. (A timer does no harm.)"""
        held = [name for name in self._held_units() if name.endswith(_TRIGGERS) and name != SOCKET]
        if self.is_held():
            return held
        named = self.show(SERVICE, "TriggeredBy").get("TriggeredBy", "").split()
        found = {name: self.show(name, "ActiveState", "UnitFileState") for name in named if name.endswith(_TRIGGERS) and name != SOCKET}
        down = found and not self.main_pid()
        return [name for name, one in found.items() if one.get("ActiveState") == "active" or (down and one.get("UnitFileState") == "enabled")]

    def _held_units(self) -> list[str]:
        drop_ins = sorted(glob.glob(os.path.join(self.host.places.runtime_units, "*.d", HOLD_DROP_IN)))
        return [os.path.basename(os.path.dirname(path))[: -len(".d")] for path in drop_ins]

    def other_sockets(self) -> dict[str, list[str]]:
        """On what systemd listens for the daemon besides docker.socket, by unit."""
        return {name: self._listens(name) for name in self.triggers() if name.endswith(".socket")}

    def _listens(self, socket: str) -> list[str]:
        shown = self.host.must("systemctl", "show", socket, "--property", "Listen").out
        return re.findall(r"^Listen=(\S+) \(Stream\)$", shown, re.MULTILINE)

    def main_pid(self, unit: str = SERVICE) -> int:
        """The process id of dockerd, or of another service; 0 when it is down."""
        return _pid(self.show(unit, "ActiveState", "MainPID"))

    def last_restart_seconds(self) -> float:
        """How long the last start and the last stop of the daemon took, as far as systemd knows of any in this boot."""
        spans = (("InactiveExit", "ActiveEnter"), ("ActiveExit", "InactiveEnter"))
        shown = self.show(SERVICE, *(f"{name}TimestampMonotonic" for span in spans for name in span))
        ends = [[int(shown.get(f"{name}TimestampMonotonic") or 0) for name in span] for span in spans]
        return sum(max(0, ended - began) for began, ended in ends if began) / 1_000_000

    def socket_path(self) -> str | None:
        """The unix socket that docker.socket listens on; None without docker.socket."""
        shown = self.show(SOCKET, "Listen", "LoadState")
        match = re.search(r"(/\S+) \(Stream\)", shown.get("Listen", ""))
        return match[1] if match and shown["LoadState"] == "loaded" else None

    def dependents(self) -> list[str]:
        """Units that require, bind to or are part of ours, and those that do so of them: systemd stops them with ours, and no start brings them back."""
        ours = self.units()
        found: list[str] = []
        ahead = list(ours)
        while ahead:
            shown = self.show(ahead.pop(), *_DEPENDS)
            new = sorted({name for one in _DEPENDS for name in shown.get(one, "").split()} - {*ours, *found})
            found += new
            ahead += new
        return [name for name in found if self.show(name, "ActiveState").get("ActiveState") in ("active", "activating", "reloading")]

    def read(self, our_names: t.Container[str]) -> Unit:
        """Read docker.service and its drop-ins from their files.

        :raises DrydockError: there is no docker.service, or it is masked.
        """
        unit = self.read_if_there(SERVICE, our_names)
        if unit is None:
            raise not_installed(SERVICE)
        return unit

    def read_if_there(self, name: str, our_names: t.Container[str]) -> Unit | None:
        """Read a service and its drop-ins from their files; None where there is no such service.

        :param our_names: file names of our drop-ins.
        :raises DrydockError: it is masked.
        """
        places = self.host.places
        directories = (*_FIRST_DIRECTORIES, places.units, places.runtime_units, *_VENDOR_DIRECTORIES)
        fragment = next((os.path.join(one, name) for one in directories if os.path.lexists(os.path.join(one, name))), None)
        if fragment is None:
            return None
        text = files.read(fragment) or ""
        if not text.strip():
            raise DrydockError("unit-unusable", f"{name} is masked by {fragment}.", f"Unmask it: systemctl unmask {name}.")
        by_name: dict[str, str] = {}
        for directory in (os.path.join(one, names) for one in reversed(directories) for names in (_ALL_SERVICES, name + ".d")):
            for path in glob.glob(os.path.join(directory, "*.conf")):
                by_name[os.path.basename(path)] = path
        texts, ours, paths = {fragment: text}, {}, [fragment]
        for one in sorted(by_name):
            content = files.read(by_name[one]) or ""
            if one in (HOLD_DROP_IN, STAY_DROP_IN):
                continue
            paths.append(by_name[one])
            if one in our_names:
                ours[one] = content
            else:
                texts[by_name[one]] = content
        unit = Unit(fragment, texts, ours, {})
        return self._with_what_runs(name, unit, paths) if name in _PROGRAMS else unit

    def _with_what_runs(self, name: str, unit: Unit, paths: list[str]) -> Unit:
        """A unit with its variables, and with what its command came to.

        :param paths: its files.
        """
        texts = [*unit.texts.values(), *unit.ours.values()]
        written = "".join(texts)
        specifiers = specifiers_of(name, unit.fragment) if "%" in written else {}
        environment, variables_of = self._environment(texts, specifiers)
        shown = self.show(name, "ActiveState", "MainPID", "NeedDaemonReload")
        pid = _pid(shown)
        inherited = (environment_of(pid) if pid else self._inherited()) if "$" in written else {}
        unit = dataclasses.replace(unit, environment=environment, variables_of=variables_of, inherited=inherited, specifiers=specifiers)
        words = unit.words(unit.ours)
        argv = self._own_words(command_line(pid)) if pid else []
        try:
            program, began = (os.readlink(f"/proc/{pid}/exe"), began_at(pid)) if argv else ("", 0.0)
        except OSError:
            # Somebody has ended it meanwhile.
            program = ""
        if not program:
            return dataclasses.replace(unit, program=program_of(words, _PROGRAMS[name]))
        # A removed drop-in shows by its directory. The runtime's is where our own hold comes and goes.
        watched = [*paths, *variables_of, *(os.path.join(self.host.places.units, one) for one in (name + ".d", _ALL_SERVICES))]
        changed = any(began < files.changed_at(path) < float("inf") for path in watched)
        return dataclasses.replace(
            unit,
            launched=launched(name, words, argv, program, os.path.realpath(words[0])),
            current=not changed and shown.get("NeedDaemonReload") != "yes",
            program=program if os.path.exists(program) else f"/proc/{pid}/exe",
        )

    def with_text(self, unit: Unit, text: str) -> Unit:
        """The same drop-ins with another text of the unit."""
        if not text:
            raise DrydockError("unit-unusable", "The packages that are asked for bring no docker.service.", "Ask for packages that do.")
        own = Command.of(unit_file.values([text], "Service", "ExecStart")[-1]).argv[0]
        is_a_packages = os.path.dirname(unit.fragment) not in (*_FIRST_DIRECTORIES, self.host.places.units, self.host.places.runtime_units)
        texts = {path: text if path == unit.fragment and is_a_packages else there for path, there in unit.texts.items()}
        environment, variables_of = self._environment([*texts.values(), *unit.ours.values()], unit.specifiers)
        then = Unit(unit.fragment, texts, unit.ours, environment, variables_of, unit.inherited, unit.specifiers)
        program = then.command.argv[0]
        if program != own and os.path.basename(program) == _PROGRAMS[SERVICE]:
            where = next(path for path, there in reversed(list(texts.items())) if unit_file.values([there], "Service", "ExecStart"))
            raise starts_another(where, program, own)
        return then

    def _own_words(self, argv: list[str]) -> list[str]:
        """The words of a running daemon without those that our own starts have added."""
        added = ("--restart=false", "--config-file", self.host.places.old_daemon_json)
        while argv and argv[-1] in added:
            argv = argv[:-1]
        return argv

    def _environment(self, texts: list[str], specifiers: t.Mapping[str, str]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """The variables of a unit, and those of its files by file."""
        found: dict[str, str] = {}
        by_file: dict[str, dict[str, str]] = {}
        for line in unit_file.values(texts, "Service", "Environment"):
            words = (expand_specifiers(word.value, specifiers) for word in split_words(line))
            found.update((name, value) for name, equals, value in (word.partition("=") for word in words) if equals)
        for pattern in unit_file.values(texts, "Service", "EnvironmentFile"):
            for path in sorted(glob.glob(expand_specifiers(pattern.lstrip("-"), specifiers))):
                by_file[path] = parse_environment(files.read(path) or "")
                found.update(by_file[path])
        for line in unit_file.values(texts, "Service", "UnsetEnvironment"):
            for word in split_words(line):
                found.pop(word.value, None)
        return found, by_file

    def _inherited(self) -> dict[str, str]:
        """The variables that systemd gives to each service."""
        return parse_environment(self.host.run("systemctl", "show-environment").out)

    def mounts_at_boot(self, point: str) -> bool:
        """Whether a mount unit has a file, be it one that was made of /etc/fstab."""
        return bool(self.show(unit_file.mount_unit(point), "FragmentPath").get("FragmentPath", ""))

    def guard_boot(self, command: str, journal: str) -> None:
        """A unit of ours runs before anything of Docker: an interrupted change is undone before the daemon starts."""
        places = self.host.places
        unit = f"""[Unit]
Description=Undo an interrupted change of the Docker daemon
DefaultDependencies=no
RequiresMountsFor={places.state_dir}
After=local-fs.target
Before=docker.service docker.socket containerd.service
ConditionPathExists={journal}

[Service]
Type=oneshot
ExecStart={command}
"""
        path, wants = os.path.join(places.units, RECOVERY_UNIT), os.path.join(places.units, _WANTS)
        files.write(path, unit)
        files.make_directories(os.path.dirname(wants))
        if not os.path.islink(wants):
            files.retry_when_full(lambda: os.symlink(path, wants))
            files.sync_directory(os.path.dirname(wants))

    def unguard_boot(self) -> None:
        """Remove the unit, what pulls it in first."""
        for name in (_WANTS, RECOVERY_UNIT):
            files.remove(os.path.join(self.host.places.units, name))

    def reload_units(self) -> None:
        """Let systemd read the unit files again."""
        self.host.must("systemctl", "daemon-reload")

    def hold(self, command: str, containerd: str = "", socket: str | None = None, policies: bool = False) -> None:
        """Keep everybody from starting the daemon, and prepare our own start.

        A condition on all units (on the service alone, clients drive the socket into its trigger limit, and whoever starts docker
        starts containerd first), all the time that the containers' stop timeouts need, and the command of the next start with
        containers held back. All of it lies in /run: a reboot clears it.

        :param command: as the unit has it, and
        :param containerd: that of containerd's next start, where it is held too.
        :param socket: what docker.socket will listen on in that start; None without docker.socket.
        :param policies: containers are not held back in that start.
        """
        # Asked before anything is held: from then on it is what the hold knows.
        units = self.units()
        line = " ".join([command, *([] if policies else ["--restart=false"])])
        condition = f"[Unit]\nConditionPathExists=!{self.host.places.hold}\n"
        node = socket if socket is None or policies else hidden_path(socket)
        files.write(self._hold_path(SERVICE), f"{condition}{_behind(node)}[Service]\nTimeoutStopSec=infinity\n{_exec_start(line)}")
        for name in units:
            if name.endswith(_TRIGGERS) and name != SOCKET:
                files.write(self._hold_path(name), condition)
        if SOCKET in units:
            files.write(self._hold_path(SOCKET), f"{condition}{_closed_at_once(socket, node)}")
        if self.with_containerd:
            files.write(self._hold_path(CONTAINERD), f"{condition}[Service]\n{_exec_start(containerd)}")
        files.write(self.host.places.hold, "")
        self.reload_units()

    @contextlib.contextmanager
    def staying(self) -> t.Iterator[None]:
        """systemd refuses what would stop them; a process that ends by itself does so."""
        for name in {*self.units(), CONTAINERD}:
            files.write(self._drop_in(name, STAY_DROP_IN), "[Unit]\nRefuseManualStop=yes\n")
        self.reload_units()
        try:
            yield
        finally:
            self._take_away(STAY_DROP_IN)
            self.reload_units()

    def is_held(self) -> bool:
        """Whether a hold of this boot is in place."""
        return os.path.exists(self._hold_path(SERVICE))

    def unhold(self) -> None:
        """Take the hold away."""
        files.remove(self.host.places.hold)
        # An installation that was cut off has left the others.
        self._take_away(HOLD_DROP_IN, STAY_DROP_IN)
        self.reload_units()
        self.gate.open()

    def _hold_path(self, unit: str) -> str:
        return self._drop_in(unit, HOLD_DROP_IN)

    def _drop_in(self, unit: str, name: str) -> str:
        return os.path.join(self.host.places.runtime_units, unit + ".d", name)

    def _take_away(self, *names: str) -> None:
        for name in names:
            for path in sorted(glob.glob(self._drop_in("*", name))):
                files.remove(path)

    def stop_dependents(self, names: t.Sequence[str]) -> None:
        """What fails there is not ours: the daemon's own stop takes them down with it."""
        if names:
            self.host.run("systemctl", "stop", *names, timeout=None)

    def start_dependents(self, names: t.Sequence[str]) -> list[str]:
        """Start them again; returns a sentence for each that does not run."""
        if not names:
            return []
        self.host.run("systemctl", "start", *names, timeout=_DEPENDENTS_SECONDS)
        shown = {name: self.show(name, "ActiveState", "Type") for name in names}
        return [
            f"Unit {name}, which depends on the daemon, does not run again: it is {one['ActiveState']}."
            for name, one in shown.items()
            # A oneshot has done its work.
            if one["ActiveState"] == "failed" or (one["ActiveState"] == "inactive" and one["Type"] != "oneshot")
        ]

    def stop(self, keep_socket: bool = False) -> None:
        """Stop socket and service in one job that nobody can cancel; systemd stops containerd behind them, as they start behind it.

        :param keep_socket: the socket stays, where it is closed: clients that find it would drive it into its trigger limit.
        :raises CommandFailed: dockerd did not end cleanly; a killed dockerd leaves containers marked as stopped by hand.
        """
        units = [unit for unit in self.units() if unit != SOCKET or not keep_socket or not self._socket_is_closed()]
        paths = [unit for unit in units if unit.endswith(".path")]
        if paths:
            # In one job with it they would stop behind it, and start it again and again until then.
            self.host.must("systemctl", "stop", *paths, timeout=None)
        self.host.must("systemctl", "stop", "--job-mode=replace-irreversibly", *units, timeout=None)
        shown = self.show(SERVICE, "ActiveState", "Result")
        if shown["ActiveState"] not in ("inactive", "failed") or shown["Result"] not in ("success", "start-limit-hit", "exit-code", "protocol"):
            raise CommandFailed("unclean-stop", f"docker.service did not stop cleanly: it is {shown['ActiveState']} with result '{shown['Result']}'.")

    def _socket_is_closed(self) -> bool:
        path = self.socket_path()
        return path is not None and self.gate.path(path) != path

    def start(self, timeout: float) -> None:
        """Start the daemon; starts that were counted before do not stand in the way.

        :param timeout: seconds until systemd has to report the daemon ready.
        :raises CommandFailed: with dockerd's own last words.
        """
        units = self.units()
        self._wait_for_jobs(units)
        began = self.host.now()
        self.host.run("systemctl", "reset-failed", *units)
        path = self.socket_path() if self.is_held() else None
        if path and self.show(SOCKET, "ActiveState").get("ActiveState") in ("inactive", "failed"):
            for node in (path, hidden_path(path)):
                files.remove(node)
        files.remove(self.host.places.hold)
        paths = [unit for unit in units if unit.endswith(".path")]
        if self._is_replaced(CONTAINERD):
            # Its package has waited for that: the daemon would lose it in the middle of its work.
            self.host.run("systemctl", "restart", CONTAINERD)
        with self.gate.closing_at_once(path):
            result = self.host.run("systemctl", "start", *(unit for unit in units if unit not in paths), timeout=timeout)
        # A unit whose assertion or condition failed is skipped with rc 0.
        if result.rc != 0 or not self.main_pid():
            raise CommandFailed("start-failed", f"dockerd does not start: {self.last_words(began) or result.words or 'no message'}.")
        if paths:
            # Before, they would start the daemon again and again until it can start, and run into their limit.
            self.host.run("systemctl", "start", *paths)

    def _is_replaced(self, unit: str) -> bool:
        """Whether a service runs by a program that is another one, or none, by now."""
        try:
            return os.readlink(f"/proc/{self.main_pid(unit)}/exe").endswith(" (deleted)")
        except OSError:
            return False

    def _wait_for_jobs(self, units: list[str]) -> None:
        """Let a stop that an interrupted run left under way come to its end: it cannot be cancelled."""
        while any(self.show(unit, "Job").get("Job", "") not in ("", "0") for unit in units):
            self.host.sleep(0.05)

    def signal_reload(self) -> None:
        """Let dockerd read daemon.json again (SIGHUP); says nothing about the outcome."""
        self.host.must("systemctl", "kill", "--kill-whom=main" if self._knows_kill_whom() else "--kill-who=main", "--signal=HUP", SERVICE)

    def _knows_kill_whom(self) -> bool:
        # --kill-who was renamed in systemd 252.
        match = re.match(r"systemd (\d+)", self.host.run("systemctl", "--version").out)
        return match is not None and int(match[1]) >= 252

    def last_words(self, since: float) -> str:
        """dockerd's own complaint since a moment, without time stamps."""
        # journald gets it through a pipe, and may not have read it yet; with --sync it does. (One without that word is taken as it is.)
        self.host.run("journalctl", "--sync", timeout=30)
        log = self.host.run("journalctl", "--unit", SERVICE, "--since", f"@{since:.6f}", "--output", "cat", "--no-pager").out
        return complaint(log)

    def start_worker(self, program: t.Sequence[str]) -> None:
        """Start the worker in a transient unit, which recovers when the worker is gone, however it ended."""
        self.host.must(
            "systemd-run", f"--unit={WORKER}", "--collect", "--quiet", "--description=A change of the Docker daemon", "--property=TimeoutStopSec=infinity",
            f"--property=ExecStopPost={' '.join(program)} recover", *program, "run",
        )  # fmt: skip

    def worker_is_active(self) -> bool:
        """Whether the worker or its recovery is under way.

        :raises CommandFailed: systemd does not say; a recovery beside a worker that lives would be worse than none.
        """
        for _attempt in range(_ATTEMPTS):
            shown = self.host.run("systemctl", "show", WORKER, "--property=ActiveState", "--value")
            if shown.rc == 0:
                return shown.out.strip() not in ("inactive", "failed", "")
            self.host.sleep(_PAUSE)
        raise CommandFailed(
            "worker-unknown", f"systemd does not say whether an earlier change is still under way: {shown.words or 'no message'}.", "Run again."
        )


def _pid(shown: t.Mapping[str, str]) -> int:
    return int(shown["MainPID"]) if shown.get("ActiveState") in ("active", "reloading") else 0


def _behind(socket: str | None) -> str:
    """Somebody's start may find the socket still held and, a moment later, the service not: with the daemon up, systemd refuses to
    start its socket, and our own start fails. So the service waits for the socket's node, which `start` takes away."""
    return f"ConditionPathExists={socket}\n" if socket else ""


def _closed_at_once(socket: str | None, node: str | None) -> str:
    """A socket that has to be made anew is closed at once, before systemd looks at who knocks. Who has come by then is served behind the start."""
    if not socket or not node or node == socket:
        return ""
    commands = (["/bin/mkdir", "-p", "-m", "0700", os.path.dirname(node)], ["/bin/mv", socket, node])
    return "[Socket]\n" + "".join(f"ExecStartPost={literal(words)}\n" for words in commands)


__all__ = (
    "CONTAINERD",
    "HOLD_DROP_IN",
    "RECOVERY_UNIT",
    "SERVICE",
    "SOCKET",
    "Systemd",
    "Unit",
    "complaint",
)
