# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The host as an argument: commands, time and places, so that tests can inject their own."""

from __future__ import annotations

import copy
import dataclasses
import os
import subprocess
import sys
import time
import typing as t

from .._errors import CommandFailed, no_become


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command printed and how it ended."""

    argv: tuple[str, ...]
    rc: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """The command's own complaint, on one line."""
        return " ".join((self.err.strip() or self.out.strip()).split())


@dataclasses.dataclass(frozen=True)
class Places:
    """Every path that the collection reads or writes outside of a data root."""

    state_dir: str = "/var/lib/drydock/dockerd"
    daemon_json: str = "/etc/docker/daemon.json"
    units: str = "/etc/systemd/system"
    runtime_units: str = "/run/systemd/system"
    hold: str = "/run/drydock-hold"
    lock: str = "/run/drydock-dockerd.lock"
    asked: str = "/run/drydock-dockerd.run"
    progress: str = "/run/drydock-dockerd.progress"
    ends: str = "/run/drydock-dockerd.ends"
    worker: str = "/run/drydock-dockerd.worker"
    worker_log: str = "/run/drydock-dockerd.log"
    init_script: str = "/etc/init.d/docker"
    init_defaults: str = "/etc/default/docker"
    held: str = "/run/drydock-dockerd.held"
    stopping: str = "/run/drydock-dockerd.stopping"
    booted: str = "/run/drydock-dockerd.booted"
    old_daemon_json: str = "/run/drydock-dockerd.daemon.json"
    confirm: str = "/run/drydock-dockerd.confirm"
    gate: str = "/run/drydock-dockerd.gate"
    fstab: str = "/etc/fstab"
    mountinfo: str = "/proc/self/mountinfo"
    sysctl: str = "/etc/sysctl.d"
    ip_forward: str = "/proc/sys/net/ipv4/ip_forward"

    @property
    def program(self) -> str:
        """The worker's program."""
        return os.path.join(self.state_dir, "worker.pyz")

    @property
    def worker_command(self) -> list[str]:
        """What runs it, with the same Python."""
        return [sys.executable, self.program]


def _run(argv: t.Sequence[str], timeout: float | None, stdin: bytes | None) -> Result:
    try:
        done = subprocess.run(
            list(argv), input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except FileNotFoundError as exc:
        return Result(tuple(argv), 127, "", f"{exc.filename}: command not found")
    except subprocess.TimeoutExpired:
        return Result(tuple(argv), 124, "", f"no answer within {timeout:g} s")
    return Result(tuple(argv), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


@dataclasses.dataclass
class Host:
    """The machine that is observed and changed.

    :param execute: runs one command; gets argv, a time limit in seconds or None, and bytes for its standard input or None.
    :param now: wall clock in seconds since the epoch.
    :param say: takes one line of progress for a person.
    :param user: the id of whom this runs as.
    """

    execute: t.Callable[[t.Sequence[str], t.Optional[float], t.Optional[bytes]], Result] = _run
    now: t.Callable[[], float] = time.time
    sleep: t.Callable[[float], None] = time.sleep
    say: t.Callable[[str], None] = lambda line: None
    places: Places = dataclasses.field(default_factory=Places)
    user: t.Callable[[], int] = os.geteuid

    def needs_root(self) -> None:
        """Refuse to look at, or to change, what only root can.

        :raises DrydockError: somebody else runs this.
        """
        if self.user() != 0:
            raise no_become(self.user())

    def reading(self, config_file: str) -> Host:
        """The same machine, whose daemon reads its configuration in this file."""
        other = copy.copy(self)
        other.places = dataclasses.replace(self.places, daemon_json=config_file)
        return other

    def run(self, *argv: str, timeout: float | None = 120, stdin: bytes | None = None) -> Result:
        """Run a command whatever its end."""
        return self.execute(argv, timeout, stdin)

    def must(self, *argv: str, timeout: float | None = 120, stdin: bytes | None = None, answers: t.Container[int] = (0,)) -> Result:
        """Run a command that has to succeed.

        :param answers: the return codes that are an answer; any other one says nothing of the host.
        :raises CommandFailed: with the command and its own words.
        """
        result = self.run(*argv, timeout=timeout, stdin=stdin)
        if result.rc not in answers:
            raise CommandFailed("command-failed", f"'{' '.join(argv)}' failed (rc {result.rc}): {result.words or 'no message'}.")
        return result


__all__ = (
    "Host",
    "Places",
    "Result",
)
