# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors


def test_daemon_uses_the_new_root_after_a_kill_and_a_boot(now):
    assert now["root"] == "/mnt/data/docker"


def test_policies_decide_who_runs_after_a_boot(now):
    running = {name for name, one in now["containers"].items() if one["state"] == "running"}
    assert {"beat", "unless-stopped", "on-failure"} <= running
    assert "stopped" not in running


def test_data_are_still_there(before, now):
    assert now["images"] == before["images"]
    assert now["volumes"] == before["volumes"]
    assert {name: one["id"] for name, one in now["containers"].items()} == {name: one["id"] for name, one in before["containers"].items()}


def test_nothing_of_ours_asks_for_a_daemon_that_holds_containers_back(host):
    assert "--restart=false" not in host.check_output("cat /proc/$(systemctl show --property MainPID --value docker.service)/cmdline | tr '\\0' ' '")
