# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Containers that do not stay up fail the play with what a person needs to know."""

from __future__ import annotations

import typing as t

from policies import FLAP, OBEY, entries, inspect, picture, role, watch


def test_one_that_flaps_fails_the_play_and_goes_on_as_the_same_container(host: t.Any) -> None:
    before = picture(host)
    play = role(host, FLAP)
    assert play.failed
    assert play.message.startswith("Container flap does not stay up: ")
    assert ", exit code 3, restarted " in play.message
    assert play.message.endswith(" | going down [container-down]")
    created = inspect(host, "flap")
    states, counts, ids = watch(host, "flap", 5)
    assert "restarting" in states
    assert counts[-1] > counts[0] > 0
    assert ids == {created["Id"]}
    assert entries(host, "flap") == 1
    # It is there already, and no better.
    again = role(host, FLAP)
    assert again.failed
    assert again.message.startswith("Container flap does not stay up: ")
    assert inspect(host, "flap")["Id"] == created["Id"]
    assert {name: one for name, one in picture(host).items() if name != "flap"} == before


def test_one_that_fails_too_often_is_given_up(host: t.Any) -> None:
    play = role(host, {**FLAP, "name": "gives-up", "restart_policy": "on-failure", "restart_retries": 3}, settle_time=5)
    assert play.failed
    assert play.message.endswith(
        "Container gives-up has ended: exited, exit code 3, restarted 3 times, policy on-failure. Its last lines: "
        + " | ".join(["going down"] * 4)
        + " [container-down]"
    )
    assert watch(host, "gives-up", 2)[0] == {"exited"}
    host.check_output("docker rm gives-up")


def test_one_that_turns_unhealthy_fails_the_play(host: t.Any) -> None:
    check = {"test": ["CMD", "sh", "-c", "echo no answer; exit 1"], "interval": "300ms", "retries": 2}
    play = role(host, {"name": "sick", "image": "lab:app", "command": OBEY, "restart_policy": "always", "healthcheck": check}, settle_time=3)
    assert play.failed
    assert play.message.endswith(
        "Container sick is unhealthy: running, exit code 0, restarted 0 times, policy always. Its health check said: no answer It printed nothing. "
        "[container-down]"
    )
    host.check_output("docker rm --force sick")
