# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors


def test_daemon_does_not_start_empty(host):
    assert host.run("docker info").rc != 0
    assert host.run("pgrep --exact dockerd").rc != 0


def test_message_names_the_mount(host):
    status = host.run("systemctl start docker").stderr + host.check_output("journalctl --boot --no-pager --output cat")
    assert "Dependency failed for docker.service" in status or "Dependency failed for Docker Application Container Engine" in status
    assert "mnt-data.mount" in status or "/mnt/data" in status


def test_without_any_mount_unit_the_marker_keeps_it_from_starting(host):
    host.check_output("rm /etc/systemd/system/mnt-data.mount && systemctl daemon-reload && systemctl reset-failed")
    assert host.run("systemctl start docker").rc != 0
    assert "drydock: the data root /mnt/data/docker is not there" in host.check_output("journalctl --unit docker.service --output cat")
    assert host.run("pgrep --exact dockerd").rc != 0


def test_nothing_was_created_on_the_empty_mount_point(host):
    assert host.check_output("find /mnt/data -mindepth 1") == ""
