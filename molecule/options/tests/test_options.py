# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Each change disturbs the daemon as little as its engine allows: not at all, by a reload, or by one restart."""

from __future__ import annotations

import time
import typing as t

import pytest
from changing import ask, assert_one_change, in_file, info, pid
from running import assert_all_is_there, snapshot

# What an engine takes is the catalogue's matter, on both.
SHORT_HOSTS = ("forky",)
RELOADED = {"debug": True, "labels": ["zone=a"], "live-restore": True, "registry-mirrors": ["https://mirror.example"], "shutdown-timeout": 20}


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


def test_a_plugin_that_somebody_else_wrote_never_reaches_a_reload(host: t.Any, before: dict[str, t.Any]) -> None:
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
