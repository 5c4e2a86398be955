# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Containers under each restart policy, in peace and with bad input."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from policies import LISTED, OBEY, SQUAT, entries, inspect, kill_process, picture, reaches, role, say, watch
from running import run_module, wait_for

# In peace ---------------------------------------------------------------------------------------------------------


def test_each_runs_or_has_ended_as_its_policy_says(host: t.Any) -> None:
    shown = {one["name"]: inspect(host, one["name"]) for one in LISTED}
    states = {name: (one["State"]["Status"], one["State"]["ExitCode"], one["RestartCount"]) for name, one in shown.items()}
    up = ("running", 0, 0)
    assert states == {"once": ("exited", 3, 0), "done": ("exited", 0, 0), "keep": up, "from-archive": up, "by-hand": up, "echo": up}
    assert shown["echo"]["Config"]["Env"][0] == "SECRET=hush"
    assert "front" in shown["keep"]["NetworkSettings"]["Networks"]


@pytest.mark.parametrize("name", ["keep", "by-hand"])
def test_one_that_crashes_is_restarted_as_the_same_container(host: t.Any, name: str) -> None:
    before = inspect(host, name)
    for count in (1, 2):
        kill_process(host, name)
        wait_for(lambda count=count: inspect(host, name)["RestartCount"] == before["RestartCount"] + count and inspect(host, name)["State"]["Running"])
    assert inspect(host, name)["Id"] == before["Id"]
    assert entries(host, name) == 1


def test_one_without_a_policy_is_not_restarted(host: t.Any) -> None:
    host.check_output("docker start no-policy")
    kill_process(host, "no-policy")
    wait_for(lambda: inspect(host, "no-policy")["State"]["Status"] == "exited")
    states, counts, _ids = watch(host, "no-policy", 2)
    assert (states, set(counts)) == ({"exited"}, {0})


def test_second_run_with_the_answers_of_a_survey_changes_nothing(host: t.Any) -> None:
    before = picture(host)
    play = role(host, list=yaml.safe_dump(LISTED), settle_time="", purge="", docker_host="", connection="")
    assert (play.failed, play.changed) == (False, 0), play.message
    assert picture(host) == before


def test_daemon_info_tells_of_containers(host: t.Any) -> None:
    found = {one["name"]: one for one in run_module(host, "log_lines=5", "daemon_info")["dockerd"]["containers"]}
    once, keep = found["once"], found["keep"]
    assert (once["state"], once["exit_code"], once["policy"], once["log"]) == ("exited", 3, "no", ["once"])
    assert (found["done"]["policy"], found["done"]["max_retries"], found["done"]["log"]) == ("on-failure", 3, ["done"])
    assert (keep["health"], keep["restart_count"], keep["id"]) == ("healthy", 2, inspect(host, "keep")["Id"])
    assert keep["started_at"] == inspect(host, "keep")["State"]["StartedAt"]


def test_echo_service_answers_and_its_log_has_the_line(host: t.Any) -> None:
    assert say(host, "first light") == "first light"
    assert "first light" in host.check_output("docker logs echo")
    assert inspect(host, "echo")["Config"]["OpenStdin"]


# Bad input --------------------------------------------------------------------------------------------------------

WEB = {"name": "web", "image": "lab:app", "command": OBEY}
ARCHIVE = "/var/lib/lab/archived.tar"
BAD = {
    "policy": ({"restart_policy": "sometimes"}, "Container web asks for restart_policy 'sometimes', which Docker does not have."),
    "retries": ({"restart_policy": "always", "restart_retries": 3}, "Container web has restart_retries 3, but policy 'always' counts none."),
    "port": ({"ports": ["7777:80"]}, "Container web publishes port 7777/tcp, which container echo has."),
    "archive": ({"image": "lab:other", "image_archive": ARCHIVE}, "does not hold image lab:other of container web; it holds lab:archived."),
    "no-archive": ({"image_archive": "/nowhere.tar"}, "The image archive /nowhere.tar cannot be read: [Errno 2] No such file or directory"),
    "image": ({"image": "lab/nowhere:1"}, "Error pulling image lab/nowhere:1"),
}


@pytest.mark.parametrize(("change", "sentence"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_and_touches_nothing(host: t.Any, change: dict[str, t.Any], sentence: str) -> None:
    before = picture(host)
    # The good one in front of it is not made either.
    play = role(host, {"name": "good", "image": "lab:app", "command": OBEY}, {**WEB, **change})
    assert play.failed
    assert sentence in play.message
    assert picture(host) == before


def test_port_of_another_process_is_told_with_its_name(host: t.Any) -> None:
    host.check_output("systemd-run --quiet --collect --unit=squatter busybox nc -ll -p 7790 -e busybox cat")
    pid = host.check_output("systemctl show --property=MainPID --value squatter")
    before = picture(host)
    play = role(host, {**WEB, "ports": ["7790:80"]})
    assert play.failed
    assert f"Container web publishes port 7790/tcp, which process {pid} (busybox) has." in play.message
    assert picture(host) == before
    host.check_output("systemctl stop squatter")


@pytest.mark.extra
def test_port_of_a_process_on_another_address_is_told_by_the_engine(host: t.Any) -> None:
    host.check_output(SQUAT)
    before = picture(host)
    play = role(host, {**WEB, "ports": ["7790:80"]})
    assert play.failed
    assert "address already in use" in play.message
    now = picture(host)
    assert now.pop("web")[1] == "created"
    assert now == before
    host.check_output("systemctl stop squatter && docker rm web")


def test_host_without_python_requests_is_refused(host: t.Any) -> None:
    before = picture(host)
    host.check_output("mv /usr/lib/python3/dist-packages/requests /root/requests")
    try:
        play = role(host, WEB)
    finally:
        host.check_output("mv /root/requests /usr/lib/python3/dist-packages/requests")
    assert play.failed
    sentence = "This host's Python lacks the library requests, which community.docker needs. Install the package python3-requests."
    assert play.message == f"{sentence} [missing-package]"
    assert set(picture(host)) == set(before)


def test_a_container_of_somebody_else_is_taken_over_in_words_only(host: t.Any) -> None:
    host.check_output("docker run --detach --stop-timeout 1 --name pihole --volume /data lab:app sh -c 'echo precious >/data/db; sleep 1d'")
    before = picture(host)
    wanted = {"name": "pihole", "image": "lab:app", "command": OBEY, "networks": [{"name": "bridge"}]}
    for check in (True, False):
        play = role(host, wanted, check=check)
        assert play.failed
        assert "Container pihole is there, and somebody else made it" in play.message
        assert picture(host) == before
    # The way out, as it is written.
    play = role(host, wanted, take_over=["pihole"])
    assert not play.failed, play.message
    assert inspect(host, "pihole")["Config"]["Labels"]["drydock.dockerd.role"] == "docker_containers"
    assert role(host, wanted).changed == 0
    host.check_output("docker rm --force --volumes pihole")


# Changes ----------------------------------------------------------------------------------------------------------


def test_one_that_ended_runs_anew_when_it_is_changed(host: t.Any) -> None:
    before = inspect(host, "once")
    changed = {**LISTED[0], "command": ["sh", "-c", "echo twice; exit 4"]}
    assert role(host, changed, check=True).changed
    assert inspect(host, "once")["State"] == before["State"]
    play = role(host, changed)
    assert not play.failed, play.message
    wait_for(lambda: inspect(host, "once")["State"]["ExitCode"] == 4)
    assert role(host, changed).changed == 0
    assert host.check_output("docker logs once") == "twice"


def test_only_what_the_role_made_is_purged_and_volumes_stay(host: t.Any) -> None:
    made = {"name": "extra", "image": "lab:app", "command": OBEY, "volumes": ["extra:/extra", "/nameless"], "stop_timeout": 1}
    assert role(host, made).changed
    host.check_output("echo kept >$(docker volume inspect --format '{{.Mountpoint}}' extra)/file")
    volumes = set(host.check_output("docker volume ls --quiet").split())
    foreign = {"beat", "no-policy", "on-failure", "unless-stopped", "joined", "paused", "stopped", "ended"}
    before = picture(host)
    assert foreign <= set(before)

    keep = LISTED[1:]
    assert role(host, *LISTED[:1]).changed
    assert "extra" in picture(host)
    assert role(host, *keep, purge=True, check=True).changed
    assert "extra" in picture(host)
    role(host, *keep, purge="true")
    now = picture(host)
    assert set(before) - set(now) == {"extra", "once"}
    assert {name: now[name] for name in foreign} == {name: before[name] for name in foreign}
    assert set(host.check_output("docker volume ls --quiet").split()) == volumes
    assert host.check_output("cat $(docker volume inspect --format '{{.Mountpoint}}' extra)/file") == "kept"
    assert role(host, *LISTED[:1]).changed


def test_what_is_absent_is_removed(host: t.Any) -> None:
    gone = [{"name": name, "state": "absent"} for name in ("echo", "keep")]
    assert role(host, *gone).changed
    assert not {"echo", "keep"} & set(picture(host))
    assert not reaches(host)
    assert role(host, *gone).changed == 0
