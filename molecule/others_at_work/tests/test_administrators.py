# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Administrators have units that need the daemon, edit its configuration and protect it, while others change it."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import typing as t

import pytest
from others import (
    CONFIGURATION,
    HOLDS,
    JOURNAL,
    RUN,
    Pause,
    assert_well,
    cleared,  # noqa: F401  for each test
    next_run,
    restart,
    restart_with_deed_at,
    wanted,
)
from running import boot, descendants, give_up, play_of, run_module, snapshot, start_playbook, wait_for

HOSTS = ("trixie",)
STACK = """\
[Unit]
Requires=docker.service
After=docker.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/docker {start}
ExecStop=/usr/bin/docker {stop}
[Install]
WantedBy=multi-user.target
"""


def write(host: t.Any, path: str, text: str) -> None:
    host.check_output("mkdir -p %s && printf %%s %s >%s", os.path.dirname(path), text, path)


def set_key(host: t.Any, key: str, value: object) -> None:
    """As an editor does it that knows JSON."""
    program = f"import json; d = json.load(open('{CONFIGURATION}')); d[{key!r}] = {value!r}; json.dump(d, open('{CONFIGURATION}', 'w'))"
    host.check_output("[ -e %s ] || echo '{}' >%s; python3 -c %s", CONFIGURATION, CONFIGURATION, program)


@pytest.fixture
def theirs(host: t.Any) -> t.Iterator[str]:
    """Somebody else's data root, which is in no configuration any more when the test has ended."""
    yield "/mnt/data/theirs"
    program = f"import json; d = json.load(open('{CONFIGURATION}')); d.pop('data-root', None); json.dump(d, open('{CONFIGURATION}', 'w'))"
    host.check_output("python3 -c %s", program)


def state_of(host: t.Any, name: str) -> str:
    return host.run("docker inspect --format '{{.State.Status}}' %s", name).stdout.strip()


def send(pids: t.Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.parametrize(
    ("start", "stop"),
    [("run -d --name shop lab:app sleep 1d", "rm -f shop"), pytest.param("start shop", "stop --time 0 shop", marks=pytest.mark.extra)],
    ids=["run-rm", "start-stop"],
)
def test_a_unit_that_requires_the_daemon_is_active_again(host: t.Any, start: str, stop: str) -> None:
    if start == "start shop":
        host.check_output("docker create --name shop lab:app sleep 1d")
    write(host, "/etc/systemd/system/app-stack.service", STACK.format(start=start, stop=stop))
    host.check_output("systemctl daemon-reload && systemctl enable --now --quiet app-stack.service")
    host.check_output(f"{RUN} --name plain lab:app sleep 1d")
    play = restart(host)
    assert not play.failed, play.message
    assert host.run("systemctl is-active app-stack.service").stdout.strip() == "active"
    assert (state_of(host, "shop"), state_of(host, "plain")) == ("running", "running")
    assert_well(host)


def test_a_data_root_of_somebody_else_that_is_not_in_force_is_refused(host: t.Any, theirs: str) -> None:
    before = snapshot(host)
    set_key(host, "data-root", theirs)
    text = host.file(CONFIGURATION).content_string
    play = restart(host)
    assert play.failed
    assert all(word in play.message for word in ("data-root", theirs, before["root"])), play.message
    assert len(play.message) < 400, play.message
    now = snapshot(host)
    assert (now["pid"], now["containers"]) == (before["pid"], before["containers"])
    assert host.file(CONFIGURATION).content_string == text
    assert not host.file(theirs).exists
    assert_well(host)


@pytest.mark.parametrize("step", [pytest.param("hold", marks=pytest.mark.extra), pytest.param("stop", marks=pytest.mark.extra), "start"])
def test_a_data_root_that_somebody_writes_meanwhile_comes_not_into_force_and_stays(host: t.Any, theirs: str, step: str) -> None:
    before = snapshot(host)
    play = restart_with_deed_at(host, step, lambda: set_key(host, "data-root", theirs))
    now = snapshot(host)
    assert now["root"] == before["root"]
    assert json.loads(host.file(CONFIGURATION).content_string).get("data-root") == theirs, play.message
    assert play.failed
    assert_well(host, refused=theirs)


def die(host: t.Any, process: subprocess.Popen[str]) -> None:
    """The whole host dies, and boots."""
    subprocess.run(["docker", "kill", host.ansible.get_variables()["ansible_host"]], check=True, stdout=subprocess.DEVNULL)
    give_up(process)
    boot(host)


def lose_worker(host: t.Any, process: subprocess.Popen[str]) -> None:
    """The worker and those who would recover are killed, and somebody takes the hold away by hand."""
    program = "/var/lib/drydock/dockerd/worker.pyz"
    host.check_output(f"mv {program} {program}.off && systemctl kill --signal=KILL drydock-dockerd.service")
    give_up(process)
    wait_for(lambda: host.run("systemctl is-active drydock-dockerd.service").rc != 0, "the end of the unit")
    host.check_output(f"mv {program}.off {program} && rm -rf {HOLDS} && systemctl daemon-reload")


@pytest.mark.parametrize(("step", "end"), [pytest.param("commit", lose_worker, marks=pytest.mark.extra), ("start", die)])
def test_a_configuration_that_somebody_has_mended_by_hand_stays(host: t.Any, step: str, end: t.Callable[[t.Any, subprocess.Popen[str]], None]) -> None:
    """Before anybody runs again after a change that has died, somebody has written what he wants, and restarted the daemon."""
    with Pause(host, step) as pause:
        process = start_playbook(host.ansible.get_variables()["inventory_hostname"], "options", wanted(host))
        pause.wait(process)
        end(host, process)
    assert host.file(JOURNAL).exists
    text = '{"mtu": 1420,   "labels": ["by=hand"]}\n'
    write(host, CONFIGURATION, text)
    host.check_output("systemctl restart docker.socket docker.service")
    pid = snapshot(host)["pid"]
    result = run_module(host, "state=restarted", module="daemon_state")
    assert host.file(CONFIGURATION).content_string == text, result["msg"]
    assert not result["failed"], result["msg"]
    assert snapshot(host)["pid"] == pid, result["msg"]
    assert_well(host)


def test_an_immutable_configuration_is_told_with_the_words_of_the_system(host: t.Any) -> None:
    """One that is so before the change is refused before it."""
    set_key(host, "max-concurrent-uploads", 7)
    try:
        play = restart_with_deed_at(host, "stop", lambda: host.check_output(f"chattr +i {CONFIGURATION}"))
    finally:
        host.check_output(f"chattr -i {CONFIGURATION}")
    assert play.failed
    assert CONFIGURATION in play.message
    assert "Operation not permitted" in play.message
    assert "killed" not in play.message
    play = restart(host)
    assert not play.failed, play.message
    assert_well(host)


def is_client(pid: int) -> bool:
    """Whether a process of Ansible's is its connection to a host."""
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[0].endswith(b"docker") and b"exec" in words


def test_the_first_of_two_controllers_gets_its_own_end(host: t.Any) -> None:
    """The first one loses its connection. The second one follows that change, does its own, and has ended before the first one asks again."""
    target = host.ansible.get_variables()["inventory_hostname"]
    first = start_playbook(target, "options", wanted(host))
    wait_for(lambda: '"step": "stop"' in host.run(f"cat {JOURNAL}/log.jsonl").stdout, "the stop")
    pids = descendants(first.pid)
    send(pids, signal.SIGSTOP)
    send((pid for pid in pids if is_client(pid)), signal.SIGKILL)
    second = next_run(host, restart="always")
    send(pids, signal.SIGCONT)
    play = play_of(first, target)
    assert second["changed"], second["msg"]
    assert (play.failed, play.changed) == (False, 1), play.message
    assert_well(host)


def test_a_lock_is_root_s_alone(host: t.Any) -> None:
    """Who could take it could keep all changes from this host."""
    assert next_run(host)["changed"]
    assert host.check_output("stat --format '%U %a' /run/drydock-dockerd.lock") == "root 600"
    assert host.run("su nobody -s /bin/sh -c 'flock --nonblock /run/drydock-dockerd.lock true'").rc != 0
    assert_well(host)
