# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Either all of a change is in force or nothing of it, wherever it is cut, and the containers run."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import functools
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
import types

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import copier as copier_module
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.kept_mark import KEPT_MARK, read_mark
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import COPY_MARK, Totals
from ansible_collections.drydock.dockerd.plugins.module_utils._engine import certificates
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.addresses import parse_address
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, EngineError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._host.files import inode_of
from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import processes
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import MARKED, RECORDS_FILE, load
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.order import steps_of
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.plan import MARKER_PREFIX, FileChange, Removal
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.planner import make_plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request
from ansible_collections.drydock.dockerd.plugins.module_utils._service import systemd
from ansible_collections.drydock.dockerd.plugins.module_utils._service.systemd import HOLD_DROP_IN, Systemd
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import recovery, surroundings, worker_main
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.lock import locked
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.outcome import words
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.recovery import recover
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.runner import Transaction
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps import base, daemon, prove, roots
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.verified import record_verified
from made_up_mounts import look_at_made_up_paths
from worlds import CHANGES, CONTAINERS, Crash, Daemon, Machine, make_world

start_again = daemon.running_set.start_again


@pytest.fixture
def memory(tmp_path):
    """A directory in memory where there is one: thousands of worlds are made, and each is flushed many times."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as directory:
        yield pathlib.Path(directory)


@pytest.fixture
def world(memory, make_state, monkeypatch):
    """Make a world for a change; each call makes a new one."""
    numbers = itertools.count()

    def make(change, **options):
        return make_world(monkeypatch, memory / f"world{next(numbers)}", make_state, change, **options)

    return make


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_comes_into_force(world, change):
    it = world(change)
    outcome = it.run()
    it.assert_whole(new=True)
    assert (outcome.applied, outcome.failures) == (it.plan.effect, [])
    assert [phase["phase"] for phase in outcome.phases if "pass" not in phase["phase"]] == steps_of(it.plan)
    assert (outcome.downtime is not None) == (it.plan.effect == "restart")
    assert load(it.machine).verified["settings"] == it.plan.file_settings


@pytest.mark.parametrize("change", [name for name in CHANGES if "move" in name or "rename" in name])
def test_a_move_is_noted_with_its_measures(world, change):
    """The closed journal is replaced by the next change, and a report has to know for longer."""
    it = world(change)
    outcome = it.run()
    noted = load(it.machine).history[len(it.plan.history) :]
    assert [(one.tree, one.root) for one in noted] == [(move.tree, move.target) for move in it.plan.moves]
    for one, moved in zip(noted, outcome.moved):
        assert one.record == {
            **{"ended": 1_700_000_000, "bytes": moved.bytes, "files": moved.files, "downtime_seconds": outcome.downtime, "phases": outcome.phases},
            **({MARKED: True} if one.kept else {}),
            "forecast_seconds": outcome.forecast.get("outage_seconds"),
        }


@pytest.mark.parametrize(("limit", "stops"), [(1 << 30, False), (3 << 30, True), (0, True)])
def test_a_daemon_whose_containers_write_too_fast_is_not_stopped(world, monkeypatch, limit, stops):
    it = world("a move")
    it.plan = dataclasses.replace(it.plan, changing_limit=limit)
    real = copier_module.Copier.warm_pass
    monkeypatch.setattr(copier_module.Copier, "warm_pass", lambda copier: (real(copier), Totals(2 << 30, 7))[1])
    if stops:
        it.run()
        return it.assert_whole(new=True)
    with pytest.raises(DrydockError, match=r"the last pass still had 2\.0 GiB to send, .* was not stopped\. Nothing had been changed\."):
        it.run()
    assert not any(command.startswith("systemctl stop") for command in it.machine.commands)
    assert os.path.exists(os.path.join(it.plan.move.target, "containers", "precious"))
    return it.assert_whole(new=False)


TAKEN_BACK = ["a move taken back", "a move taken back to a mount point"]


def planned_again(it, wanted):
    """A plan made of what lies there now, and its problems."""
    return make_plan(it.state, Request(state=wanted), look_at_made_up_paths(it.state, wanted=wanted), it.machine.places.units, it.machine.places.daemon_json)


@pytest.mark.parametrize("change", TAKEN_BACK)
def test_after_a_move_back_that_failed_old_data_are_known(world, monkeypatch, change):
    """They can be taken back once more, and be removed; the warm copy has written into them meanwhile."""
    it = world(change)
    it.plan = dataclasses.replace(it.plan, changing_limit=1 << 30)
    real = copier_module.Copier.warm_pass
    with monkeypatch.context() as patch:
        patch.setattr(copier_module.Copier, "warm_pass", lambda copier: (real(copier), Totals(2 << 30, 7))[1])
        with pytest.raises(DrydockError, match=r"More than 1\.0 GiB is not wanted, so the daemon was not stopped\."):
            it.run()
    it.assert_whole(new=False)
    cleaned, problems = planned_again(it, "cleaned")
    assert ([one.path for one in cleaned.doomed], [one.id for one in problems]) == ([str(it.kept)], ["root-missing"])
    back, problems = planned_again(it, "restored")
    assert (back.move.base, problems) == (str(it.kept), [])
    it.run()
    it.assert_whole(new=True)


@pytest.mark.parametrize("change", TAKEN_BACK)
def test_after_a_move_back_old_data_of_before_marks_are_known(world, change):
    """Release 0.1.0 has set them aside, and a boot gives their disk another number behind the failure."""
    it = world(change)
    (it.kept / KEPT_MARK).unlink()
    it.machine.failing = {"rsync": "out of luck"}
    with pytest.raises(DrydockError, match="out of luck"):
        it.run()
    (past,) = it.plan.history
    assert dataclasses.replace(past, record={}).is_there((7, 8), read_mark(past.kept))


def test_a_move_is_done_where_the_old_disk_has_no_room_for_a_mark(world, monkeypatch):
    """A full disk is the usual reason for a move; its old data are known by their inode then."""
    it = world("a move")
    write = files.write

    def full(path, *more):
        if path.endswith(KEPT_MARK):
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write(path, *more)

    monkeypatch.setattr(files, "write", full)
    (kept,) = it.run().kept
    past = load(it.machine).history[-1]
    assert (MARKED in past.record, past.is_there(inode_of(kept), read_mark(kept))) == (False, True)


@pytest.mark.parametrize("mounted_on", [True, False], ids=["its mount point stays", "its mount point is gone, too"])
def test_a_change_is_done_where_the_old_disk_is_gone(world, monkeypatch, mounted_on):
    """Somebody has taken it out while a recovery was waited for; nothing is made in its place."""
    it = world("a move")

    def taken_out(step):
        shutil.rmtree(it.root)
        if mounted_on:
            it.root.mkdir()
        return {"kept": {"data-root": str(it.root / ".drydock-kept-1")}}

    monkeypatch.setattr(roots.Finish, "facts", taken_out)
    outcome = it.run()
    assert (outcome.kept, outcome.remarks) == ([], [])
    assert not mounted_on or os.listdir(it.root) == []


def test_old_data_are_judged_again_before_they_are_removed(world):
    it = world("a move")
    (kept,) = it.run().kept
    it.plan = dataclasses.replace(it.plan, files=(), effect="none", move=None, doomed=(Removal(kept, inode_of(kept)),))
    (mark,) = pathlib.Path(kept).glob(KEPT_MARK)
    text = mark.read_text()
    mark.write_text("data-root other\n")
    with pytest.raises(DrydockError, match=rf"Failed at 'discard': {kept} is not the directory that the move set aside\. .* \[old-data-changed\]$"):
        it.run()
    assert pathlib.Path(kept, "containers", "precious").exists()
    mark.write_text(text)
    it.run()
    assert not os.path.exists(kept)


def test_a_containerd_on_another_root_is_undone(world, monkeypatch):
    it = world("a move of containerd too")
    default = [*it.plan.before.containerd]
    monkeypatch.setattr(prove, "command_line", lambda pid: default)
    with pytest.raises(DrydockError, match=r"Failed at 'prove': containerd uses the root \S+/images, not \S+/images-new\. The old configuration was restored"):
        it.run()
    it.assert_whole(new=False)


def test_the_last_notes_have_their_room_before_the_daemon_stops(world):
    it = world("a move")
    state = it.machine.places.state_dir
    kept = watched(
        it,
        lambda machine: (
            sum(os.stat(os.path.join(state, name)).st_blocks for name in os.listdir(state) if name.endswith("drydock-new")) if os.path.isdir(state) else 0
        ),
    )
    it.run()
    written = os.stat(os.path.join(state, RECORDS_FILE)).st_blocks
    (found,) = [blocks for command, blocks in kept if command.startswith("systemctl stop")]
    assert found > written > 0
    assert not [name for name in os.listdir(state) if "drydock" in name]


def test_a_reload_stops_nothing(world):
    it = world("a reload")
    it.run()
    assert not any("stop" in command or "start" in command for command in it.machine.commands)


def test_the_daemon_is_down_only_for_what_must_be_done_then(world):
    """Containers are stopped behind the warm copy, and started when all is proved."""
    it = world("a move")
    it.run()
    short = [command.split()[0] if "rsync" not in command else "rsync" for command in it.machine.commands]
    stop = next(number for number, command in enumerate(it.machine.commands) if command.startswith("systemctl stop"))
    start = next(number for number, command in enumerate(it.machine.commands) if command.startswith("systemctl start"))
    assert "rsync" in short[:stop]
    assert set(short[stop + 1 : start]) <= {"rsync", "sync", "systemctl"}


def test_a_move_keeps_the_old_data_aside_and_marks_the_new(world):
    it = world("a move")
    outcome = it.run()
    (kept,) = outcome.kept
    assert kept.startswith(f"{it.root}.drydock-kept-")
    assert not it.root.exists()
    assert pathlib.Path(kept, "containers", "precious").read_text() == "data"
    assert sorted(os.listdir(it.machine.root)) == [it.plan.marker, "containers", "image"]
    assert it.plan.marker.startswith(MARKER_PREFIX)


def test_a_move_without_keeping_leaves_no_old_data(world):
    it = world("a move", keep_source=False)
    assert it.run().kept == []
    it.assert_whole(new=True)
    assert not list(it.root.parent.glob("root*"))


def test_a_renamed_root_is_marked(world):
    it = world("a rename")
    it.run()
    assert sorted(os.listdir(it.machine.root)) == [it.plan.marker, "containers", "image"]


def watched(it, look):
    """What a look at the machine finds before each of its commands: pairs of command and finding."""
    seen = []

    def execute(argv, timeout, stdin):
        seen.append((" ".join(argv), look(it.machine)))
        return it.machine.command(argv, timeout, stdin)

    it.machine.execute = execute
    return seen


@pytest.mark.parametrize("change", ["a move", "a rename"])
def test_no_container_can_outlive_the_stop_of_a_move(world, change):
    """It would go on writing to the old root. A key that is only taken out of the file keeps its value at a reload."""
    it = world(change)
    seen = watched(it, lambda machine: (machine.in_force.get("live-restore"), machine.read_file().get("live-restore")))
    it.run()
    assert [found for command, found in seen if command.startswith("systemctl stop")] == [(False, False)]


def test_the_copy_is_on_the_disk_before_anything_points_to_it(world):
    it = world("a move")
    seen = watched(it, lambda machine: (machine.read_file().get("data-root"), os.path.exists(os.path.join(it.plan.move.target, it.plan.marker))))
    it.run()
    commands = [command for command, _found in seen]
    behind_the_last_copy = seen[max(number for number, command in enumerate(commands) if "rsync" in command) + 1 :]
    assert (f"sync --file-system {it.plan.move.target}", (None, True)) in behind_the_last_copy


def test_files_are_staged_before_the_daemon_stops(world):
    """A disk that fills up later stops neither the change nor its undoing."""
    it = world("a restart")
    paths = [pathlib.Path(one) for one in (*it.before, it.machine.places.state_dir + "/owners.json")]
    seen = watched(it, lambda machine: {path.name for path in paths if (path.parent / f".{path.name}.drydock-next").exists()})
    it.run()
    assert [found for command, found in seen if command.startswith("systemctl stop")] == [{path.name for path in paths}]
    assert not [left for path in paths for left in path.parent.glob(".*drydock*")]


def test_a_target_without_nanoseconds_is_found_before_the_stop(world, monkeypatch):
    """The comparison after the final copy would find it, too, but with the daemon down."""
    it = world("a move")
    utime = os.utime

    def whole_seconds(path, **options):
        if "ns" in options:
            options["ns"] = tuple(when // 10**9 * 10**9 for when in options["ns"])
        utime(path, **options)

    monkeypatch.setattr(os, "utime", whole_seconds)
    with pytest.raises(DrydockError, match=r"Failed at 'warm copy': The file system of .* keeps no nanoseconds"):
        it.run()
    assert not any(command.startswith("systemctl stop") for command in it.machine.commands)


# Failures: the change, what goes wrong, the step that the message names.
FAILURES = {
    "units cannot be read": ("a guard of the start", "systemctl daemon-reload", "reload units"),
    "the signal fails": ("a reload", "systemctl kill", "reload"),
    "the hold fails": ("a restart", "systemctl daemon-reload", "hold"),
    "the stop fails": ("a restart", "systemctl stop", "stop"),
    "the start fails": ("a restart", "systemctl start", "start"),
    "live-restore cannot be switched off": ("a move", "systemctl kill", "hold"),
    "the copy fails": ("a move", "fill", "warm copy"),
    "the copy of what changed fails": ("a move", "rsync", "warm copy"),
    "a disk fails": ("a move", "sync --file-system", "warm copy"),
    "the start on the new root fails": ("a move", "systemctl start", "start"),
    "the copy onto old data fails": ("a move taken back", "rsync", "warm copy"),
    "the start on the old root fails": ("a move taken back", "systemctl start", "start"),
    "the copy onto old data on a mount point fails": ("a move taken back to a mount point", "rsync", "warm copy"),
    "the start on the old root on a mount point fails": ("a move taken back to a mount point", "systemctl start", "start"),
}


@pytest.mark.parametrize(("change", "command", "step"), FAILURES.values(), ids=FAILURES)
def test_a_failure_leaves_everything_as_it_was(world, change, command, step):
    it = world(change)
    it.machine.failing = {command: "out of luck"}
    with pytest.raises(DrydockError, match=f"Failed at '{step}': .*out of luck.* Evidence: "):
        it.run()
    it.assert_whole(new=False)
    # The same request is fine when the reason is gone.
    it.run()
    it.assert_whole(new=True)


@pytest.mark.parametrize("change", ["a restart", "a move"])
def test_a_daemon_that_lost_something_is_not_let_loose(world, change):
    """No container starts before the daemon has proved to have all it had; then the old one gets them back."""
    it = world(change)
    it.machine.loses_image = True
    with pytest.raises(
        DrydockError, match=r"Failed at 'prove': The daemon does not have what it had before: image sha256:1 is missing\. [^[]* \[not-proved\]$"
    ):
        it.run()
    it.assert_whole(new=False)
    assert sorted(it.machine.posts) == [("held", "pause", None), ("held", "start", None), ("web", "start", None)]


@pytest.mark.parametrize("change", ["a restart that is confirmed"])
def test_a_daemon_whose_addresses_nobody_reaches_is_not_stopped(world, change):
    it = world(change)
    it.machine.reached = False
    it.plan = dataclasses.replace(it.plan, confirm_timeout=0)
    with pytest.raises(
        DrydockError,
        match=rf"Failed at 'confirm': Within 0 s the controller did not reach {it.plan.confirm[0]}, so the daemon was not stopped\. "
        r"Nothing had been changed\. [^[]* \[not-confirmed\]$",
    ):
        it.run()
    it.assert_whole(new=False)
    assert (it.machine.commands, it.machine.posts) == ([], [])
    with socket.create_server(("127.0.0.1", parse_address(it.plan.confirm[0]).port)):
        pass


@pytest.mark.parametrize("changed", [{"DockerRootDir": "/elsewhere"}, {"Driver": "vfs"}], ids=["on another root", "with another driver"])
def test_a_daemon_that_came_up_differently_is_not_let_loose(world, changed):
    it = world("a move")
    info = it.machine.info
    it.machine.info = lambda: {**info(), **(changed if it.machine.in_force.get("debug") else {})}
    with pytest.raises(DrydockError, match=f"Failed at 'prove': The daemon uses the .* {next(iter(changed.values()))}, not "):
        it.run()
    it.assert_whole(new=False)
    assert not any(debug for _name, _verb, debug in it.machine.posts)


def test_a_reload_that_changes_nothing_is_taken_back(world, monkeypatch):
    it = world("a reload")
    it.machine.deaf = True
    clock = itertools.count()
    monkeypatch.setattr(base, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    words = "Within 10 s after the reload debug is not True in force; dockerd says: no such thing"
    monkeypatch.setattr(systemd.Systemd, "last_words", lambda service, since: "no such thing" if since > 0 else "")
    with pytest.raises(DrydockError, match=f"Failed at 'prove values': {words}"):
        it.run()
    it.assert_whole(new=False)


@pytest.mark.parametrize("change", ["a reload", "a restart", "a move"])
def test_a_file_that_may_not_be_changed_ends_the_change_before_anything_is_done(world, monkeypatch, change):
    """As of an immutable one, which a second name may not be made of: the next run has to find a closed journal."""
    it = world(change)
    link = os.link

    def refuse(path, *more):
        if path == it.machine.places.daemon_json:
            raise PermissionError(errno.EPERM, "Operation not permitted", path)
        link(path, *more)

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(DrydockError, match=rf"Failed at 'prepare': {it.machine.places.daemon_json}: Operation not permitted\. Nothing had been changed\."):
        it.run()
    assert not any("stop" in command for command in it.machine.commands)
    it.assert_whole(new=False)
    assert [name for name in os.listdir(os.path.dirname(it.machine.places.daemon_json)) if "drydock" in name] == []


def test_a_container_that_does_not_start_is_told_and_takes_nothing_back(world):
    it = world("a restart")
    it.machine.broken = "web"
    outcome = it.run()
    assert (outcome.started, outcome.failures) == (1, ["Container web does not run again: The port is taken."])
    assert files.read(it.machine.places.daemon_json) == it.after[it.machine.places.daemon_json]


def test_an_old_root_that_cannot_be_set_aside_stays_and_the_change_is_done(world):
    """Containers work on the new root: what they wrote since would be lost, and no later run may fail because of it."""
    it = world("a move")
    in_the_way = pathlib.Path(f"{it.root}.drydock-kept-{datetime.datetime.fromtimestamp(1_700_000_000):%Y%m%dT%H%M%S}", "x")
    in_the_way.mkdir(parents=True)
    outcome = it.run()
    assert outcome.remarks == [
        f"The old data root still lies in {it.root}, because setting it aside failed: {it.root} and {in_the_way.parent}: Directory not empty."
    ]
    assert [(one.bytes > 0, one.kept) for one in outcome.moved] == [(True, "")]
    assert recover(it.machine) is None
    it.assert_whole(new=True)


@pytest.mark.parametrize("command", ["daemon-reload", "sync"])
def test_what_fails_behind_the_release_keeps_nothing_open(world, monkeypatch, command):
    """Containers run on the new root: the rest is done all the same, told, and no later run finds anything to recover."""
    it = world("a move")
    real = roots.kept_roots.set_aside
    if command == "sync":
        monkeypatch.setattr(roots.kept_roots, "set_aside", lambda *args: (real(*args), time.sleep("no number"))[0])
    else:
        bad_luck = [{command: "out of luck"}]
        monkeypatch.setattr(
            daemon.running_set, "start_again", lambda *args: (start_again(*args), it.machine.failing.update(bad_luck.pop() if bad_luck else {}))[0]
        )
    outcome = it.run()
    assert [one for one in outcome.failures if re.match(r"'(finish|release)' failed: ", one)]
    assert recover(it.machine) is None
    assert it.machine.root == it.plan.move.target
    assert not os.path.exists(it.machine.places.hold)
    assert not it.machine.service_is_held()
    # systemd does not know the hold's command any more.
    assert it.machine.units == it.machine.read_units()


def test_old_data_that_cannot_be_removed_are_kept_and_the_change_is_done(world, monkeypatch):
    """As an immutable file, or one that is busy: no later run fails because of it, and state cleaned finds it."""
    it = world("a move", keep_source=False)
    unlink = os.unlink

    def refuse(name, *more, **options):
        if name == "precious":
            raise PermissionError(errno.EPERM, "Operation not permitted", name)
        unlink(name, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        outcome = it.run()
    kept = f"{it.root}.drydock-kept-{datetime.datetime.fromtimestamp(1_700_000_000):%Y%m%dT%H%M%S}"
    assert outcome.kept == [kept]
    assert outcome.remarks == [
        f"{kept} was to be removed and is kept, because that failed: {kept}/containers/precious: Operation not permitted. "
        "Mend that, then remove it: state cleaned."
    ]
    assert words(it.plan, outcome).endswith(f"the old copy is kept in {kept}. {outcome.remarks[0]}")
    past = load(it.machine).history[-1]
    assert (past.kept, past.is_there(inode_of(kept), read_mark(kept))) == (kept, True)
    it.assert_whole(new=True)


def test_what_somebody_has_stopped_since_the_release_is_not_started_once_more(world, monkeypatch):
    """The process dies behind the release; until the next run the containers are their owner's."""
    it = world("a move")

    def crash(*arguments):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(roots.kept_roots, "set_aside", crash)
        with pytest.raises(Crash):
            it.run()
    it.machine.containers["web"] = "exited"
    assert "An interrupted change was finished" in recover(it.machine)
    assert it.machine.containers == {**CONTAINERS, "web": "exited"}


@pytest.mark.parametrize("died", [False, True])
def test_containers_that_were_let_loose_are_never_undone(world, monkeypatch, died):
    """The process dies when they run again, and before anything else is noted; what they removed meanwhile is their business."""
    it = world("a restart")

    def then_crash(*arguments):
        start_again(*arguments)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(daemon.running_set, "start_again", then_crash)
        with pytest.raises(Crash):
            it.run()
    it.machine.loses_image = True
    seen = looks_at_the_door(it)
    if died:
        it.machine.up = False
        it.machine.listener.close()
        it.machine.containers = dict.fromkeys(it.machine.containers, "exited")
    assert "An interrupted change was finished" in recover(it.machine)
    assert at(seen, "GET ") == {True}
    it.assert_whole(new=True)


def dies_behind_its_commit(it, monkeypatch):
    commit = Journal.commit

    def then_crash(journal):
        commit(journal)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "commit", then_crash)
        with pytest.raises(Crash):
            it.run()


def test_what_containers_wrote_since_a_boot_is_never_undone(world, monkeypatch):
    """Behind the commit a boot starts them on the new root; what they removed there before the recovery is their business."""
    it = world("a move")
    dies_behind_its_commit(it, monkeypatch)
    it.machine.boot()
    it.machine.loses_image = True
    assert "An interrupted change was finished" in recover(it.machine)
    it.assert_whole(new=True, booted=True)


# Others at work -----------------------------------------------------------------------------------------------


def test_what_others_remove_before_the_stop_is_told_and_nothing_more(world):
    """A client, the swarm, or a unit's ExecStop: the daemon says so, and the disk has it no more."""
    it = world("a restart")

    def remove():
        del it.machine.containers["old"]
        it.machine.happens("container", "destroy", "old")

    it.machine.others = {"systemctl stop": remove}
    outcome = it.run()
    assert outcome.remarks == ["Others have removed container old meanwhile."]
    assert (it.machine.containers, recover(it.machine)) == ({"web": "running", "held": "paused"}, None)


@pytest.mark.parametrize("change", ["a restart", "a move"])
def test_a_container_that_is_on_the_disk_has_to_be_listed(world, change):
    """The daemon's list lacks it, and nobody has removed it: that is a loss."""
    it = world(change)
    (it.root / "containers" / "old").mkdir()
    it.machine.others = {"systemctl start": lambda: it.machine.containers.pop("old")}
    with pytest.raises(DrydockError, match="'prove': The daemon does not have what it had before: container old is missing"):
        it.run()
    assert it.machine.up
    assert not Journal(it.machine).is_open


def test_an_image_of_containerd_is_missed_unless_the_daemon_says_that_it_was_removed(world, monkeypatch):
    """The disk does not show it."""
    for said in (False, True):
        it = world("a restart")
        it.plan = dataclasses.replace(it.plan, stores={})
        info = it.machine.info
        it.machine.info = functools.partial(lambda info: {**info(), "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, info)
        it.machine.loses_image = True
        if said:
            it.machine.others = {"systemctl stop": functools.partial(it.machine.happens, "image", "delete", "sha256:1")}
            assert it.run().remarks == ["Others have removed image sha256:1 meanwhile."]
        else:
            with pytest.raises(DrydockError, match="image sha256:1 is missing"):
                it.run()


def test_what_others_start_before_the_stop_runs_afterwards(world):
    """And what they stop stays stopped."""
    it = world("a restart")

    def work():
        it.machine.containers.update(old="running", web="exited", new="running")
        for action, id in (("start", "old"), ("kill", "web"), ("die", "web"), ("create", "new"), ("start", "new")):
            it.machine.happens("container", action, id)

    it.machine.others = {"systemctl stop": work}
    outcome = it.run()
    assert it.machine.containers == {"web": "exited", "held": "paused", "old": "running", "new": "running"}
    assert (outcome.started, outcome.failures) == (3, [])


def test_what_others_stop_before_the_stop_stays_stopped_where_nothing_else_runs(world):
    it = world("a restart")

    def work():
        it.machine.containers.update(web="exited", held="exited")
        for id in ("web", "held"):
            for action in ("kill", "die"):
                it.machine.happens("container", action, id)

    it.machine.others = {"systemctl stop": work}
    it.run()
    assert set(it.machine.containers.values()) == {"exited"}


def test_a_container_that_is_removed_while_it_is_started_is_no_failure(world):
    it = world("a restart")
    real = it.engine._call

    def call(method, path, query):
        if path == "/containers/web/json" and it.machine.in_force.get("debug"):
            raise EngineError("api-error", "No such container: web", status=404)
        return real(method, path, query)

    object.__setattr__(it.engine, "_call", call)
    assert it.run().failures == []


def test_the_tasks_of_a_swarm_are_the_swarms(world, monkeypatch):
    """It makes them anew, and would have the old ones twice."""
    it = world("a restart")
    real = it.engine._call

    def call(method, path, query):
        answer = real(method, path, query)
        return {**answer, "Config": {"Labels": {"com.docker.swarm.task.id": "x"}}} if path == "/containers/web/json" else answer

    object.__setattr__(it.engine, "_call", call)
    it.machine.others = {"systemctl start": lambda: it.machine.containers.pop("web")}
    outcome = it.run()
    assert (outcome.remarks, outcome.failures, it.machine.posts) == ([], [], [("held", "start", True), ("held", "pause", True)])


@pytest.mark.parametrize("change", ["a restart", "a move", "a rename"])
@pytest.mark.parametrize("moment", ["systemctl stop", "systemctl start"])
def test_a_daemon_json_that_somebody_writes_meanwhile_is_his(world, change, moment):
    """It may hide all data or keep the daemon from starting: everything comes back with what was there, and his file stays as it is."""
    it = world(change)
    path = pathlib.Path(it.machine.places.daemon_json)
    his = json.dumps({"data-root": "/elsewhere"})
    before = path.read_text()
    it.machine.others = {moment: lambda: path.write_text(his)}
    started = []
    it.machine.before_start = lambda: started.append(it.machine.read_units()[HOLD_DROP_IN])
    if moment == "systemctl start":
        # The start itself has read it already.
        it.machine.others = {"daemon-reload": lambda: it.machine.others.update({"systemctl stop": lambda: path.write_text(his)})}
    with pytest.raises(
        DrydockError, match=rf"{path} was changed by somebody else.*Ended with differences: {path} was changed by somebody else since, and stays"
    ):
        it.run()
    assert path.read_text() == his
    assert "--config-file" in started[-1]
    assert json.loads(pathlib.Path(it.machine.places.old_daemon_json).read_text()) == {
        **json.loads(before),
        **({"live-restore": False} if it.plan.live_restore else {}),
    }
    assert it.machine.containers == CONTAINERS
    assert recover(it.machine) is None


def test_a_daemon_json_that_somebody_writes_behind_ours_is_never_started_with(world):
    """Nobody knows on which root, or whether, the daemon would come up."""
    it = world("a restart")
    path, read = pathlib.Path(it.machine.places.daemon_json), []
    it.machine.before_start = lambda: read.append((it.machine.read_file_of_start(), path.read_text()))
    # The units are read anew behind the last write.
    it.machine.others = {"systemctl stop": lambda: it.machine.others.update({"daemon-reload": lambda: path.write_text('{"data-root": "/elsewhere"}')})}
    with pytest.raises(DrydockError, match=f"Failed at 'start': {path} was changed by somebody else while the daemon was down"):
        it.run()
    assert read == [({}, '{"data-root": "/elsewhere"}')]


def test_a_daemon_that_somebody_has_started_behind_ours_is_not_stopped(world):
    """The process dies behind the start; somebody writes his own file and restarts the daemon, the hold is still there."""
    make = functools.partial(world, "a restart")
    it = next(
        one
        for one in (crashed(make, moment) for moment in moments_of(make))
        if '"started"' in (files.read(f"{Journal(one.machine).directory}/log.jsonl") or "")
    )
    path = pathlib.Path(it.machine.places.daemon_json)
    path.write_text('{"log-level": "warn"}')
    it.machine.starts += 1
    it.machine.in_force = it.machine.read_file()
    it.machine.commands.clear()
    assert "An interrupted change was undone" in recover(it.machine)
    assert not [words for words in it.machine.commands if words.startswith("systemctl stop")]
    assert (path.read_text(), it.machine.containers) == ('{"log-level": "warn"}', CONTAINERS)


def test_a_host_that_was_repaired_by_hand_is_left_as_it_is(world):
    """The process dies in mid-change; somebody writes his own file and starts the daemon: no second outage, and his words stay."""
    for moment in moments_of(lambda: world("a restart")):
        it = crashed(lambda: world("a restart"), moment)
        if Journal(it.machine).committed or not Journal(it.machine).is_open or any(it.machine.posts):
            continue
        path = pathlib.Path(it.machine.places.daemon_json)
        path.write_text('{"log-level": "warn"}')
        it.machine.boot()
        it.machine.commands.clear()
        told = recover(it.machine)
        assert "An interrupted change was undone" in told
        assert path.read_text() == '{"log-level": "warn"}'
        assert not [words for words in it.machine.commands if words.startswith(("systemctl stop", "systemctl start"))]


def test_a_stored_path_that_cannot_be_rewritten_is_told(world):
    """dockerd starts without a container whose file is broken."""
    it = world("a move")
    (it.root / "containers" / "broken").mkdir()
    (it.root / "containers" / "broken" / "config.v2.json").write_bytes(bytes(100))
    outcome = it.run()
    (remark,) = outcome.remarks
    assert remark.startswith(f"The paths in {it.plan.move.target}/containers/broken/config.v2.json stay as they are, since it cannot be read or written: ")
    assert it.machine.root == it.plan.move.target


@pytest.mark.parametrize("moment", ["rsync", "systemctl stop"])
def test_what_somebody_mounts_below_the_old_root_is_never_unmounted(world, moment):
    """During the copy, or while the daemon stops: it is not in the copy, and it is not ours."""
    it = world("a move")
    point = f"{it.root}/volumes/db/_data"
    it.machine.others = {moment: lambda: pathlib.Path(it.machine.places.mountinfo).write_text(f"1 2 0:1 / {point} rw - ext4 /dev/x rw\n")}
    with pytest.raises(DrydockError, match=rf"{point} is mounted below the old data root and is not Docker's\. "):
        it.run()
    assert not any("umount" in words for words in it.machine.commands)
    assert any(words.startswith("systemctl stop") for words in it.machine.commands) == (moment == "systemctl stop")
    it.assert_whole(new=False)


def test_a_target_that_is_no_longer_what_was_copied_to_ends_the_change(world):
    """Its file system was unmounted meanwhile."""
    it = world("a move")
    it.machine.others = {"sync --file-system": lambda: os.unlink(os.path.join(it.plan.move.target, COPY_MARK))}
    with pytest.raises(DrydockError, match=f"{it.plan.move.target} is not as it was when the copy began: another file system is mounted or unmounted there"):
        it.run()
    assert not any(words.startswith("systemctl stop") for words in it.machine.commands)


@pytest.mark.runs_commands
def test_whoever_writes_below_the_old_root_ends_the_move(world, monkeypatch):
    """What comes behind the copy would be lost."""
    it = world("a move")
    monkeypatch.setattr(surroundings, "processes", processes)
    path = it.root / "containers" / "precious"
    with subprocess.Popen(["/bin/sh", "-c", f"exec 3>>{path}; echo; exec sleep 60"], stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        try:
            with pytest.raises(DrydockError, match=rf"Process {writer.pid} \(sleep\) writes to {path}, below the old data root"):
                it.run()
        finally:
            writer.kill()
    it.assert_whole(new=False)


def test_a_daemon_that_somebody_has_restarted_on_another_root_is_not_stopped(world):
    it = world("a move")
    info = it.machine.info
    it.machine.others = {"rsync": lambda: setattr(it.machine, "info", lambda: {**info(), "DockerRootDir": "/elsewhere"})}
    with pytest.raises(DrydockError, match=r"Failed at 'stop': The daemon was restarted by somebody else on /elsewhere, no longer on "):
        it.run()
    assert not any(words.startswith("systemctl stop") for words in it.machine.commands)


@pytest.mark.parametrize("change", ["a restart", "a move"])
def test_a_file_that_was_changed_since_the_plan_ends_the_change_before_the_stop(world, change):
    """No outage is needed to find that out."""
    it = world(change)
    path = pathlib.Path(it.machine.places.daemon_json)
    it.machine.others = {"daemon-reload": lambda: path.write_text('{"log-level": "warn"}')}
    with pytest.raises(DrydockError, match=f"{path} was changed by somebody else since this change was planned"):
        it.run()
    assert not any(words.startswith("systemctl stop") for words in it.machine.commands)
    assert path.read_text() == '{"log-level": "warn"}'
    assert not Journal(it.machine).is_open


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("docker.service", "[Service]\nExecStart=/opt/dockerd\n", "docker.service"),
        ("docker.service.d/50-his.conf", "[Service]\nLimitNOFILE=5\n", "50-his.conf"),
        ("defaults", "OPTIONS=--debug\n", "The environment of docker.service"),
    ],
)
def test_a_unit_that_somebody_changes_meanwhile_ends_the_change_before_the_stop(world, name, text, told):
    it = world("a restart")
    units = pathlib.Path(it.machine.places.units)
    (units / "docker.service.d").mkdir(parents=True)
    (units / "docker.service").write_text(f"[Service]\nEnvironmentFile=-{units}/defaults\nExecStart=/usr/sbin/dockerd $OPTIONS\n")
    it.plan = dataclasses.replace(it.plan, seen={**it.plan.seen, **Systemd(it.machine).read(()).digests})
    it.machine.others = {"daemon-reload": lambda: (units / name).write_text(text)}
    with pytest.raises(DrydockError, match=f"Failed at 'stop': .*{told} was changed by somebody else since this change was planned"):
        it.run()
    assert not any(words.startswith("systemctl stop") for words in it.machine.commands)


def test_who_depends_on_the_daemon_is_stopped_before_it_and_started_behind_the_release(world):
    for undone in (False, True):
        it = world("a restart")
        it.machine.loses_image = undone
        act = it.machine.act

        def show(argv, stdin, act=act):
            asked = argv[:3] == ("systemctl", "show", "docker.service") and argv[4].startswith("RequiredBy")
            return "RequiredBy=stack.service\n" if asked else act(argv, stdin)

        it.machine.act = show
        with pytest.raises(DrydockError, match="image sha256:1 is missing") if undone else contextlib.nullcontext():
            it.run()
        orders = [words for words in it.machine.commands if words.startswith(("systemctl stop", "systemctl start"))]
        assert orders[0] == "systemctl stop stack.service"
        assert orders[-1] == "systemctl start stack.service"
        assert it.machine.up


# Undoing that fails ------------------------------------------------------------------------------------------


def test_each_step_of_an_undo_is_on_its_own(world, monkeypatch):
    """A file that cannot come back is told; the daemon comes up with what is there, and the journal is closed."""
    it = world("a restart")
    it.machine.loses_image = True
    put = files.put

    def refuse(path, text, mode=0o644):
        if path == it.machine.places.daemon_json and text == it.before[path]:
            raise PermissionError(errno.EPERM, "Operation not permitted", path)
        put(path, text, mode)

    monkeypatch.setattr(files, "put", refuse)
    path = it.machine.places.daemon_json
    with pytest.raises(DrydockError, match=rf"Ended with differences: 'write {path}' could not be undone: {path}: Operation not permitted"):
        it.run()
    assert (it.machine.up, it.machine.containers) == (True, CONTAINERS)
    assert recover(it.machine) is None
    assert not it.machine.service_is_held()


def test_a_hold_that_was_not_undone_goes_with_the_journal(world, monkeypatch):
    """Behind a closed journal nobody would take it away, and nobody could start the daemon."""
    it = world("a restart")
    path = pathlib.Path(it.machine.places.daemon_json)
    it.machine.others = {"daemon-reload": lambda: path.write_text('{"log-level": "warn"}')}
    monkeypatch.setattr(daemon.Hold, "undo", lambda step, line: 1 // 0)
    with pytest.raises(DrydockError, match="'hold' could not be undone: ZeroDivisionError"):
        it.run()
    assert not it.machine.service_is_held()


def test_a_hold_that_cannot_be_taken_away_is_told_and_the_journal_is_closed(world, monkeypatch):
    it = world("a restart")
    unhold = Systemd.unhold
    monkeypatch.setattr(Systemd, "unhold", lambda service: 1 // 0)
    outcome = it.run()
    assert [one for one in outcome.failures if one.startswith("The hold could not be taken away: ZeroDivisionError: ")]
    assert not Journal(it.machine).is_open
    monkeypatch.setattr(Systemd, "unhold", unhold)


def test_a_daemon_that_does_not_start_the_old_way_is_started_plainly(world):
    it = world("a restart")
    it.machine.failures = 2
    it.machine.others = {}
    real = it.machine.act

    def act(argv, stdin):
        if argv[:2] == ("systemctl", "start") and it.machine.failures:
            it.machine.failures -= 1
            return ""
        return real(argv, stdin)

    it.machine.act, it.machine.holds_back = act, None
    with pytest.raises(DrydockError, match=r"Failed at 'start': .*Ended with differences: 'stop' could not be undone: dockerd does not start"):
        it.run()
    assert (it.machine.up, it.machine.containers) == (True, CONTAINERS)
    assert not Journal(it.machine).is_open


def test_a_daemon_that_does_not_start_at_all_is_told_with_its_containers(world):
    """Nothing is held then, and the next run starts from what is."""
    it = world("a restart")
    real = it.machine.act
    it.machine.act = lambda argv, stdin: "" if argv[:2] == ("systemctl", "start") else real(argv, stdin)
    with pytest.raises(
        DrydockError, match=r"the daemon is down, and with it these containers: web, held \(mend what 'journalctl -u docker' says, then: systemctl st"
    ):
        it.run()
    assert recover(it.machine) is None
    assert not it.machine.service_is_held()
    assert not os.path.exists(it.machine.places.hold)
    assert {path: files.read(path) for path in it.before} == it.before


@pytest.mark.parametrize("late", [False, True], ids=["before it fails", "up to its end"])
def test_what_clients_did_on_a_root_that_is_given_up_is_kept(world, late):
    """The old root does not have it, and no later run may take it for an unfinished copy."""
    it = world("a move")

    def work():
        it.machine.happens("container", "create", "ci")
        pathlib.Path(it.plan.move.target, "containers", "ci").write_text("order 30")

    def start():
        it.machine.loses_image = True
        if late:
            it.machine.others["systemctl stop"] = work
        else:
            work()

    it.machine.others = {"systemctl start": lambda: it.machine.after_start.append(start)}
    with pytest.raises(DrydockError, match=r"what others did on the new data root before it was given up is kept in (\S+): container ci \(create\)") as caught:
        it.run()
    kept = re.search(r"is kept in (\S+):", str(caught.value))[1]
    assert pathlib.Path(kept, "containers", "ci").read_text() == "order 30"
    it.machine.loses_image = False
    it.assert_whole(new=False)
    it.run()
    assert pathlib.Path(kept, "containers", "ci").read_text() == "order 30"


def test_a_change_behind_its_commit_that_cannot_be_proved_is_closed(world, monkeypatch):
    """After a boot there is no way back: the daemon runs, and the old root stays where it is."""
    it = world("a move")
    dies_behind_its_commit(it, monkeypatch)
    it.machine.boot()
    info = it.machine.info
    it.machine.info = lambda: {**info(), "Driver": "vfs"}
    told = recover(it.machine)
    assert "An interrupted change was finished" in told
    assert "Ended with differences: The daemon uses the storage driver vfs, not overlay2." in told
    assert recover(it.machine) is None
    assert it.root.exists()
    assert it.machine.containers["web"] == "running"


# The API --------------------------------------------------------------------------------------------------------


def looks_at_the_door(it):
    """What is done to the machine, by a command or by the API, and whether a client would be let in just then."""
    seen = []
    command, call = it.machine.command, it.engine._call
    it.machine.execute = lambda argv, *more: (seen.append((" ".join(argv[:2]), it.machine.is_open())), command(argv, *more))[1]
    object.__setattr__(it.engine, "_call", lambda method, path, query: (seen.append((f"{method} {path}", it.machine.is_open())), call(method, path, query))[1])
    return seen


def at(seen, what):
    return {is_open for done, is_open in seen if done.startswith(what)}


@pytest.mark.parametrize("change", ["a restart", "a move", "an upgrade"])
def test_nobody_else_gets_in_from_the_stop_to_the_release(world, change):
    """What a client was promised by then would be undone with the change."""
    it = world(change)
    seen = looks_at_the_door(it)
    it.run()
    assert at(seen, "systemctl stop") == {False}
    # Right before the stop, where the events tell what else was done, and behind the start.
    assert [is_open for done, is_open in seen if done == "GET /images/json"] == [True, False]
    # Some containers mount the socket.
    assert at(seen, "POST /containers/") == {True}
    it.assert_whole(new=True)


@pytest.mark.parametrize(("change", "stays"), [("a restart", True), ("a move", True), ("an upgrade", False)])
def test_the_socket_that_is_closed_stays_over_the_outage(world, change, stays):
    """A client could find a new one open for some moments. Packages have scripts that may want it anew."""
    it = world(change)
    listener = it.machine.listener
    it.run()
    assert (it.machine.listener is listener) == stays
    assert it.machine.is_open()


def test_a_socket_whose_drop_ins_change_is_made_anew(world):
    it = world("a restart")
    listener = it.machine.listener
    drop_in = FileChange(os.path.join(it.machine.places.units, "docker.socket.d", "zz.conf"), None, "[Socket]\nSocketMode=0600\n")
    it.plan = dataclasses.replace(it.plan, files=(*it.plan.files, drop_in))
    it.run()
    assert it.machine.listener is not listener


def test_the_daemon_that_comes_back_is_open_when_its_containers_start(world):
    it = world("a restart")
    it.machine.loses_image = True
    seen = looks_at_the_door(it)
    with pytest.raises(DrydockError, match="image sha256:1 is missing"):
        it.run()
    # Before the stop, to prove the new one, before its end, and to look at the old one.
    assert [is_open for done, is_open in seen if done == "GET /images/json"] == [True, False, False, True]
    assert at(seen, "POST /containers/") == {True}
    it.assert_whole(new=False)


def test_containers_that_come_up_with_the_daemon_find_its_socket(world):
    """Of what comes into view the policies decide, and some containers mount the socket."""
    it = world("a restart")
    it.machine.holds_back = False
    it.plan = dataclasses.replace(it.plan, hides=(("storage-driver", "vfs"),))
    starts = []
    act = it.machine.act
    it.machine.act = lambda argv, stdin: (act(argv, stdin), starts.append(it.machine.is_open()) if argv[:2] == ("systemctl", "start") else None)[0]
    seen = looks_at_the_door(it)
    it.run()
    assert any(done.startswith("systemctl stop --job-mode=replace-irreversibly docker.socket") for done in it.machine.commands)
    behind = [done for done, _is_open in seen].index("systemctl start")
    assert (starts, at(seen[behind + 1 :], "GET ")) == ([True], {True})


def test_the_ports_of_both_sides_are_closed(world):
    it = world("a restart")
    sides = [
        dataclasses.replace(side, settings={**side.settings, "hosts": ["fd://", f"tcp://127.0.0.1:{port}"]})
        for side, port in ((it.plan.before, 1), (it.plan.after, 2))
    ]
    it.plan = dataclasses.replace(it.plan, before=sides[0], after=sides[1])
    rules = []
    act = it.machine.act
    it.machine.act = lambda argv, stdin: (rules.append(stdin.decode()) if "nft" in argv[0] else None, act(argv, stdin))[1]
    with pytest.raises(DrydockError, match="nothing accepts connections on tcp://127"):
        it.run()
    assert ["dport { 1 }" in rules[0], "dport { 1, 2 }" in rules[1]] == [True, True]
    assert it.machine.is_open()


# Crashes --------------------------------------------------------------------------------------------------------


def crashed(make, moment, booted=False):
    """A world whose change was cut at a moment."""
    it = make()
    it.machine.moments, it.machine.crash_at = 0, moment
    with pytest.raises(Crash):
        it.run()
    it.machine.crash_at = 0
    if booted:
        it.machine.boot()
    return it


def moments_of(make):
    it = make()
    it.machine.moments = 0
    it.run()
    return range(1, it.machine.moments + 1)


@pytest.mark.parametrize("booted", [False, True], ids=["killed", "booted"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_crash_at_any_moment_is_recovered(world, change, booted):
    sides = []
    # What a boot makes different is the same at any two moments that follow each other.
    for moment in moments_of(lambda: world(change))[:: 2 if booted else 1]:
        it = crashed(lambda: world(change), moment, booted)
        if booted and it.plan.packages:
            # What a boot has started by the containers' policies is started in the same way with its own packages.
            it.machine.holds_back = None
        begun, released = Journal(it.machine).is_open, any(debug for _name, _verb, debug in it.machine.posts)
        told = recover(it.machine)
        new = bool(load(it.machine).owners)
        assert new or not released
        assert (told is not None) == begun
        assert told is None or told.startswith("An interrupted change was finished" if new else "An interrupted change was undone")
        it.assert_whole(new, booted)
        assert recover(it.machine) is None
        sides.append(new)
    # Early crashes lead back, and from some moment on every crash leads forward.
    assert sides == sorted(sides)
    assert set(sides) == {False, True}


@pytest.mark.parametrize("change", ["a restart", "a rename", "a move taken back", "a move taken back to a mount point"])
def test_a_boot_undoes_half_a_change_before_the_daemon_starts(world, change):
    """What the recovery unit does; the next run only finishes what was committed."""
    for moment in moments_of(lambda: world(change)):
        it = crashed(lambda: world(change), moment)
        journal = Journal(it.machine)
        committed, released = journal.committed, any(debug for _name, _verb, debug in it.machine.posts)
        if journal.is_open:
            worker_main._at_boot(it.machine)
        if not committed and not released:
            assert {path: files.read(path) for path in it.before} == it.before
            assert not journal.is_open
        it.machine.boot()
        recover(it.machine)
        new = bool(load(it.machine).owners)
        assert new or not released
        it.assert_whole(new, booted=True)


@pytest.mark.parametrize("change", ["a restart", "a move", "a move taken back to a mount point"])
def test_a_crash_of_undoing_is_recovered(world, change):
    """A start fails, and the process dies at any moment while it takes all back."""
    for moment in itertools.count(1):
        it = world(change)
        it.machine.failing = {"systemctl start": "out of luck"}
        it.machine.moments, it.machine.crash_at = 0, moment
        with pytest.raises((Crash, DrydockError)) as caught:
            it.run()
        it.machine.crash_at = 0
        it.machine.failing = {}
        recover(it.machine)
        it.assert_whole(bool(load(it.machine).owners))
        if caught.type is DrydockError:
            break


@pytest.mark.parametrize("change", CHANGES)
def test_a_crash_of_the_recovery_is_recovered(world, change):
    """A choice of moments of the change, every moment of its recovery."""
    for moment in moments_of(lambda: world(change))[5::37]:
        for second in itertools.count(1):
            it = crashed(lambda: world(change), moment)
            it.machine.moments, it.machine.crash_at = 0, second
            try:
                recover(it.machine)
            except Crash:
                it.machine.crash_at = 0
                recover(it.machine)
            it.assert_whole(bool(load(it.machine).owners))
            if it.machine.crash_at:
                break


def test_an_engine_that_does_not_come_up_goes(world):
    it = world("an upgrade")
    it.machine.failing = {"systemctl start": "the new one is ill"}
    with pytest.raises(DrydockError, match=r"dockerd does not start: the new one is ill\. docker\.io 1 came back\. The old configuration was restored"):
        it.run()
    it.assert_whole(new=False)


def test_an_installation_that_fails_stops_nothing(world):
    it = world("an upgrade")
    it.machine.failing = {"install docker.io=2": "no room"}
    with pytest.raises(DrydockError, match=r"Failed at 'install packages': .*no room\. docker\.io 1 came back\. Evidence"):
        it.run()
    it.assert_whole(new=False)
    assert not [one for one in it.machine.commands if one.startswith(("systemctl stop", "systemctl start"))]


def test_an_engine_whose_packages_are_gone_stays(world):
    it = world("an upgrade")
    it.plan = dataclasses.replace(it.plan, packages=dataclasses.replace(it.plan.packages, back=False))
    it.machine.failing = {"systemctl start": "the new one is ill"}
    with pytest.raises(DrydockError, match=r"The package manager does not have docker\.io of the old version any more\. The old configuration was restored"):
        it.run()
    assert it.machine.version == "2"
    assert it.machine.up


# The first start -------------------------------------------------------------------------------------------------


@pytest.fixture
def first(host, memory, make_state, monkeypatch):
    """Make a machine whose engine has just been installed, with a plan for it; each call makes a new one."""
    numbers = itertools.count()
    monkeypatch.setattr(roots, "_busy_shims", lambda _settings: [])

    def make():
        top = memory / f"first{next(numbers)}"
        top.mkdir()
        places = type(host.places)(**{name: str(top / name) for name in vars(host.places)})
        machine = Machine(places, top / "default", top / "images")
        machine.up, machine.containers, machine.holds_back = False, {}, False
        machine.listener.close()
        state = make_state(None, pid=0, info={}, running_flags={}, socket=None, systemd_socket=machine.socket_path, default_root_unused=True)
        ask = Ask("data-root", {"data-root": str(top / "disk" / "docker")}, {"zz.conf": "[Service]\nExecStartPre=test -e @data_root@/@data_root_marker@\n"})
        request = Request(asks=(ask,), path=str(top / "disk" / "docker"))
        plan, problems = make_plan(state, request, look_at_made_up_paths(state, request.path), places.units, places.daemon_json)
        assert problems == []
        monkeypatch.setattr(base, "Engine", lambda path: Daemon(machine))
        monkeypatch.setattr(os, "fsync", lambda fd: machine.moment())
        return machine, plan

    return make


def run_first(machine, plan):
    journal = Journal(machine)
    journal.create(plan.to_data())
    return Transaction(machine, plan, journal).run()


def assert_first(machine, plan, started):
    """The daemon is up with all files, or down as it was, with none."""
    assert machine.up == started
    for one in plan.files:
        assert files.read(one.path) == (one.after if started else None)
    assert not os.path.exists(machine.places.hold)
    assert not os.path.exists(machine.default_root)
    assert not Journal(machine).is_open


def test_a_first_start_has_its_files_in_place(first):
    machine, plan = first()
    marker = next(one.path for one in plan.files if one.after == "")
    assert os.path.dirname(marker) == plan.after.data_root == machine.read_file().get("data-root", plan.after.data_root)
    outcome = run_first(machine, plan)
    assert_first(machine, plan, started=True)
    assert outcome.applied == "start"
    assert outcome.downtime is None
    assert [words for words in machine.commands if words.startswith(("systemctl start", "systemctl stop"))] == ["systemctl start docker.socket docker.service"]
    # Those of a daemon that this host had before come up as their policies say.
    assert not machine.posts


def test_a_first_start_that_fails_leaves_the_daemon_down(first):
    machine, plan = first()
    machine.failing = {"systemctl start": "out of luck"}
    with pytest.raises(DrydockError, match=r"Failed at 'start': dockerd does not start: out of luck\. The old configuration was restored\."):
        run_first(machine, plan)
    assert_first(machine, plan, started=False)


def test_a_crash_of_a_first_start_is_recovered(first):
    for moment in itertools.count(1):
        machine, plan = first()
        machine.moments, machine.crash_at = 0, moment
        try:
            run_first(machine, plan)
        except Crash:
            machine.crash_at = 0
            recover(machine)
            assert_first(machine, plan, started=machine.up)
            continue
        break
    assert_first(machine, plan, started=True)


# Helpers --------------------------------------------------------------------------------------------------------


def test_only_one_change_at_a_time(host):
    with locked(host, "data_root"):
        with pytest.raises(DrydockError, match=f"under way: data_root, process {os.getpid()}, since 2023-11-1"), locked(host, "other"):
            pass
        # Being turned away must not free the lock.
        with pytest.raises(DrydockError), locked(host, "other"):
            pass
    with locked(host, "other"):
        assert pathlib.Path(host.places.lock).read_text().startswith("other, ")


def test_nobody_but_root_can_hold_the_lock(host):
    """Who may open a file for reading may take its lock; an older release has made it readable for all."""
    pathlib.Path(host.places.lock).touch(mode=0o644)
    for _again in range(2):
        with locked(host, "data_root"):
            assert stat.S_IMODE(os.stat(host.places.lock).st_mode) == 0o600
        os.unlink(host.places.lock)


def test_a_lock_is_free_after_a_failure(host):
    with pytest.raises(ValueError, match="x"), locked(host, "data_root"):
        raise ValueError("x")
    with locked(host, "data_root"):
        pass


def test_nothing_to_recover(host):
    assert recover(host) is None


def test_the_certificates_that_the_daemon_has_read_are_noted(world, monkeypatch):
    it = world("a restart")
    pem = it.root / "cert.pem"
    pem.write_text("first")
    it.plan = dataclasses.replace(it.plan, after=dataclasses.replace(it.plan.after, settings={**it.plan.after.settings, "tlscert": str(pem)}))
    monkeypatch.setattr(certificates, "began_at", lambda pid: time.time() + 1)
    it.run()
    noted = {str(pem): files.digest(str(pem))}
    assert load(it.machine).verified["certificates"] == noted

    # Renewed, and some change that restarts nothing: the process has still read the first one.
    pem.write_text("second")
    record_verified(it.machine, dataclasses.replace(it.plan, effect="none", why=()))
    assert load(it.machine).verified["certificates"] == noted


def test_containers_that_outlived_the_daemon_stop_the_copy(world, monkeypatch):
    it = world("a move")
    monkeypatch.setattr(roots, "_busy_shims", lambda _settings: ["4711"])
    with pytest.raises(DrydockError, match=r"Failed at 'final copy': 1 containers outlived the daemon's stop .containerd-shim 4711"):
        it.run()
    it.assert_whole(new=False)


def test_containers_that_are_just_dying_are_waited_for(world, monkeypatch):
    looks = iter([["4711", "4712"], ["4711"], []])
    it = world("a move")
    monkeypatch.setattr(roots, "_busy_shims", lambda _settings: next(looks))
    it.run()
    it.assert_whole(new=True)
    assert next(looks, None) is None


@pytest.mark.runs_commands
@pytest.mark.parametrize("namespace", ["moby", "moby-100000.100000", "ours"])
@pytest.mark.parametrize("busy", [True, False])
def test_a_shim_counts_while_its_container_has_a_process(busy, namespace):
    script = f"{'sleep 60 &' if busy else ''} echo ready; read word"
    with subprocess.Popen(["containerd-shim-runc-v2", "-c", script, "-namespace", namespace], executable="/bin/sh", stdin=-1, stdout=-1) as shim:
        assert shim.stdout.readline() == b"ready\n"
        try:
            assert (str(shim.pid) in roots._busy_shims({"containerd-namespace": namespace.partition("-")[0]})) is busy
        finally:
            subprocess.run(["pkill", "--parent", str(shim.pid)], check=False)
            shim.kill()


def test_mounts_that_the_daemon_left_are_taken_away_the_deepest_first(world):
    it = world("a move")
    points = [it.root, f"{it.root}/overlay2/a", f"{it.root}/overlay2/a/b", f"{it.root}-not"]
    pathlib.Path(it.machine.places.mountinfo).write_text("".join(f"1 2 0:1 / {point} rw - ext4 /dev/x rw\n" for point in points))
    it.run()
    assert [command for command in it.machine.commands if "umount" in command] == [
        f"umount {it.root}/overlay2/a/b",
        f"umount {it.root}/overlay2/a",
    ]


@pytest.mark.parametrize("pid", [str(os.getpid()), "999999999", "self"])
def test_other_processes_are_no_shims(pid):
    assert not roots._is_shim(pid, {})


def test_an_address_is_proved_by_a_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            prove._check_tcp(parse_address(f"tcp://{host}:{port}"))
    with pytest.raises(DrydockError, match=f"nothing accepts connections on tcp://127.0.0.1:{port}"):
        prove._check_tcp(parse_address(f"tcp://127.0.0.1:{port}"))


def test_a_recovery_that_fails_is_not_tried_again(world, monkeypatch):
    """Each attempt could be an outage: the daemon comes up with what is there, open for everybody, and the journal is closed."""
    cut = (crashed(lambda: world("a restart"), moment) for moment in moments_of(lambda: world("a restart")))
    it = next(one for one in cut if os.path.exists(one.machine.places.gate) and not one.machine.up)
    monkeypatch.setattr(recovery, "_recovered", lambda transaction: 1 // 0)
    monkeypatch.setattr(recovery, "Engine", lambda path: it.engine)
    it.machine.holds_back = None
    told = recover(it.machine)
    assert told.startswith("An interrupted change could not be recovered: ZeroDivisionError: ")
    assert (it.machine.up, it.machine.is_open()) == (True, True)
    assert recover(it.machine) is None
    assert not it.machine.service_is_held()


def test_another_image_store_than_the_one_that_was_planned_is_undone(world):
    """It has other images and containers, if any."""
    it = world("a restart")
    info = it.machine.info
    it.machine.info = lambda: {**info(), **({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]} if it.machine.in_force.get("mtu") else {})}
    with pytest.raises(DrydockError, match="The daemon uses containerd's image store, not Docker's own"):
        it.run()


@pytest.mark.parametrize("filled", [False, True])
def test_a_storage_driver_that_was_tried_is_not_taken_for_the_old_one(world, filled):
    """An engine from 29 on takes it at its next start, where the old file is silent."""
    it = world("a restart")
    tried = pathlib.Path(it.root, "overlay2")
    assert not tried.exists()

    def tries():
        if "mtu" in it.machine.read_file():
            (tried / "l").mkdir(parents=True)
            (tried / ("1/diff" if filled else "l")).mkdir(parents=True, exist_ok=True)

    info = it.machine.info
    it.plan = dataclasses.replace(it.plan, stores={"before": "containerd's", "after": "Docker's own"})
    it.machine.info = lambda: {**info(), **({} if "mtu" in it.machine.in_force else {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]})}
    it.machine.before_start, it.machine.loses_image = tries, True
    with pytest.raises(DrydockError) as told:
        it.run()
    assert tried.exists() is filled
    said = it.machine.read_file().get("features")
    assert said == ({"containerd-snapshotter": True} if filled else None)
    assert ("has features.containerd-snapshotter, because somebody has filled" in told.value.sentence) is filled
