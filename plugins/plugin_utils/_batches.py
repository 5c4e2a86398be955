# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Changes that go from batch to batch: how large they are, in serial's terms, and how far it came when one had a host that was not well. Pure."""

from __future__ import annotations

import re
import typing as t

import yaml
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, message

# How Ansible words that it could not write its files to a host.
_NO_FILES = "No space left on device|Failed to create temporary directory"
_WAY_OUT = "Give a number of hosts (1), a percentage (25%), or a list of them for one batch after the other (1, 25%)."


def batches(value: t.Any) -> list[int | str]:
    """Sizes of batches in serial's own terms; nothing, and empty text, are all hosts at once.

    :raises DrydockError: serial would not take it, or not as it is meant.
    """
    items = _items(value)
    return [_size(one, value) for one in items] or ["100%"]


def _items(value: t.Any) -> list[t.Any]:
    if value is None:
        return []
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str):
        return [value]
    if value.strip()[:1] in ("[", "-"):
        try:
            found = yaml.safe_load(value)
        except yaml.YAMLError as exc:
            raise DrydockError("variable-value", f"rolling_batch is {value!r}, which is no list in YAML.", _WAY_OUT) from exc
        return found if isinstance(found, list) else [found]
    return [one for one in re.split(r"[,\n]", value) if one.strip()]


def _size(one: t.Any, whole: t.Any) -> int | str:
    """serial itself takes 0 and 0% for other sizes, and of 2.5% only the error."""
    text = "" if isinstance(one, bool) else str(one).strip()
    found = re.fullmatch(r"([0-9]+)\s*(%?)", text)
    number = int(found[1]) if found else 0
    if not found or number < 1 or (found[2] and number > 100):
        what = "" if one == whole else f", where {one!r} is no size of a batch"
        raise DrydockError("variable-value", f"rolling_batch is {_plain(whole)!r}{what}.", _WAY_OUT)
    return f"{number}%" if found[2] else number


def _plain(value: t.Any) -> t.Any:
    """Without the classes in which Ansible wraps what it reads."""
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def report(troubles: t.Sequence[str], batch: t.Sequence[str], everybody: t.Sequence[str], present: t.Collection[str]) -> list[str]:
    """How far a change came, in lines for people; nothing when all hosts of the batch are well.

    :param troubles: of each host in the batch that is still there what is the matter with it, or nothing.
    :param everybody: all hosts of the play, in the order of the batches.
    :param present: those that the play has not lost on the way.
    """
    sick = {host: words for host, words in zip(batch, troubles) if words}
    lost = [host for host in everybody if host not in set(present)]
    if not sick and not lost:
        return []
    begun = everybody.index(batch[-1]) + 1
    well = [host for host in everybody[:begun] if host not in sick and host not in lost]
    behind = [host for host in everybody[begun:] if host not in lost]
    lines = [f"Well: {', '.join(well) or 'none'}."]
    lines += [f"Not well: {host}: {words}" for host, words in sick.items()]
    lines += [f"Lost on the way: {', '.join(lost)}."] if lost else []
    return [*lines, f"Not begun: {', '.join(behind) or 'none'}."]


def trouble(failed: t.Mapping[str, t.Any], reached: t.Mapping[str, t.Any], findings: t.Iterable[t.Mapping[str, t.Any]]) -> str:
    """What is the matter with a host, in words.

    :param failed: the result of the task that failed.
    :param reached: that of the host's first task.
    :param findings: of the module that did the change; a daemon that does not run is not well, whatever its files say.
    """
    if reached.get("unreachable") or reached.get("failed"):
        return _out_of_reach(reached)
    if failed.get("failed_when_result"):
        words = [message("daemon-stopped", one["sentence"], one["hint"]) for one in findings if one["id"] == "daemon-stopped"]
    else:
        words = [_words(one) for one in failed.get("results") or [failed] if one.get("failed")]
    return " ".join(dict.fromkeys(words)) or "It failed."


def _words(result: t.Mapping[str, t.Any]) -> str:
    text = str(result.get("msg") or "It failed.")
    return _out_of_reach(result) if re.search(_NO_FILES, text) else text


def _out_of_reach(result: t.Mapping[str, t.Any]) -> str:
    """Why Ansible could not begin: without pipelining it has to write a file first."""
    said = [" ".join(str(result.get(key) or "").split()).removeprefix("Task failed: ") for key in ("module_stderr", "msg")]
    text = next(filter(None, said), "no answer")
    found = re.search(_NO_FILES, text)
    if not found:
        return message("unreachable", f"It cannot be reached: {text}")
    place = re.search(r"(/[^\s\"']+)/ansible-tmp-", text)
    where = place[1] if place else "its temporary directory"
    sentence = f"Ansible cannot write its own files to {where} on the host ({found[0]})."
    return message("no-room-for-ansible", sentence, "Make room there, or let Ansible do without: ansible_pipelining: true.")


__all__ = ("batches", "report", "trouble")
