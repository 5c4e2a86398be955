# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A host without systemd: what was moved, boots without the disk, states, and the deaths of worker and host. The order matters."""

from __future__ import annotations

import json
import subprocess
import typing as t

import pytest
from running import assert_a_killed_worker_is_recovered, assert_all_is_there, end_of, give_up, run_module, snapshot, start_module, wait_for
from trees import unexpected

NEW = "/mnt/data/docker"
DEFAULTS = "/etc/default/docker"
JOURNAL = "/var/lib/drydock/dockerd/journal"
DIGEST = "import sys; sys.path.insert(0, '/usr/local/bin'); import compare; print(compare.digest(sys.argv[1]))"
KEPT = "/var/lib/docker.drydock-kept-*"


def other(root: str) -> str:
    """Where to move next; in the lab /var/lib is mounted from outside."""
    return f"{'/var/lib' if root.startswith('/mnt') else '/mnt/data'}/docker-{'1' if root.endswith('0') else '0'}"


def to(path: str) -> str:
    return f"path={path} require_persistent_mount=false"


def in_background(host: t.Any, command: str, *arguments: str) -> None:
    host.check_output("setsid --fork " + command + " </dev/null >/dev/null 2>&1", *arguments)


def kill_host(host: t.Any) -> None:
    subprocess.run(["docker", "kill", host.ansible.get_variables()["ansible_host"]], check=True, stdout=subprocess.DEVNULL)


def boot(host: t.Any) -> None:
    """Start a host that was killed, and wait until SysV init has done what it can."""
    subprocess.run(["docker", "start", host.ansible.get_variables()["ansible_host"]], check=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: host.run("/init.sh state").stdout.strip() == "running", "the boot")


def start_what_policies_left(host: t.Any) -> None:
    """As after any boot, these stay down until somebody starts them."""
    host.check_output("docker start no-policy joined on-failure && { docker pause paused || true; }")


def size_of_log(host: t.Any) -> int:
    return host.file("/var/log/docker.log").size


def log_since(host: t.Any, size: int) -> str:
    return host.check_output("tail --bytes=+%s /var/log/docker.log", str(size + 1))


# What the move left ----------------------------------------------------------------------------------------------


def test_host_runs_sysv_init(host: t.Any) -> None:
    assert host.run("systemctl --version").rc == 127
    assert host.check_output("cat /proc/1/comm") == "init"


def test_whole_tree_is_equal_but_for_what_the_daemon_writes(host: t.Any) -> None:
    """The first look: a picture asks for the changes of a container, which mounts its layer."""
    (kept,) = host.check_output(f"ls -d {KEPT}").split()
    ids = host.check_output("docker ps --no-trunc --quiet").split()
    started = {one: host.file(f"{kept}/image/overlay2/layerdb/mounts/{one}/mount-id").content_string for one in ids}
    differences = json.loads(host.check_output("compare.py %s %s", kept, NEW))
    # Without systemd dockerd runs a containerd of its own, which keeps its books below the root, too.
    assert not unexpected(differences, started, aside="containerd/.*")
    assert host.check_output("find %s/containerd -type f ! -name meta.db", kept) == ""


def test_everything_was_moved_and_is_as_it_was(host: t.Any, before: dict[str, t.Any], now: dict[str, t.Any]) -> None:
    assert (before["root"], now["root"]) == ("/var/lib/docker", NEW)
    assert_all_is_there(now, before)
    assert now["ended"] == before["ended"]


def test_daemon_answers_over_tcp(api_over_tcp: t.Callable[[str], t.Any]) -> None:
    info = api_over_tcp("/info")
    assert (info["DockerRootDir"], info["LoggingDriver"]) == (NEW, "local")


def test_rest_of_the_defaults_is_as_the_package_left_it(host: t.Any) -> None:
    text = host.file(DEFAULTS).content_string
    begin = text.index("\n# BEGIN drydock.dockerd\n")
    assert text.endswith("\n# END drydock.dockerd\n")
    assert text[:begin] == host.file("/root/default.docker").content_string


def test_options_of_others_stay_but_for_the_addresses_that_are_keys_now(host: t.Any) -> None:
    assert host.check_output("docker info --format '{{.Labels}}'") == "[from=defaults]"
    assert "--label=from=defaults" in host.check_output("tr '\\0' ' ' </proc/$(cat /run/docker.pid)/cmdline")


def test_info_tells_who_asked_for_what(host: t.Any) -> None:
    info = run_module(host, "", "daemon_info")["dockerd"]
    assert (info["running"], info["data_root"], info["unit"], info["restart_pending"]) == (True, NEW, "/etc/init.d/docker", False)
    assert info["drop_ins"] == {"ours": ["zz-drydock-data-root.conf", "zz-drydock-listen.conf"], "foreign": [DEFAULTS]}
    expected = {"value": NEW, "source": "daemon.json", "owner": "data-root", "asked": NEW, "in_file": NEW, "in_force": NEW}
    assert info["config"]["data-root"] == expected
    assert info["config"]["pidfile"]["source"] == "/etc/init.d/docker"
    assert info["config"]["labels"]["source"] == DEFAULTS


def test_what_only_systemd_has_is_refused(host: t.Any) -> None:
    drop_in = {"name": "zz-drydock-listen.conf", "content": "[Service]\nExecStart=\nExecStart=@dockerd_command@\n"}
    ask: dict[str, t.Any] = {"owner": "listen", "settings": {"hosts": ["unix:///var/run/docker.sock", "fd://"]}, "drop_ins": [drop_in]}
    result = run_module(host, json.dumps(ask), "daemon_config", check=True)
    assert (result["failed"], "fd:// needs docker.socket" in result["msg"]) == (True, True)
    ask = {"owner": "options", "drop_ins": [{"name": "zz-limits.conf", "content": "[Service]\nLimitNOFILE=4096\n"}]}
    result = run_module(host, json.dumps(ask), "daemon_config", check=True)
    assert (result["failed"], "zz-limits.conf sets LimitNOFILE, which only systemd knows" in result["msg"]) == (True, True)


# Boots with and without the disk ---------------------------------------------------------------------------------


def assert_nothing_started(host: t.Any, log: int, kept: str) -> None:
    """Not at boot, not by hand, not by a restart; the message names what is missing, and both trees are untouched."""
    assert host.run("docker info").rc != 0
    for verb in ("start", "restart", "force-reload"):
        started = host.run(f"service docker {verb}")
        assert started.rc != 0
        assert f"drydock: the data root {NEW} is not there" in started.stderr
    assert host.run("pgrep --exact dockerd").rc != 0
    words = log_since(host, log)
    assert words.count(f"drydock: the data root {NEW} is not there") == 4
    assert "Starting up" not in words
    assert not host.file("/var/lib/docker").exists
    assert host.check_output(f"python3 -c %s {KEPT}", DIGEST) == kept


def assert_all_is_well(host: t.Any, before: dict[str, t.Any]) -> None:
    now = snapshot(host)
    assert now["root"] == NEW
    assert (now["images"], now["volumes"], now["networks"]) == (before["images"], before["volumes"], before["networks"])
    assert {name: one["id"] for name, one in now["containers"].items()} == {name: one["id"] for name, one in before["containers"].items()}
    assert now["containers"]["beat"]["state"] == "running"


def test_without_its_disk_with_another_one_and_without_its_line_in_fstab_the_daemon_does_not_start(host: t.Any, before: dict[str, t.Any]) -> None:
    image = f"/var/lib/lab/{host.ansible.get_variables()['ansible_host']}.img"
    kept, log = host.check_output(f"python3 -c %s {KEPT}", DIGEST), size_of_log(host)
    kill_host(host)
    boot(host)
    wait_for(lambda: host.run("docker info").rc == 0, "the start")
    assert_all_is_well(host, before)

    host.check_output(f"mv {image} /var/lib/lab/elsewhere")
    log = size_of_log(host)
    kill_host(host)
    boot(host)
    assert_nothing_started(host, log, kept)
    assert host.check_output("find /mnt/data -mindepth 1") == ""

    host.check_output(f"truncate -s 64M {image} && mkfs.ext4 -q {image}")
    log = size_of_log(host)
    kill_host(host)
    boot(host)
    assert host.run("mountpoint /mnt/data").rc == 0
    assert_nothing_started(host, log, kept)
    assert host.check_output("find /mnt/data -mindepth 1 -printf '%P\\n'") == "lost+found"
    host.check_output(f"umount /mnt/data && mv /var/lib/lab/elsewhere {image}")

    host.check_output("mv /etc/fstab /etc/fstab.away && grep cgroup /etc/fstab.away >/etc/fstab")
    log = size_of_log(host)
    kill_host(host)
    boot(host)
    assert_nothing_started(host, log, kept)
    assert host.check_output("find /mnt/data -mindepth 1") == ""

    host.check_output("mv /etc/fstab.away /etc/fstab && mount /mnt/data && service docker start")
    wait_for(lambda: host.run("docker info").rc == 0, "the start")
    assert_all_is_well(host, before)
    start_what_policies_left(host)


# States ----------------------------------------------------------------------------------------------------------


def test_states(host: t.Any, before: dict[str, t.Any]) -> None:
    pid = snapshot(host)["pid"]
    assert not run_module(host, "state=restarted", "daemon_state")["changed"]

    forced = run_module(host, "state=restarted force=true", "daemon_state")
    assert (forced["changed"], forced["applied"]) == (True, "restart")
    assert snapshot(host)["pid"] != pid
    assert_all_is_there(snapshot(host), before)

    pid = snapshot(host)["pid"]
    host.check_output("sed -i 's/^{/{\"debug\": true,/' /etc/docker/daemon.json")
    assert run_module(host, "state=reloaded", "daemon_state")["applied"] == "reload"
    assert host.check_output("docker info --format '{{.Debug}}'") == "true"
    assert snapshot(host)["pid"] == pid

    assert run_module(host, "state=stopped", "daemon_state")["changed"]
    assert host.run("pgrep dockerd").rc != 0
    assert host.run("service docker status").rc != 0
    assert not run_module(host, "state=stopped", "daemon_state")["changed"]
    started = run_module(host, "state=started", "daemon_state")
    assert (started["failed"], started["changed"]) == (False, True)
    assert not run_module(host, "state=started", "daemon_state")["changed"]
    start_what_policies_left(host)
    assert_all_is_there(snapshot(host), before)


def test_daemon_that_does_not_start_is_undone_and_its_own_words_are_told(host: t.Any, before: dict[str, t.Any]) -> None:
    files = host.check_output("md5sum /etc/default/docker /etc/docker/daemon.json")
    result = run_module(host, json.dumps({"owner": "options", "settings": {"bridge": "nosuch0"}}), "daemon_config")
    assert result["failed"]
    assert "bridge device with non default name nosuch0 must be created manually. The old configuration was restored" in result["msg"]
    assert "/var/log/docker.log" in result["msg"]
    assert host.check_output("md5sum /etc/default/docker /etc/docker/daemon.json") == files
    assert_all_is_there(snapshot(host), before)


# A stop that takes its time --------------------------------------------------------------------------------------


def test_slow_container_comes_to_its_end_and_nobody_starts_or_kills_the_daemon(host: t.Any, before: dict[str, t.Any]) -> None:
    stubborn = "trap 'sleep 13; echo ended >/slow/log; exit 0' TERM; while :; do sleep 0.2; done"
    host.check_output("docker run --detach --name slow --stop-timeout 60 --volume slow:/slow lab:app sh -c %s", stubborn)
    new = other(snapshot(host)["root"])
    process = start_module(host, to(new))
    wait_for(lambda: host.run("test -e /run/drydock-hold").rc == 0, "the hold")
    pid = host.check_output("cat /run/docker.pid")
    for verb in ("start", "stop", "restart", "force-reload"):
        called = host.run(f"service docker {verb}")
        assert called.rc != 0
        assert "a change of the Docker daemon is under way" in called.stderr
    assert host.check_output("cat /run/docker.pid") == pid
    result = end_of(process)
    assert not result["failed"], result["msg"]
    assert result["downtime_seconds"] > 13
    assert host.check_output("docker exec slow cat /slow/log") == "ended"
    assert host.check_output("docker inspect --format '{{.State.Status}}' slow") == "running"
    host.check_output("docker rm --force --volumes slow && docker volume rm slow")
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)


# Another engine ---------------------------------------------------------------------------------------------------


@pytest.mark.extra
def test_another_engine_is_installed_while_the_old_one_runs(host: t.Any, before: dict[str, t.Any]) -> None:
    """The packages' scripts start the daemon, and end with an error where they may not."""
    source = "/etc/apt/sources.list.d/bookworm.list"
    host.check_output(f"sed 's/ trixie / bookworm /' /etc/apt/sources.list >{source} && apt-get update --quiet")
    for version, step in (("20.10", ""), ("26.1", "stop"), ("26.1", "")):
        if step:
            in_background(host, "lab-host kill-at %s", step)
        result = run_module(host, f"packages=docker.io version={version}.*", "engine_upgrade")
        assert result["failed"] == bool(step), result["msg"]
        assert not step or "docker.io 20.10.24+dfsg1-1+deb12u1+b6 came back." in result["msg"]
        assert host.check_output("docker version --format '{{.Server.Version}}'").startswith("20.10" if step else version)
        assert_all_is_there(snapshot(host), before)
    host.check_output(f"rm {source} && apt-get update --quiet")


# Deaths ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["stop", f"write {DEFAULTS}"])
def test_killed_worker_is_recovered_at_once_and_the_next_run_finishes(host: t.Any, before: dict[str, t.Any], step: str) -> None:
    old = snapshot(host)["root"]
    new = other(old)
    in_background(host, "lab-host kill-at %s", step)
    assert_a_killed_worker_is_recovered(host, before, old, new, to(new))


@pytest.mark.parametrize("step", ["write /etc/docker/daemon.json", pytest.param("start", marks=pytest.mark.extra)])
def test_killed_host_recovers_before_docker_starts_and_the_next_run_finishes(host: t.Any, before: dict[str, t.Any], step: str) -> None:
    old = snapshot(host)["root"]
    new = other(old)
    text = host.file(DEFAULTS).content_string
    in_background(host, "lab-host freeze-at %s", step)
    process = start_module(host, to(new))
    wait_for(lambda: host.run("test -e /run/lab-frozen").rc == 0, step)
    log = size_of_log(host)
    kill_host(host)
    give_up(process)
    boot(host)
    wait_for(lambda: host.run("docker info").rc == 0, "the start")

    now = snapshot(host)
    committed = step == "start"
    assert now["root"] == (new if committed else old)
    assert {one: value["id"] for one, value in now["containers"].items()} == {one: value["id"] for one, value in before["containers"].items()}
    assert (now["volumes"], now["images"], now["networks"]) == (before["volumes"], before["images"], before["networks"])
    assert host.file(JOURNAL).exists is committed
    words = log_since(host, log)
    assert ("An interrupted change was undone" in words) is not committed
    assert words.count('"Starting up"') == 1
    if not committed:
        assert words.index("An interrupted change was undone") < words.index('"Starting up"')
        assert host.file(DEFAULTS).content_string == text

    again = run_module(host, to(new))
    assert not again["failed"], again["msg"]
    start_what_policies_left(host)
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)


def test_a_run_whose_supervisor_died_too_is_recovered_by_the_next_one(host: t.Any, before: dict[str, t.Any]) -> None:
    old = snapshot(host)["root"]
    new = other(old)
    in_background(host, "lab-host freeze-at %s", "final copy")
    process = start_module(host, to(new))
    wait_for(lambda: host.run("test -e /run/lab-frozen").rc == 0, "the final copy")
    host.check_output("pkill --signal KILL --full '[w]orker.pyz' && rm /run/lab-frozen")
    give_up(process)
    again = run_module(host, to(new))
    assert not again["failed"], again["msg"]
    assert "An interrupted change was undone" in again["msg"]
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)


def test_nothing_is_left_over(host: t.Any) -> None:
    assert host.check_output("find /etc -name '*drydock*'") == ""
    assert host.check_output("ls /run/drydock-hold /run/drydock-dockerd.held /run/drydock-dockerd.stopping 2>/dev/null || true") == ""
    assert host.run("pgrep --full '[w]orker.pyz'").rc != 0
