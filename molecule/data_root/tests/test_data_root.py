# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors


def test_placeholder(host):
    assert host.check_output("docker info --format '{{.DockerRootDir}}'") == "/mnt/data/docker"
