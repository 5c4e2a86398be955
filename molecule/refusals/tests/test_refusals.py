# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors


def test_daemon_was_never_stopped(before, now):
    assert now["pid"] == before["pid"]
    assert now["containers"] == before["containers"]


def test_nothing_was_written(host):
    assert not host.file("/var/lib/drydock").exists
    assert host.check_output("find /etc /run/systemd -name '*drydock*'") == ""


def test_target_of_somebody_else_is_untouched(host):
    assert host.check_output("find /mnt/data/foreign -mindepth 1") == "/mnt/data/foreign/letter"
    assert not host.file("/mnt/data/docker").exists
