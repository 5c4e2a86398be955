# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Our block in /etc/default/docker, read by the shell that reads it on a host."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Places
from ansible_collections.drydock.dockerd.plugins.module_utils._service import sysv_defaults_file

VARIABLES = sysv_defaults_file.Variables("/usr/sbin/dockerd", "-H unix:///a --label=x", "/run/docker.pid", "/run/docker-ssd.pid", "/var/log/docker.log")
# As docker's own script begins; what it would do then is printed.
SCRIPT = """#!/bin/sh
set -e
DOCKERD=/usr/sbin/dockerd
DOCKER_LOGFILE={log}
DOCKER_OPTS=
. {defaults}
echo "$1 $DOCKERD $DOCKER_OPTS"
"""
GUARD = "[Service]\nExecStartPre=/bin/sh -c 'test -e {} || {{ echo \"drydock: the root is not there\" >&2; exit 1; }}'\n"


@pytest.fixture
def places(tmp_path):
    names = ("state_dir", "hold", "lock", "held", "booted", "init_script", "init_defaults")
    return Places(**{name: str(tmp_path / name) for name in names})


@pytest.fixture
def call(places, tmp_path):
    """Call docker's script with a block for these drop-ins, behind somebody else's text."""
    log = tmp_path / "log"
    script = pathlib.Path(places.init_script)
    script.write_text(SCRIPT.format(log=log, defaults=places.init_defaults))
    script.chmod(0o755)
    pathlib.Path(places.state_dir, "journal").mkdir(parents=True)

    def run(verb, ours=None, foreign="", variables=VARIABLES):
        if ours is not None:
            pathlib.Path(places.init_defaults).write_text(foreign + sysv_defaults_file.render(places, ours, variables if ours else None))
        done = subprocess.run([str(script), verb], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.strip(), done.stderr

    run.log = log
    return run


FOREIGN = {"nothing": "", "a line": "ulimit() { :; }\n", "no line feed at its end": "A=1", "a block's words": "# BEGIN drydock.dockerd\n"}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_what_others_wrote_stays_byte_for_byte_and_drop_ins_come_back(places, foreign):
    ours = {"zz-b.conf": "[Service]\nExecStartPre=/bin/true\n\n", "aa.conf": "# only a comment, with blanks  \n[Unit]\nAfter=x.mount"}
    text = foreign + sysv_defaults_file.render(places, ours, VARIABLES)
    assert sysv_defaults_file.split(text)[0] == foreign
    assert sysv_defaults_file.drop_ins(sysv_defaults_file.split(text)[1]) == ours


def test_what_others_append_behind_the_block_is_theirs(places):
    text = "A=1\n" + sysv_defaults_file.render(places, {}) + "B=2\n"
    assert sysv_defaults_file.split(text)[0] == "A=1\nB=2\n"
    assert sysv_defaults_file.split(None) == ("", "")


REFUSED = {
    "a limit": "[Service]\nLimitNOFILE=5\n",
    "a condition": "[Unit]\nConditionPathExists=/x\n",
    "a specifier": "[Service]\nEnvironment=A=%H\n",
    "a variable": "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd $OTHER\n",
    "a prefix": "[Service]\nExecStartPre=-/bin/true\n",
    "a word with a blank": "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd '--label=a b'\n",
    "a word that a shell expands": "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd --label=*\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_only_systemd_can_do_is_refused(places, text):
    with pytest.raises(DrydockError, match=r"zz\.conf"):
        sysv_defaults_file.render(places, {"zz.conf": text}, VARIABLES)


@pytest.mark.runs_commands
def test_variables_and_the_command_reach_the_script(call):
    ours = {"zz.conf": "[Service]\nEnvironment=HTTP_PROXY=a 'B=c d'\nExecStart=\nExecStart=/opt/dockerd -p /run/docker.pid --label=x\n"}
    foreign = "DOCKER_OPTS='-H unix:///a --label=x'\n"
    assert call("start", ours, foreign) == (0, "start /opt/dockerd --label=x", "")


@pytest.mark.runs_commands
def test_options_that_somebody_changed_since_are_not_passed_over(call):
    ours = {"zz.conf": "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd --label=x\n"}
    assert call("start", ours, "DOCKER_OPTS='-H unix:///a --label=x --debug'\n")[1] == "start /usr/sbin/dockerd -H unix:///a --label=x --debug"


@pytest.mark.runs_commands
def test_without_the_marker_nobody_starts_the_daemon_and_the_log_says_why(call, tmp_path):
    ours = {"zz.conf": GUARD.format(tmp_path / "marker")}
    for verb in ("start", "restart", "force-reload"):
        assert call(verb, ours) == (1, "", "drydock: the root is not there\n")
    assert call.log.read_text() == 3 * "drydock: the root is not there\n"
    assert call("stop")[0] == call("status")[0] == 0
    (tmp_path / "marker").touch()
    assert call("start")[0] == 0


@pytest.mark.runs_commands
def test_while_it_is_held_nobody_starts_the_daemon(call, places):
    pathlib.Path(places.hold).touch()
    rc, out, err = call("start", {})
    assert (rc, out) == (1, "")
    assert "a change of the Docker daemon is under way" in err
    assert call("status")[0] == 0
    os.unlink(places.hold)
    assert call("start")[0] == 0


@pytest.mark.runs_commands
@pytest.mark.parametrize("verb", ["stop", "restart", "force-reload"])
def test_while_it_is_held_nobody_kills_the_daemon(call, places, verb):
    pathlib.Path(places.held).write_text(sysv_defaults_file.held(VARIABLES.command))
    assert call(verb, {})[0] == 1
    os.unlink(places.held)
    assert call(verb)[0] == 0


@pytest.mark.runs_commands
def test_the_start_of_a_change_has_its_command_with_containers_held_back(call, places):
    pathlib.Path(places.held).write_text(sysv_defaults_file.held(["/opt/dockerd", "-p", "/run/docker.pid", "--label=y"]))
    assert call("start", {}, "DOCKER_OPTS=--debug\n")[1] == "start /opt/dockerd --label=y --restart=false"


@pytest.fixture
def interrupted(places, call, tmp_path):
    """A boot that finds a change interrupted: the new root's marker is missing, and recovering restores the file."""
    pathlib.Path(places.state_dir, "journal", "plan.json").touch()
    recovered = f"DOCKER_OPTS=--old\n{sysv_defaults_file.render(places, {})}"
    pathlib.Path(places.program).write_text(
        f"import os, sys\nassert sys.argv[1] == 'boot'\nprint('recovering')\nopen({places.init_defaults!r}, 'w').write({recovered!r})\n"
    )
    return {"zz.conf": GUARD.format(tmp_path / "marker")}


@pytest.mark.runs_commands
def test_a_boot_recovers_before_the_daemon_starts_and_goes_on_with_the_old_file(call, interrupted, places):
    assert call("start", interrupted)[:2] == (0, "start /usr/sbin/dockerd --old")
    assert call.log.read_text() == "recovering\n"
    # What is committed stays open, and is not looked at again in this boot.
    assert call("start")[0] == 0
    assert call.log.read_text() == "recovering\n"


@pytest.mark.runs_commands
@pytest.mark.parametrize("verb", ["status", "stop"])
def test_only_a_start_recovers(call, interrupted, verb):
    assert call(verb, interrupted)[0] == 0
    assert not call.log.exists()


@pytest.mark.runs_commands
def test_a_start_in_the_boot_of_the_change_recovers_nothing(call, interrupted, places):
    pathlib.Path(places.lock).touch()
    assert call("start", interrupted)[0] == 1
    assert "recovering" not in call.log.read_text()


@pytest.mark.runs_commands
def test_a_recovery_that_fails_is_tried_once_and_the_daemon_starts(call, places):
    """As under systemd, where the daemon is ordered behind the recovery and does not depend on it."""
    pathlib.Path(places.state_dir, "journal", "plan.json").touch()
    assert call("start", {})[:2] == (0, "start /usr/sbin/dockerd")
    assert "No such file" in call.log.read_text()
