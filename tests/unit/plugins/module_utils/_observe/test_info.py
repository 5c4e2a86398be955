# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The tree that daemon_info returns."""

from __future__ import annotations

import os

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.inventory import Inventory
from ansible_collections.drydock.dockerd.plugins.module_utils._host.files import digest
from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import process_identity
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.info import describe, look_around
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import MARKED, PastMove


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
    verified = {"process": process_identity(os.getpid()), "settings": {"debug": False, "mtu": 1400}}
    state = make_state(
        {"debug": True, "ipv6": True},
        owners={"options": Ask("options", {"debug": False, "mtu": 1400})},
        verified=verified,
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


def test_a_move_is_told_as_it_was_measured(make_state):
    """And kept data are told where they are there; what else stands in the record is none of a report's business."""
    measured = {"ended": 1, "bytes": 2, "files": 3, "downtime_seconds": 4.5, "forecast_seconds": 5.0, "phases": [{"phase": "stop", "seconds": 1.0}]}
    moves = describe(
        make_state(history=(PastMove("/a", "/b", "/gone", (5, 6), False), PastMove("/b", "/c", "", (0, 0), True, record={**measured, MARKED: True})))
    )["moves"]
    assert moves[0] == {
        **{"tree": "data-root", "source": "/a", "target": "/b", "kept": "", "restored": False, "run": "", "phases": []},
        **dict.fromkeys(("ended", "bytes", "files", "downtime_seconds", "forecast_seconds")),
    }
    assert moves[1] == {"tree": "data-root", "source": "/b", "target": "/c", "kept": "", "restored": True, "run": "", **measured}


@pytest.mark.parametrize(
    ("info", "store"), [({}, ""), ({"Driver": "overlay2"}, "docker"), ({"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, "containerd")]
)
def test_the_image_store_is_told(make_state, info, store):
    assert describe(make_state(info=info))["image_store"] == store


def test_certificates_are_told_with_what_the_daemon_has_read(host, tmp_path, make_state):
    for name in ("ca.pem", "cert.pem"):
        (tmp_path / name).write_text("no certificate")
    paths = [str(tmp_path / name) for name in ("ca.pem", "cert.pem")]
    state = make_state({"tlscacert": paths[0], "tlscert": paths[1]}, certificates={paths[0]: digest(paths[0]), paths[1]: "other"})
    found = look_around(host, state, measure=False)
    assert found["certificates"] == [{"key": "tlscacert", "path": paths[0], "read": True}, {"key": "tlscert", "path": paths[1], "read": False}]
    assert (found["data_root_bytes"], found["containerd_root_bytes"]) == (None, None)


def test_a_root_is_measured_only_when_that_was_asked_for(host, tmp_path, make_state):
    host.execute.answers["nice -n 19 du"] = (0, "7\t/x\n")
    state = make_state(info={"DockerRootDir": str(tmp_path), "Driver": "overlay2"})
    assert look_around(host, state, measure=True)["data_root_bytes"] == 7


def test_the_store_of_the_next_start_is_pending(make_state):
    """Also where daemon.json was read since the start: dockerd looks at that feature no more."""
    keys = {"features": {"containerd-snapshotter": True}}
    told = describe(make_state(keys, engine_version="28.5.2"))
    assert (told["restart_pending"], told["pending"]) == (True, ["features.containerd-snapshotter: false -> true"])
    assert told["config"]["features"]["in_force"] == {"containerd-snapshotter": False}
    info = {"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    told = describe(make_state(info=info, engine_version="29.7.2", used_drivers=frozenset({"overlay2"})))
    assert (told["restart_pending"], told["pending"]) == (True, ["image store: containerd's -> Docker's own"])
    told = describe(make_state(info=info, engine_version="29.7.2"))
    assert (told["restart_pending"], told["pending"]) == (False, [])
