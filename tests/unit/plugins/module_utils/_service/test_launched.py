# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Whether what is added to a unit's command reaches the daemon is known from what the command has come to."""

from __future__ import annotations

import dataclasses
import os

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._service.launched import Launched, arguments_of, launched, program_of
from ansible_collections.drydock.dockerd.plugins.module_utils._service.unit_file import parse_flags

DOCKERD, WRAPPER = "/usr/sbin/dockerd", "/usr/local/sbin/wrapper"

# The unit's words, the words of what runs, its file; what a launcher has added.
REACHED = {
    "dockerd itself": ("/usr/sbin/dockerd -H fd://", "/usr/sbin/dockerd -H fd://", ""),
    "by another name of its file": ("/usr/bin/dockerd -H fd://", "/usr/bin/dockerd -H fd://", ""),
    "a wrapper": (f"{WRAPPER} -H fd://", "/usr/sbin/dockerd --label site=lab -H fd://", "--label site=lab"),
    "a wrapper that adds behind": (f"{WRAPPER} -H fd://", "dockerd -H fd:// --debug", "--debug"),
    "env": ("/usr/bin/env A=1 dockerd -H fd://", "dockerd -H fd://", ""),
    "a launcher with flags of its own": ("/usr/bin/nice -n 5 /usr/sbin/dockerd -H fd://", "/usr/sbin/dockerd -H fd://", ""),
}
NOT_REACHED = {
    "a shell": ("/bin/sh -c 'exec", "/usr/sbin/dockerd -H fd://", DOCKERD, "starts the daemon by /bin/sh"),
    "a wrapper that passes nothing on": (f"{WRAPPER} -H fd://", "/usr/sbin/dockerd --debug", DOCKERD, "does not reach it"),
    "a wrapper without words": (WRAPPER, "/usr/sbin/dockerd -H fd://", DOCKERD, "does not reach it"),
    "a script that stays": (f"{WRAPPER} -H fd://", f"/bin/sh {WRAPPER} -H fd://", "/usr/bin/dash", "The main process of docker.service is /bin/sh"),
    "an init that stays": ("/usr/bin/tini -- dockerd -H fd://", "/usr/bin/tini -- dockerd -H fd://", "/usr/bin/tini", "is /usr/bin/tini, which runs"),
}


def real(path: str) -> str:
    return DOCKERD if path == "/usr/bin/dockerd" else path


@pytest.mark.parametrize(("command", "argv", "added"), REACHED.values(), ids=REACHED)
def test_a_command_that_can_be_extended(command, argv, added):
    words = command.split()
    found = launched("docker.service", words, argv.split(), DOCKERD, real(words[0]))
    assert found == Launched(DOCKERD, tuple(argv.split()[1:]), tuple(added.split()))


@pytest.mark.parametrize(("command", "argv", "program", "words"), NOT_REACHED.values(), ids=NOT_REACHED)
def test_a_command_that_cannot_be_extended_says_so(command, argv, program, words):
    found = launched("docker.service", command.split(), argv.split(), program, command.split()[0])
    assert found.problem.id == "unit-command"
    assert words in found.problem.sentence
    assert found.problem.hint.endswith("Then: systemctl daemon-reload && systemctl restart docker.")


def test_a_daemon_whose_file_was_replaced_is_still_itself():
    assert launched("docker.service", [DOCKERD], [DOCKERD], f"{DOCKERD} (deleted)", DOCKERD) == Launched(DOCKERD, ())


def test_what_runs_is_known_better_than_what_would_be_expected(make_unit):
    """As long as nothing was changed since. Another command is made of the unit's words and what a wrapper adds."""
    unit = make_unit(f"[Service]\nExecStart={WRAPPER} --label host=%H -H fd://\n")
    there = Launched(DOCKERD, ("--debug", "--label", "host=a", "-H", "fd://"), ("--debug",))
    unit = dataclasses.replace(unit, launched=there, current=True, program=DOCKERD)
    assert unit.effective({}) == [DOCKERD, "--debug", "--label", "host=a", "-H", "fd://"]
    other = {"zz.conf": f"[Service]\nExecStart=\nExecStart={WRAPPER} --tls\n"}
    assert unit.effective(other) == [DOCKERD, "--debug", "--tls"]
    assert dataclasses.replace(unit, current=False).effective({}) == [DOCKERD, "--debug", "--label", "host=%H", "-H", "fd://"]
    assert unit.start_line({}) == f"{WRAPPER} --label host=%H -H fd://"
    assert [unit.origin(flag) for flag in parse_flags(["--debug"])] == [WRAPPER]


def test_a_wrapper_is_never_asked_for_its_version(tmp_path, monkeypatch):
    script, binary = tmp_path / "dockerd", tmp_path / "bin" / "dockerd"
    binary.parent.mkdir()
    for path, text in ((script, "#!/bin/sh\n"), (binary, "\x7fELF")):
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(binary.parent))
    assert program_of([str(script), "-H", "fd://"], "dockerd") == str(binary)
    assert program_of(["/usr/bin/env", "A=1", str(binary)], "dockerd") == str(binary)
    assert program_of([WRAPPER], "dockerd") == str(binary)
    assert program_of(["/usr/bin/docker", "daemon"], "dockerd") == "/usr/bin/docker"
    os.remove(binary)
    assert program_of([WRAPPER], "dockerd") == "dockerd"


def test_arguments_stand_behind_the_daemon_s_name():
    assert arguments_of(["/usr/bin/env", "A=1", "/usr/sbin/dockerd", "-D"]) == ["-D"]
    assert arguments_of([WRAPPER, "-D"]) == ["-D"]
