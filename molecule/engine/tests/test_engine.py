# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""An engine that came with the role: right at its first start, and nothing of it where it should not be."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import typing as t

import forked
from running import EPHEMERAL, address, connect, run_playbook

CA = EPHEMERAL / "ca" / "ca.pem"


def journal(host: t.Any) -> str:
    return host.check_output("journalctl --unit docker.service --output cat --no-pager")


def test_it_started_once(host: t.Any) -> None:
    assert journal(host).count("Daemon has completed initialization") == 1
    assert host.service("docker").is_enabled


def test_a_first_start_as_it_comes_left_no_traces(host: t.Any) -> None:
    assert not host.file("/var/lib/docker").exists
    assert not host.file("/var/lib/containerd/io.containerd.metadata.v1.bolt").exists or host.backend.host != "forky"
    assert "172.31.7.1/24" in host.check_output("ip -brief address show docker0")
    assert "172.17." not in host.check_output("iptables-save")


def test_data_are_on_the_other_partition(host: t.Any) -> None:
    assert host.check_output("docker info --format '{{.DockerRootDir}} {{.LoggingDriver}}'") == "/mnt/data/docker local"
    assert host.check_output("findmnt --noheadings --output TARGET --target /mnt/data/docker") == "/mnt/data"


def test_it_listens_with_its_certificate(host: t.Any) -> None:
    context = ssl.create_default_context(cafile=str(CA))
    name = address(host)
    with socket.create_connection((name, 2376), timeout=10) as plain, context.wrap_socket(plain, server_hostname=name) as secure:
        secure.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        answer = b""
        with contextlib.suppress(OSError):
            answer = secure.recv(100)
    assert not answer


def test_a_second_run_read_no_index_again(host: t.Any) -> None:
    # The index was read before the one start that there was, and the second run came after it.
    assert host.file("/var/lib/apt/lists").mtime < host.file("/run/docker.pid").mtime


def test_containers_run_and_come_back(host: t.Any) -> None:
    host.check_output("mkdir -p /tmp/i/bin && cp /bin/busybox /tmp/i/bin/sleep && tar -C /tmp/i -c . | docker import - lab:sleep")
    host.check_output("docker run --detach --name one --restart always --stop-timeout 1 lab:sleep sleep 1000")
    host.check_output("systemctl restart docker")
    assert host.check_output("docker ps --format '{{.Names}}'") == "one"


def test_who_was_named_may_use_it(host: t.Any) -> None:
    assert "docker" in host.user("operator").groups
    assert "docker" in host.user("second").groups
    assert host.check_output("su operator -c 'docker version --format {{.Server.Version}}'")


def test_who_was_named_may_use_it_in_the_same_play() -> None:
    """Also where the connection that he works with is older than his membership."""
    host = connect("trixie")
    key = EPHEMERAL / "newcomer"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    host.check_output("useradd --create-home newcomer && install -d -o newcomer /home/newcomer/.ssh")
    host.check_output("echo %s >/home/newcomer/.ssh/authorized_keys", key.with_suffix(".pub").read_text())
    host.check_output("echo 'newcomer ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/newcomer")
    inventory = EPHEMERAL / "newcomer.json"
    reached = {"ansible_host": address(host), "ansible_ssh_private_key_file": str(key), "ansible_python_interpreter": "/usr/bin/python3"}
    inventory.write_text(json.dumps({"lab": {"hosts": {"trixie": reached}}}))
    play = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "newcomer.yml"

    def run(*options: str) -> tuple[int, bool]:
        """How many tasks changed something, and whether there was another login."""
        done = forked.run(["ansible-playbook", "--inventory", str(inventory), str(play), *options], stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        assert "WARNING" not in done.stdout
        changed = re.search(r" changed=(\d+)", done.stdout)
        assert changed
        return int(changed[1]), bool(re.search(r"Log in again\] \*+\nok: ", done.stdout))

    assert run("--check") == (1, False)
    assert "newcomer" not in host.check_output("getent group docker")
    assert run() == (1, True)
    assert run() == (0, False)


def test_the_client_has_its_plugins_where_there_are_any(host: t.Any) -> None:
    # Debian 12 has none, and one host does without.
    wanted = host.backend.host == "forky"
    for plugin in ("compose", "buildx"):
        assert (host.run(f"docker {plugin} version").rc == 0) is wanted


def test_a_version_that_there_is_not_changes_nothing(host: t.Any) -> None:
    pid = host.check_output("cat /run/docker.pid")
    play = run_playbook(host, "upgrade", {"docker_engine_version": "99.*"})
    assert play.failed
    assert "There is no version '99.*' of docker.io: the package manager has " in play.message
    assert host.check_output("cat /run/docker.pid") == pid
