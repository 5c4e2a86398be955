# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

import json
import re

from conftest import as_it_was


def test_daemon_answers_over_tcp_from_outside(api_over_tcp, host):
    assert api_over_tcp("/version")["Version"] == host.check_output("docker version --format '{{.Server.Version}}'")


def test_local_client_still_works(host):
    assert host.socket("unix:///run/docker.sock").is_listening
    assert host.check_output("docker info --format '{{.ID}}'")


def test_everything_is_as_it_was(before, now):
    assert as_it_was(now) == as_it_was(before)
    assert now["volumes"] == before["volumes"]
    assert now["images"] == before["images"]
    assert now["root"] == before["root"]


def test_daemon_was_stopped_once_by_two_runs(host):
    journal = host.check_output("journalctl --unit docker.service --output cat")
    assert len(re.findall(r"Stopped .*Docker Application Container Engine", journal)) == 1


def test_foreign_drop_in_stays_and_counts(host):
    assert "--label=from=override" in host.file("/etc/systemd/system/docker.service.d/override.conf").content_string
    assert json.loads(host.check_output("docker info --format '{{json .Labels}}'")) == ["from=override"]


def test_foreign_keys_and_mode_stay(host):
    file = host.file("/etc/docker/daemon.json")
    settings = json.loads(file.content_string)
    assert settings["log-opts"] == {"max-size": "5m"}
    assert settings["hosts"] == ["fd://", "tcp://0.0.0.0:2375"]
    assert file.mode == 0o640


def test_nothing_of_the_change_is_left(host):
    assert not host.file("/run/drydock-hold").exists
    assert host.check_output("find /run/systemd/system -name '*drydock*'") == ""
    assert not host.file("/var/lib/drydock/dockerd/journal").exists
    assert host.check_output("systemctl show --property NeedDaemonReload --value docker.service") == "no"
