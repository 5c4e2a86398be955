# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What every init system promises: all that others may ask of it. They never ask which one it is."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import re
import typing as t

from .._host.host import Host
from .api_gate import ApiGate
from .unit import Unit

# The names of what makes up the daemon. Systemd has units of these names; our drop-ins are called after them everywhere.
SERVICE = "docker.service"
SOCKET = "docker.socket"
CONTAINERD = "containerd.service"


@dataclasses.dataclass(frozen=True)
class Service(abc.ABC):
    """The daemon's service on a host. All of it may be done again after a crash.

    :param log: where a person finds what dockerd said.
    :param start_command: how a person starts the daemon.
    """

    host: Host
    log: t.ClassVar[str]
    start_command: t.ClassVar[str]

    @property
    @abc.abstractmethod
    def worker_log(self) -> str:
        """Where a person finds what the worker said."""

    @property
    def gate(self) -> ApiGate:
        """The way to the daemon's API, which can be closed."""
        return ApiGate(self.host)

    # Reading ---------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def read(self, our_names: t.Container[str]) -> Unit:
        """The daemon's service as its files say it now.

        :param our_names: file names of our drop-ins.
        :raises DrydockError: there is no such service, or it cannot be used.
        """

    @abc.abstractmethod
    def read_if_there(self, name: str, our_names: t.Container[str]) -> Unit | None:
        """The same of a service by its name (SERVICE, SOCKET, CONTAINERD); None where there is no such service of its own."""

    @abc.abstractmethod
    def with_text(self, unit: Unit, text: str) -> Unit:
        """The daemon's service as it would be with another text of its own file, which a package brings; nothing of it runs yet.

        :raises DrydockError: its command would stay what somebody else has written, or there is no such file.
        """

    @abc.abstractmethod
    def main_pid(self, unit: str = SERVICE) -> int:
        """The process id of dockerd, or of another service; 0 when it is down."""

    @abc.abstractmethod
    def socket_path(self) -> str | None:
        """The unix socket that is listened on in the daemon's place; None where nobody does that."""

    @abc.abstractmethod
    def other_sockets(self) -> dict[str, list[str]]:
        """On what else is listened in the daemon's place (a path, or an address and a port), by the name of what does so."""

    @abc.abstractmethod
    def last_restart_seconds(self) -> float:
        """How long the last start and the last stop of the daemon took together; 0 where nobody knows."""

    @abc.abstractmethod
    def mounts_at_boot(self, point: str) -> bool:
        """Whether a boot brings back what is mounted on a path without a line in /etc/fstab."""

    @abc.abstractmethod
    def dependents(self) -> list[str]:
        """The services that go down with the daemon and do not come back with it, those that run."""

    @abc.abstractmethod
    def last_words(self, since: float) -> str:
        """dockerd's own complaint since a moment (seconds since the epoch), without time stamps; empty where it has none."""

    # Guarding and holding --------------------------------------------------------------------------------------

    @abc.abstractmethod
    def guard_boot(self, command: str, journal: str) -> None:
        """Let a boot recover before anything of Docker starts; written durably.

        :param command: what recovers.
        :param journal: the file that is there as long as there is something to recover.
        """

    @abc.abstractmethod
    def unguard_boot(self) -> None:
        """Take the guard away."""

    @abc.abstractmethod
    def hold(self, command: str, containerd: str = "", socket: str | None = None, policies: bool = False) -> None:
        """Keep everybody else from starting the daemon, and prepare our own start. A reboot clears the hold.

        A socket that is listened on in the daemon's place is closed as soon as that start makes it, unless policies act.

        :param command: the daemon's command in that start, as its unit has it (Unit.start_line), and
        :param containerd: containerd's, where it is held too.
        :param socket: what is listened on in the daemon's place from that start on; None where nobody does that.
        :param policies: the containers' restart policies act in that start; otherwise all containers are held back.
        """

    @abc.abstractmethod
    def staying(self) -> contextlib.AbstractContextManager[None]:
        """While it is held: nobody stops or restarts the daemon, nor containerd; scripts of packages would."""

    @abc.abstractmethod
    def is_held(self) -> bool:
        """Whether a hold of this boot is in place."""

    @abc.abstractmethod
    def unhold(self) -> None:
        """Take the hold away and open the API; the daemon goes on as it runs."""

    # Acting ----------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def stop_dependents(self, names: t.Sequence[str]) -> None:
        """Stop what depends on the daemon in front of it: what that does at its end may need the daemon."""

    @abc.abstractmethod
    def start_dependents(self, names: t.Sequence[str]) -> list[str]:
        """Start what depends on the daemon again; returns a sentence for each that does not run."""

    @abc.abstractmethod
    def stop(self, keep_socket: bool = False) -> None:
        """Stop the daemon and what listens for it, and wait as long as its containers take.

        :param keep_socket: what listens for it stays, where it is closed: the next start needs no new one, which a client could find open.
        :raises CommandFailed: it did not end cleanly; a killed dockerd leaves containers marked as stopped by hand.
        """

    @abc.abstractmethod
    def start(self, timeout: float) -> None:
        """Start the daemon, the one start that a hold lets pass, behind a stop that is still under way.

        :param timeout: seconds until it has to be ready.
        :raises CommandFailed: with dockerd's own last words.
        """

    @abc.abstractmethod
    def reload_units(self) -> None:
        """Let the init system read its files again, where it does not do so at each start."""

    @abc.abstractmethod
    def signal_reload(self) -> None:
        """Let dockerd read daemon.json again (SIGHUP); says nothing about the outcome."""

    # The worker ------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def start_worker(self, program: t.Sequence[str]) -> None:
        """Start the worker beside this process, whose end does not touch it; when it is gone, however it ended, `recover` is run.

        :param program: the words before its operation.
        """

    @abc.abstractmethod
    def worker_is_active(self) -> bool:
        """Whether the worker or its recovery is under way.

        :raises DrydockError: nobody can tell.
        """


def complaint(log: str) -> str:
    """The last complaint in what dockerd said, without time stamps."""
    complaints = [line for line in log.splitlines() if re.search(r"failed to |level=(fatal|error)|unable to configure|drydock:|panic:", line)]
    if not complaints:
        return ""
    match = re.search(r'msg="((?:[^"\\]|\\.)*)"', complaints[-1])
    return (match[1].replace('\\"', '"') if match else complaints[-1]).strip().rstrip(".")


__all__ = (
    "CONTAINERD",
    "SERVICE",
    "SOCKET",
    "Service",
    "complaint",
)
