# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

import json
import re

from conftest import as_it_was


def test_daemon_was_stopped_exactly_once(host):
    journal = host.check_output("journalctl --unit docker.service --output cat")
    assert len(re.findall(r"Stopped .*Docker Application Container Engine", journal)) == 1


def test_daemon_answers_over_tcp_on_the_new_root(api_over_tcp):
    info = api_over_tcp("/info")
    assert info["DockerRootDir"] == "/mnt/data/docker"
    assert info["LoggingDriver"] == "local"
    assert info["LiveRestoreEnabled"] is True


def test_everything_is_as_it_was(before, now):
    assert as_it_was(now) == as_it_was(before)
    assert now["volumes"] == before["volumes"]
    assert now["images"] == before["images"]
    assert now["networks"] == before["networks"]


def test_daemon_json_has_all_owners_keys(host):
    settings = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert settings == {
        "live-restore": True,
        "hosts": ["fd://", "tcp://0.0.0.0:2375"],
        "tls": False,
        "data-root": "/mnt/data/docker",
        "storage-driver": "overlay2",
        "log-driver": "local",
    }


def test_drop_in_is_in_force(host):
    environment = host.check_output("tr '\\0' '\\n' </proc/$(systemctl show --property MainPID --value docker.service)/environ")
    assert "LAB=1" in environment.splitlines()
