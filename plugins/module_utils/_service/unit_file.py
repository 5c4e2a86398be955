# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""systemd units and dockerd's flags as data. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._engine.options import BOOLEAN_FLAGS, FLAG_TO_KEY, LIST_KEYS

# What a drop-in template writes where the unit's own command belongs; filled in on the host, under the lock.
COMMAND_MARK = "@dockerd_command@"
# Lines of a drop-in that say when the daemon may start, not how it runs: they need a daemon-reload, not a restart.
_START_GUARDS = frozenset(
    {"After", "Before", "Description", "Documentation", "ExecStartPre", "Requires", "RequiresMountsFor", "StartLimitIntervalSec", "Wants"}
)


@dataclasses.dataclass(frozen=True)
class Line:
    """One assignment of a unit file."""

    section: str
    key: str
    value: str


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag of dockerd: its name without dashes, the key of daemon.json that means the same, its value and the words it is made of."""

    name: str
    key: str
    value: t.Any
    words: t.Tuple[str, ...]


def parse_show(text: str) -> dict[str, str]:
    """The output of systemctl show."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def parse_unit(text: str) -> list[Line]:
    """The assignments of a unit file or drop-in in order, continuation lines joined, comments left out."""
    lines: list[Line] = []
    section = ""
    pending = ""
    for raw in text.splitlines():
        stripped = raw.strip()
        if stripped.startswith(("#", ";")) or (not stripped and not pending):
            continue
        if stripped.endswith("\\"):
            pending += stripped[:-1] + " "
            continue
        whole, pending = (pending + stripped).strip(), ""
        if whole.startswith("[") and whole.endswith("]"):
            section = whole[1:-1]
        elif "=" in whole:
            lines.append(_assignment(section, whole))
    return [*lines, _assignment(section, pending)] if "=" in pending else lines


def _assignment(section: str, text: str) -> Line:
    key, value = text.split("=", 1)
    return Line(section, key.strip(), value.strip())


def values(texts: t.Iterable[str], section: str, key: str) -> list[str]:
    """The values of a list-like setting over a unit and its drop-ins; an empty assignment resets the list, as in systemd."""
    found: list[str] = []
    for text in texts:
        for line in parse_unit(text):
            if (line.section, line.key) == (section, key):
                found = [*found, line.value] if line.value else []
    return found


def parse_flags(argv: t.Sequence[str]) -> list[Flag]:
    """dockerd's flags, from the words behind the program's name; a word with an unexpanded variable is no flag."""
    return [flag for _at, flag in _located_flags(argv)]


def _located_flags(argv: t.Sequence[str]) -> t.Iterator[tuple[int, Flag]]:
    index = 0
    while index < len(argv):
        at, word = index, argv[index]
        index += 1
        if not word.startswith("-") or word in ("-", "--"):
            continue
        long = word.startswith("--")
        name, equals, value = word.lstrip("-").partition("=")
        used = [word]
        if not long and len(name) > 1:
            # -Hfd:// and -H=fd:// are both legal.
            name, value, equals = name[0], word[2:].lstrip("="), "="
        if name in BOOLEAN_FLAGS:
            parsed: t.Any = (value or "true").lower() in ("1", "t", "true")
        elif equals:
            parsed = value
        else:
            parsed = argv[index] if index < len(argv) else ""
            used += argv[index : index + 1]
            index += 1
        yield at, Flag(name, FLAG_TO_KEY.get(name, name), parsed, tuple(used))


def places_of_keys(argv: t.Sequence[str], keys: t.Container[str]) -> set[int]:
    """Where in a command, whose first word is the program, the words of the flags stand that mean one of these keys."""
    return {1 + at + step for at, flag in _located_flags(argv[1:]) if flag.key in keys for step in range(len(flag.words))}


def without_keys(argv: t.Sequence[str], keys: t.Container[str]) -> list[str]:
    """A command without the flags that mean one of these keys."""
    doomed = places_of_keys(argv, keys)
    return [word for at, word in enumerate(argv) if at not in doomed]


def flags_as_settings(flags: t.Iterable[Flag]) -> dict[str, t.Any]:
    """Flags in the terms of daemon.json; a repeated flag of a list key makes a list."""
    settings: dict[str, t.Any] = {}
    for flag in flags:
        if flag.key in LIST_KEYS:
            settings.setdefault(flag.key, []).append(flag.value)
        elif flag.key == "features":
            name, _equals, on = str(flag.value).partition("=")
            settings.setdefault(flag.key, {})[name] = on.lower() not in ("false", "0", "f")
        else:
            settings[flag.key] = flag.value
    return settings


def needs_restart(before: str | None, after: str | None) -> bool:
    """Whether a changed drop-in changes more than when the daemon may start and the command (whose effect is judged by its flags)."""

    def rest(text: str | None) -> list[Line]:
        return [line for line in parse_unit(text or "") if line.key not in _START_GUARDS and line.key != "ExecStart"]

    return rest(before) != rest(after)


def guards_differ(before: str | None, after: str | None) -> bool:
    """Whether a changed drop-in changes what has to succeed before the daemon starts."""
    return values([before or ""], "Service", "ExecStartPre") != values([after or ""], "Service", "ExecStartPre")


def mount_unit(point: str) -> str:
    """The name of the unit that mounts a path, as systemd-escape --path --suffix=mount makes it (systemd.unit(5))."""
    path = "/".join(part for part in point.split("/") if part)
    if not path:
        return "-.mount"
    escaped = "".join(
        "-" if char == "/" else char if re.match(r"[A-Za-z0-9:_]", char) or (char == "." and at) else "".join(f"\\x{byte:02x}" for byte in char.encode())
        for at, char in enumerate(path)
    )
    return escaped + ".mount"


__all__ = (
    "COMMAND_MARK",
    "Flag",
    "Line",
    "flags_as_settings",
    "guards_differ",
    "mount_unit",
    "needs_restart",
    "parse_flags",
    "parse_show",
    "parse_unit",
    "places_of_keys",
    "values",
    "without_keys",
)
