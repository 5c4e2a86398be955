# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Exactly the running set runs again, in an order that lets every container find what it needs."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.container import stop_seconds
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.running_set import levels, start_again
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import EngineError

# Needs by name (or id) of each container, and the groups that follow.
LEVELS = {
    "nobody": ({}, []),
    "strangers": ({"a": (), "b": ()}, [["a", "b"]]),
    "a chain": ({"c": ("b",), "b": ("a",), "a": ()}, [["a"], ["b"], ["c"]]),
    "by id": ({"b": ("id-a",), "a": ()}, [["a"], ["b"]]),
    "two needs": ({"c": ("a", "id-b"), "b": (), "a": ("b",)}, [["b"], ["a"], ["c"]]),
    "one that is not in the set": ({"a": ("gone",), "b": ("a",)}, [["a"], ["b"]]),
    "itself": ({"a": ("a",)}, [["a"]]),
    "a circle": ({"a": ("b",), "b": ("a",), "c": ()}, [["c"], ["a", "b"]]),
}

# State before the stop, status now, what is asked of the engine.
STARTS = [
    ("running", "exited", ["start"]),
    ("running", "created", ["start"]),
    ("running", "running", []),
    ("restarting", "restarting", []),
    ("restarting", "exited", ["start"]),
    ("paused", "exited", ["start", "pause"]),
    ("paused", "running", ["pause"]),
    ("paused", "paused", []),
]


# Stop timeouts of those that run, and how long the daemon may wait for them.
WAITS = [((), 0), ((10, 3), 10), ((0,), 0), ((3, -1), None)]


@pytest.mark.parametrize(("timeouts", "expected"), WAITS)
def test_a_stop_takes_as_long_as_the_most_patient_container_may(make_container, timeouts, expected):
    running = [make_container(str(number), stop_timeout=one) for number, one in enumerate(timeouts)]
    assert stop_seconds([*running, make_container("ended", state="exited", stop_timeout=600)]) == expected


@pytest.mark.parametrize(("needs", "expected"), LEVELS.values(), ids=LEVELS)
def test_levels(make_container, needs, expected):
    groups = levels([make_container(name, needs=names) for name, names in needs.items()])
    assert [sorted(one.name for one in group) for group in groups] == expected


def test_those_that_were_started_first_come_first(make_container):
    started = {"c": "2026-01-03T00:00:00Z", "a": "2026-01-01T00:00:00Z", "b": "2026-01-02T00:00:00Z"}
    (group,) = levels([make_container(name, started_at=at) for name, at in started.items()])
    assert [one.name for one in group] == ["a", "b", "c"]


@pytest.mark.parametrize(("state", "status", "calls"), STARTS)
def test_start_again_restores_the_state_before(make_container, fake_engine, state, status, calls):
    engine = fake_engine({"/containers/id-web/json": {"State": {"Status": status}}})
    assert start_again(engine, [make_container(state=state)]) == {}
    assert engine.posts == [f"/containers/id-web/{call}" for call in calls]


def test_start_again_starts_first_what_others_need(make_container, fake_engine):
    engine = fake_engine({f"/containers/id-{name}/json": {"State": {"Status": "exited"}} for name in "abc"})
    start_again(engine, [make_container("c", needs=("b",)), make_container("b", needs=("a",)), make_container("a")])
    assert engine.posts == [f"/containers/id-{name}/start" for name in "abc"]


def test_start_again_tells_who_does_not_run_and_goes_on(make_container, fake_engine):
    """404 may be of something that it needs; one that is gone itself, or about to go, was removed by somebody, and is no failure."""
    engine = fake_engine(
        {f"/containers/id-{name}/json": {"State": {"Status": "exited"}} for name in "ab"} | {"/containers/id-d/json": {"State": {"Status": "removing"}}}
    )
    call = engine._call

    def fail(method, path, query):
        call(method, path, query)
        if method == "POST" and "id-b" not in path:
            raise EngineError("api-error", f"The daemon answered {method} {path} with 404: no such network", status=404)
        return call("GET", path, query) if method == "GET" else None

    object.__setattr__(engine, "_call", fail)
    failures = start_again(engine, [make_container("a"), make_container("b", needs=("a",)), make_container("c"), make_container("d")])
    assert failures == {"id-a": "Container a does not run again: The daemon answered POST /containers/id-a/start with 404: no such network"}
    assert sorted(engine.posts) == [f"/containers/id-{name}/start" for name in "abd"]
