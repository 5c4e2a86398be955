# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Whatever an interrupted change has left: one run of daemon_state later nothing of it stands in the way."""

from __future__ import annotations

import os
import pathlib
import re
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.inventory import Inventory
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import CommandFailed, DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._operation import recovery as operation
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.recovery import Recovery
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import interruption, recovery, results, worker
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal

NOTHING = "Nothing to recover: no change is open, and nothing holds the daemon."


class Daemon:
    """A service that is held or not, and runs or not."""

    worker_log = "the log"

    def __init__(self) -> None:
        self.held, self.pid, self.done = False, 0, []
        self.failure: Exception | None = None
        self.knows_the_worker = True

    def worker_is_active(self) -> bool:
        if not self.knows_the_worker:
            raise CommandFailed("worker-unknown", "systemd does not say.")
        return False

    def is_held(self) -> bool:
        return self.held

    def main_pid(self) -> int:
        return self.pid

    def socket_path(self) -> None:
        return None

    def unhold(self) -> None:
        self.held = False
        self.done.append("unhold")

    def start(self, timeout: float) -> None:
        assert not self.held
        if self.failure:
            raise self.failure
        self.pid = 1
        self.done.append("start")


@pytest.fixture
def daemon(host: t.Any, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """The host's; what is open cannot be recovered."""
    service = Daemon()
    for module in (operation, recovery, results, worker, interruption):
        monkeypatch.setattr(module, "service_of", lambda host: service)
    pathlib.Path(host.places.state_dir).mkdir(exist_ok=True)
    return service


@pytest.fixture
def run(host: t.Any, daemon: Daemon) -> t.Callable[..., dict[str, t.Any]]:
    return lambda check_mode=False: Recovery(host, check_mode, "", 120).run()


def interrupt(host: t.Any, daemon: Daemon, plan: str = '{"broken', **facts: t.Any) -> Journal:
    """A change that was interrupted behind its stop, with a journal whose plan nobody can read."""
    journal = Journal(host)
    journal.create({})
    pathlib.Path(journal.directory, "plan.json").write_text(plan)
    journal.note("begin", "hold")
    journal.note("begin", "stop", **facts)
    daemon.held = True
    return journal


@pytest.mark.parametrize("check_mode", [True, False])
def test_where_nothing_is_open_nothing_changes(run: t.Any, daemon: Daemon, check_mode: bool) -> None:
    result = run(check_mode)
    assert (result["changed"], result["plan"], result["msg"], daemon.done) == (False, [], NOTHING, [])


@pytest.mark.parametrize("plan", ['{"broken', '{"colour": "blue"}', "[]"], ids=["broken", "of another release", "a list"])
def test_what_cannot_be_recovered_is_given_up(host: t.Any, run: t.Any, daemon: Daemon, plan: str) -> None:
    journal = interrupt(host, daemon, plan)
    result = run()
    assert (result["changed"], result["plan"], daemon.done) == (True, ["give the change up"], ["unhold", "start"])
    assert not journal.is_open
    assert pathlib.Path(host.places.state_dir, "last", "plan.json").read_text() == plan
    told = r"An interrupted change could not be recovered: .*[Pp]lan.* has .* does not know\. "
    told += r"The hold was taken away, the daemon was started as its files say now\. "
    told += rf"The change was given up where it stood; its journal is kept in {host.places.state_dir}/last\."
    assert re.fullmatch(told, result["msg"])
    assert run()["msg"] == NOTHING


def test_a_recovery_that_fails_is_given_up(host: t.Any, run: t.Any, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = interrupt(host, daemon)

    def fail(host: t.Any) -> t.NoReturn:
        raise KeyError("inventory")

    monkeypatch.setattr(worker, "recover", fail)
    assert "KeyError: 'inventory'" in run()["msg"]
    assert not journal.is_open


def test_what_can_be_recovered_is_not_given_up(host: t.Any, run: t.Any, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = interrupt(host, daemon)

    def recovered(host: t.Any) -> str:
        daemon.held = False
        journal.close()
        return "It was undone."

    monkeypatch.setattr(worker, "recover", recovered)
    result = run()
    assert (result["changed"], result["plan"], result["msg"], daemon.done) == (True, ["recover what is left"], "It was undone.", [])


def test_a_hold_that_is_left_alone_is_taken_away(run: t.Any, daemon: Daemon) -> None:
    daemon.held, daemon.pid = True, 1
    result = run()
    assert (result["changed"], daemon.held, daemon.done) == (True, False, ["unhold"])
    assert result["msg"] == "The hold was taken away, the daemon runs."


def test_a_worker_that_may_live_is_not_given_up(host: t.Any, run: t.Any, daemon: Daemon) -> None:
    journal = interrupt(host, daemon)
    daemon.knows_the_worker = False
    with pytest.raises(DrydockError, match=r"\[worker-unknown\]$"):
        run()
    assert (daemon.done, daemon.held, journal.is_open) == ([], True, True)


def test_a_daemon_that_does_not_start_is_told_and_its_journal_is_closed(host: t.Any, run: t.Any, daemon: Daemon) -> None:
    """A person has to look at it then, and nothing of ours stands in his way."""
    journal = interrupt(host, daemon)
    daemon.failure = CommandFailed("start-failed", "dockerd does not start: no disk.", "Mount it.")
    with pytest.raises(
        DrydockError, match=r"The hold was taken away, but dockerd does not start: no disk\. The change was given up.* Mount it\. \[start-failed\]$"
    ):
        run()
    assert (journal.is_open, daemon.held) == (False, False)


@pytest.mark.parametrize("released", [False, True])
def test_what_ran_is_started_with_the_daemon(
    host: t.Any, run: t.Any, daemon: Daemon, fake_engine: t.Any, make_container: t.Any, monkeypatch: pytest.MonkeyPatch, released: bool
) -> None:
    """Not once it was let loose: what somebody has stopped since stays stopped."""
    ran = [make_container("web"), make_container("old", state="exited")]
    journal = interrupt(host, daemon, inventory=Inventory({one.id: one for one in ran}, {}, (), {}).to_data())
    if released:
        journal.note("begin", "release")
    engine = fake_engine({"/containers/id-web/json": {"State": {"Status": "exited"}}})
    monkeypatch.setattr(recovery, "Engine", lambda path: engine)
    assert ("1 of 1 containers that ran before run again" in run()["msg"]) is not released
    assert engine.posts == ([] if released else ["/containers/id-web/start"])


@pytest.mark.parametrize("what", ["broken", "readable", "a hold alone", "a worker"])
def test_check_mode_says_what_it_would_do_and_does_nothing(host: t.Any, run: t.Any, daemon: Daemon, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "a hold alone":
        daemon.held = True
    else:
        interrupt(host, daemon)
    if what == "a worker":
        monkeypatch.setattr(daemon, "worker_is_active", lambda: True)
    if what == "readable":
        monkeypatch.setattr(operation.Plan, "from_data", lambda data: None)
        monkeypatch.setattr(operation.Journal, "plan", lambda journal: {})
    wait = "wait for the change that is under way"
    steps = {
        "broken": ["give the change up"],
        "readable": ["recover what is left"],
        "a hold alone": ["take the hold away"],
        "a worker": [wait, "recover what is left"],
    }[what]
    result = run(check_mode=True)
    assert (result["changed"], result["plan"]) == (True, steps)
    assert result["msg"].endswith(f" Would {' and '.join(steps)}.")
    assert (daemon.done, daemon.held) == ([], True)
    assert not os.path.exists(host.places.lock)
