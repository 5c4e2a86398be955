# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""After a move the hosts boot without their disk, with another one, without the line in fstab, and at last with everything.

Each test does one thing on all hosts at once: one after the other they would spend most of the time waiting.
"""

from __future__ import annotations

import concurrent.futures
import json
import subprocess
import time
import typing as t

import pytest
import testinfra

NEW = "/mnt/data/docker"
DIGEST = "import sys; sys.path.insert(0, '/usr/local/bin'); import compare; print(compare.digest(sys.argv[1]))"


class Lab:
    """One host of the lab, and what the tests note about it.

    :param moment: when it was last booted, for the journal: the kernel, and with it the number of the boot, stays the same.
    """

    def __init__(self, host: t.Any) -> None:
        self.host = host
        self.name = host.ansible.get_variables()["ansible_host"]
        self.image = f"/var/lib/lab/{self.name}.img"
        self.moment = ""

    def run(self, command: str) -> str:
        return self.host.check_output(command)

    def fails(self, command: str) -> bool:
        return self.host.run(command).rc != 0

    def kept(self) -> str:
        """One checksum of the whole old root."""
        return self.host.check_output("python3 -c %s /var/lib/docker.drydock-kept-*", DIGEST)

    def boot(self) -> None:
        """Kill the whole host and start it; wait until systemd has done what it can, and the daemon is up or has given up."""
        self.moment = self.run("date +%s.%6N")
        for verb in ("kill", "start"):
            subprocess.run(["docker", verb, self.name], check=True, stdout=subprocess.DEVNULL)
        for _ in range(240):
            time.sleep(0.5)
            if self.host.run("systemctl is-system-running").stdout.strip() not in ("running", "degraded"):
                continue
            if self.host.run("systemctl is-active docker").stdout.strip() in ("active", "failed", "inactive"):
                return
        raise AssertionError("it does not come up within 120 s")

    def journal(self) -> str:
        """What docker.service and dockerd said since the boot."""
        return self.run(f"journalctl --unit docker.service --output cat --since @{self.moment}")

    def assert_nothing_started(self) -> None:
        """Not at boot, not by a client on docker.socket, and not by hand."""
        assert self.fails("docker info")
        assert self.fails("systemctl start docker")
        assert self.fails("pgrep --exact dockerd")
        assert "Starting up" not in self.journal()
        assert not self.host.file("/var/lib/docker").exists

    def start_again(self) -> None:
        """What a person does when the disk is back."""
        self.run("systemctl daemon-reload && systemctl reset-failed && systemctl start mnt-data.mount && systemctl start docker.socket docker.service")

    def assert_all_is_well(self) -> None:
        before, now = json.loads(self.run("cat /var/lib/lab/before.json")), json.loads(self.run("lab-host snapshot"))
        assert now["root"] == NEW
        assert (now["images"], now["volumes"], now["networks"]) == (before["images"], before["volumes"], before["networks"])
        assert {name: one["id"] for name, one in now["containers"].items()} == {name: one["id"] for name, one in before["containers"].items()}
        running = {name for name, one in now["containers"].items() if one["state"] == "running"}
        # Policies decide who runs after a boot.
        assert {"beat", "unless-stopped", "on-failure"} <= running
        assert "stopped" not in running


@pytest.fixture(scope="module")
def labs(request: pytest.FixtureRequest) -> list[Lab]:
    options = request.config.option
    return [Lab(host) for host in testinfra.get_hosts([options.hosts], ansible_inventory=options.ansible_inventory)]


def on_all(labs: list[Lab], check: t.Callable[[Lab], None]) -> None:
    """Do it on all hosts at once; say on which of them it failed."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        futures = {lab.name: pool.submit(check, lab) for lab in labs}
    assert len(futures) == len(labs) > 1
    failures = {name: str(future.exception()) for name, future in futures.items() if future.exception()}
    assert not failures, "\n".join(f"{name}: {text}" for name, text in failures.items())


def test_disk_is_mounted_by_a_line_in_fstab(labs: list[Lab]) -> None:
    def check(lab: Lab) -> None:
        shown = lab.run("systemctl show mnt-data.mount --property SourcePath,ActiveState")
        assert set(shown.splitlines()) == {"SourcePath=/etc/fstab", "ActiveState=active"}

    on_all(labs, check)


def test_without_its_disk_the_daemon_does_not_start(labs: list[Lab]) -> None:
    def check(lab: Lab) -> None:
        old = lab.kept()
        lab.run(f"mv {lab.image} /var/lib/lab/elsewhere")
        lab.boot()
        lab.assert_nothing_started()
        assert lab.fails("mountpoint /mnt/data")
        assert lab.run("find /mnt/data -mindepth 1") == ""
        assert lab.kept() == old

    on_all(labs, check)


def test_docker_s_own_journal_names_what_is_missing(labs: list[Lab]) -> None:
    def check(lab: Lab) -> None:
        assert "/mnt/data" in lab.journal()

    on_all(labs, check)


def test_when_the_disk_is_back_all_is_well_without_a_boot(labs: list[Lab]) -> None:
    def check(lab: Lab) -> None:
        lab.run(f"mv /var/lib/lab/elsewhere {lab.image}")
        lab.start_again()
        lab.assert_all_is_well()

    on_all(labs, check)


def test_on_another_disk_the_daemon_does_not_start(labs: list[Lab]) -> None:
    """An empty one, or one with an older copy, which has another marker."""

    def check(lab: Lab) -> None:
        old = lab.kept()
        older = ["docker", "docker/overlay2", "docker/containers", "docker/.drydock-root-000000000000"] if lab.name.endswith(("bookworm", "forky")) else []
        lab.run("mkdir /run/other")
        for path in older:
            lab.run(f"{'touch' if 'root' in path else 'mkdir'} /run/other/{path}")
        lab.run(f"mv {lab.image} /var/lib/lab/elsewhere && truncate -s 64M {lab.image} && mkfs.ext4 -q -d /run/other {lab.image}")
        lab.boot()
        lab.assert_nothing_started()
        assert not lab.fails("mountpoint /mnt/data")
        assert set(lab.run("find /mnt/data -mindepth 1 -printf '%P\\n'").splitlines()) == {"lost+found", *older}
        assert lab.kept() == old
        assert f"drydock: the data root {NEW} is not there" in lab.journal()
        lab.run(f"umount /mnt/data && mv /var/lib/lab/elsewhere {lab.image}")
        lab.start_again()
        lab.assert_all_is_well()

    on_all(labs, check)


def test_without_the_line_in_fstab_the_daemon_does_not_start(labs: list[Lab]) -> None:
    def check(lab: Lab) -> None:
        old = lab.kept()
        lab.run("mv /etc/fstab /etc/fstab.away")
        lab.boot()
        lab.assert_nothing_started()
        assert lab.fails("mountpoint /mnt/data")
        assert lab.run("find /mnt/data -mindepth 1") == ""
        assert lab.kept() == old
        assert f"drydock: the data root {NEW} is not there" in lab.journal()

    on_all(labs, check)


def test_with_everything_back_a_boot_is_well(labs: list[Lab]) -> None:
    def check(lab: Lab) -> None:
        lab.run("mv /etc/fstab.away /etc/fstab")
        lab.boot()
        lab.assert_all_is_well()

    on_all(labs, check)
