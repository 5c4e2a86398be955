# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Copy what moves: while everything runs, and what is left of it when the daemon is stopped."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import time
import typing as t

from ..._copy import kept_roots
from ..._copy.copier import Copier, full_disk
from ..._copy.listing import COPY_MARK, Totals
from ..._engine.addresses import plain_tcp
from ..._engine.container import inspect_containers, stop_seconds, to_container
from ..._errors import DrydockError, format_bytes
from ..._host import files
from ..._plan.order import FINAL_COPY, WARM_COPY
from ..._plan.plan import Move
from ..outcome import outage_words
from .base import Context, Step
from .roots import mark, nothing_left_alive, rewrite_paths

# More warm passes than this never paid; a pass that sends less than the second number is the last one.
_WARM_PASSES, _SMALL_PASS = 4, 16 << 20
# A time that shows whether a file system keeps all of it.
_ODD_NANOSECONDS = 1_500_000_000_123_456_789
# For a forecast: bytes a second that any disk copies, what a container takes to start, and the engine's own pause before plain tcp.
_SLOW_DISK, _CONTAINER_SECONDS, _INSECURE_SECONDS = 50 << 20, 0.2, 1.0


class WarmCopy(Step):
    """Copy while everything runs; what was copied stays for the next run, whatever comes of this one."""

    name = WARM_COPY

    def apply(self) -> None:
        for move in self.plan.copies:
            with _telling_full_disk(move):
                self.context.copiers[move.tree] = self._begin(move)
        self._passes(self.plan.copies)
        for move in self.plan.copies:
            if move.verify == "checksum":
                self.context.copiers[move.tree].compare_contents()

    def undo(self, line: dict[str, t.Any]) -> str:
        """Others may have made something on a new root that is given up: then it is no copy to go on with, and is kept."""
        done = self.context.noted("deeds")
        for move in self.plan.copies if done else ():
            if os.path.exists(os.path.join(move.target, COPY_MARK)):
                kept = kept_roots.keep_copy(move.target, datetime.datetime.fromtimestamp(self.host.now()).strftime("%Y%m%dT%H%M%S"))
                self.context.differences.append(f"what others did on the new {move.what} before it was given up is kept in {kept}: {', '.join(done)}")
        return ""

    def _begin(self, move: Move) -> Copier:
        files.make_directories(move.target, 0o711)
        copy_mark = os.path.join(move.target, COPY_MARK)
        files.write(copy_mark, f"An unfinished copy of {move.source} by drydock.dockerd; safe to remove.\n")
        os.utime(copy_mark, ns=(_ODD_NANOSECONDS, _ODD_NANOSECONDS))
        if os.stat(copy_mark).st_mtime_ns != _ODD_NANOSECONDS:
            raise DrydockError(
                "file-system",
                f"The file system of {move.target} keeps no nanoseconds, so no copy there can be exact.",
                "Make it anew with inodes of 256 bytes (mkfs.ext4 -I 256).",
            )
        copier = Copier(self.host, move.source, move.target, move.bandwidth_limit)
        copier.resume()
        if self.plan.moves:
            copier.track()
        return copier

    def _passes(self, moves: list[Move]) -> None:
        """Passes over all that is copied, in turn: what one of them writes must not be a flood of events to the other one's last pass."""
        outcome = self.context.outcome
        last = None
        for number in range(1, _WARM_PASSES + 1):
            began = time.monotonic()
            sent = Totals(0, 0)
            for move in moves:
                with _telling_full_disk(move):
                    sent += self.context.copiers[move.tree].warm_pass()
            seconds = self.context.took(f"{self.name}, pass {number}", began)
            outcome.sent_bytes, outcome.sent_files = outcome.sent_bytes + sent.bytes, outcome.sent_files + sent.files
            self.host.say(f"{self.name}, pass {number}: {format_bytes(sent.bytes)} in {sent.files:,} files, {seconds:.1f} s")
            if (sent.bytes < _SMALL_PASS and number > 1) or (last is not None and sent.bytes > last / 2):
                break
            last = sent.bytes
        self._forecast(sent.bytes, seconds)
        limit = self.plan.changing_limit
        if self.plan.moves and limit and sent.bytes > limit:
            raise DrydockError(
                "changing-limit",
                f"Containers write as fast as they are copied: the last pass still had {format_bytes(sent.bytes)} to send, which took {seconds:.1f} s, "
                f"and a cut-over would have the containers down for as long. More than {format_bytes(limit)} is not wanted, so the daemon was not stopped",
                "Slow down what writes, or set changing_limit higher ('0' for no limit). The copy is kept, and the next run goes on with it.",
            )

    def _forecast(self, changing: int, seconds: float) -> None:
        running = [one for one in map(to_container, inspect_containers(self.context.engine(self.plan.before))) if one.alive]
        outage = self.context.service.last_restart_seconds() + len(running) * _CONTAINER_SECONDS + min(seconds, changing / _SLOW_DISK)
        outage += _INSECURE_SECONDS if plain_tcp(self.plan.after.addresses, self.plan.after.settings) else 0
        stop = stop_seconds(running)
        forecast = {
            "changing_bytes": changing,
            "outage_seconds": round(outage, 1),
            "longest_outage_seconds": None if stop is None else round(outage + stop, 1),
        }
        self.context.outcome.forecast = forecast
        self.host.say(f"expected outage: about {outage_words(forecast)}")


class FinalCopy(Step):
    """Copy what changed since, compare, and mark the new root."""

    name = FINAL_COPY

    def apply(self) -> None:
        for move in self.plan.copies:
            with _telling_full_disk(move):
                final_copy(self.context, move, self.context.copiers[move.tree])


def final_copy(context: Context, move: Move, copier: Copier) -> None:
    """The last pass of one tree, with the daemon stopped.

    :raises DrydockError: a container outlived the stop, or the copy differs from the source.
    """
    nothing_left_alive(context, move)
    sent = copier.final_pass()
    if move.verify == "checksum":
        copier.compare_contents(path for path in copier.copied if path not in copier.trusted)
    context.host.say(f"final copy of the {move.what}: {format_bytes(sent.bytes)} in {sent.files:,} files")
    context.outcome.remarks += rewrite_paths(move, move.target)
    mark(move, move.target)
    for path, letters in copier.give_flags().items():
        context.outcome.remarks.append(f"{path} does not have the flags {letters} of the original, because its file system does not take them.")
    copier.sync(move.target)


@contextlib.contextmanager
def _telling_full_disk(move: Move) -> t.Iterator[None]:
    """Where our own writes find the target full, say it as the copying commands' ends are told."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full_disk(move.source, move.target) from exc
        raise


__all__ = ("FinalCopy", "WarmCopy", "final_copy")
