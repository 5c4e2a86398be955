# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Options that several modules share, and the one place where what a person or a survey typed becomes a request."""

from __future__ import annotations

import re
import typing as t

from .._copy.listing import parse_limit
from .._engine import options
from .._engine.daemon_json import ALL, Ask
from .._errors import DrydockError
from .request import Request

_ASK: dict[str, t.Any] = {
    "owner": {"type": "str"},
    "settings": {"type": "dict"},
    "settings_template": {"type": "path"},
    "drop_ins": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "template": {"type": "path"}, "content": {"type": "str"}},
    },
    "allow_insecure": {"type": "bool", "default": False},
    "take_over": {"type": "raw"},
}
# Of each module that changes something. The id of an action plugin's run that follows the worker is not for people.
CHANGE: dict[str, t.Any] = {"ready_timeout": {"type": "int", "default": 120}, "_run": {"type": "str"}}
COMMON: dict[str, t.Any] = {
    **_ASK,
    "requests": {"type": "list", "elements": "dict", "options": {**_ASK, "owner": {"type": "str", "required": True}}},
    "restart": {"type": "str", "choices": ["auto", "never", "always"], "default": "auto"},
    "confirm_timeout": {"type": "int", "default": 0},
    "allow_hidden_data": {"type": "bool", "default": False},
    **CHANGE,
}


def to_request(params: t.Mapping[str, t.Any]) -> Request:
    """Module parameters as a request.

    :raises DrydockError: settings without an owner, or a template that nobody rendered.
    """
    raw = list(params.get("requests") or [])
    if any(params.get(key) for key in ("settings", "drop_ins", "owner", "take_over")):
        if not params.get("owner"):
            raise DrydockError("module-call", "'settings' and 'drop_ins' need an 'owner'.", "Name whose settings they are, for example owner: options.")
        raw.append(params)
    twice = {one["owner"] for one in raw if sum(one["owner"] == other["owner"] for other in raw) > 1}
    if twice:
        raise DrydockError("module-call", f"Owner '{sorted(twice)[0]}' is named twice.", "Give all its settings in one request.")
    return Request(
        asks=tuple(_to_ask(one) for one in raw),
        path=_path(params.get("path")),
        containerd_path=_path(params.get("containerd_path")),
        state=params.get("state") or "relocated",
        keep_source=params.get("keep_source", True),
        verify=params.get("verify") or "attributes",
        bandwidth_limit=parse_limit(params.get("bandwidth_limit") or ""),
        changing_limit=parse_limit(params.get("changing_limit") or "", "changing_limit") * 1024,
        require_persistent_mount=params.get("require_persistent_mount", True),
        allow_swarm_manager=params.get("allow_swarm_manager", False),
        restart=params["restart"],
        ready_timeout=params["ready_timeout"],
        confirm_timeout=params.get("confirm_timeout") or 0,
        allow_hidden_data=bool(params.get("allow_hidden_data")),
        untouched=frozenset((one["owner"], part) for one in raw for part in ("settings", "drop_ins") if one.get(part) is None),
        take_over={one["owner"]: _names(one["take_over"]) for one in raw if one.get("take_over") is not None},
    )


def _names(value: t.Any) -> frozenset[str]:
    """The keys that are taken over: a list of names, text with one a line or between commas, or true for any.

    :raises DrydockError: it is nothing of that.
    """
    if isinstance(value, str) and value.strip().lower() in ("true", "yes", "false", "no"):
        value = value.strip().lower() in ("true", "yes")
    if isinstance(value, bool):
        return frozenset({ALL} if value else ())
    names = re.split(r"[,\n]", value) if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(one, str) for one in names):
        raise DrydockError("variable-value", f"What is to be taken over is {value!r}.", "Give names of keys, for example [log-opts], or true.")
    return frozenset(one.strip() for one in names if one.strip())


def _path(text: str | None) -> str | None:
    return re.sub("^//+", "/", (text or "").strip()) or None


def _to_ask(raw: t.Mapping[str, t.Any]) -> Ask:
    if raw.get("settings_template") or any(one.get("template") for one in raw.get("drop_ins") or []):
        raise DrydockError("module-call", "A template reached the host unrendered.", "Call the module through its action plugin, not by another name.")
    settings = {key: _as_list(value) if key in options.LIST_KEYS else value for key, value in (raw.get("settings") or {}).items()}
    return Ask(raw["owner"], settings, {one["name"]: one.get("content") or "" for one in raw.get("drop_ins") or []}, bool(raw.get("allow_insecure")))


def _as_list(value: t.Any) -> t.Any:
    """A survey sends a list as text, one value a line."""
    return [line.strip() for line in value.splitlines() if line.strip()] if isinstance(value, str) else value


__all__ = (
    "CHANGE",
    "COMMON",
    "to_request",
)
