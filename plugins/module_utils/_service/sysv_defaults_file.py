# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Our marked block at the end of /etc/default/docker, which docker's SysV init script sources whenever it is called. Pure.

It says in the shell's words what our drop-ins say in systemd's. They are quoted in it, so that reading it gives them back, and they stay
the one form in which owners ask for something. The rest of the file is other people's and stays as it is, byte for byte.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
import typing as t

from .._errors import DrydockError
from .._host.host import Places
from . import unit_file
from .command import words_of

_BEGIN, _END = "# BEGIN drydock.dockerd", "# END drydock.dockerd"
_BLOCK = re.compile(f"\n{_BEGIN}\n.*?\n{_END}\n", re.DOTALL)
# How the block quotes a drop-in: its name, then its lines.
_NAME, _LINE = "#| ", "#: "
# What is about systemd's other units has no meaning here: the script is started when all file systems are mounted, and only once.
_ONLY_ORDER = frozenset({"After", "Description", "Documentation", "StartLimitIntervalSec", "Wants"})


@dataclasses.dataclass(frozen=True)
class Variables:
    """What the script and the rest of the file set.

    :param options: DOCKER_OPTS, which the script splits at white space.
    """

    program: str
    options: str
    pidfile: str
    own_pidfile: str
    log: str

    @property
    def command(self) -> list[str]:
        """dockerd's words."""
        return [self.program, "-p", self.pidfile, *self.options.split()]


def split(text: str | None) -> tuple[str, str]:
    """What is other people's in the file, and our block; empty where there is none."""
    match = _BLOCK.search(text or "")
    if match is None:
        return text or "", ""
    return match.string[: match.start()] + match.string[match.end() :], match[0]


def drop_ins(block: str) -> dict[str, str]:
    """The drop-ins that a block quotes, by name."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in block.split("\n"):
        if line.startswith(_NAME):
            lines = found.setdefault(line[len(_NAME) :], [])
        elif line.startswith(_LINE):
            lines.append(line[len(_LINE) :])
    return {name: "\n".join(one) for name, one in found.items()}


def render(places: Places, ours: t.Mapping[str, str], variables: Variables | None = None) -> str:
    """The block.

    :param ours: drop-ins by name; without any, the block only guards changes that are under way.
    :param variables: needed where there are drop-ins.
    :raises DrydockError: a drop-in says what only systemd can do.
    """
    lines = ["", _BEGIN, "# What is changed by hand in this block is lost. It stays the last one in this file."]
    for name, text in sorted(ours.items()):
        lines += [_NAME + name, *(_LINE + line for line in text.split("\n"))]
    lines += _guards(places)
    for name, text in sorted(ours.items()):
        lines += _said(name, text)
    if variables:
        lines += _command(ours, variables)
    return "\n".join([*lines, f"[ ! -e {places.held} ] || . {places.held}", _END, ""])


def _guards(places: Places) -> list[str]:
    """Nobody starts the daemon while a change holds it, or kills it (the script's stop does that after ten seconds); and a boot that
    finds a change interrupted recovers first, and begins anew with the file as it is then."""
    return [
        "case $1 in",
        f"    start) drydock_hold={places.hold} ;;",
        f"    stop | restart | force-reload) drydock_hold={places.held} ;;",
        "    *) drydock_hold= ;;",
        "esac",
        'if [ -n "$drydock_hold" ] && [ -e "$drydock_hold" ]; then',
        '    echo "drydock: a change of the Docker daemon is under way" >&2',
        "    exit 1",
        "fi",
        f'if [ "$1" = start ] && [ -e {places.state_dir}/journal/plan.json ] && [ ! -e {places.lock} ] && [ ! -e {places.booted} ]; then',
        f"    : >{places.booted}",
        f'    {shlex.quote(sys.executable)} {places.program} boot >>"$DOCKER_LOGFILE" 2>&1 || :',
        '    exec "$0" "$@"',
        "fi",
    ]


def _said(name: str, text: str) -> t.Iterator[str]:
    """A drop-in's conditions and variables."""
    for line in unit_file.parse_unit(text):
        if line.key in _ONLY_ORDER or line.key == "ExecStart" or not line.value:
            continue
        if line.key not in ("ExecStartPre", "Environment"):
            raise DrydockError(
                "init-script",
                f"Drop-in {name} sets {line.key}, which only systemd knows, and this host runs SysV init.",
                "Leave it out for this host; ExecStart, ExecStartPre and Environment work here.",
            )
        words = _literal(name, line)
        if line.key == "Environment":
            yield from (f"export {key}={shlex.quote(value)}" for key, _equals, value in (word.partition("=") for word in words))
        else:
            yield from (
                "case $1 in start | restart | force-reload)",
                f"    drydock_words=$({' '.join(map(shlex.quote, words))} 2>&1) || {{",
                '        printf \'%s\\n\' "$drydock_words" | tee -a "$DOCKER_LOGFILE" >&2',
                "        exit 1",
                "    }",
                "esac",
            )


def _literal(name: str, line: unit_file.Line) -> list[str]:
    """The words of a line that means the same to a shell."""
    if re.search(r"[$%]", line.value) or line.value[:1] in "@-:+!":
        raise DrydockError(
            "init-script",
            f"Drop-in {name} has '{line.key}={line.value}', with a prefix, variable or specifier that only systemd knows; this host runs SysV init.",
            "Write it without.",
        )
    return words_of(line.value)


def _command(ours: t.Mapping[str, str], variables: Variables) -> t.Iterator[str]:
    """The command of our drop-ins, where it is not what the script and the rest of the file make of it."""
    lines = [(name, line) for name, text in sorted(ours.items()) for line in unit_file.parse_unit(text) if line.key == "ExecStart" and line.value]
    if not lines:
        return
    program, options = options_of(_literal(*lines[-1]), f"Drop-in {lines[-1][0]}")
    if options != variables.options.split():
        # Only as long as the rest of the file says what it said: an edit there is never passed over in silence.
        yield f'[ "$DOCKER_OPTS" != {shlex.quote(variables.options)} ] || DOCKER_OPTS={shlex.quote(" ".join(options))}'
    if program != variables.program:
        yield f"DOCKERD={shlex.quote(program)}"


def options_of(command: t.Sequence[str], name: str) -> tuple[str, list[str]]:
    """A command as the script takes it: the program, and what becomes DOCKER_OPTS (the pid file is the script's own).

    :raises DrydockError: a word that the script would split or expand.
    """
    program, *options = unit_file.without_keys(command, {"pidfile"})
    odd = next((word for word in options if not word or re.search(r"[\s*?\[\\]", word)), None)
    if odd is not None:
        raise DrydockError(
            "init-script", f"{name} has the word '{odd}', which docker's init script cannot hand to dockerd.", "Put that option into daemon.json."
        )
    return program, options


def held(command: t.Sequence[str], policies: bool = False) -> str:
    """What makes the next start use a command, with all containers held back unless their policies are to decide."""
    program, options = options_of(command, "The command")
    options += [] if policies else ["--restart=false"]
    return f"DOCKERD={shlex.quote(program)}\nDOCKER_OPTS={shlex.quote(' '.join(options))}\n"


__all__ = (
    "Variables",
    "drop_ins",
    "held",
    "options_of",
    "render",
    "split",
)
