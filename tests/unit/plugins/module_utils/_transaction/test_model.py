# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A model of the transaction: any change, anything that fails, also twice and in undoing, any deed of others in between, and the process dies.

In the end the journal is closed and nothing is held, the daemon answers, what ran runs, nothing that a client was promised is gone, and no file
that others wrote is overwritten.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import pathlib
import re
import tempfile

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.recovery import recover
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps.table import STEPS
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from worlds import CHANGES, CONTAINERS, Crash, make_world

# Whatever begins so is an order to the host, in front of which something may happen.
ORDERS = ("systemctl stop", "systemctl start", "daemon-reload", "rsync", "sync --file-system", "systemctl kill")


class Transactions(RuleBasedStateMachine):
    """One change and what becomes of it."""

    def __init__(self, make_state):
        super().__init__()
        self.make_state = make_state
        self.stack = contextlib.ExitStack()
        top = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)))
        self.patch = self.stack.enter_context(pytest.MonkeyPatch.context())
        self.top, self.ran, self.cut, self.said = top, False, False, ""
        # What clients were promised: files of containers that were made; whether he wrote the file last.
        self.promised, self.his, self.booted = [], False, False
        self.made = 0

    @initialize(change=st.sampled_from(sorted(CHANGES)))
    def plan(self, change):
        self.it = make_world(self.patch, self.top / "world", self.make_state, change)
        self.machine = self.it.machine
        # What somebody writes: the daemon would come up with it as it was.
        self.text = json.dumps({**self.machine.read_file(), "log-level": "warn"})

    def teardown(self):
        if hasattr(self, "it"):
            if not self.ran:
                self.run()
            self.machine.crash_at = 0
            self.machine.others.clear()
            if self.cut:
                self.recover()
            self.holds()
        self.stack.close()

    # What happens ---------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.ran or self.cut)
    @rule(order=st.sampled_from(ORDERS))
    def an_order_fails(self, order):
        """Also twice, and in a recovery."""
        self.machine.failing.setdefault(order, []).append("out of luck")

    @precondition(lambda self: not self.ran or self.cut)
    @rule(step=st.sampled_from(sorted(STEPS)), method=st.sampled_from(["apply", "undo", "put_back"]), late=st.booleans())
    def a_step_fails(self, step, method, late):
        kind = STEPS[step]
        real = getattr(kind, method)

        def fail(it, *line):
            self.patch.setattr(kind, method, real)
            if late:
                real(it, *line)
            raise PermissionError(errno.EPERM, "Operation not permitted", "/somewhere")

        self.patch.setattr(kind, method, fail)

    @rule(moment=st.integers(1, 150))
    def the_process_dies(self, moment):
        self.machine.moments, self.machine.crash_at = 0, moment

    @rule(order=st.sampled_from(ORDERS))
    def somebody_writes_daemon_json(self, order):
        def write():
            pathlib.Path(self.machine.places.daemon_json).write_text(self.text)
            self.his = True

        self.machine.others[order] = write

    @rule(order=st.sampled_from(ORDERS))
    def a_client_makes_a_container(self, order):
        def make():
            if not self.machine.up:
                return
            self.made += 1
            name = f"ci{self.made}"
            self.machine.containers[name] = "running"
            path = pathlib.Path(self.machine.root, "containers", name)
            path.mkdir(parents=True)
            (path / "order").write_text("acknowledged")
            self.promised.append(name)
            for action in ("create", "start"):
                self.machine.happens("container", action, name)

        self.machine.others[order] = make

    @precondition(lambda self: self.cut and not self.booted)
    @rule()
    def somebody_repairs_the_host(self):
        """As far as he knows how: his file, on the root that is there, the hold away, a start."""
        there = self.machine.read_file()
        if os.path.isdir(there.get("data-root", self.machine.default_root)):
            self.text = json.dumps({**there, "log-level": "warn"})
        pathlib.Path(self.machine.places.daemon_json).write_text(self.text)
        self.his = True
        self.boot()

    @rule(order=st.sampled_from(ORDERS))
    def a_client_removes_one(self, order):
        def remove():
            if self.machine.up and self.machine.containers.pop("old", None):
                self.machine.happens("container", "destroy", "old")

        self.machine.others[order] = remove

    # What we do -----------------------------------------------------------------------------------------------

    @precondition(lambda self: not self.ran)
    @rule()
    def run(self):
        self.ran = True
        self._try(self.it.run)

    @precondition(lambda self: self.cut)
    @rule()
    def recover(self):
        self._try(lambda: recover(self.machine))

    @precondition(lambda self: self.cut and not self.booted)
    @rule()
    def boot(self):
        self.booted, self.machine.crash_at = True, 0
        self.machine.boot()

    def _try(self, work):
        self.cut = False
        try:
            said = work()
            self.said += str(said)
        except Crash:
            self.cut = True
            self.machine.crash_at = 0
        except DrydockError as exc:
            self.said += str(exc)

    # What always holds ----------------------------------------------------------------------------------------

    @invariant()
    def holds(self):
        if not self.ran or self.cut:
            return
        machine = self.machine
        assert not Journal(machine).is_open, self.said
        assert not machine.service_is_held(), self.said
        assert not os.path.exists(machine.places.hold)
        assert machine.up or "the daemon is down" in self.said or "does not start" in self.said
        if self.his:
            assert files.read(machine.places.daemon_json) == self.text
        for name in self.promised:
            found = [path for path in self.top.rglob(f"containers/{name}/order") if path.is_file()]
            assert found, f"{name} is gone: {self.said}"
            live = pathlib.Path(os.path.realpath(machine.root), "containers", name, "order")
            assert live in found or any(str(path).startswith(kept) for path in found for kept in re.findall(r"kept in (\S+?):", self.said)), self.said
        if machine.up and not self.booted:
            running = {name: state for name, state in machine.containers.items() if name in CONTAINERS and name != "old"}
            assert running == {name: CONTAINERS[name] for name in running}, self.said
            assert set(running) == {"web", "held"}


def test_no_luck_is_too_bad(make_state):
    examples = settings(max_examples=100, stateful_step_count=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(functools.partial(Transactions, make_state), settings=examples)
