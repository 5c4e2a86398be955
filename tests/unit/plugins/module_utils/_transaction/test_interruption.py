# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What a change has open is told, and what nobody will end is never taken for well."""

from __future__ import annotations

import os
import types

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import interruption
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.interruption import WAY_OUT, find_interruption
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal

SINCE = "2023-11-14T22:13:20Z"


@pytest.fixture
def look(host, monkeypatch):
    """What is found: with a journal that has begun these steps, None for no journal; with a worker, and with a hold."""

    def find(steps=None, under_way=False, held=False):
        service = types.SimpleNamespace(worker_is_active=lambda: under_way, is_held=lambda: held)
        monkeypatch.setattr(interruption, "service_of", lambda host: service)
        if steps is not None:
            journal = Journal(host)
            journal.create({})
            os.utime(os.path.join(journal.directory, "plan.json"), (host.now(), host.now()))
            for step in steps:
                journal.note("begin", step)
                journal.note("done", step)
        return find_interruption(host)

    return find


def test_a_host_on_which_nothing_is_open(look):
    assert look() is None


@pytest.mark.parametrize(
    ("given", "found", "what"),
    [
        (
            {"steps": ["hold", "stop"], "held": True},
            {"since": SINCE, "step": "stop", "held": True, "under_way": False},
            f"A change that was begun at {SINCE} was interrupted at 'stop' and is still open. {WAY_OUT}",
        ),
        (
            {"steps": []},
            {"since": SINCE, "step": "", "held": False, "under_way": False},
            f"A change that was begun at {SINCE} was interrupted before its first step and is still open. {WAY_OUT}",
        ),
        (
            {"steps": ["warm copy"], "under_way": True},
            {"since": SINCE, "step": "warm copy", "held": False, "under_way": True},
            f"A change is under way at 'warm copy', since {SINCE}.",
        ),
        ({"under_way": True}, {"since": None, "step": "", "held": False, "under_way": True}, "A change is under way."),
        (
            {"held": True},
            {"since": None, "step": "", "held": True, "under_way": False},
            f"The daemon is held, so that nobody can start it, and no change is open that would let it go. {WAY_OUT}",
        ),
    ],
    ids=["interrupted", "interrupted at once", "under way", "about to end", "a hold alone"],
)
def test_what_is_open_or_held_is_told(look, given, found, what):
    assert look(**given) == {**found, "what": what}
