# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The journal of one transaction: what is about to be done, written and synced before it is done.

A directory below the state directory: plan.json (all that undoing needs), log.jsonl (one line before and one after each
step), and COMMIT, whose rename is the one moment that decides between undoing and going on. A closed journal is kept as 'last'.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import typing as t

from . import _files
from ._errors import DrydockError
from ._host import Host
from ._sysv import SysV, service_of

# The unit that runs at boot while a journal is open, before anything of Docker, and what pulls it in.
RECOVERY_UNIT = "drydock-dockerd-recovery.service"
_WANTS = os.path.join("sysinit.target.wants", RECOVERY_UNIT)

# Enough for the log and for every file that any transaction writes; the usual reason to move data is a full disk. It is given back in
# slices when there is no other room.
_RESERVE, _SLICE, _LOG = 4 << 20, 64 << 10, 1 << 20
# All of it, with some for the plan and the worker's program.
JOURNAL_ROOM = _RESERVE + _LOG + (1 << 20)


class Journal:
    """An open journal.

    :param directory: where it lies; it exists from `create` to `close`.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.directory = os.path.join(host.places.state, "journal")
        _files.make_room = self._make_room

    @property
    def is_open(self) -> bool:
        """Whether a transaction was begun and not closed."""
        return os.path.exists(os.path.join(self.directory, "plan.json"))

    @property
    def committed(self) -> bool:
        """Whether the transaction has passed its commit point."""
        return os.path.exists(os.path.join(self.directory, "COMMIT"))

    def create(self, plan: dict[str, t.Any]) -> None:
        """Reserve the space until the journal is closed, then write the plan.

        :raises DrydockError: no space for the journal.
        """
        shutil.rmtree(self.directory, ignore_errors=True)
        try:
            _files.make_directories(os.path.dirname(self.directory), 0o700)
            os.mkdir(self.directory, 0o700)
            # Between the stop of the daemon and its start nothing of ours may need room.
            _files.allocate(self._log, _LOG)
            _files.write(os.path.join(self.directory, "COMMIT.new"), "")
            fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(fd, 0, _RESERVE)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise DrydockError(
                "no-journal-space",
                f"There is no room for a journal of {JOURNAL_ROOM >> 20} MiB in {self._host.places.state}: {exc.strerror}.",
                "Free that much and run again.",
            ) from exc
        _files.write(os.path.join(self.directory, "plan.json"), json.dumps(plan), 0o600)

    @property
    def _log(self) -> str:
        return os.path.join(self.directory, "log.jsonl")

    @property
    def _reserve(self) -> str:
        return os.path.join(self.directory, "reserve")

    def _make_room(self) -> bool:
        """Give back a slice of the reserve; says whether there was one."""
        try:
            fd = os.open(self._reserve, os.O_WRONLY)
        except FileNotFoundError:
            return False
        try:
            size = os.fstat(fd).st_size
            os.ftruncate(fd, max(0, size - _SLICE))
            # Some file systems hand freed blocks out only when they have noted that they are free.
            os.fsync(fd)
        finally:
            os.close(fd)
        return size > 0

    def guard_boot(self, command: str) -> None:
        """Let a boot that finds this journal open recover before the daemon starts.

        :param command: what the recovery unit runs; docker's init script runs the same.
        """
        service = service_of(self._host)
        if isinstance(service, SysV):
            service.guard_boot()
        else:
            self._install_recovery_unit(command)

    def _install_recovery_unit(self, command: str) -> None:
        unit = f"""[Unit]
Description=Undo an interrupted change of the Docker daemon
DefaultDependencies=no
RequiresMountsFor={self._host.places.state}
After=local-fs.target
Before=docker.service docker.socket containerd.service
ConditionPathExists={self.directory}/plan.json

[Service]
Type=oneshot
ExecStart={command}
"""
        path = os.path.join(self._host.places.units, RECOVERY_UNIT)
        _files.write(path, unit)
        wants = os.path.join(self._host.places.units, _WANTS)
        _files.make_directories(os.path.dirname(wants))
        if not os.path.islink(wants):
            _files.retry_when_full(lambda: os.symlink(path, wants))
            _files.sync_directory(os.path.dirname(wants))

    def plan(self) -> dict[str, t.Any]:
        """The plan of the open transaction."""
        return json.loads(_files.read(os.path.join(self.directory, "plan.json")) or "{}")

    def note(self, event: str, step: str, **facts: t.Any) -> None:
        """Append a line durably; event is 'begin' or 'done'."""
        # A line feed first: a line that a crash cut short spoils only itself.
        line = "\n" + json.dumps({"at": self._host.now(), "event": event, "step": step, **facts})
        _files.retry_when_full(lambda: self._append(line.encode()))

    def _append(self, line: bytes) -> None:
        fd = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.write(fd, line) < len(line):
                # Half a line spoils only itself.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(fd)
        finally:
            os.close(fd)

    def lines(self) -> list[dict[str, t.Any]]:
        """What was noted so far; a line that a crash cut short is left out."""
        found = []
        for line in (_files.read(self._log) or "").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def commit(self) -> None:
        """Pass the commit point: from now on a crash goes forward."""
        os.rename(os.path.join(self.directory, "COMMIT.new"), os.path.join(self.directory, "COMMIT"))
        _files.sync_directory(self.directory)

    def revoke(self) -> None:
        """Take the commit back: from now on a crash undoes."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(os.path.join(self.directory, "COMMIT"), os.path.join(self.directory, "COMMIT.new"))
            _files.sync_directory(self.directory)

    def close(self) -> str:
        """Keep the journal as evidence; returns where."""
        last = os.path.join(self._host.places.state, "last")
        shutil.rmtree(last, ignore_errors=True)
        _files.remove(self._reserve)
        os.rename(self.directory, last)
        _files.sync_directory(self._host.places.state)
        for name in (_WANTS, RECOVERY_UNIT):
            _files.remove(os.path.join(self._host.places.units, name))
        service = service_of(self._host)
        if isinstance(service, SysV):
            service.unguard_boot()
        return last


__all__ = ("JOURNAL_ROOM", "Journal")
