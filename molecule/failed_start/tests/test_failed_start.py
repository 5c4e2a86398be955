# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from conftest import as_it_was


def test_old_configuration_is_back(host):
    assert host.check_output("lab-host configuration --files") == host.check_output("sed '/^container /d' /var/lib/lab/configuration")


def test_daemon_answers_on_the_old_root(now, before):
    assert now["root"] == before["root"]
    assert now["driver"] == before["driver"]


def test_containers_and_data_are_as_they_were(now, before):
    assert as_it_was(now) == as_it_was(before)
    assert now["volumes"] == before["volumes"]
    assert now["images"] == before["images"]


def test_daemon_was_really_stopped_in_both_runs(host):
    assert host.check_output("journalctl --unit docker.service --output cat | grep -c 'Stopped .*Docker Application'") >= "2"


def test_evidence_is_kept_and_nothing_is_open(host):
    assert host.file("/var/lib/drydock/dockerd/last/log.jsonl").exists
    assert not host.file("/var/lib/drydock/dockerd/journal").exists
    assert host.check_output("find /run/systemd/system /etc/systemd -name '*drydock*'") == ""
