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

from .._errors import DrydockError
from .._host import files
from .._host.formats import FORMAT, check_format, parse_json
from .._host.host import Host
from .._service.detect import service_of

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
        self.directory = os.path.join(host.places.state_dir, "journal")

    @property
    def is_open(self) -> bool:
        """Whether a transaction was begun and not closed."""
        return os.path.exists(self._plan_file)

    def opened_at(self) -> float | None:
        """When it was opened, in seconds since the epoch; None where it is not open."""
        try:
            return os.stat(self._plan_file).st_mtime
        except FileNotFoundError:
            return None

    @property
    def committed(self) -> bool:
        """Whether the transaction has passed its commit point."""
        return os.path.exists(os.path.join(self.directory, "COMMIT"))

    def create(self, plan: dict[str, t.Any], surroundings: t.Optional[dict[str, t.Any]] = None) -> None:
        """Reserve the space until the journal is closed, then write the plan.

        :param surroundings: what the plan was made for.

        :raises DrydockError: no space for the journal.
        """
        shutil.rmtree(self.directory, ignore_errors=True)
        try:
            files.make_directories(os.path.dirname(self.directory), 0o700)
            os.mkdir(self.directory, 0o700)
            # Between the stop of the daemon and its start nothing of ours may need room.
            files.allocate(self._log, _LOG)
            files.write(os.path.join(self.directory, "COMMIT.new"), "")
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
                f"There is no room for a journal of {JOURNAL_ROOM >> 20} MiB in {self._host.places.state_dir}: {exc.strerror}.",
                "Free that much and run again.",
            ) from exc
        files.write(self._format, str(FORMAT), 0o600)
        if surroundings:
            self.note("planned", "", **surroundings)
        files.write(self._plan_file, json.dumps(plan), 0o600)

    @property
    def _plan_file(self) -> str:
        return os.path.join(self.directory, "plan.json")

    @property
    def _log(self) -> str:
        return os.path.join(self.directory, "log.jsonl")

    @property
    def _format(self) -> str:
        return os.path.join(self.directory, "format")

    @property
    def _reserve(self) -> str:
        return os.path.join(self.directory, "reserve")

    def make_room(self) -> bool:
        """For `files.making_room`: give back a slice of the reserve; says whether there was one."""
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

        :param command: what recovers.
        """
        service_of(self._host).guard_boot(command, self._plan_file)

    def plan(self) -> dict[str, t.Any]:
        """The plan of the open transaction.

        :raises DrydockError: another release wrote it, in a form that is not known.
        """
        # Beside the plan and not in it: release 0.1.0 takes no other fields there.
        number = files.read(self._format) or str(FORMAT)
        check_format(int(number) if number.isdigit() else number, self.directory)
        return parse_json(files.read(self._plan_file), self._plan_file)

    def note(self, event: str, step: str, **facts: t.Any) -> None:
        """Append a line durably; event is 'begin' or 'done'."""
        # A line feed first: a line that a crash cut short spoils only itself.
        line = "\n" + json.dumps({"at": self._host.now(), "event": event, "step": step, **facts})
        files.retry_when_full(lambda: self._append(line.encode()))

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
        for line in (files.read(self._log) or "").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def commit(self) -> None:
        """Pass the commit point: from now on a crash goes forward."""
        os.rename(os.path.join(self.directory, "COMMIT.new"), os.path.join(self.directory, "COMMIT"))
        files.sync_directory(self.directory)

    def revoke(self) -> None:
        """Take the commit back: from now on a crash undoes."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(os.path.join(self.directory, "COMMIT"), os.path.join(self.directory, "COMMIT.new"))
            files.sync_directory(self.directory)

    def close(self) -> str:
        """Keep the journal as evidence; returns where."""
        last = os.path.join(self._host.places.state_dir, "last")
        shutil.rmtree(last, ignore_errors=True)
        files.remove(self._reserve)
        try:
            os.rename(self.directory, last)
        except OSError:
            # Somebody keeps the one before it, be it by an immutable file: that must not keep this one open.
            last = f"{last}-{self._host.now():.0f}"
            os.rename(self.directory, last)
        files.sync_directory(self._host.places.state_dir)
        # What stays of it does nothing without an open journal.
        with contextlib.suppress(OSError):
            service_of(self._host).unguard_boot()
        return last


__all__ = (
    "JOURNAL_ROOM",
    "Journal",
)
