# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""docker.service and docker.socket under systemd, and containerd.service where its data move: read, hold, stop, start."""

from __future__ import annotations

import dataclasses
import glob
import os
import re
import typing as t

from .._errors import CommandFailed, DrydockError
from .._host import files
from . import unit_file
from .api_gate import hidden_path
from .service import CONTAINERD, SERVICE, SOCKET, Service, complaint
from .unit import Unit
from .unsupported import not_installed

# The transient unit of the worker.
WORKER = "drydock-dockerd.service"
# Sorts behind every drop-in that people write, so that its word is the last one.
HOLD_DROP_IN = "zzzz-drydock-hold.conf"
_VENDOR_DIRECTORIES = ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
# The unit that runs at boot while a journal is open, before anything of Docker, and what pulls it in.
RECOVERY_UNIT = "drydock-dockerd-recovery.service"
_WANTS = os.path.join("sysinit.target.wants", RECOVERY_UNIT)


def _exec_start(command: t.Sequence[str]) -> str:
    # The words are expanded already.
    return f"ExecStart=\nExecStart={unit_file.quote(_literal(command))}\n"


def _literal(words: t.Iterable[str]) -> list[str]:
    """Words as a unit file has them; what looks like a variable or a specifier is meant literally."""
    return [word.replace("$", "$$").replace("%", "%%") for word in words]


# By which a unit goes down with another one (systemd.unit(5)).
_DEPENDS = ("RequiredBy", "BoundBy", "ConsistsOf")
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
        """The units that make up the daemon here, the socket first: docker.socket may be absent or masked."""
        state = self.show(SOCKET, "LoadState")["LoadState"]
        return [*([SOCKET] if state == "loaded" else []), SERVICE, *([CONTAINERD] if self.with_containerd else [])]

    def main_pid(self, unit: str = SERVICE) -> int:
        """The process id of dockerd, or of another service; 0 when it is down."""
        shown = self.show(unit, "ActiveState", "MainPID")
        return int(shown["MainPID"]) if shown["ActiveState"] in ("active", "reloading") else 0

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
        directories = (places.units, places.runtime_units, *_VENDOR_DIRECTORIES)
        fragment = next((os.path.join(one, name) for one in directories if os.path.lexists(os.path.join(one, name))), None)
        if fragment is None:
            return None
        text = files.read(fragment) or ""
        if not text.strip():
            raise DrydockError("unit-unusable", f"{name} is masked by {fragment}.", f"Unmask it: systemctl unmask {name}.")
        by_name: dict[str, str] = {}
        for directory in reversed(directories):
            for path in glob.glob(os.path.join(directory, name + ".d", "*.conf")):
                by_name[os.path.basename(path)] = path
        texts, ours = {fragment: text}, {}
        for one in sorted(by_name):
            content = files.read(by_name[one]) or ""
            if one in our_names:
                ours[one] = content
            elif one != HOLD_DROP_IN:
                texts[by_name[one]] = content
        return Unit(fragment, texts, ours, self._environment([*texts.values(), *ours.values()]))

    def _environment(self, texts: list[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in unit_file.values(texts, "Service", "Environment"):
            found.update((name, value) for name, equals, value in (word.partition("=") for word in unit_file.split(line)) if equals)
        for path in unit_file.values(texts, "Service", "EnvironmentFile"):
            found.update(unit_file.parse_environment(files.read(path.lstrip("-")) or ""))
        return found

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

    def hold(self, command: t.Sequence[str], containerd: t.Sequence[str] = (), socket: str | None = None, policies: bool = False) -> None:
        """Keep everybody from starting the daemon, and prepare our own start.

        A condition on all units (on the service alone, clients drive the socket into its trigger limit, and whoever starts docker
        starts containerd first), all the time that the containers' stop timeouts need, and the command of the next start with
        containers held back. All of it lies in /run: a reboot clears it.

        :param containerd: the command of containerd's next start, where it is held too.
        :param socket: what docker.socket will listen on in that start; None without docker.socket.
        :param policies: containers are not held back in that start.
        """
        words = [*command, *([] if policies else ["--restart=false"])]
        condition = f"[Unit]\nConditionPathExists=!{self.host.places.hold}\n"
        node = socket if socket is None or policies else hidden_path(socket)
        files.write(self._hold_path(SERVICE), f"{condition}{_behind(node)}[Service]\nTimeoutStopSec=infinity\n{_exec_start(words)}")
        if SOCKET in self.units():
            files.write(self._hold_path(SOCKET), f"{condition}{_closed_at_once(socket, node)}")
        if self.with_containerd:
            files.write(self._hold_path(CONTAINERD), f"{condition}[Service]\n{_exec_start(containerd)}")
        files.write(self.host.places.hold, "")
        self.reload_units()

    def is_held(self) -> bool:
        """Whether a hold of this boot is in place."""
        return os.path.exists(self._hold_path(SERVICE))

    def unhold(self) -> None:
        """Take the hold away."""
        for path in (self.host.places.hold, self._hold_path(SERVICE), self._hold_path(SOCKET), self._hold_path(CONTAINERD)):
            files.remove(path)
        self.reload_units()
        self.gate.open()

    def _hold_path(self, unit: str) -> str:
        return os.path.join(self.host.places.runtime_units, unit + ".d", HOLD_DROP_IN)

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
        with self.gate.closing_at_once(path):
            result = self.host.run("systemctl", "start", *units, timeout=timeout)
        # A unit whose assertion or condition failed is skipped with rc 0.
        if result.rc != 0 or not self.main_pid():
            raise CommandFailed("start-failed", f"dockerd does not start: {self.last_words(began) or result.words or 'no message'}.")

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


def _behind(socket: str | None) -> str:
    """Somebody's start may find the socket still held and, a moment later, the service not: with the daemon up, systemd refuses to
    start its socket, and our own start fails. So the service waits for the socket's node, which `start` takes away."""
    return f"ConditionPathExists={socket}\n" if socket else ""


def _closed_at_once(socket: str | None, node: str | None) -> str:
    """A socket that has to be made anew is closed at once, before systemd looks at who knocks. Who has come by then is served behind the start."""
    if not socket or not node or node == socket:
        return ""
    commands = (["/bin/mkdir", "-p", "-m", "0700", os.path.dirname(node)], ["/bin/mv", socket, node])
    return "[Socket]\n" + "".join(f"ExecStartPost={unit_file.quote(_literal(words))}\n" for words in commands)


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
