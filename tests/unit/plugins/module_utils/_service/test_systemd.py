# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The units of a host are read from their files, and systemd is asked for nothing that leaves a way around the hold."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import time
import types

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import CommandFailed, DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Result
from ansible_collections.drydock.dockerd.plugins.module_utils._service.systemd import HOLD_DROP_IN, STAY_DROP_IN, Systemd
from ansible_collections.drydock.dockerd.plugins.module_utils._service.unit_file import parse_flags, values

UNIT = "[Service]\nEnvironmentFile=-{}\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\n"


@pytest.fixture
def place(host):
    """Write a file below one of the host's unit directories."""

    def put(directory, name, text):
        path = pathlib.Path(host.places.state_dir).parent / directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return put


@pytest.fixture
def unit(host, place):
    """A vendor's unit with an environment file."""
    options = place("etc", "docker", 'DOCKER_OPTS="--debug --label a=b"\n')
    return place("vendor", "docker.service", UNIT.format(options))


@pytest.fixture
def systemd(host):
    """Both units loaded, dockerd up."""
    host.execute.answers = {
        "systemctl show docker.socket --property LoadState": (0, "LoadState=loaded\n"),
        "systemctl show docker.service --property ActiveState,MainPID": (0, "ActiveState=active\nMainPID=42\n"),
        "systemctl show docker.service --property ActiveState,Result": (0, "ActiveState=inactive\nResult=success\n"),
    }
    return Systemd(host)


def test_read_takes_the_admin_s_unit_before_the_vendor_s(host, place, unit):
    assert Systemd(host).read(()).fragment == unit
    admins = place("units", "docker.service", "[Service]\nExecStart=/opt/dockerd\n")
    found = Systemd(host).read(())
    assert (found.fragment, str(found.command)) == (admins, "/opt/dockerd")


def test_read_tells_our_drop_ins_from_foreign_ones_and_forgets_the_hold(host, place, unit):
    place("vendor", "docker.service.d/50-shadowed.conf", "[Service]\nExecStart=never seen\n")
    shadow = place("units", "docker.service.d/50-shadowed.conf", "# nothing\n")
    runtime = place("runtime_units", "docker.service.d/10-runtime.conf", "[Service]\nEnvironment=A=1 'B=2 3'\n")
    place("units", "docker.service.d/zz-ours.conf", "[Service]\nEnvironment=A=4\n")
    place("runtime_units", f"docker.service.d/{HOLD_DROP_IN}", "[Service]\nExecStart=\nExecStart=/bin/false\n")
    place("units", "docker.service.d/README", "no drop-in\n")
    found = Systemd(host).read({"zz-ours.conf"})
    assert list(found.texts) == [unit, runtime, shadow]
    assert found.ours == {"zz-ours.conf": "[Service]\nEnvironment=A=4\n"}
    assert found.environment == {"A": "4", "B": "2 3", "DOCKER_OPTS": "--debug --label a=b"}


def test_read_without_an_engine_says_so(host):
    with pytest.raises(DrydockError, match=r"no docker\.service"):
        Systemd(host).read(())


def test_read_of_a_masked_unit_says_so(host, unit):
    os.makedirs(host.places.units)
    os.symlink("/dev/null", os.path.join(host.places.units, "docker.service"))
    with pytest.raises(DrydockError, match="is masked by"):
        Systemd(host).read(())


def test_a_unit_without_a_command_says_so(make_unit):
    with pytest.raises(DrydockError, match="has no ExecStart"):
        _ = make_unit("[Service]\n").command


EFFECTIVE = {
    "alone": ({}, {}, ["/usr/sbin/dockerd", "-H", "fd://", "--debug"]),
    "with ours": ({"zz.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd $DOCKER_OPTS\n"}, {}, ["/usr/sbin/dockerd", "--debug"]),
    "ours sorts before a foreign one": (
        {"aa.conf": "[Service]\nExecStart=\nExecStart=ours\n"},
        {"/etc/systemd/system/docker.service.d/bb.conf": "[Service]\nExecStart=\nExecStart=foreign\n"},
        ["foreign"],
    ),
    "a prefix is not a word": ({"zz.conf": "[Service]\nExecStart=\nExecStart=-@/usr/sbin/dockerd docker 'a b'\n"}, {}, ["/usr/sbin/dockerd", "a b"]),
}


@pytest.mark.parametrize(("ours", "foreign", "argv"), EFFECTIVE.values(), ids=EFFECTIVE)
def test_the_effective_command_follows_the_order_of_names(make_unit, ours, foreign, argv):
    assert make_unit(foreign=foreign, environment={"DOCKER_OPTS": "--debug"}).effective(ours) == argv


@pytest.mark.parametrize(
    ("flag", "origin"),
    [
        ("-H fd://", "/lib/systemd/system/docker.service"),
        ("--label a=b", "/etc/systemd/system/docker.service.d/x.conf"),
        ("--tls", "variable DOCKER_OPTS"),
    ],
)
def test_origin_names_who_wrote_a_flag(make_unit, flag, origin):
    foreign = {"/etc/systemd/system/docker.service.d/x.conf": "[Service]\nExecStart=\nExecStart=dockerd --label   a=b\n"}
    unit = make_unit(foreign=foreign, environment={"OTHER": "x", "DOCKER_OPTS": "--tls"})
    assert unit.origin(parse_flags(flag.split())[0]) == origin


def test_the_hold_stops_every_start_but_ours_and_lies_where_a_reboot_clears_it(host, systemd):
    systemd.hold('/usr/sbin/dockerd --label "a b" --label=$HOME=%H')
    service, socket = (pathlib.Path(host.places.runtime_units, f"docker.{kind}.d", HOLD_DROP_IN).read_text() for kind in ("service", "socket"))
    for text in (service, socket):
        assert values([text], "Unit", "ConditionPathExists") == [f"!{host.places.hold}"]
    assert values(["[Service]\nExecStart=old\n", service], "Service", "ExecStart") == ['/usr/sbin/dockerd --label "a b" --label=$HOME=%H --restart=false']
    assert values([service], "Service", "TimeoutStopSec") == ["infinity"]
    assert os.path.exists(host.places.hold)
    assert host.execute.commands[-1] == "systemctl daemon-reload"


@pytest.mark.parametrize(("state", "there"), [("inactive", False), ("failed", False), ("active", True)])
def test_a_held_service_waits_for_its_socket(host, systemd, tmp_path, state, there):
    """Or a start of somebody else's, between two looks at the hold, brings up the daemon without it. It waits where clients do not find it."""
    path, node = tmp_path / "docker.sock", tmp_path / ".drydock-api" / "docker.sock"
    node.parent.mkdir()
    node.touch()
    host.execute.answers["systemctl show docker.socket --property Listen,LoadState"] = (0, f"Listen={path} (Stream)\nLoadState=loaded\n")
    host.execute.answers["systemctl show docker.socket --property ActiveState"] = (0, f"ActiveState={state}\n")
    systemd.start(5)
    assert node.exists()
    systemd.hold("dockerd", socket=str(path))
    service, socket = (pathlib.Path(host.places.runtime_units, f"docker.{kind}.d", HOLD_DROP_IN).read_text() for kind in ("service", "socket"))
    assert values([service], "Unit", "ConditionPathExists") == [f"!{host.places.hold}", str(node)]
    assert values([socket], "Socket", "ExecStartPost") == [f"/bin/mkdir -p -m 0700 {node.parent}", f"/bin/mv {path} {node}"]
    systemd.start(5)
    assert node.exists() == there


def test_a_start_with_policies_has_its_socket_where_containers_mount_it(host, systemd):
    systemd.hold("dockerd", socket="/run/docker.sock", policies=True)
    service, socket = (pathlib.Path(host.places.runtime_units, f"docker.{kind}.d", HOLD_DROP_IN).read_text() for kind in ("service", "socket"))
    assert values([service], "Unit", "ConditionPathExists") == [f"!{host.places.hold}", "/run/docker.sock"]
    assert values([socket], "Socket", "ExecStartPost") == []


def test_the_hold_of_a_host_without_a_socket_unit_makes_none(host, systemd):
    host.execute.answers["systemctl show docker.socket --property LoadState"] = (0, "LoadState=masked\n")
    systemd.hold("dockerd")
    assert os.listdir(host.places.runtime_units) == ["docker.service.d"]


def test_the_hold_of_containerd_has_its_new_command_and_goes_with_the_rest(host, systemd):
    """Whoever starts docker starts containerd first, condition or not."""
    service = dataclasses.replace(systemd, with_containerd=True)
    service.hold("dockerd", "containerd --root /new")
    (path,) = pathlib.Path(host.places.runtime_units).glob("containerd.service.d/*.conf")
    text = path.read_text()
    assert values([text], "Unit", "ConditionPathExists") == [f"!{host.places.hold}"]
    assert values([text], "Service", "ExecStart") == ["containerd --root /new"]
    service.unhold()
    assert not path.exists()


def test_containerd_is_stopped_and_started_only_where_it_moves(systemd):
    assert "containerd.service" in dataclasses.replace(systemd, with_containerd=True).units()
    assert "containerd.service" not in systemd.units()


def test_while_packages_are_installed_nobody_stops_the_daemon_or_containerd(host, systemd):
    there = pathlib.Path(host.places.runtime_units)
    with systemd.staying():
        refusing = {path.parent.name for path in there.rglob(STAY_DROP_IN) if values([path.read_text()], "Unit", "RefuseManualStop") == ["yes"]}
    assert refusing == {"docker.service.d", "docker.socket.d", "containerd.service.d"}
    assert not list(there.rglob(STAY_DROP_IN))
    with systemd.staying():
        # The recovery of one that was cut off.
        systemd.unhold()
        assert not list(there.rglob(STAY_DROP_IN))


def test_unhold_leaves_nothing_of_the_hold_and_may_be_repeated(host, systemd):
    systemd.hold("dockerd")
    for _turn in range(2):
        systemd.unhold()
        left = [path for path in pathlib.Path(host.places.runtime_units).rglob("*") if path.is_file()]
        assert (left, os.path.exists(host.places.hold)) == ([], False)
        assert host.execute.commands[-1] == "systemctl daemon-reload"


def test_stop_takes_socket_and_service_in_one_job(host, systemd):
    systemd.stop()
    assert "systemctl stop --job-mode=replace-irreversibly docker.socket docker.service" in host.execute.commands


@pytest.mark.parametrize(("closed", "units"), [(True, "docker.service"), (False, "docker.socket docker.service")])
def test_a_socket_that_is_closed_may_stay(host, systemd, tmp_path, closed, units):
    """Clients that find it would drive it into its trigger limit."""
    path = tmp_path / "docker.sock"
    path.touch()
    host.execute.answers["systemctl show docker.socket --property Listen,LoadState"] = (0, f"Listen={path} (Stream)\nLoadState=loaded\n")
    if closed:
        systemd.gate.close([str(path)], [])
    systemd.stop(keep_socket=True)
    assert f"systemctl stop --job-mode=replace-irreversibly {units}" in host.execute.commands


@pytest.mark.parametrize(("active", "result"), [("failed", "timeout"), ("failed", "signal"), ("failed", "watchdog"), ("active", "success")])
def test_a_stop_that_was_not_clean_is_an_error(host, systemd, active, result):
    """A killed dockerd leaves containers marked as stopped by hand."""
    host.execute.answers["systemctl show docker.service --property ActiveState,Result"] = (0, f"ActiveState={active}\nResult={result}\n")
    with pytest.raises(CommandFailed, match=f"{active} with result '{result}'"):
        systemd.stop()


def test_start_lets_the_condition_pass_first(host, systemd):
    pathlib.Path(host.places.hold).touch()
    systemd.start(30)
    assert not os.path.exists(host.places.hold)
    changing = [command for command in host.execute.commands if not command.startswith("systemctl show")]
    assert changing == ["systemctl reset-failed docker.socket docker.service", "systemctl start docker.socket docker.service"]


def test_start_waits_for_a_stop_that_is_still_under_way(host, systemd):
    host.execute.answers["systemctl show docker.service --property Job"] = (0, "Job=17\n")
    waits = []

    def sleep(_seconds):
        waits.append(list(host.execute.commands))
        if len(waits) == 3:
            host.execute.answers["systemctl show docker.service --property Job"] = (0, "Job=\n")

    host.sleep = sleep
    systemd.start(30)
    assert not any(command.startswith("systemctl start") for command in waits[-1])
    assert "systemctl start docker.socket docker.service" in host.execute.commands


def test_a_start_that_systemd_skipped_is_an_error(host, systemd):
    """A failed condition ends with rc 0."""
    host.execute.answers["systemctl show docker.service --property ActiveState,MainPID"] = (0, "ActiveState=inactive\nMainPID=0\n")
    with pytest.raises(CommandFailed, match="dockerd does not start: no message"):
        systemd.start(30)


LOGS = {
    "a fatal line": ('time="x" level=info msg="hello"\ntime="x" level=fatal msg="no \\"such\\" driver."\nStopped.\n', 'no "such" driver'),
    "plain text": ("failed to start daemon: pid file found\n", "failed to start daemon: pid file found"),
    "the last of several": ('level=error msg="first"\nlevel=error msg="second"\n', "second"),
    "nothing of interest": ("Starting Docker.\n", "no answer"),
}


@pytest.mark.parametrize(("log", "words"), LOGS.values(), ids=LOGS)
def test_a_failed_start_is_told_in_dockerd_s_own_words(host, systemd, log, words):
    host.execute.answers.update({"systemctl start": (1, "no answer"), "journalctl": (0, log)})
    with pytest.raises(CommandFailed) as caught:
        systemd.start(30)
    assert caught.value.sentence == f"dockerd does not start: {words}."
    assert host.execute.commands[-2] == "journalctl --sync"
    assert f"journalctl --unit docker.service --since @{host.now():.6f}" in host.execute.commands[-1]


@pytest.mark.parametrize(("version", "option"), [("systemd 247 (247.3-7)", "--kill-who"), ("systemd 252 (252.39)", "--kill-whom"), ("", "--kill-who")])
def test_reload_uses_the_option_that_this_systemd_knows(host, systemd, version, option):
    host.execute.answers["systemctl --version"] = (0, version)
    systemd.signal_reload()
    assert host.execute.commands[-1] == f"systemctl kill {option}=main --signal=HUP docker.service"


PIDS = [("active", 42), ("reloading", 42), ("activating", 0), ("deactivating", 0), ("inactive", 0), ("failed", 0)]


@pytest.mark.parametrize(("active", "pid"), PIDS)
def test_main_pid_is_that_of_a_daemon_that_is_up(host, systemd, active, pid):
    host.execute.answers["systemctl show docker.service --property ActiveState,MainPID"] = (0, f"ActiveState={active}\nMainPID=42\n")
    assert systemd.main_pid() == pid


SOCKETS = [
    ("Listen=/run/docker.sock (Stream)\nLoadState=loaded\n", "/run/docker.sock"),
    ("Listen=/run/docker.sock (Stream)\nLoadState=masked\n", None),
    ("LoadState=not-found\n", None),
    ("Listen=[::]:2375 (Stream)\nLoadState=loaded\n", None),
]


@pytest.mark.parametrize(("shown", "path"), SOCKETS)
def test_socket_path(host, shown, path):
    host.execute.answers["systemctl show docker.socket"] = (0, shown)
    assert Systemd(host).socket_path() == path


SHOW_WORKER = "systemctl show drydock-dockerd.service"


@pytest.mark.parametrize(
    ("answer", "active"), [("active\n", True), ("activating\n", True), ("deactivating\n", True), ("inactive\n", False), ("failed\n", False)]
)
def test_a_worker_is_active_until_systemd_says_that_it_is_not(systemd, host, answer, active):
    host.execute.answers[SHOW_WORKER] = (0, answer)
    assert systemd.worker_is_active() is active


def test_a_systemd_that_does_not_answer_is_no_systemd_without_a_worker(systemd, host):
    """A recovery beside a worker that lives would undo what that one does."""
    host.execute.answers[SHOW_WORKER] = (1, "Failed to get properties: Connection timed out")
    with pytest.raises(CommandFailed, match=r"does not say whether an earlier change is still under way: .*timed out.* \[worker-unknown\]$"):
        systemd.worker_is_active()


def test_a_systemd_that_was_busy_is_asked_again(systemd, host):
    host.execute.answers[SHOW_WORKER] = (1, "Failed to get properties: Connection timed out")
    answers = iter([(1, "busy"), (0, "active\n")])

    def ask(argv, timeout, stdin):
        rc, out = next(answers)
        return Result(tuple(argv), rc, out, "")

    assert Systemd(dataclasses.replace(host, execute=ask)).worker_is_active()


def test_who_goes_down_with_the_daemon_comes_back_with_it(host, systemd):
    """Units that require, bind to or are part of ours, and those that do so of them; those that run."""
    host.execute.answers.update(
        {
            "systemctl show docker.service --property RequiredBy": (0, "RequiredBy=stack.service docker.socket\nBoundBy=bound.service\nConsistsOf=\n"),
            "systemctl show docker.socket --property RequiredBy": (0, "RequiredBy=docker.service\nBoundBy=\nConsistsOf=part.service\n"),
            "systemctl show stack.service --property RequiredBy": (0, "RequiredBy=\nBoundBy=\nConsistsOf=deep.service\n"),
            "systemctl show part.service --property ActiveState": (0, "ActiveState=inactive\n"),
            "systemctl show": (0, "ActiveState=active\n"),
        }
    )
    assert sorted(systemd.dependents()) == ["bound.service", "deep.service", "stack.service"]
    systemd.stop_dependents(["a.service", "b.service"])
    assert host.execute.commands[-1] == "systemctl stop a.service b.service"
    host.execute.commands.clear()
    systemd.stop_dependents([])
    assert systemd.start_dependents([]) == []
    assert host.execute.commands == []


@pytest.mark.parametrize(("state", "kind", "told"), [("active", "simple", 0), ("failed", "oneshot", 1), ("inactive", "simple", 1), ("inactive", "oneshot", 0)])
def test_a_dependent_that_does_not_run_again_is_told(host, systemd, state, kind, told):
    host.execute.answers["systemctl show stack.service"] = (0, f"ActiveState={state}\nType={kind}\n")
    words = systemd.start_dependents(["stack.service"])
    assert host.execute.commands[0] == "systemctl start stack.service"
    assert words == [f"Unit stack.service, which depends on the daemon, does not run again: it is {state}."] * told


def test_other_sockets_and_paths_are_held_stopped_and_started_with_the_daemon(host, systemd):
    """In the order in which none of them starts a daemon that is held, again and again until it runs into its limit."""
    host.execute.answers.update(
        {
            "systemctl show docker.service --property TriggeredBy": (0, "TriggeredBy=docker.socket docker-tcp.socket kick.path off.socket nightly.timer\n"),
            "systemctl show docker-tcp.socket --property ActiveState": (0, "ActiveState=active\nUnitFileState=enabled\n"),
            "systemctl show docker-tcp.socket --property Listen": (0, "Listen=[::]:2375 (Stream)\nListen=/run/x.sock (Stream)\nListen=/run/y (Datagram)\n"),
            "systemctl show kick.path --property ActiveState": (0, "ActiveState=active\nUnitFileState=static\n"),
            "systemctl show off.socket --property ActiveState": (0, "ActiveState=inactive\nUnitFileState=enabled\n"),
        }
    )
    assert systemd.other_sockets() == {"docker-tcp.socket": ["[::]:2375", "/run/x.sock"]}
    systemd.hold("dockerd")
    assert sorted(os.listdir(host.places.runtime_units)) == ["docker-tcp.socket.d", "docker.service.d", "docker.socket.d", "kick.path.d"]
    # While it is held they are down, and known all the same.
    host.execute.answers["systemctl show docker-tcp.socket --property ActiveState"] = (0, "ActiveState=inactive\n")
    host.execute.answers["systemctl show kick.path --property ActiveState"] = (0, "ActiveState=inactive\n")
    systemd.stop()
    systemd.start(5)
    assert [one for one in host.execute.commands if one.startswith(("systemctl stop", "systemctl start"))] == [
        "systemctl stop kick.path",
        "systemctl stop --job-mode=replace-irreversibly docker.socket docker-tcp.socket kick.path docker.service",
        "systemctl start docker.socket docker-tcp.socket docker.service",
        "systemctl start kick.path",
    ]
    systemd.unhold()
    assert [name for name in os.listdir(host.places.runtime_units) if os.listdir(os.path.join(host.places.runtime_units, name))] == []
    # Of a daemon that is down and not held, a boot would start those that are enabled.
    host.execute.answers["systemctl show docker.service --property ActiveState,MainPID"] = (0, "ActiveState=inactive\nMainPID=0\n")
    assert systemd.triggers() == ["off.socket"]


@pytest.fixture
def sleeper(host, place):
    """A unit whose command really runs: a wrapper has started it with a word of its own."""
    options = place("etc", "sleeper", 'TIMES="60 50"\n')
    fragment = place("vendor", "docker.service", f"[Service]\nEnvironmentFile={options}\nExecStart=/opt/wrapper $TIMES ${{HOME_OF_IT}}\n")
    # The kernel counts the beginning of processes in hundredths of a second.
    time.sleep(0.05)
    with subprocess.Popen(["/bin/sleep", "40", "60", "50", "7"], env={"HOME_OF_IT": "7"}) as process:
        host.execute.answers["systemctl show docker.service --property ActiveState,MainPID"] = (0, f"ActiveState=active\nMainPID={process.pid}\n")
        yield types.SimpleNamespace(fragment=fragment, options=options, program=os.path.realpath("/bin/sleep"))
        process.kill()


@pytest.mark.runs_commands
def test_what_a_command_came_to_is_asked_of_the_kernel(host, place, sleeper):
    unit = Systemd(host).read(())
    assert unit.words({}) == ["/opt/wrapper", "60", "50", "7"]
    assert (unit.launched.added, unit.launched.problem, unit.current, unit.program) == (("40",), None, True, sleeper.program)
    assert unit.effective({}) == [sleeper.program, "40", "60", "50", "7"]
    assert unit.variables_of == {sleeper.options: {"TIMES": "60 50"}}
    # What systemd has not read yet, and whatever was changed since, is not what runs.
    asked = "systemctl show docker.service --property ActiveState,MainPID"
    rc, shown = host.execute.answers[asked]
    host.execute.answers[asked] = (rc, f"{shown}NeedDaemonReload=yes\n")
    assert not Systemd(host).read(()).current
    host.execute.answers[asked] = (rc, f"{shown}NeedDaemonReload=no\n")
    assert Systemd(host).read(()).current
    place("units", "docker.service.d/later.conf", "# nothing\n")
    assert not Systemd(host).read(()).current


@pytest.mark.runs_commands
def test_variables_that_changed_are_not_those_of_the_process(host, sleeper):
    time.sleep(0.05)
    pathlib.Path(sleeper.options).write_text("TIMES=3\n")
    unit = Systemd(host).read(())
    assert (unit.current, unit.words({})) == (False, ["/opt/wrapper", "3", "7"])
    # That the wrapper passes on what it gets cannot be told any more.
    assert unit.launched.problem.id == "unit-command"


def test_of_a_command_that_does_not_run_the_variables_are_systemd_s(host, unit):
    host.execute.answers["systemctl show-environment"] = (0, "LANG=C.UTF-8\nDOCKER_OPTS=no\n")
    found = Systemd(host).read(())
    assert (found.inherited["LANG"], found.environment["DOCKER_OPTS"], found.launched, found.current) == ("C.UTF-8", "--debug --label a=b", None, False)


def test_the_words_of_our_own_starts_are_not_the_unit_s(host):
    service, ours = Systemd(host), host.places.old_daemon_json
    assert service._own_words(["dockerd", "-H", "fd://", "--restart=false", "--config-file", ours]) == ["dockerd", "-H", "fd://"]
    assert service._own_words(["dockerd", "--config-file", "/opt/daemon.json"]) == ["dockerd", "--config-file", "/opt/daemon.json"]


def test_drop_ins_for_every_service_count(host, place, unit):
    everywhere = place("units", "service.d/10-all.conf", "[Service]\nEnvironment=A=1\n")
    place("vendor", "service.d/20-own.conf", "[Service]\nEnvironment=B=2\n")
    own = place("units", "docker.service.d/20-own.conf", "[Service]\nEnvironment=B=3\n")
    found = Systemd(host).read(())
    assert list(found.texts) == [unit, everywhere, own]
    assert {**found.environment, "DOCKER_OPTS": ""} == {"A": "1", "B": "3", "DOCKER_OPTS": ""}
