# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The tree that daemon_info returns."""

from __future__ import annotations

import os

from ansible_collections.drydock.dockerd.plugins.module_utils._daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._host import process_identity
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


def test_drift_is_told_key_by_key(make_state):
    settled = {"process": process_identity(os.getpid()), "settings": {"debug": False, "mtu": 1400}}
    state = make_state(
        {"debug": True, "ipv6": True},
        owners={"options": Ask("options", {"debug": False, "mtu": 1400})},
        settled=settled,
        newer=("/etc/systemd/system/docker.service.d/theirs.conf",),
        rewritten=("/etc/docker/daemon.json",),
        running_flags={"hosts": ["fd://"]},
    )
    found = describe(state)
    shown = {key: [found["config"][key][part] for part in ("asked", "in_file", "in_force", "source", "owner")] for key in ("debug", "ipv6", "mtu")}
    assert shown == {
        "debug": [False, True, False, "daemon.json", "options"],
        "ipv6": [None, True, None, "daemon.json", ""],
        "mtu": [1400, None, 1400, "", "options"],
    }
    assert found["restart_pending"]
    assert found["pending"] == [
        "debug: false -> true",
        "ipv6: null -> true",
        "mtu: 1400 -> null",
        "/etc/systemd/system/docker.service.d/theirs.conf was changed since the daemon was started",
    ]
    assert found["rewritten"] == ["/etc/docker/daemon.json"]


def test_a_daemon_that_is_down_has_nothing_in_force(make_state):
    found = describe(make_state({"debug": True}, pid=0))
    assert (found["config"]["debug"]["in_file"], found["config"]["debug"]["in_force"], found["pending"]) == (True, None, [])
