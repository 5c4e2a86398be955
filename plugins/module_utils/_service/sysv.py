# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""dockerd under SysV init: read, hold, stop and start by way of docker's init script and the file that it sources."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import os
import re
import subprocess
import time
import typing as t

from .._engine import daemon_json
from .._engine.addresses import listen_addresses, socket_of
from .._engine.api import Engine
from .._errors import CommandFailed, DrydockError, EngineError
from .._host import files
from .._host.processes import command_line, process_fields, process_identity
from . import sysv_defaults_file, unit_file
from .command import quote, words_of
from .service import SERVICE, Service, complaint
from .unit import Unit

# Assignments of the init script itself; it sources the other file behind them.
_ASSIGNMENT = re.compile(r"^(?:export )?[A-Z_]+=.*$", re.MULTILINE)
_VARIABLES = ("DOCKERD", "DOCKER_OPTS", "DOCKER_PIDFILE", "DOCKER_SSD_PIDFILE", "DOCKER_LOGFILE")
# How much of dockerd's log is looked at, how long start-stop-daemon may take to come to its work, and a call of the script to end.
_LOG_BYTES, _GRACE, _CALL = 1 << 20, 5.0, 60.0
_TIMED = re.compile(r'^time="([0-9T:-]+)\.?(\d*)Z?[^"]*" .*?msg="((?:[^"\\]|\\.)*)"', re.MULTILINE)
# What the script reads at each call, while packages are installed.
_START_DOES_NOTHING = '[ "$1" != start ] || exit 0\n'


@dataclasses.dataclass(frozen=True)
class Script(Unit):
    """docker's init script with the file that it sources, in a unit's terms: the rest of that file is like somebody's drop-in.

    :param variables: what the script and the rest of the file set.
    :param blocks: the file that has our block, as it is and as it is with other drop-ins of ours in the block.
    """

    variables: t.Optional[sysv_defaults_file.Variables] = None
    blocks: t.Optional[t.Callable[[t.Mapping[str, str]], t.Iterator[t.Tuple[str, t.Optional[str], t.Optional[str]]]]] = None

    def effective(self, ours: t.Mapping[str, str]) -> list[str]:
        """The command with these drop-ins of ours; the pid file is always the script's."""
        if self.variables is None:
            raise AssertionError("the script's variables were not read")
        texts = [*self.texts.values(), *(ours[name] for name in sorted(ours))]
        program, *options = unit_file.without_keys(words_of(unit_file.values(texts, "Service", "ExecStart")[-1]), {"pidfile"})
        return [program, "-p", self.variables.pidfile, *options]

    def words(self, ours: t.Mapping[str, str]) -> list[str]:
        """The same: the script starts dockerd itself."""
        return self.effective(ours)

    def start_line(self, ours: t.Mapping[str, str]) -> str:
        """The command as a line."""
        return quote(self.effective(ours))

    def origin(self, flag: unit_file.Flag) -> str:
        """Where a flag was written."""
        return self.fragment if flag.key == "pidfile" else super().origin(flag)

    def changes(self, directory: str, drop_ins: t.Mapping[str, str]) -> t.Iterator[tuple[str, str | None, str | None]]:
        """The file whose block has to change."""
        if self.blocks is None:
            raise AssertionError("the script's file was not read")
        return self.blocks(drop_ins)


@dataclasses.dataclass(frozen=True)
class SysV(Service):
    """docker's init script on a host without systemd: no other service is looked after here, and nobody listens for dockerd."""

    log: t.ClassVar[str] = "/var/log/docker.log"
    start_command: t.ClassVar[str] = "service docker start"

    @property
    def worker_log(self) -> str:
        """Where the worker's own words are."""
        return self.host.places.worker_log

    # Reading ---------------------------------------------------------------------------------------------------

    def read(self, our_names: t.Container[str]) -> Script:
        """Read the init script and the file that it sources.

        :raises DrydockError: that file does not run to its end.
        """
        places = self.host.places
        foreign, block = sysv_defaults_file.split(files.read(places.init_defaults))
        variables = self._variables()
        quoted = sysv_defaults_file.drop_ins(block)
        ours = {name: text for name, text in quoted.items() if name in our_names}
        texts = {places.init_script: _as_unit([variables.program, "-p", variables.pidfile])}
        if foreign:
            texts[places.init_defaults] = _as_unit(variables.command)
        strangers = {name: text for name, text in quoted.items() if name not in our_names}
        texts.update({os.path.join(places.init_defaults, name): text for name, text in strangers.items()})

        def changes(drop_ins: t.Mapping[str, str]) -> t.Iterator[tuple[str, str | None, str | None]]:
            # Without a block, the one that guards the change is there before anything is written.
            before = foreign + (block or sysv_defaults_file.render(places, {}))
            after = {**strangers, **drop_ins}
            text = foreign + sysv_defaults_file.render(places, after, variables if after else None)
            if text != before:
                yield places.init_defaults, before, text

        return Script(places.init_script, texts, ours, {}, variables=variables, blocks=changes)

    def read_if_there(self, name: str, our_names: t.Container[str]) -> Unit | None:
        """No other service than docker is one of its own here."""
        return self.read(our_names) if name == SERVICE else None

    def _variables(self) -> sysv_defaults_file.Variables:
        """What the script sees: the rest of the file is shell, so the shell that reads it decides."""
        places = self.host.places
        foreign, _ours = sysv_defaults_file.split(files.read(places.init_defaults))
        assignments = _ASSIGNMENT.findall(files.read(places.init_script) or "")
        shown = " ".join(f'"${name}"' for name in _VARIABLES)
        program = [
            "set -e",
            *assignments,
            "[ ! -e /lib/lsb/init-functions ] || . /lib/lsb/init-functions",
            ". /dev/stdin",
            f'[ -z "$drydock_end" ] || printf "\\000%s" {shown}',
        ]
        text = foreign + "\ndrydock_end=1\n"
        result = self.host.run("/bin/sh", "-c", "\n".join(program), places.init_script, "status", stdin=text.encode("utf-8", "surrogateescape"))
        values = result.out.split("\0")[-len(_VARIABLES) :]
        if result.rc != 0 or "\0" not in result.out:
            raise DrydockError(
                "init-script",
                f"{places.init_defaults} does not run to its end: {result.words or 'it returns or exits'}.",
                "What stands behind such a line has no effect, and there the daemon would be guarded. Take it out.",
            )
        program_path, options, pidfile, own_pidfile, log = values
        return sysv_defaults_file.Variables(program_path, options, pidfile, own_pidfile, log)

    def with_text(self, unit: Unit, text: str) -> Unit:
        """The script of the packages that go stays, as a file of the configuration, and starts a program that is gone."""
        raise DrydockError("package-conflict", "Without systemd the packages of another source cannot take the engine's place.", "Keep those that are there.")

    def main_pid(self, unit: str = SERVICE) -> int:
        """dockerd's process id, 0 when it is down or on its way there; no other service is looked after here."""
        if unit != SERVICE:
            return 0
        pid = self._pid(self._variables().pidfile)
        return 0 if pid and files.read(self.host.places.stopping) == process_identity(pid) else pid

    def _pid(self, pidfile: str) -> int:
        """The living process that a pid file names, 0 where there is none."""
        text = (files.read(pidfile) or "").strip()
        return int(text) if text.isdigit() and _lives(int(text)) and _is_dockerd(int(text)) else 0

    def socket_path(self) -> str | None:
        """Nobody listens for dockerd here."""
        return None

    def other_sockets(self) -> dict[str, list[str]]:
        """Nobody listens for dockerd here."""
        return {}

    def last_restart_seconds(self) -> float:
        """How long the last start and the last stop of the daemon took, as far as its log tells."""
        return restart_seconds(self._log_since(-_LOG_BYTES))

    def last_words(self, since: float) -> str:
        """dockerd's own complaint since a moment."""
        lines = self._log_since(-_LOG_BYTES).splitlines()
        stamps = [(_TIMED.match(line), line) for line in lines]
        # Its log has seconds of UTC in front of each line.
        return complaint("\n".join(line for match, line in stamps if match and _moment(match) >= int(since)))

    def _log_since(self, offset: int) -> str:
        try:
            with open(self._variables().log, "rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size + offset) if offset < 0 else offset if offset <= size else 0)
                return stream.read(_LOG_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def mounts_at_boot(self, point: str) -> bool:
        """Only /etc/fstab brings a mount back here."""
        return False

    def dependents(self) -> list[str]:
        """Scripts know nothing of each other."""
        return []

    # Holding ---------------------------------------------------------------------------------------------------

    def guard_boot(self, command: str, journal: str) -> None:
        """Docker's own script recovers before it starts the daemon, by our block, whose text has command and journal in it."""
        self._write_guard()

    def _write_guard(self) -> None:
        """Without a block that says more, write one that only guards."""
        path = self.host.places.init_defaults
        text = files.read(path)
        if not sysv_defaults_file.split(text)[1]:
            files.write(path, (text or "") + sysv_defaults_file.render(self.host.places, {}))

    def unguard_boot(self) -> None:
        """Take the block away, where it has nothing else to say."""
        path = self.host.places.init_defaults
        foreign, block = sysv_defaults_file.split(files.read(path))
        if block and not sysv_defaults_file.drop_ins(block):
            # On a full disk it may stay: without a change under way it does nothing.
            with contextlib.suppress(OSError):
                files.write(path, foreign) if foreign else files.remove(path)

    def hold(self, command: str, containerd: str = "", socket: str | None = None, policies: bool = False) -> None:
        """Keep everybody from starting, stopping or killing the daemon, and prepare our own start with containers held back.

        What the block tests lies in /run: a reboot clears it.

        :param containerd: as for systemd; a containerd that dockerd runs itself has no command here.
        :param socket: likewise; nobody listens for dockerd here.
        :param policies: containers are not held back in that start.
        """
        if containerd or socket:
            raise AssertionError("no other unit is looked after here")
        places = self.host.places
        self._write_guard()
        files.write(places.held, sysv_defaults_file.held(words_of(command), policies))
        files.write(places.hold, "")
        self._wait_for_calls()

    def _wait_for_calls(self) -> None:
        """Who has read the file before it held may still be about to start or kill the daemon."""
        until = time.monotonic() + _CALL
        while pids := [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_call_of(self.host.places.init_script, pid)]:
            if time.monotonic() > until:
                raise DrydockError(
                    "lock-held", f"Process {pids[0]} has been calling {self.host.places.init_script} for {_CALL:g} s.", "End it, then run again."
                )
            self.host.sleep(0.02)

    @contextlib.contextmanager
    def staying(self) -> t.Iterator[None]:
        """The hold lets nobody stop it. Who starts it, as scripts of packages do, is told that all is well: they end with an error otherwise."""
        places = self.host.places
        held = (files.read(places.held) or "").removeprefix(_START_DOES_NOTHING)
        files.write(places.held, _START_DOES_NOTHING + held)
        files.remove(places.hold)
        try:
            yield
        finally:
            files.write(places.hold, "")
            files.write(places.held, held)

    def is_held(self) -> bool:
        """Whether a hold of this boot is in place."""
        return os.path.exists(self.host.places.held)

    def unhold(self) -> None:
        """Take the hold away."""
        for path in (self.host.places.hold, self.host.places.held):
            files.remove(path)
        self.gate.open()

    def reload_units(self) -> None:
        """There are no units: the file is read at each call."""

    # Stopping and starting -------------------------------------------------------------------------------------

    def stop_dependents(self, names: t.Sequence[str]) -> None:
        """There are none."""

    def start_dependents(self, names: t.Sequence[str]) -> list[str]:
        """There are none."""
        return []

    def stop(self, keep_socket: bool = False) -> None:
        """Ask dockerd to end and wait as long as its containers take. (The script's own stop kills it after ten seconds.)

        :param keep_socket: as for systemd; nobody listens for dockerd here.
        :raises CommandFailed: dockerd was killed, which leaves containers marked as stopped by hand.
        """
        variables = self._variables()
        pid = self._pid(variables.pidfile)
        if pid:
            if self.main_pid():
                identity = process_identity(pid)
                self._signal(pid, "TERM")
                # Noted afterwards: one signal too many does no harm, one too few would be waited for without an end.
                files.write(self.host.places.stopping, identity)
            self._wait_for_stop()
            if os.path.exists(variables.pidfile):
                raise CommandFailed("unclean-stop", f"dockerd did not stop cleanly: it was killed, and has left {variables.pidfile}.")
        files.remove(variables.own_pidfile)

    def _wait_for_stop(self) -> None:
        """Let a stop that may have been begun by an interrupted run come to its end."""
        identity = files.read(self.host.places.stopping) or ""
        while identity and _lives(int(identity.split(":")[0]), identity):
            self.host.sleep(0.02)
        files.remove(self.host.places.stopping)

    def start(self, timeout: float) -> None:
        """Start the daemon and wait until it answers.

        :param timeout: seconds until it has to.
        :raises CommandFailed: with dockerd's own last words, or our block's.
        """
        self._wait_for_stop()
        variables = self._variables()
        if not self._pid(variables.own_pidfile):
            # The script takes any process with this number for dockerd.
            files.remove(variables.own_pidfile)
        offset = os.path.getsize(variables.log) if os.path.exists(variables.log) else 0
        files.remove(self.host.places.hold)
        with self.gate.closing_at_once():
            result = self.host.run("service", "docker", "start", timeout=timeout)
            if result.rc != 0:
                raise CommandFailed(
                    "start-failed", f"dockerd does not start: {complaint(result.err) or complaint(self._log_since(offset)) or result.words or 'no message'}."
                )
            if not self._answers(variables, timeout):
                raise CommandFailed("start-failed", f"dockerd does not start: {complaint(self._log_since(offset)) or f'no answer within {timeout:g} s'}.")

    def _answers(self, variables: sysv_defaults_file.Variables, timeout: float) -> bool:
        """Wait until the daemon answers; False when it ends first, or the time is over."""
        began = time.monotonic()
        seen = False
        while time.monotonic() - began < timeout:
            pid = self._pid(variables.own_pidfile) or self._pid(variables.pidfile)
            seen = seen or bool(pid)
            if not pid and (seen or time.monotonic() - began > _GRACE):
                return False
            path = self._socket(pid) if pid else None
            with contextlib.suppress(EngineError):
                if path:
                    Engine(self.gate.path(path), timeout).get("/_ping")
                    return True
            self.host.sleep(0.02)
        return False

    def _socket(self, pid: int) -> str | None:
        """The unix socket that a dockerd was told to listen on."""
        path, words = self.host.places.daemon_json, command_line(pid)
        if not words:
            return None
        settings = {**daemon_json.parse(files.read(path), path), **unit_file.flags_as_settings(unit_file.parse_flags(words[1:]))}
        return socket_of(listen_addresses(settings), None)

    def signal_reload(self) -> None:
        """Let dockerd read daemon.json again (SIGHUP); says nothing about the outcome."""
        self._signal(self.main_pid(), "HUP")

    def _signal(self, pid: int, name: str) -> None:
        self.host.must("start-stop-daemon", "--stop", "--quiet", "--signal", name, "--pid", str(pid))

    # The worker ------------------------------------------------------------------------------------------------

    def start_worker(self, program: t.Sequence[str]) -> None:
        """Start the worker's supervisor in a session of its own.

        It holds a lock as long as it lives; a lock ends with its process, however that ends.
        """
        places = self.host.places
        fd = os.open(places.worker, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            # Its words go to memory: a full disk must not end it.
            with open(places.worker_log, "ab") as log:
                words = [*program, "supervise"]
                subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", pass_fds=(fd,), start_new_session=True)
        finally:
            os.close(fd)

    def worker_is_active(self) -> bool:
        """Whether the supervisor lives."""
        try:
            fd = os.open(self.host.places.worker, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False


def _as_unit(command: t.Sequence[str]) -> str:
    return f"[Service]\nExecStart={quote(command)}\n"


def _lives(pid: int, identity: str = "") -> bool:
    """Whether a process (this very one, where its identity is given) runs and is not just waiting to be reaped."""
    try:
        return process_fields(pid)[0] != "Z" and identity in ("", process_identity(pid))
    except OSError:
        return False


def _is_dockerd(pid: int) -> bool:
    words = command_line(pid)
    return any(os.path.basename(word) == "dockerd" for word in words[:2])


def _is_call_of(script: str, pid: str) -> bool:
    """Whether a process is a call of the init script that may start or kill the daemon."""
    words = command_line(pid)
    return len(words) > 2 and os.path.realpath(words[1]) == script and words[2] in ("start", "stop", "restart", "force-reload")


def _moment(match: re.Match[str]) -> float:
    return datetime.datetime.fromisoformat(match[1]).replace(tzinfo=datetime.timezone.utc).timestamp()


def restart_seconds(log: str) -> float:
    """How long the last start and the last stop took, from dockerd's log; 0 where it does not tell."""
    began = stopping = last = None
    start = stop = 0.0
    for stamp, fraction, message in _TIMED.findall(log):
        at = datetime.datetime.fromisoformat(stamp).timestamp() + float(f"0.{fraction or 0}")
        if message.startswith("Starting up"):
            if stopping is not None and last is not None:
                stop = last - stopping
            began, stopping = at, None
        elif message.startswith("API listen on") and began is not None:
            start, began = at - began, None
        elif message.startswith("Processing signal 'terminated'") and stopping is None:
            stopping = at
        last = at
    return round(start + stop, 3)


__all__ = (
    "Script",
    "SysV",
    "restart_seconds",
)
