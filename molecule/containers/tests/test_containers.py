# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Containers under each restart policy: in peace, flapping, with bad input, and across a restart, a kill of the host and a move."""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import time
import typing as t

import pytest
import yaml
from running import Play, run_module, run_playbook, wait_for

LISTED = yaml.safe_load((pathlib.Path(__file__).parents[1] / "vars" / "list.yml").read_text())["docker_containers_list"]
OBEY = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"]
FLAP = {"name": "flap", "image": "lab:app", "command": ["sh", "-c", "echo going down; exit 3"], "restart_policy": "always"}
CLIENT_FILES = {"ca_path": "ca.pem", "client_cert": "client.pem", "client_key": "client-key.pem"}


def role(host: t.Any, *containers: dict[str, t.Any], check: bool = False, **variables: t.Any) -> Play:
    """Run the role for these containers, by the collection's own playbook."""
    short = {name: value for name, value in {"settle_time": "2", "list": list(containers), **variables}.items() if value is not None}
    return run_playbook(host, "containers", {f"docker_containers_{name}": value for name, value in short.items()}, check=check)


def inspect(host: t.Any, name: str) -> dict[str, t.Any]:
    return json.loads(host.check_output("docker inspect %s", name))[0]


def picture(host: t.Any) -> dict[str, tuple[t.Any, ...]]:
    """All containers with what shows that nobody touched them."""
    rows = json.loads(host.check_output("docker inspect $(docker ps --all --quiet)"))
    return {one["Name"].lstrip("/"): (one["Id"], one["State"]["Status"], one["State"]["StartedAt"]) for one in rows}


def address(host: t.Any) -> str:
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return subprocess.check_output(["docker", "inspect", "--format", form, host.ansible.get_variables()["ansible_host"]], text=True).strip()


def say(host: t.Any, line: str) -> str:
    """Send a line to the echo service and return what comes back."""
    with socket.create_connection((address(host), 7777), timeout=10) as connection, connection.makefile("rw") as stream:
        stream.write(f"{line}\n")
        stream.flush()
        return stream.readline().rstrip("\n")


def watch(host: t.Any, name: str, seconds: float) -> tuple[set[str], list[int], set[str]]:
    """States, restart counts and ids that a container shows within that time."""
    states, counts, ids, until = set(), [], set(), time.monotonic() + seconds
    while time.monotonic() < until:
        one = inspect(host, name)
        states.add(one["State"]["Status"])
        counts.append(one["RestartCount"])
        ids.add(one["Id"])
    return states, counts, ids


def entries(host: t.Any, name: str) -> int:
    return len(host.check_output("docker ps --all --quiet --filter name=^/%s$", name).split())


def kill_process(host: t.Any, name: str) -> None:
    """What a crash is: nobody asked the daemon for it."""
    host.check_output("kill -9 %s", str(inspect(host, name)["State"]["Pid"]))


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


# Not staying up ---------------------------------------------------------------------------------------------------


def test_one_that_flaps_fails_the_play_and_goes_on_as_the_same_container(host: t.Any) -> None:
    before = picture(host)
    play = role(host, FLAP)
    assert play.failed
    assert play.message.startswith("Container flap does not stay up: ")
    assert ", exit code 3, restarted " in play.message
    assert play.message.endswith(" | going down")
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
        "Container gives-up has ended: exited, exit code 3, restarted 3 times, policy on-failure. Its last lines: " + " | ".join(["going down"] * 4)
    )
    assert watch(host, "gives-up", 2)[0] == {"exited"}
    host.check_output("docker rm gives-up")


def test_one_that_turns_unhealthy_fails_the_play(host: t.Any) -> None:
    check = {"test": ["CMD", "sh", "-c", "echo no answer; exit 1"], "interval": "300ms", "retries": 2}
    play = role(host, {"name": "sick", "image": "lab:app", "command": OBEY, "restart_policy": "always", "healthcheck": check}, settle_time=3)
    assert play.failed
    assert play.message.endswith(
        "Container sick is unhealthy: running, exit code 0, restarted 0 times, policy always. Its health check said: no answer It printed nothing."
    )
    host.check_output("docker rm --force sick")


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
    now = picture(host)
    assert {name: one for name, one in now.items() if name != "flap"} == {name: one for name, one in before.items() if name != "flap"}


def test_port_of_another_process_is_told_by_the_engine(host: t.Any) -> None:
    host.check_output("systemd-run --quiet --collect --unit=squatter busybox nc -ll -p 7790 -e busybox cat")
    before = picture(host)
    play = role(host, {**WEB, "ports": ["7790:80"]})
    assert play.failed
    assert "address already in use" in play.message
    now = picture(host)
    assert now.pop("web")[1] == "created"
    assert {name: one for name, one in now.items() if name != "flap"} == {name: one for name, one in before.items() if name != "flap"}
    host.check_output("systemctl stop squatter && docker rm web")


def test_host_without_python_requests_is_refused(host: t.Any) -> None:
    before = picture(host)
    host.check_output("mv /usr/lib/python3/dist-packages/requests /root/requests")
    try:
        play = role(host, WEB)
    finally:
        host.check_output("mv /root/requests /usr/lib/python3/dist-packages/requests")
    assert play.failed
    assert play.message == "This host's Python lacks the library requests, which community.docker needs. Install the package python3-requests."
    assert set(picture(host)) == set(before)


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

    keep = [one for one in LISTED if one["name"] != "once"] + [FLAP]
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


# Another daemon ---------------------------------------------------------------------------------------------------


def test_containers_run_behind_a_tls_endpoint(host: t.Any, tmp_path: pathlib.Path) -> None:
    """This machine is the client, and the lab host's daemon wants a certificate."""
    for name in CLIENT_FILES.values():
        (tmp_path / name).write_text(host.check_output("cat /var/lib/lab/%s", name) + "\n")
    connection = {"validate_certs": True, "tls_hostname": "docker.lab", **{key: str(tmp_path / name) for key, name in CLIENT_FILES.items()}}
    variables = {
        "docker_containers_docker_host": f"tcp://{address(host)}:2376",
        "docker_containers_connection": connection,
        "docker_containers_settle_time": 1,
        "docker_containers_list": [{"name": "afar", "image": "lab:app", "command": OBEY, "restart_policy": "always", "stop_timeout": 1}],
        "ansible_connection": "local",
        "ansible_become": False,
        "ansible_python_interpreter": sys.executable,
    }

    def from_here(**changes: t.Any) -> Play:
        return run_playbook(host, "containers", {**variables, **changes}, inventory="client,", target="client")

    first = from_here()
    assert not first.failed, first.message
    assert inspect(host, "afar")["State"]["Running"]
    assert from_here().changed == 0
    flapping = from_here(docker_containers_list=[{**FLAP, "name": "flap-afar"}])
    assert flapping.message.startswith("Container flap-afar does not stay up: ")
    assert "going down" in flapping.message

    stranger = from_here(docker_containers_connection={**connection, "client_cert": None, "client_key": None})
    assert stranger.failed
    assert f"The daemon does not answer on tcp://{address(host)}:2376: " in stranger.message
    impostor = from_here(docker_containers_connection={**connection, "tls_hostname": "other.lab"})
    assert impostor.failed
    assert "certificate verify failed" in impostor.message

    gone = from_here(docker_containers_list=[{"name": name, "state": "absent"} for name in ("afar", "flap-afar")])
    assert not gone.failed, gone.message
    assert not {"afar", "flap-afar"} & set(picture(host))


def test_endpoint_turns_away_who_has_no_certificate(host: t.Any) -> None:
    """The host asks its own daemon, once as somebody who may, and in ways that have to fail."""
    client = "client_cert=/var/lib/lab/client.pem client_key=/var/lib/lab/client-key.pem"

    def ask(arguments: str, port: int = 2376) -> dict[str, t.Any]:
        return run_module(host, f"docker_host=tcp://127.0.0.1:{port} timeout=10 {arguments}", "endpoint_info", check=True)

    found = ask(f"validate_certs=true ca_path=/var/lib/lab/ca.pem tls_hostname=docker.lab {client}")
    assert (found["status"], found["verified"], found["turned_away_without_certificate"]) == ("ok", True, True), found["msg"]
    assert found["engine_version"] == host.check_output("docker version --format '{{.Server.Version}}'")
    assert (found["certificate"]["names"], found["certificate"]["issuer"]) == (["docker.lab"], {"commonName": "lab-ca"})
    assert found["certificate"]["days_left"] in (2, 3)
    assert not found["changed"]
    assert ask(f"validate_certs=true ca_path=/var/lib/lab/ca.pem {client}")["status"] == "name_mismatch"
    assert ask(f"validate_certs=true ca_path=/var/lib/lab/client.pem tls_hostname=docker.lab {client}")["status"] == "wrong_ca"
    assert ask("tls=true")["status"] == "client_certificate_refused"
    assert ask("")["status"] == "tls_required"
    assert ask("", port=1)["status"] == "unreachable"


# Across what happens to a daemon ----------------------------------------------------------------------------------


def restart(host: t.Any) -> None:
    assert run_module(host, "state=restarted force=true", "daemon_state")["changed"]


def kill_host(host: t.Any) -> None:
    name = host.ansible.get_variables()["ansible_host"]
    for verb in ("kill", "start"):
        subprocess.run(["docker", verb, name], check=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: host.run("docker info").rc == 0, "the boot")


def relocate(host: t.Any) -> None:
    play = run_playbook(host, "relocate", {"docker_data_root_path": "/mnt/data/docker"})
    assert not play.failed, play.message
    assert host.check_output("docker info --format '{{.DockerRootDir}}'") == "/mnt/data/docker"


@pytest.mark.parametrize("event", [restart, kill_host, relocate])
def test_policies_hold_across_an_event(host: t.Any, event: t.Callable[[t.Any], None]) -> None:
    assert say(host, f"before {event.__name__}") == f"before {event.__name__}"
    host.check_output("docker stop --time 1 by-hand")
    before = picture(host)
    event(host)

    def up(name: str) -> bool:
        return bool(inspect(host, name)["State"]["Running"])

    wait_for(lambda: all(up(name) for name in ("keep", "echo", "from-archive")), "their restart")
    now = picture(host)
    assert {name: one[0] for name, one in now.items()} == {name: one[0] for name, one in before.items()}
    assert {name: now[name] for name in ("once", "done", "by-hand")} == {name: before[name] for name in ("once", "done", "by-hand")}
    assert now["by-hand"][1] == "exited"
    assert all(now[name][2] != before[name][2] for name in ("keep", "echo", "from-archive"))

    wait_for(lambda: reaches(host), "the echo service")
    line = f"behind {event.__name__}"
    assert say(host, line) == line
    logged = host.check_output("docker logs echo")
    assert line in logged
    assert f"before {event.__name__}" in logged

    states, counts, ids = watch(host, "flap", 3)
    assert "restarting" in states
    assert counts[-1] >= 1
    assert ids == {before["flap"][0]}
    kill_process(host, "keep")
    wait_for(lambda: inspect(host, "keep")["RestartCount"] == 1 and up("keep"))
    play = role(host, *(one for one in LISTED if one["name"] != "by-hand"))
    # That restart was before the play.
    assert (play.failed, play.changed) == (False, 0), play.message
    # The list says that it runs, whoever stopped it.
    assert role(host, *(one for one in LISTED if one["name"] == "by-hand")).changed
    assert up("by-hand")


def reaches(host: t.Any) -> bool:
    with contextlib.suppress(OSError):
        return say(host, "hello") == "hello"
    return False


def test_what_is_absent_is_removed(host: t.Any) -> None:
    gone = [{"name": name, "state": "absent"} for name in ("echo", "flap")]
    assert role(host, *gone).changed
    assert not {"echo", "flap"} & set(picture(host))
    assert not reaches(host)
    assert role(host, *gone).changed == 0
