# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""docker.service is read as systemd reads it, and its command as dockerd reads it."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._service import unit_file
from ansible_collections.drydock.dockerd.plugins.module_utils._service.unit_file import (
    Line,
    flags_as_settings,
    needs_restart,
    parse_flags,
    parse_show,
    parse_unit,
    values,
    without_keys,
)

UNIT = r"""# a comment
[Unit]
Description = Docker
; another
[Service]
ExecStart=/usr/sbin/dockerd -H fd:// \
    # a comment between does not end it
    --debug \
    --label a=b
Environment=

stray
"""

LISTS = {
    "one": (["[Service]\nExecStart=a"], ["a"]),
    "a drop-in adds": (["[Service]\nExecStart=a", "[Service]\nExecStart=b"], ["a", "b"]),
    "an empty one resets": (["[Service]\nExecStart=a", "[Service]\nExecStart=\nExecStart=b"], ["b"]),
    "the last one resets": (["[Service]\nExecStart=a", "[Service]\nExecStart="], []),
    "another section does not count": (["[Unit]\nExecStart=a"], []),
}

# What stands behind the program's name, and the flags as (name, key, value).
FLAGS = [
    ("-H fd://", [("H", "hosts", "fd://")]),
    ("-Hfd://", [("H", "hosts", "fd://")]),
    ("-H=fd://", [("H", "hosts", "fd://")]),
    ("--host fd:// --host=tcp://1.2.3.4", [("host", "hosts", "fd://"), ("host", "hosts", "tcp://1.2.3.4")]),
    ("-D --debug --tls=false --tlsverify=1", [("D", "debug", True), ("debug", "debug", True), ("tls", "tls", False), ("tlsverify", "tlsverify", True)]),
    ("-g /data --graph=/data", [("g", "data-root", "/data"), ("graph", "data-root", "/data")]),
    ("--storage-opt a=b --log-level debug", [("storage-opt", "storage-opts", "a=b"), ("log-level", "log-level", "debug")]),
    ("--some-new-flag x", [("some-new-flag", "some-new-flag", "x")]),
    ("$DOCKER_OPTS ${X} -- word", []),
    ("--data-root", [("data-root", "data-root", "")]),
]

WITHOUT = [
    ("dockerd -H fd:// --host=tcp://1.2.3.4 --debug", {"hosts"}, "dockerd --debug"),
    ("dockerd -H fd:// -H fd:// $OPTS", {"hosts"}, "dockerd $OPTS"),
    ("dockerd --debug -l info", {"log-level", "debug"}, "dockerd"),
    ("dockerd -H fd:// --label hosts", {"labels"}, "dockerd -H fd://"),
    ("dockerd -H fd://", {"debug"}, "dockerd -H fd://"),
]

RESTART = {
    "a limit": ("[Service]\nLimitNOFILE=1\n", "[Service]\nLimitNOFILE=2\n", True),
    "a variable": (None, "[Service]\nEnvironment=A=1\n", True),
    "a removed limit": ("[Service]\nLimitNOFILE=1\n", None, True),
    "the command, whose flags are judged elsewhere": ("[Service]\nExecStart=a\n", "[Service]\nExecStart=b\n", False),
    "a guard of the start": (None, "[Unit]\nRequiresMountsFor=/mnt/data\n[Service]\nExecStartPre=/bin/true\n", False),
    "starts without a limit": (None, "[Unit]\nStartLimitIntervalSec=0\n", False),
    "a comment": ("[Service]\nLimitNOFILE=1\n", "# why\n[Service]\nLimitNOFILE = 1\n", False),
    "nothing": (None, "", False),
}


def test_parse_unit_joins_lines_and_leaves_out_comments():
    assert parse_unit(UNIT) == [
        Line("Unit", "Description", "Docker"),
        Line("Service", "ExecStart", "/usr/sbin/dockerd -H fd://  --debug  --label a=b"),
        Line("Service", "Environment", ""),
    ]


def test_parse_show_keeps_what_stands_behind_the_first_equals_sign():
    assert parse_show("MainPID=7\nListen=/run/docker.sock (Stream)\nEnvironment=A=1\nEmpty=\n\n") == {
        "MainPID": "7",
        "Listen": "/run/docker.sock (Stream)",
        "Environment": "A=1",
        "Empty": "",
    }


@pytest.mark.parametrize(("texts", "expected"), LISTS.values(), ids=LISTS)
def test_values_over_drop_ins(texts, expected):
    assert values(texts, "Service", "ExecStart") == expected


@pytest.mark.parametrize(("command", "expected"), FLAGS)
def test_parse_flags(command, expected):
    flags = parse_flags(command.split())
    assert [(flag.name, flag.key, flag.value) for flag in flags] == expected
    # The words of all flags are the command again, but for what is no flag.
    assert [word for flag in flags for word in flag.words] == (command.split() if expected else [])


@pytest.mark.parametrize(("command", "keys", "expected"), WITHOUT)
def test_without_keys(command, keys, expected):
    argv = command.split()
    assert without_keys(argv, keys) == expected.split()
    assert argv == command.split()


def test_flags_as_settings_collects_lists_and_takes_the_last_of_the_others():
    flags = parse_flags(["-H", "fd://", "--label", "a=b", "-H", "tcp://1.2.3.4", "--log-level", "info", "-l", "debug", "--dns", "9.9.9.9"])
    assert flags_as_settings(flags) == {"hosts": ["fd://", "tcp://1.2.3.4"], "labels": ["a=b"], "log-level": "debug", "dns": ["9.9.9.9"]}


@pytest.mark.parametrize(("before", "after", "needed"), RESTART.values(), ids=RESTART)
def test_needs_restart(before, after, needed):
    assert needs_restart(before, after) is needed


def test_an_assignment_that_the_end_of_the_file_cuts_off_counts():
    assert parse_unit("[Service]\nExecStart=/usr/bin/dockerd \\") == [Line("Service", "ExecStart", "/usr/bin/dockerd")]


MOUNT_UNITS = [
    ("/", "-.mount"),
    ("/mnt/data", "mnt-data.mount"),
    ("//mnt//data/", "mnt-data.mount"),
    ("/mnt/my-disk_1", r"mnt-my\x2ddisk_1.mount"),
    ("/.a.b", r"\x2ea.b.mount"),
    ("/srv/\u00fc @", r"srv-\xc3\xbc\x20\x40.mount"),
]


@pytest.mark.parametrize(("point", "name"), MOUNT_UNITS)
def test_mount_unit(point, name):
    assert unit_file.mount_unit(point) == name
