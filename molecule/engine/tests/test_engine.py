# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""An engine that came with the role: right at its first start, and nothing of it where it should not be."""

from __future__ import annotations

import contextlib
import socket
import ssl
import typing as t

from running import EPHEMERAL, address, run_playbook

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
