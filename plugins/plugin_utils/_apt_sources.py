# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Where else apt has Docker's repository, in both of its formats. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.drydock.dockerd.plugins.module_utils._errors import message

# Ours, as module deb822_repository names them.
SOURCE = "/etc/apt/sources.list.d/docker.sources"
KEY = "/etc/apt/keyrings/docker.asc"
_OURS = "X-Repolib-Name: docker"
_ORIGINAL = "download.docker.com/linux/"
_LINE = re.compile(r"\s*deb(?:-src)?\s+(?:\[[^]]*\]\s*)?(?P<uris>\S+)\s+\S+(?P<components>[^#]*)")
_OFF = ("no", "false", "without", "off", "disable")


class _Entry(t.NamedTuple):
    uris: list[str]
    components: list[str]


def plan(listed: t.Iterable[str], uri: str) -> dict[str, t.Any]:
    """Where Docker's repository is beside our own file, and what is left of these files without it; or why that cannot be.

    :param listed: all lines of apt's files, each behind the path of its file and a colon.
    :param uri: the repository that is wanted. The one that it is a mirror of is Docker's, too.
    """
    names = {_name(uri), _ORIGINAL + uri.rstrip("/").rpartition("/")[2]}
    texts: dict[str, list[str]] = {}
    for line in listed:
        path, _colon, text = line.partition(":")
        texts.setdefault(path, []).append(text)
    found: dict[str, t.Any] = {"others": [], "own": _text(texts.get(SOURCE, [])), "key": _text(texts.pop(KEY, [])), "adopted": [], "refusals": []}
    for path, all_lines in texts.items():
        if path.rpartition("/")[0] not in ("/etc/apt", "/etc/apt/sources.list.d"):
            continue
        taken, rest = [], []
        for block in _blocks(path, all_lines):
            entry = _entry(path, block)
            if entry and names & {_name(one) for one in entry.uris}:
                taken.append(" ".join(" ".join(block).split()))
                found["refusals"] += _refusals(path, taken[-1], entry, names)
            else:
                rest += block
                if path == SOURCE and entry and _OURS not in block:
                    sentence = f"{path}, which is Docker's repository's own file, has {' and '.join(entry.uris)}, too."
                    found["refusals"].append(message("repository-shared", sentence, "Move that to another file."))
        if path != SOURCE and taken:
            left = _text(rest) if any(line.strip() and not line.lstrip().startswith("#") for line in rest) else ""
            found["others"].append({"path": path, "text": _text(all_lines), "rest": left})
        if taken and (path != SOURCE or _OURS not in all_lines):
            found["adopted"].append({"path": path, "entries": taken})
    return found


def _name(uri: str) -> str:
    return re.sub(r"^https?://", "", uri).rstrip("/")


def _text(lines: t.Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _blocks(path: str, lines: t.Sequence[str]) -> t.Iterator[list[str]]:
    """What may be an entry, with the blank line behind it: a line, or in the newer format a paragraph."""
    block: list[str] = []
    for line in lines:
        block.append(line)
        if path.endswith(".list") or not line.strip():
            yield block
            block = []
    if block:
        yield block


def _entry(path: str, block: t.Sequence[str]) -> _Entry | None:
    """What a block says, where it is in force."""
    if path.endswith(".list"):
        found = _LINE.match(block[0])
        return _Entry([found["uris"]], found["components"].split()) if found else None
    fields: dict[str, str] = {}
    name = ""
    for line in block:
        if line.startswith("#"):
            continue
        if not line[:1].isspace():
            name, _colon, line = line.partition(":")
        fields[name.strip().lower()] = f"{fields.get(name.strip().lower(), '')} {line.strip()}"
    if not fields.get("uris") or fields.get("enabled", "").strip().lower() in _OFF:
        return None
    return _Entry(fields["uris"].split(), fields.get("components", "").split())


def _refusals(path: str, text: str, entry: _Entry, names: t.Container[str]) -> t.Iterator[str]:
    more = [one for one in entry.uris if _name(one) not in names] + [one for one in entry.components if one != "stable"]
    if more:
        yield message(
            "repository-shared",
            f"{path} has with Docker's repository {' and '.join(more)}, too: {text}.",
            "Leave only 'stable' there, or see to the repository yourself: docker_engine_source: distribution, with Docker's docker_engine_packages.",
        )


__all__ = ("plan",)
