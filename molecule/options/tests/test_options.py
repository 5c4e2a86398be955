# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Each change disturbs the daemon as little as its engine allows: not at all, by a reload, or by one restart."""

from __future__ import annotations

import json
import os
import pathlib
import time
import typing as t

import pytest
import yaml
from running import Play, assert_all_is_there, run_playbook, snapshot

RELOADED = {"debug": True, "labels": ["zone=a"], "live-restore": True, "registry-mirrors": ["https://mirror.example"], "shutdown-timeout": 20}


def ask(host: t.Any, settings: dict[str, t.Any], **variables: t.Any) -> Play:
    asked = {"settings": settings, **variables}
    return run_playbook(host, "site", {f"docker_options_{name}": value for name, value in asked.items()})


def assert_one_change(play: Play) -> None:
    assert (play.failed, play.changed) == (False, 1), play.message


def info(host: t.Any) -> dict[str, t.Any]:
    return json.loads(host.check_output("docker info --format '{{json .}}'"))


def in_file(host: t.Any) -> dict[str, t.Any]:
    return json.loads(host.check_output("cat /etc/docker/daemon.json"))


def pid(host: t.Any) -> str:
    return host.check_output("cat /run/docker.pid")


@pytest.fixture
def undisturbed(host: t.Any, before: dict[str, t.Any]) -> t.Iterator[None]:
    """The same process of dockerd, and a heartbeat without a gap."""
    running, began = pid(host), time.monotonic()
    yield
    assert pid(host) == running
    assert float(host.check_output(f"lab-host gap {time.monotonic() - began:.0f}")) < 1
    assert_all_is_there(snapshot(host), before)


@pytest.fixture
def restarted(host: t.Any, before: dict[str, t.Any]) -> t.Iterator[None]:
    """Another process, and all that ran."""
    running = pid(host)
    yield
    assert pid(host) != running
    assert_all_is_there(snapshot(host), before)


@pytest.mark.usefixtures("undisturbed")
def test_keys_that_reload(host: t.Any) -> None:
    assert_one_change(ask(host, RELOADED))
    found = info(host)
    assert (found["Debug"], found["Labels"], found["LiveRestoreEnabled"]) == (True, ["zone=a"], True)
    assert found["RegistryConfig"]["Mirrors"] == ["https://mirror.example/"]
    assert ask(host, RELOADED).changed == 0


@pytest.mark.usefixtures("undisturbed")
def test_a_key_that_a_reload_takes_back(host: t.Any) -> None:
    assert_one_change(ask(host, {**RELOADED, "max-concurrent-downloads": 2}))
    assert_one_change(ask(host, RELOADED))
    assert "max-concurrent-downloads" not in in_file(host)
    assert ask(host, RELOADED).changed == 0


@pytest.mark.usefixtures("restarted")
def test_a_key_whose_value_a_reload_keeps(host: t.Any) -> None:
    assert_one_change(ask(host, {"debug": True}))
    assert (info(host)["Labels"] or [], info(host)["LiveRestoreEnabled"]) == ([], False)
    assert ask(host, {"debug": True}).changed == 0


@pytest.mark.usefixtures("restarted")
def test_a_key_that_needs_a_restart(host: t.Any) -> None:
    assert_one_change(ask(host, {"debug": True, "log-driver": "local"}))
    assert info(host)["LoggingDriver"] == "local"
    assert ask(host, {"debug": True, "log-driver": "local"}).changed == 0


def test_a_restart_that_is_not_wanted_stays_pending(host: t.Any, before: dict[str, t.Any]) -> None:
    running, wanted = pid(host), {"debug": True, "log-driver": "json-file"}
    assert_one_change(ask(host, wanted, restart="never"))
    assert in_file(host)["log-driver"] == "json-file"
    assert (pid(host), info(host)["LoggingDriver"]) == (running, "local")
    assert ask(host, wanted, restart="never").changed == 0
    assert_one_change(ask(host, wanted))
    assert (pid(host) != running, info(host)["LoggingDriver"]) == (True, "json-file")
    assert_all_is_there(snapshot(host), before)


@pytest.mark.usefixtures("restarted")
def test_a_drop_in_with_a_limit(host: t.Any) -> None:
    drop_ins = [{"name": "zz-limits.conf", "content": "[Service]\nEnvironment=HTTPS_PROXY=http://proxy.example:3128\nLimitNPROC=4321\n"}]
    assert_one_change(ask(host, {"debug": True, "log-driver": "json-file"}, drop_ins=drop_ins))
    assert info(host)["HttpsProxy"] == "http://proxy.example:3128"
    assert " 4321 " in host.check_output(f"grep processes /proc/{pid(host)}/limits")
    assert ask(host, {"debug": True, "log-driver": "json-file"}, drop_ins=drop_ins).changed == 0


def test_always_is_a_restart_for_each_change_and_for_nothing_else(host: t.Any, before: dict[str, t.Any]) -> None:
    running = pid(host)
    assert_one_change(ask(host, {"debug": True, "labels": ["zone=b"]}, restart="always"))
    now = pid(host)
    assert now != running
    assert ask(host, {"debug": True, "labels": ["zone=b"]}, restart="always").changed == 0
    assert pid(host) == now
    assert_all_is_there(snapshot(host), before)


def test_a_plugin_that_is_not_there_never_reaches_a_reload(host: t.Any, before: dict[str, t.Any]) -> None:
    """It would end dockerd. A start with it fails, and everything comes back."""
    files = host.check_output("lab-host configuration")
    play = ask(host, {"debug": False, "labels": ["zone=b"], "authorization-plugins": ["no-such-gate"]})
    assert play.failed
    assert "no-such-gate" in play.message
    assert "6 of 6 containers run again." in play.message
    assert host.check_output("lab-host configuration") == files
    assert_all_is_there(snapshot(host), before)


def test_nor_does_one_that_somebody_else_wrote(host: t.Any, before: dict[str, t.Any]) -> None:
    """It is in the file and not in force; a reload for another key would read it."""
    host.check_output("cp --preserve /etc/docker/daemon.json /root/")
    host.check_output("""sed -i '0,/{/s//{"authorization-plugins": ["no-such-gate"],/' /etc/docker/daemon.json""")
    running = pid(host)
    play = ask(host, {"debug": False, "labels": ["zone=b"]})
    host.check_output("cp --preserve /root/daemon.json /etc/docker/")
    assert (play.failed, play.changed) == (True, 0)
    assert "daemon.json has authorization-plugins no-such-gate, which is not in force" in play.message
    assert pid(host) == running
    assert_all_is_there(snapshot(host), before)


def test_the_dictionary_of_the_most_used_role_works_unchanged(host: t.Any, before: dict[str, t.Any]) -> None:
    assert_one_change(ask(host, {"storage-driver": "overlay2", "log-opts": {"max-size": "100m"}}))
    assert in_file(host) == {"storage-driver": "overlay2", "log-opts": {"max-size": "100m"}}
    assert_all_is_there(snapshot(host), before)


def test_from_the_most_used_role_in_one_play(host: t.Any, tmp_path: pathlib.Path) -> None:
    """The play of the page, on a host whose file that role has written, in its form."""
    page = (pathlib.Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "docs" / "from-geerlingguy-docker.md").read_text()
    block = page.split("```yaml\n")[1].split("```")[0]
    (play,) = yaml.safe_load(block)
    assert not ask(host, {}).failed
    host.check_output("printf %s >/etc/docker/daemon.json", json.dumps(play["vars"]["docker_daemon_options"], indent=4, sort_keys=True))
    host.check_output("systemctl restart docker")
    file, running = host.file("/etc/docker/daemon.json").content_string, pid(host)
    (tmp_path / "page.yml").write_text(block)
    for _turn in range(2):
        played = run_playbook(host, str(tmp_path / "page"), {}, group="docker_hosts")
        assert (played.failed, played.changed) == (False, 0), played.message
    assert (host.file("/etc/docker/daemon.json").content_string, pid(host)) == (file, running)
    # From now on a key that is taken out of the dictionary is taken out of the file.
    assert_one_change(ask(host, {"storage-driver": "overlay2"}))
    assert in_file(host) == {"storage-driver": "overlay2"}
