# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""docker's SysV init script: read by a real shell, and a daemon that is a real process."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import CommandFailed, DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import host as host_module
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Result
from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import process_identity
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.paths import look_at_paths
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.order import steps_of
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.planner import make_plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request
from ansible_collections.drydock.dockerd.plugins.module_utils._service import sysv as sysv_module
from ansible_collections.drydock.dockerd.plugins.module_utils._service import sysv_defaults_file, unit_file
from ansible_collections.drydock.dockerd.plugins.module_utils._service.detect import service_of
from ansible_collections.drydock.dockerd.plugins.module_utils._service.systemd import Systemd
from ansible_collections.drydock.dockerd.plugins.module_utils._service.sysv import SysV, restart_seconds
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import worker_main
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal

pytestmark = pytest.mark.runs_commands

# What docker.io's script sets before it sources the other file.
SCRIPT = """#!/bin/sh
set -e
export PATH=/sbin:/bin:/usr/sbin:/usr/bin
BASE=docker
DOCKERD=/usr/sbin/dockerd
DOCKER_PIDFILE={top}/$BASE.pid
DOCKER_SSD_PIDFILE={top}/$BASE-ssd.pid
DOCKER_LOGFILE={top}/$BASE.log
DOCKER_OPTS=
if [ -f /etc/default/$BASE ]; then
	. /etc/default/$BASE
fi
fail() {{
	DOCKERD=not-an-assignment-of-the-script
}}
"""
# Ends in its own time when it is asked to, and takes its pid file along; counts how often it was asked.
DOCKERD = """#!/bin/sh
trap 'echo asked >>{top}/asked; ended=1' TERM
trap 'echo again >>{top}/reloads' HUP
echo $$ >{top}/docker.pid
while [ -z "$ended" ]; do sleep 0.05; done
sleep {seconds}
rm {top}/docker.pid
"""


@pytest.fixture
def top(tmp_path):
    return tmp_path / "host"


@pytest.fixture
def machine(host, top):
    """A host with docker's script; its commands are real but for 'service'."""
    names = ("init_script", "init_defaults", "held", "stopping", "booted", "worker", "worker_log", "daemon_json", "state_dir")
    places = dataclasses.replace(host.places, **{name: str(top / name) for name in names})
    pathlib.Path(places.init_script).write_text(SCRIPT.format(top=top))
    calls = []

    def execute(argv, timeout, stdin):
        if argv[0] == "service":
            calls.append((" ".join(argv), os.path.exists(places.hold)))
            return Result(tuple(argv), 1, "", "drydock: the data root /x is not there\n")
        return host_module._run(argv, timeout, stdin)

    machine = dataclasses.replace(host, execute=execute, places=places, sleep=time.sleep)
    machine.calls = calls
    return machine


@pytest.fixture
def sysv(machine):
    return SysV(machine)


@pytest.fixture
def dockerd(top):
    """Start a dockerd."""
    processes = []

    def start(seconds=0.0):
        program = top / "dockerd"
        program.write_text(DOCKERD.format(top=top, seconds=seconds))
        # A shell cannot trap what was ignored before it, as under nohup.
        heard = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)}
        processes.append(subprocess.Popen(["/bin/sh", str(program)], start_new_session=True, **heard))
        until = time.monotonic() + 10
        while not (top / "docker.pid").exists() or not (top / "docker.pid").read_text():
            assert time.monotonic() < until
            time.sleep(0.01)
        return processes[-1]

    yield start
    for one in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()


def defaults(machine, text):
    pathlib.Path(machine.places.init_defaults).write_text(text)


def test_what_booted_the_host_decides(machine):
    assert isinstance(service_of(machine), SysV)
    os.makedirs(machine.places.runtime_units)
    assert isinstance(service_of(machine), Systemd)
    os.rmdir(machine.places.runtime_units)
    os.unlink(machine.places.init_script)
    assert isinstance(service_of(machine), Systemd)


# Reading ---------------------------------------------------------------------------------------------------------


def test_the_shell_decides_what_the_options_are(sysv, machine, top):
    defaults(machine, 'DOCKER_OPTS="$DOCKER_OPTS --label=a"\nif [ "$1" = status ]; then DOCKER_OPTS="$DOCKER_OPTS --debug"; fi\n')
    unit = sysv.read(())
    assert unit.effective({}) == ["/usr/sbin/dockerd", "-p", f"{top}/docker.pid", "--label=a", "--debug"]
    assert unit.command.argv == unit.words({}) == unit.effective({})
    assert [unit.origin(flag) for flag in unit_file.parse_flags(unit.effective({})[1:])] == [
        machine.places.init_script,
        *[machine.places.init_defaults] * 2,
    ]


def test_without_the_file_there_are_no_options(sysv, top):
    assert sysv.read(()).effective({}) == ["/usr/sbin/dockerd", "-p", f"{top}/docker.pid"]


ENDS = {"an exit": "exit 0\n", "a return": "return 0\n", "a command that fails": "false\n", "a quote without its end": "A='b\n"}


@pytest.mark.parametrize("text", ENDS.values(), ids=ENDS)
def test_a_file_that_ends_before_our_block_is_refused(sysv, machine, text):
    defaults(machine, text)
    with pytest.raises(DrydockError, match="does not run to its end"):
        sysv.read(())


def test_nothing_else_is_looked_after(sysv):
    assert sysv.read_if_there("docker.service", ()).texts == sysv.read(()).texts
    assert (sysv.read_if_there("containerd.service", ()), sysv.main_pid("containerd.service"), sysv.socket_path()) == (None, 0, None)
    assert not sysv.mounts_at_boot("/mnt")


def test_our_drop_ins_are_read_back_and_others_are_kept(sysv, machine, top):
    variables = sysv_defaults_file.Variables("/usr/sbin/dockerd", "", f"{top}/docker.pid", f"{top}/docker-ssd.pid", f"{top}/docker.log")
    texts = {"zz-ours.conf": "[Service]\nEnvironment=A=1\n", "zz-lost.conf": "[Service]\nEnvironment=B=2\n"}
    defaults(machine, "X=1\n" + sysv_defaults_file.render(machine.places, texts, variables))
    unit = sysv.read({"zz-ours.conf"})
    assert unit.ours == {"zz-ours.conf": texts["zz-ours.conf"]}
    assert list(unit.changes("", unit.ours)) == []
    ((path, before, after),) = unit.changes("", {})
    assert (path, before) == (machine.places.init_defaults, pathlib.Path(path).read_text())
    assert sysv_defaults_file.drop_ins(after) == {"zz-lost.conf": texts["zz-lost.conf"]}


# Planning --------------------------------------------------------------------------------------------------------


def plan_of(machine, make_state, ask):
    unit = SysV(machine).read(())
    state = make_state(unit=unit, systemd_socket=None)
    return make_plan(state, Request(asks=(ask,)), look_at_paths(state), machine.places.units, machine.places.daemon_json)


def test_a_drop_in_becomes_a_change_of_the_file_and_needs_a_restart(machine, make_state):
    defaults(machine, "X=1\n")
    plan, problems = plan_of(machine, make_state, Ask("options", {}, {"zz.conf": "[Service]\nEnvironment=A=1\n"}))
    assert problems == []
    assert steps_of(plan) == ["hold", "stop", f"write {machine.places.init_defaults}", "commit", "start", "prove", "release"]
    assert plan.files[0].after.startswith("X=1\n\n# BEGIN")
    # The block that guards the change is there by then, and undoing must not take it away under way.
    assert plan.files[0].before == "X=1\n" + sysv_defaults_file.render(machine.places, {})


def test_addresses_that_are_keys_now_leave_the_options_of_others(machine, make_state, top):
    defaults(machine, "DOCKER_OPTS='-H unix:///var/run/docker.sock --label=a'\n")
    ask = Ask("listen", {"hosts": ["unix:///var/run/docker.sock"]}, {"zz.conf": "[Service]\nExecStart=\nExecStart=@dockerd_command@\n"})
    plan, _problems = plan_of(machine, make_state, ask)
    assert plan.after.command == ("/usr/sbin/dockerd", "-p", f"{top}/docker.pid", "--label=a")
    assert "DOCKER_OPTS=--label=a\n" in plan.files[0].after


def test_without_drop_ins_the_file_does_not_change(machine, make_state):
    plan, _problems = plan_of(machine, make_state, Ask("options", {"debug": True}))
    assert steps_of(plan) == ["reloading", f"write {machine.places.daemon_json}", "reload", "prove values", "commit"]


# Guarding and holding --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["X=1", None], ids=["a file", "no file"])
def test_a_boot_is_guarded_while_the_journal_is_open(sysv, machine, text):
    path = pathlib.Path(machine.places.init_defaults)
    if text is not None:
        defaults(machine, text)
    journal = Journal(machine)
    journal.create({})
    journal.guard_boot("unused")
    assert "worker.pyz boot" in path.read_text()
    journal.close()
    assert (path.read_text() if path.exists() else None) == text


def test_a_block_with_something_to_say_stays_when_the_journal_is_closed(sysv, machine):
    text = "X=1\n" + sysv_defaults_file.render(machine.places, {"zz.conf": "[Service]\nEnvironment=A=1\n"})
    defaults(machine, text)
    sysv.guard_boot("unused", "unused")
    sysv.unguard_boot()
    assert pathlib.Path(machine.places.init_defaults).read_text() == text


def test_scripts_of_packages_neither_start_the_daemon_nor_fail_for_that(sysv, machine):
    sysv.hold("/usr/sbin/dockerd --new")
    held = pathlib.Path(machine.places.held).read_text()

    def call(word):
        return subprocess.run(["/bin/sh", "-c", '. "$0"', machine.places.init_defaults, word], capture_output=True, check=False).returncode

    with sysv.staying():
        assert (call("start"), call("stop")) == (0, 1)
        # One that was cut off is begun anew.
        with sysv.staying():
            assert call("start") == 0
    assert (call("start"), call("stop")) == (1, 1)
    assert pathlib.Path(machine.places.held).read_text() == held
    assert not sysv.main_pid()


def test_a_hold_waits_for_calls_that_have_read_the_file_before(sysv, machine, top):
    script = pathlib.Path(machine.places.init_script)
    script.write_text(SCRIPT.format(top=top) + f"touch {top}/called\nsleep 0.7\n")
    call = subprocess.Popen(["/bin/sh", str(script), "start"])
    while not (top / "called").exists():
        time.sleep(0.01)
    sysv.hold("/usr/sbin/dockerd")
    # (A process that waits to be reaped has no command any more.)
    assert call.poll() is not None
    assert sysv.is_held()
    sysv.unhold()
    assert not sysv.is_held()
    assert not os.path.exists(machine.places.hold)


# Stopping and starting -------------------------------------------------------------------------------------------


def test_a_stop_waits_as_long_as_the_daemon_takes(sysv, dockerd, top):
    process = dockerd(seconds=1.2)
    (top / "docker-ssd.pid").write_text(f"{process.pid}\n")
    assert sysv.main_pid() == process.pid
    sysv.stop()
    assert process.wait(0) == 0
    assert not (top / "docker-ssd.pid").exists()
    assert sysv.main_pid() == 0


def test_a_stop_of_a_daemon_that_is_down_is_fine(sysv):
    sysv.stop()


def test_a_killed_daemon_is_no_clean_stop(sysv, dockerd):
    process = dockerd(seconds=60)

    def kill_it(seconds):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    with pytest.raises(CommandFailed, match="it was killed"):
        SysV(dataclasses.replace(sysv.host, sleep=kill_it)).stop()


def test_a_stop_that_was_interrupted_is_waited_for_and_not_asked_for_again(sysv, machine, dockerd, top):
    process = dockerd(seconds=0.7)
    os.kill(process.pid, signal.SIGTERM)
    # Two signals that come before the first one is dealt with are one.
    while not (top / "asked").exists():
        time.sleep(0.01)
    pathlib.Path(machine.places.stopping).write_text(process_identity(process.pid))
    assert sysv.main_pid() == 0
    sysv.stop()
    assert (top / "asked").read_text() == "asked\n"
    assert process.wait(0) == 0


def test_a_start_waits_for_a_stop_and_says_what_the_script_says(sysv, machine, dockerd):
    process = dockerd(seconds=0.5)
    os.kill(process.pid, signal.SIGTERM)
    pathlib.Path(machine.places.stopping).write_text(process_identity(process.pid))
    pathlib.Path(machine.places.hold).touch()
    with pytest.raises(CommandFailed, match="dockerd does not start: drydock: the data root /x is not there"):
        sysv.start(5)
    assert process.poll() is not None
    assert machine.calls == [("service docker start", False)]


def test_a_process_that_has_the_daemon_s_number_is_not_the_daemon(sysv, machine, top):
    (top / "docker.pid").write_text(str(os.getpid()))
    (top / "docker-ssd.pid").write_text(str(os.getpid()))
    assert sysv.main_pid() == 0
    with pytest.raises(CommandFailed):
        sysv.start(5)
    # The script would take it for a daemon that runs.
    assert not (top / "docker-ssd.pid").exists()


def test_a_reload_reaches_the_daemon(sysv, dockerd, top):
    dockerd()
    sysv.signal_reload()
    until = time.monotonic() + 10
    while not (top / "reloads").exists():
        assert time.monotonic() < until
        time.sleep(0.01)


# The worker ------------------------------------------------------------------------------------------------------

WORKER = """import os, pathlib, signal, sys
operations = pathlib.Path({operations!r})
with operations.open("a") as stream:
    stream.write(sys.argv[1] + "\\n")
if sys.argv[1] == "run":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[1] == "supervise":
    signal.pause()
"""


@pytest.fixture
def program(machine, top):
    """A worker that notes what it is asked for, and is killed when it runs."""
    os.makedirs(machine.places.state_dir)
    pathlib.Path(machine.places.program).write_text(WORKER.format(operations=str(top / "operations")))
    return [sys.executable, machine.places.program]


def test_a_killed_worker_is_recovered_at_once(machine, program, top):
    worker_main._supervise(machine)
    assert (top / "operations").read_text().split() == ["run", "recover"]


def test_the_worker_is_active_as_long_as_its_supervisor_lives(sysv, program, top, monkeypatch):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(sysv_module.subprocess, "Popen", Popen)
    assert not sysv.worker_is_active()
    sysv.start_worker(program)
    assert sysv.worker_is_active()
    (supervisor,) = started
    assert os.getsid(supervisor.pid) == supervisor.pid
    supervisor.kill()
    supervisor.wait()
    assert not sysv.worker_is_active()


# The log ---------------------------------------------------------------------------------------------------------


def line(second, message):
    return f'time="2026-11-24T18:57:{second:06.3f}000000Z" level=info msg="{message}"\n'


def test_the_log_tells_why_since_a_moment(sysv, top):
    """A reload that does not take says why there, and only there."""
    old, new = (f'time="2026-11-30T10:00:0{second}.5Z" level=error msg="{words}"' for second, words in ((1, "long ago"), (9, "no such thing")))
    (top / "docker.log").write_text(f"{old}\n{new}\nno time at all, failed to begin\n")
    began = datetime.datetime(2026, 11, 30, 10, 0, 5, tzinfo=datetime.timezone.utc).timestamp()
    assert sysv.last_words(began) == "no such thing"
    assert sysv.last_words(began + 60) == ""


def test_the_log_tells_how_long_the_last_restart_took():
    log = "cut short\n" + line(1, "Starting up") + line(9, "API listen on /var/run/docker.sock") + "no time\n"
    log += line(20, "Processing signal 'terminated'") + line(20.5, "stopping") + line(22, "Daemon shutdown complete")
    log += line(30, "Starting up") + line(31.25, "API listen on /var/run/docker.sock") + line(31.5, "API listen on [::]:2375")
    assert restart_seconds(log) == 3.25
    assert restart_seconds("") == 0
