# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A clock that is set while a move runs loses nothing.

The machine's own clock stays as it is. Files are real; the time stamps that a kernel whose clock was set would have given them are
made of the real ones on the way from lstat, by the moment at which they were given.
"""

from __future__ import annotations

import os
import pathlib
import time
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import copier, first_pass, listing, writable_inodes
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.copier import Copier
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import Entry, entry_of
from ansible_collections.drydock.dockerd.plugins.module_utils._host import host

HOUR, DAY = 3600 * 10**9, 86400 * 10**9


class Clock:
    """The kernel's clock, in nanoseconds; it can be set."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = [(0, 0)]

    def shown_at(self, real: int) -> int:
        """What the clock showed at a moment."""
        return real + next(ahead for since, ahead in reversed(self.steps) if since <= real)

    def step(self, by: int) -> None:
        """Set it, seen from now."""
        # Time stamps are coarse: what was written before may be stamped within the tick that is running.
        time.sleep(0.02)
        self.steps.append((time.time_ns(), self.steps[-1][1] + by))
        time.sleep(0.02)

    def now(self) -> float:
        return self.shown_at(time.time_ns()) / 1e9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()

    def as_entry(s: os.stat_result) -> Entry:
        entry = stamped(s)
        return entry._replace(ctime=made.shown_at(entry.ctime))

    stamped = listing.as_entry
    for module in (listing, first_pass):
        monkeypatch.setattr(module, "as_entry", as_entry)
    return made


class Pass:
    """Commands for real, and something done in the middle of a pass."""

    def __init__(self) -> None:
        self.before: t.Callable[[], object] = lambda: None
        self.after: t.Callable[[], object] = lambda: None

    def execute(self, argv: t.Sequence[str], timeout: float | None, stdin: bytes | None) -> host.Result:
        return self.around(lambda: host._run(argv, timeout, stdin)) if "rsync" in argv else host.Result(tuple(argv), 0, "", "")

    def fill(self, *arguments: t.Any) -> set[bytes]:
        return self.around(lambda: first_pass.fill(*arguments))

    def around(self, work: t.Callable[[], t.Any]) -> t.Any:
        (before, self.before), (after, self.after) = ((one, lambda: None) for one in (self.before, self.after))
        before()
        result = work()
        after()
        return result


class World:
    """A file of yesterday, and a copier."""

    def __init__(self, tmp_path: pathlib.Path, clock: Clock, tracks: bool) -> None:
        self.file, self.copy, self.clock, self.during = tmp_path / "source" / "file", tmp_path / "target" / "file", clock, Pass()
        for one in (self.file.parent, self.copy.parent):
            one.mkdir()
        self.file.write_text("old")
        self.ctime = self.now_ctime()
        clock.step(DAY)
        self.tracks, self.host = tracks, host.Host(execute=self.during.execute, now=clock.now)
        self.copier = self.new_copier()

    def new_copier(self) -> Copier:
        made = Copier(self.host, str(self.file.parent), str(self.copy.parent), fill=self.during.fill)
        if self.tracks:
            made.track()
        return made

    def now_ctime(self) -> int:
        return entry_of(os.fsencode(self.file)).ctime

    def change(self) -> None:
        """Other content of the same size, the old mtime."""
        before = self.file.stat()
        self.file.write_text("new")
        os.utime(self.file, ns=(before.st_atime_ns, before.st_mtime_ns))

    def change_at_the_very_same_time(self) -> None:
        """The clock is set back such that the change gets the ctime that the file has."""
        self.change()
        real = self.file.stat().st_ctime_ns
        self.clock.steps.append((real, self.ctime - real))
        assert self.now_ctime() == self.ctime


@pytest.fixture(params=["told by listing", "told by the kernel"])
def world(request: pytest.FixtureRequest, tmp_path: pathlib.Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[World]:
    monkeypatch.setattr(writable_inodes, "_tasks", lambda: [f"/proc/{os.getpid()}"])
    made = World(tmp_path, clock, request.param == "told by the kernel")
    yield made
    made.copier.untrack()


def step_and_change(hours: int) -> t.Callable[[World], None]:
    def work(world: World) -> None:
        world.clock.step(hours * HOUR)
        world.change()

    return work


CHANGES = {
    "set forth by hours": step_and_change(5),
    "set back by hours": step_and_change(-5),
    "set back by days": step_and_change(-100),
    "set back to the file's time": World.change_at_the_very_same_time,
}


@pytest.mark.runs_commands
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("when", ["before the copy", "after the copy", "between passes", "in the second pass", "before the last pass", "between runs"])
def test_what_changes_while_the_clock_is_set_arrives(world: World, change: t.Callable[[World], None], when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def now() -> None:
        change(world)

    if when == "before the copy":
        world.during.before = now
    elif when == "after the copy":
        world.during.after = now
    world.copier.warm_pass()
    if when not in ("before the copy", "after the copy"):
        assert b"file" in world.copier.trusted
    if when == "between passes":
        now()
    elif when == "in the second pass":
        # Something has to be sent, or nothing is run.
        (world.file.parent / "another").touch()
        world.during.after = now
    elif when == "between runs":
        # Or what was stamped just now would be too young anyway; and a busy machine may let time pass between two looks at its clocks.
        monkeypatch.setattr(copier, "_TICK_NS", 0)
        now()
        time.sleep(0.2)
        world.copier.untrack()
        world.copier = world.new_copier()
        world.copier.resume()
    world.copier.warm_pass()
    if when == "before the last pass":
        now()
    world.copier.final_pass()
    assert world.copy.read_text() == "new"


@pytest.mark.runs_commands
def test_a_clock_set_back_costs_only_what_is_younger_than_that(world: World) -> None:
    world.copier.warm_pass()
    world.clock.step(-5 * HOUR)
    world.copier.warm_pass()
    assert b"file" in world.copier.trusted
    world.clock.step(-2 * DAY)
    world.copier.final_pass()
    assert b"file" not in world.copier.trusted
