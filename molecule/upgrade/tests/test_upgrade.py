# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A running engine goes to another version: what ran runs again, and what would not do is refused or taken back."""

from __future__ import annotations

import typing as t

import pytest
from running import assert_all_is_there, run_module, run_playbook, snapshot

OLD, NEW = "20.10.24+dfsg1-1*", "26.1.*"


def engine(host: t.Any) -> str:
    return host.check_output("docker version --format '{{.Server.Version}}'")


def upgrade(host: t.Any, version: str, check: bool = False, **more: t.Any) -> t.Any:
    return run_playbook(host, "upgrade", {"docker_engine_version": version, **more}, check)


def configure(host: t.Any, **settings: t.Any) -> t.Any:
    return run_playbook(host, "site", {"docker_options_settings": {key.replace("_", "-"): value for key, value in settings.items()}})


def test_what_the_new_engine_does_not_take_is_refused_before(host: t.Any, before: dict[str, t.Any]) -> None:
    # Known to 20.10, gone in 26: found in the catalogue, and not by a daemon that stays down.
    play = configure(host, deprecated_key_path="/etc/docker/key.json")
    assert not play.failed, play.message
    pid = snapshot(host)["pid"]
    play = upgrade(host, NEW)
    assert play.failed
    assert "The engine stays as it is, because 26.1.5 would not do: " in play.message
    assert "deprecated-key-path" in play.message
    assert snapshot(host)["pid"] == pid
    assert engine(host).startswith("20.10.")
    play = configure(host)
    assert not play.failed, play.message


def test_check_mode_tells_it_and_does_nothing(host: t.Any) -> None:
    pid = snapshot(host)["pid"]
    play = upgrade(host, NEW, check=True)
    assert not play.failed, play.message
    assert play.changed
    # The lab gives its containers three seconds.
    told = run_module(host, f"packages=docker.io version={NEW}", "engine_upgrade", check=True)["msg"]
    assert told.endswith(" and restart the daemon. Containers may take up to 3 s to stop.")
    assert (snapshot(host)["pid"], engine(host)[:6]) == (pid, "20.10.")


def test_an_engine_that_does_not_come_up_is_taken_back(host: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output("mkdir -p /etc/systemd/system/docker.service.d")
    # As an engine would fail on its data: the new one ends with a word, which journald reads two seconds later; the old one starts.
    trap = """#!/bin/sh
/usr/sbin/dockerd --version | grep -q 26.1 || exit 0
systemd-run --on-active=2 systemctl kill --signal=CONT systemd-journald
systemctl kill --signal=STOP systemd-journald
echo failed to start daemon: the new one is ill >&2
exit 1
"""
    drop_in = "/etc/systemd/system/docker.service.d/ill.conf"
    host.check_output("printf %s %s >/usr/local/bin/ill && chmod +x /usr/local/bin/ill", "%s", trap)
    host.check_output(f"printf '[Service]\\nExecStartPre=/usr/local/bin/ill\\n' >{drop_in} && systemctl daemon-reload")
    play = upgrade(host, NEW)
    assert play.failed
    assert "dockerd does not start: failed to start daemon: the new one is ill." in play.message
    assert "docker.io 20.10.24" in play.message
    assert "came back" in play.message
    assert_all_is_there(snapshot(host), before)
    assert engine(host).startswith("20.10.")
    host.check_output(f"rm {drop_in} && systemctl daemon-reload")


def test_a_worker_that_dies_at_the_installation_costs_no_outage(host: t.Any, before: dict[str, t.Any]) -> None:
    pid = snapshot(host)["pid"]
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host kill-at 'install packages'")
    play = upgrade(host, NEW)
    assert play.failed
    assert "docker.io 20.10.24" in play.message
    assert "came back" in play.message
    assert host.package("docker.io").version.startswith("20.10.")
    now = snapshot(host)
    assert now["pid"] == pid
    assert_all_is_there(now, before)


@pytest.mark.extra
def test_a_worker_that_dies_at_the_stop_leaves_the_old_engine(host: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host kill-at stop")
    play = upgrade(host, NEW)
    assert play.failed
    assert "came back" in play.message
    assert engine(host).startswith("20.10.")
    assert_all_is_there(snapshot(host), before)


def test_what_ran_runs_again_with_the_new_engine(host: t.Any, before: dict[str, t.Any]) -> None:
    # As the scripts of Docker's own packages ask for it, where they bring another containerd, too.
    script = """#!/bin/sh -x
cp /usr/bin/containerd /usr/bin/containerd.new && mv /usr/bin/containerd.new /usr/bin/containerd
deb-systemd-invoke restart docker.service docker.socket
deb-systemd-invoke restart containerd.service
systemctl show --value --property=ExecMainStartTimestampMonotonic docker.service containerd.service >/run/beside
"""
    host.check_output("printf %s %s >/usr/local/bin/restarts && chmod +x /usr/local/bin/restarts", "%s", script)
    host.check_output("echo 'DPkg::Post-Invoke {\"/usr/local/bin/restarts\";};' >/etc/apt/apt.conf.d/restarts")
    began = host.check_output("systemctl show --value --property=ExecMainStartTimestampMonotonic docker.service containerd.service")
    starts = host.check_output("journalctl --unit docker.service --output cat").count("Daemon has completed initialization")
    play = upgrade(host, NEW)
    assert not play.failed, play.message
    assert play.changed
    assert engine(host).startswith("26.1.")
    assert_all_is_there(snapshot(host), before)
    assert host.check_output("journalctl --unit docker.service --output cat").count("Daemon has completed initialization") == starts + 1
    assert "docker.io" in host.check_output("apt-mark showhold")
    # They ran beside both, and both came back with what they had brought.
    assert host.check_output("cat /run/beside") == began
    assert "deleted" not in host.check_output("ls -l /proc/$(pidof containerd)/exe /proc/$(pidof dockerd)/exe")
    host.check_output("rm /etc/apt/apt.conf.d/restarts")


def test_a_second_run_changes_nothing(host: t.Any) -> None:
    pid = snapshot(host)["pid"]
    play = upgrade(host, NEW)
    assert not play.failed, play.message
    assert (play.changed, snapshot(host)["pid"]) == (0, pid)


def test_a_boot_brings_the_same_up(host: t.Any) -> None:
    host.check_output("systemctl restart docker")
    assert engine(host).startswith("26.1.")
