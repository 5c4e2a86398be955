# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Every kind of address, and one that the host gets only after the daemon's first attempts at boot."""

from __future__ import annotations

import subprocess
import typing as t

from running import Play, address, run_playbook, wait_for

LATE = "10.98.76.54"
# Long enough for dockerd to fail more often than its unit allows.
UNIT = f"""[Unit]
Description=An address that is late
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'sleep 15; exec ip address add {LATE}/32 dev lo'
[Install]
WantedBy=multi-user.target
"""


def listen(host: t.Any, *addresses: str, **variables: t.Any) -> Play:
    asked = {"addresses": list(addresses), "allow_insecure": True, **variables}
    return run_playbook(host, "listen", {f"docker_listen_{name}": value for name, value in asked.items()})


def answers(host: t.Any, where: str) -> bool:
    return host.run(f"docker --host={where} info").rc == 0


def test_each_kind_of_address(host: t.Any) -> None:
    host.check_output("sysctl --write net.ipv6.conf.lo.disable_ipv6=0")
    host.check_output("grep -q lab-name /etc/hosts || echo '127.0.0.1 lab-name' >>/etc/hosts")
    addresses = ["unix:///run/lab.sock", "tcp://[::1]:2376", "tcp://lab-name:2377", f"tcp://{address(host)}", "tcp://127.0.0.1:2378"]
    play = listen(host, "fd://", *addresses)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert [where for where in ["unix:///run/docker.sock", *addresses] if not answers(host, where)] == []
    assert listen(host, "fd://", *addresses).changed == 0


def test_an_address_that_is_late_at_boot(host: t.Any) -> None:
    host.check_output(f"ip address add {LATE}/32 dev lo")
    host.check_output("printf %s >/etc/systemd/system/lab-late.service; systemctl enable lab-late.service", UNIT)
    play = listen(host, "fd://", f"tcp://{LATE}:2375")
    assert (play.failed, play.changed) == (False, 1), play.message
    subprocess.run(["docker", "restart", host.ansible.get_variables()["ansible_host"]], check=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: host.run("ss -Hltn 'sport = :2375' | grep -q .").rc == 0, "the boot", seconds=90)
    assert int(host.check_output("systemctl show --property NRestarts --value docker.service")) > 3
    assert answers(host, f"tcp://{LATE}:2375")
    assert {"beat", "stopped"} <= set(host.check_output("docker ps --all --format '{{.Names}}'").split())
