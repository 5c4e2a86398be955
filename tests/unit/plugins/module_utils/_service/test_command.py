# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A command line is read as systemd reads it, and what is started is the unit's own text."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._service.command import (
    Command,
    expand,
    literal,
    parse_environment,
    quote,
    words_of,
)

# Each was given to systemd 252 and 257, as an EnvironmentFile of a unit that runs env.
ENVIRONMENT = [
    ("A=1\nB = two \n", {"A": "1", "B": "two"}),
    ("# A=1\n;B=2\n\nnothing\nC=3\n", {"C": "3"}),
    ('DOCKER_OPTS="-H tcp://0.0.0.0:2375 --debug"\n', {"DOCKER_OPTS": "-H tcp://0.0.0.0:2375 --debug"}),
    ("A=\nB=''\nC=x=y\n", {"A": "", "B": "", "C": "x=y"}),
    ("A=1\nA=2\n", {"A": "2"}),
    ("A=x#y\n", {"A": "x#y"}),
    ("A=it's\nDOCKER_OPTS=-D", {"A": "it's", "DOCKER_OPTS": "-D"}),
    ("A=-D  --tls   \n", {"A": "-D  --tls"}),
    ("A=-D \\\n  --tls\nB=2\n", {"A": "-D   --tls", "B": "2"}),
    ('A="-D \\\n--tls"\n', {"A": "-D --tls"}),
    ("A='one\ntwo'\n", {"A": "one\ntwo"}),
    ("A=\"a b\" 'c d'e\n", {"A": "a bc de"}),
    (r'A="x\"y\\z\n"', {"A": r'x"y\z\n'}),
    (r"A=x\"y\\z", {"A": r'x"y\z'}),
]

EXPANDED = [
    (["dockerd", "$OPTS", "-H"], ["dockerd", "--debug", "--tls", "-H"]),
    (["dockerd", "${OPTS}"], ["dockerd", "--debug --tls"]),
    (["--label=${NAME}-x", "--label=$NAME"], ["--label=n-x", "--label=$NAME"]),
    (["$UNSET", "${UNSET}", "a"], ["", "a"]),
    (["$$NAME", "a=$$b", "$NAME-x"], ["$NAME", "a=$b"]),
    (["$QUOTED"], ["--label", "a b"]),
]

WORDS = [
    ("a  b\tc", ["a", "b", "c"]),
    ("'a b' \"c d\" e'f g'h", ["a b", "c d", "ef gh"]),
    (r'a\x20b a\sb "a\tb" a\040b \u00fc', ["a b", "a b", "a\tb", "a b", "\u00fc"]),
    (r"C:\dir a\\b 'q'", ["C:\\dir", "a\\b", "q"]),
    ("it's one", ["its one"]),
    ("'' x", ["", "x"]),
]

LITERAL = [
    ["/usr/sbin/dockerd", "-H", "fd://", "--label=a=b"],
    ["dockerd", "two words", 'a "quoted" one', "back\\slash", "it's", "", "*", "a\nb"],
    ["dockerd", "$DOCKER_OPTS", "${X}", "100%", "%H"],
]


@pytest.mark.parametrize(("text", "expected"), ENVIRONMENT)
def test_parse_environment(text, expected):
    assert parse_environment(text) == expected


@pytest.mark.parametrize(("words", "expected"), EXPANDED)
def test_expand_as_systemd_does(words, expected):
    assert expand(words, {"OPTS": "--debug --tls", "NAME": "n", "QUOTED": "--label 'a b'"}) == expected


@pytest.mark.parametrize(("text", "expected"), WORDS)
def test_words_as_systemd_splits_them(text, expected):
    assert words_of(text) == expected


@pytest.mark.parametrize("argv", LITERAL)
def test_words_that_are_meant_literally_come_back(argv):
    assert Command.of(literal(argv)).expanded({"DOCKER_OPTS": "no"}, {"H": "no"}) == argv


def test_quote_leaves_variables_to_systemd():
    assert quote(["dockerd", "$DOCKER_OPTS", "--label=a b"]) == 'dockerd $DOCKER_OPTS "--label=a b"'


PREFIXES = [
    ("-/usr/bin/dockerd --label $A", ["/usr/bin/dockerd", "--label", "x"]),
    (":/usr/bin/dockerd --label $A", ["/usr/bin/dockerd", "--label", "$A"]),
    ("@/usr/bin/dockerd docker --label %H", ["/usr/bin/dockerd", "--label", "host"]),
    ("/usr/bin/%N --label 50%%", ["/usr/bin/docker", "--label", "50%"]),
]


@pytest.mark.parametrize(("line", "argv"), PREFIXES)
def test_prefixes_and_specifiers(line, argv):
    assert Command.of(line).expanded({"A": "x"}, {"H": "host", "N": "docker"}) == argv


def test_what_is_not_left_out_stays_as_it_is_written():
    command = Command.of(r'@-/usr/bin/dockerd  docker -H fd:// "--label=a b" --label \x24HOME $OPTS')
    assert command.argv[1:3] == ["-H", "fd://"]
    assert str(command.without({1, 2})) == r'@-/usr/bin/dockerd docker "--label=a b" --label \x24HOME $OPTS'
