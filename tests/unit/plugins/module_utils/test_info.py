# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The tree that daemon_info returns."""

from __future__ import annotations

from ansible_collections.drydock.dockerd.plugins.module_utils._info import describe
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import Inventory


def test_containers_are_told_with_all_that_a_restart_policy_is_about(make_state, make_container):
    web = make_container(
        policy="on-failure", max_retries=3, restart_count=2, exit_code=1, state="restarting", health="starting", started_at="2026-01-02T03:04:05Z"
    )
    ended = make_container("ended", state="exited")
    found = describe(make_state(inventory=Inventory({one.id: one for one in (web, ended)}, {}, (), {})), {"id-web": ["a line"]})["containers"]
    assert found[1] == {
        **{"id": "id-web", "name": "web", "image": "debian", "state": "restarting", "policy": "on-failure", "max_retries": 3, "restart_count": 2},
        **{"exit_code": 1, "health": "starting", "started_at": "2026-01-02T03:04:05Z", "log": ["a line"]},
    }
    assert (found[0]["name"], found[0]["log"]) == ("ended", [])
