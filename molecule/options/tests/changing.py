# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the tests here ask for, and what they look at."""

from __future__ import annotations

import json
import typing as t

from running import Play, run_playbook


def ask(host: t.Any, settings: dict[str, t.Any], **variables: t.Any) -> Play:
    asked = {"settings": settings, **variables}
    return run_playbook(host, "options", {f"docker_options_{name}": value for name, value in asked.items()})


def assert_one_change(play: Play) -> None:
    assert (play.failed, play.changed) == (False, 1), play.message


def info(host: t.Any) -> dict[str, t.Any]:
    return json.loads(host.check_output("docker info --format '{{json .}}'"))


def in_file(host: t.Any) -> dict[str, t.Any]:
    return json.loads(host.check_output("cat /etc/docker/daemon.json"))


def pid(host: t.Any) -> str:
    return host.check_output("cat /run/docker.pid")
