# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

import re

from conftest import as_it_was


def test_data_root_is_the_new_one(now, before):
    assert before["root"] == "/var/lib/docker"
    assert now["root"] == "/mnt/data/docker"
    assert now["driver"] == before["driver"]


def test_containers_are_as_they_were(before, now):
    assert as_it_was(now) == as_it_was(before)


def test_volumes_are_equal_byte_for_byte(before, now):
    assert now["volumes"] == before["volumes"]


def test_images_and_networks_are_equal(before, now):
    assert now["images"] == before["images"]
    assert now["networks"] == before["networks"]


def test_written_layer_of_an_ended_container_came_along(before, now):
    assert "/result" in now["ended"]
    assert now["ended"] == before["ended"]


def test_whiteouts_and_opaque_directories_came_along(host):
    assert host.check_output("docker run --rm lab:app ls /d") == "three"
    assert host.run("docker run --rm lab:app ls /a").rc != 0


def test_named_volume_starts_although_the_old_root_is_gone(host):
    assert not host.file("/var/lib/docker").exists
    host.check_output("docker restart no-policy")
    assert "file-1" in host.check_output("docker exec no-policy ls /library/0000")


def test_old_data_are_kept_aside(host):
    assert len(host.check_output("ls -d /var/lib/docker.drydock-kept-*").split()) == 1


def test_restart_policy_still_works(host):
    host.check_output("kill -9 $(docker inspect --format '{{.State.Pid}}' unless-stopped)")
    host.run("for n in $(seq 50); do docker ps --format '{{.Names}}' | grep -qx unless-stopped && break; sleep 0.2; done")
    assert host.check_output("docker inspect --format '{{.State.Running}}' unless-stopped") == "true"


def test_daemon_was_stopped_once_by_two_runs(host):
    journal = host.check_output("journalctl --unit docker.service --output cat")
    assert len(re.findall(r"Stopped .*Docker Application Container Engine", journal)) == 1
