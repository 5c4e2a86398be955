# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The journal tells the next run what a crash left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import stat
import subprocess

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._service.systemd import RECOVERY_UNIT
from ansible_collections.drydock.dockerd.plugins.module_utils._service.unit_file import values
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal

PLAN = {"files": [{"path": "/etc/docker/daemon.json", "before": "not UTF-8: \udcff", "after": None}], "owners": {"ä": {}}}


@pytest.fixture
def journal(host):
    return Journal(host)


def log_of(journal):
    return pathlib.Path(journal.directory, "log.jsonl")


def test_a_host_without_a_journal_has_nothing_open(journal):
    assert (journal.is_open, journal.committed, journal.lines()) == (False, False, [])


def test_another_process_finds_the_plan_and_the_lines(host, journal):
    journal.create(PLAN)
    journal.note("begin", "stop", inventory={"volumes": ["ä"]})
    journal.note("done", "stop")
    found = Journal(host)
    assert (found.is_open, found.committed, found.plan()) == (True, False, PLAN)
    assert found.lines() == [
        {"at": host.now(), "event": "begin", "step": "stop", "inventory": {"volumes": ["ä"]}},
        {"at": host.now(), "event": "done", "step": "stop"},
    ]


def test_a_journal_is_for_root_only(host, journal):
    """It holds daemon.json, which may hold passwords of proxies."""
    journal.create(PLAN)
    modes = [stat.S_IMODE(os.stat(one).st_mode) for one in (host.places.state_dir, journal.directory, os.path.join(journal.directory, "plan.json"))]
    assert modes == [0o700, 0o700, 0o600]


def test_a_crash_before_the_plan_is_written_leaves_nothing_open(host, journal):
    os.makedirs(journal.directory)
    pathlib.Path(journal.directory, "reserve").touch()
    pathlib.Path(journal.directory, "log.jsonl").write_text('{"event": "begin", "step": "of long ago"}\n')
    assert not journal.is_open
    journal.create(PLAN)
    assert (journal.is_open, journal.lines()) == (True, [])


def test_a_line_that_a_crash_cut_short_does_not_count(journal):
    journal.create(PLAN)
    journal.note("begin", "hold")
    journal.note("begin", "stop")
    whole = log_of(journal).read_bytes()
    for length in range(whole.rindex(b"\n"), len(whole)):
        log_of(journal).write_bytes(whole[:length])
        assert [line["step"] for line in journal.lines()] == ["hold"]


def test_a_line_that_a_crash_cut_short_spoils_no_later_one(journal):
    journal.create(PLAN)
    journal.note("begin", "hold")
    log_of(journal).write_bytes(log_of(journal).read_bytes() + b'\n{"at": 1, "ev')
    journal.note("begin", "release")
    assert [line["step"] for line in journal.lines()] == ["hold", "release"]


def test_lines_are_on_the_disk_before_anybody_acts_on_them(journal, synced):
    journal.create(PLAN)
    synced.clear()
    journal.note("begin", "hold")
    assert synced == [str(log_of(journal))]


def test_no_room_for_a_journal_is_told_before_anything_is_done(host, journal, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DrydockError, match=r"no room for a journal of 6 MiB in .*: No space left") as caught:
        journal.create(PLAN)
    assert host.places.state_dir in str(caught.value)
    assert not journal.is_open
    assert not os.path.exists(journal.directory)


@pytest.fixture
def small_disk(host):
    """The state directory on a file system of its own, of 8 MiB."""
    os.makedirs(host.places.state_dir)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", host.places.state_dir], check=True)
    yield pathlib.Path(host.places.state_dir)
    subprocess.run(["umount", host.places.state_dir], check=True)


@pytest.mark.runs_commands
def test_what_a_transaction_writes_has_its_room_reserved(host, journal, small_disk):
    """The disk is full to the last byte as soon as the transaction has begun, and its notes and files are written all the same."""
    journal.create(PLAN)
    with open(small_disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(1 << 16))
    assert os.statvfs(small_disk).f_bavail == 0
    with files.making_room(journal.make_room):
        for number in range(20):
            journal.note("begin", f"step {number}", text="x" * 50_000)
            files.write(str(small_disk / f"file {number}"), "y" * 50_000)
    assert [line["step"] for line in Journal(host).lines()] == [f"step {number}" for number in range(20)]
    assert {(small_disk / f"file {number}").read_text() for number in range(20)} == {"y" * 50_000}
    journal.commit()
    assert "reserve" not in os.listdir(journal.close())


def test_a_commit_can_be_taken_back(host, journal):
    journal.create(PLAN)
    journal.commit()
    assert Journal(host).committed
    journal.revoke()
    assert not Journal(host).committed
    assert journal.is_open


def test_a_commit_needs_no_room_and_is_on_the_disk(journal, monkeypatch, synced):
    journal.create(PLAN)
    synced.clear()
    opens = os.open

    def nothing_new(path, flags, *more, **options):
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opens(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", nothing_new)
    journal.commit()
    assert (journal.committed, synced) == (True, [journal.directory])
    journal.revoke()
    assert (journal.committed, synced) == (False, [journal.directory] * 2)


def test_the_log_has_its_room(journal):
    """The disk may be full when the first line is written."""
    journal.create(PLAN)
    log = log_of(journal).stat()
    assert (log.st_size, log.st_blocks * 512 >= 1 << 20) == (0, True)


def test_a_boot_recovers_before_anything_of_docker_starts(host, journal):
    journal.create(PLAN)
    journal.guard_boot("/bin/recover")
    unit = pathlib.Path(host.places.units, RECOVERY_UNIT)
    said = {key: values([unit.read_text()], "Unit", key) for key in ("Before", "RequiresMountsFor", "ConditionPathExists")}
    assert " ".join(said["Before"]).split() == ["docker.service", "docker.socket", "containerd.service"]
    assert said["RequiresMountsFor"] == [host.places.state_dir]
    assert os.path.exists(said["ConditionPathExists"][0])
    assert pathlib.Path(host.places.units, "sysinit.target.wants", RECOVERY_UNIT).resolve() == unit
    journal.close()
    assert not os.path.exists(said["ConditionPathExists"][0])


def test_a_new_journal_is_not_committed_by_an_old_one(host, journal):
    journal.create(PLAN)
    journal.commit()
    journal.close()
    journal.create({})
    assert not journal.committed


def test_a_closed_journal_is_kept_as_evidence_and_replaces_the_one_before(host, journal):
    for step in ("first", "second"):
        journal.create(PLAN)
        journal.note("begin", step)
        evidence = journal.close()
        assert not journal.is_open
        assert os.listdir(host.places.state_dir) == ["last"]
        assert f'"step": "{step}"' in pathlib.Path(evidence, "log.jsonl").read_text()


def test_a_journal_closes_beside_one_that_somebody_keeps(host, journal, monkeypatch):
    """An immutable file in the one before it must not keep this one open for ever."""
    journal.create(PLAN)
    kept = pathlib.Path(journal.close())
    monkeypatch.setattr("shutil.rmtree", lambda *args, **options: None)
    journal.create(PLAN)
    evidence = journal.close()
    assert not journal.is_open
    assert (evidence, os.path.exists(f"{evidence}/plan.json")) == (f"{kept}-1700000000", True)
    assert (kept / "plan.json").exists()


def test_a_guard_that_stays_keeps_no_journal_open(host, journal, monkeypatch):
    """Without an open journal it does nothing."""
    journal.create(PLAN)

    def refuse(service):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("ansible_collections.drydock.dockerd.plugins.module_utils._service.systemd.Systemd.unguard_boot", refuse)
    assert os.path.exists(journal.close())
    assert not journal.is_open
