# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the tests of this scenario share."""

from __future__ import annotations

import typing as t

from running import Play, run_playbook


def ask(host: t.Any, settings: dict[str, t.Any]) -> Play:
    return run_playbook(host, "site", {"docker_options_settings": settings})


def refused(host: t.Any, settings: dict[str, t.Any]) -> str:
    """The refusal of settings that must leave everything alone."""
    before = host.check_output("lab-host configuration && cat /run/docker.pid")
    play = ask(host, settings)
    assert (play.failed, play.changed) == (True, 0)
    assert host.check_output("lab-host configuration && cat /run/docker.pid") == before
    return play.message
