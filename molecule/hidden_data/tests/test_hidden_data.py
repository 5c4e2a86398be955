# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What would make images and containers disappear from view is refused while there are any, unless that is wanted in words."""

from __future__ import annotations

import typing as t

import pytest
from running import Play, assert_all_is_there, run_playbook, snapshot


def ask(host: t.Any, settings: dict[str, t.Any], allow: t.Any = False) -> Play:
    return run_playbook(host, "site", {"docker_options_settings": settings, "docker_options_allow_hidden_data": allow})


@pytest.mark.parametrize("settings", [{"storage-driver": "vfs"}, {"userns-remap": "65534"}, {"features": {"containerd-snapshotter": True}}], ids=str)
@pytest.mark.parametrize("allow", [False, ""])
def test_a_change_that_hides_data_is_refused(host: t.Any, before: dict[str, t.Any], settings: dict[str, t.Any], allow: t.Any) -> None:
    play = ask(host, settings, allow)
    assert (play.failed, play.changed) == (True, 0)
    assert "would hide the images and containers that this host has." in play.message
    assert "docker_options_allow_hidden_data" in play.message
    assert_all_is_there(snapshot(host), before)


def test_what_is_in_use_hides_nothing(host: t.Any, before: dict[str, t.Any]) -> None:
    play = ask(host, {"storage-driver": "overlay2"})
    assert not play.failed, play.message
    assert_all_is_there(snapshot(host), before)


def test_a_store_that_does_not_come_up_leaves_the_old_one(host: t.Any, before: dict[str, t.Any]) -> None:
    play = ask(host, {"storage-driver": "nonsense"}, allow=True)
    assert play.failed
    assert play.message.startswith("Failed at 'start': dockerd does not start: ")
    assert "6 of 6 containers run again." in play.message
    assert_all_is_there(snapshot(host), before)


def test_it_is_done_where_it_is_wanted_and_comes_back(host: t.Any, before: dict[str, t.Any]) -> None:
    play = ask(host, {"storage-driver": "vfs"}, allow=True)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert host.check_output("docker info --format '{{.Driver}}'") == "vfs"
    assert host.check_output("docker images --quiet") == ""
    assert ask(host, {"storage-driver": "vfs"}, allow=True).changed == 0
    play = ask(host, {"storage-driver": "overlay2"}, allow=True)
    assert (play.failed, play.changed) == (False, 1), play.message
    now = snapshot(host)
    assert {name: one["id"] for name, one in now["containers"].items()} == {name: one["id"] for name, one in before["containers"].items()}
    assert (now["images"], now["volumes"]) == (before["images"], before["volumes"])
