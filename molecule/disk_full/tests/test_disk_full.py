# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import json
import typing as t

from conftest import as_it_was


def test_old_configuration_is_there(host: t.Any) -> None:
    assert host.check_output("lab-host configuration --files") == host.file("/var/lib/lab/configuration").content_string.strip()


def test_daemon_answers_on_the_old_root_and_all_is_as_it_was(before: dict[str, t.Any], now: dict[str, t.Any]) -> None:
    assert now["root"] == before["root"] == "/var/lib/docker"
    assert as_it_was(now) == as_it_was(before)
    assert (now["volumes"], now["images"], now["networks"]) == (before["volumes"], before["images"], before["networks"])


def test_daemon_was_stopped_only_where_the_disk_was_full_in_the_outage(host: t.Any, before: dict[str, t.Any], now: dict[str, t.Any]) -> None:
    if host.ansible.get_variables()["inventory_hostname"] == "final":
        assert now["pid"] != before["pid"]
    else:
        assert now["pid"] == before["pid"]
        assert now["containers"] == before["containers"]


def test_nothing_is_left_open(host: t.Any) -> None:
    assert not host.file("/var/lib/drydock/dockerd/journal").exists
    assert host.check_output("find /run/systemd /etc/systemd -name '*drydock*'") == ""


def test_with_room_the_move_succeeds(host: t.Any, before: dict[str, t.Any]) -> None:
    """On host 'root' with room for the journal only: nothing is left there from the moment that the daemon stops."""
    root = host.ansible.get_variables()["inventory_hostname"] == "root"
    if root:
        host.check_output("systemd-run --quiet --collect --unit=fill --property=Nice=-15 lab-fill bytes /small stop")
    result = host.ansible("drydock.dockerd.data_root", "path=/mnt/data/docker", check=False, become=False)
    if root:
        assert host.check_output("df --output=avail /small").split()[-1] == "0"
        host.check_output("systemctl stop fill && rm -r /small/filler")
    assert not result.get("failed"), result
    after = json.loads(host.check_output("lab-host snapshot"))
    assert after["root"] == "/mnt/data/docker"
    assert as_it_was(after) == as_it_was(before)
    assert (after["volumes"], after["images"], after["networks"]) == (before["volumes"], before["images"], before["networks"])
