# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""daemon.json, which has several owners: parse, merge, render. Pure."""

from __future__ import annotations

import dataclasses
import json
import types
import typing as t

from .._errors import DrydockError

Settings = t.Dict[str, t.Any]
# Keys that only a move of the data may change or take over from somebody else, and that stay when their owner no longer asks for them:
# without them the daemon would start on another, empty root.
SNAPSHOTTER = "features.containerd-snapshotter"
MOVED_KEYS = frozenset({"data-root", "storage-driver", SNAPSHOTTER})
DATA_ROOT_OWNER = "data-root"
# Among the keys that are taken over: any.
ALL = "*"


@dataclasses.dataclass(frozen=True)
class Ask:
    """What one owner wants.

    :param settings: keys of daemon.json with their values.
    :param drop_ins: text of unit drop-ins by file name.
    :param allow_insecure: tcp without TLS client authentication beyond loopback was allowed in words.
    """

    owner: str
    settings: Settings = dataclasses.field(default_factory=dict)
    drop_ins: t.Dict[str, str] = dataclasses.field(default_factory=dict)
    allow_insecure: bool = False

    def to_data(self) -> dict[str, t.Any]:
        """The form that is kept on the host."""
        return dataclasses.asdict(self)


# A way out, as far as it names an option: roles have one of their own for each.
_WAY, _WAYS = "Take the key over with take_over:", {"listen": "Take the addresses over with take_over:"}

Owners = t.Dict[str, Ask]


def parse(text: str | None, path: str) -> Settings:
    """Parse daemon.json as dockerd does: no file, an empty one and a byte order mark are all right.

    :raises DrydockError: not JSON (with line and column), not an object, or a key given twice (Go keeps the last one silently).
    """
    if text is None or not text.lstrip("\ufeff").strip():
        return {}

    def unique(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
        seen: dict[str, t.Any] = {}
        for key, value in pairs:
            if key in seen:
                raise DrydockError("json-invalid", f"{path} has the key '{key}' twice, and dockerd silently takes the last one.", "Remove one of the two.")
            seen[key] = value
        return seen

    try:
        data = json.loads(text.lstrip("\ufeff"), object_pairs_hook=unique)
    except json.JSONDecodeError as exc:
        raise DrydockError(
            "json-invalid",
            f"{path} is not valid JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}.",
            "It was left untouched; correct it by hand and run again.",
        ) from exc
    if not isinstance(data, dict):
        raise DrydockError(
            "json-invalid", f"{path} holds a JSON {type(data).__name__}, not an object.", "It was left untouched; correct it by hand and run again."
        )
    return data


def flat(settings: t.Mapping[str, t.Any]) -> Settings:
    """Settings with each feature as a key of its own; an empty dictionary of them stays."""
    features = settings.get("features")
    if not isinstance(features, dict) or not features:
        return dict(settings)
    result: Settings = {}
    for key, value in settings.items():
        result.update({f"features.{name}": on for name, on in features.items()} if key == "features" else {key: value})
    return result


def folded(settings: t.Mapping[str, t.Any]) -> Settings:
    """The same as dockerd takes it."""
    result: Settings = {}
    for key, value in settings.items():
        if key.startswith("features."):
            result["features"] = {**result.get("features", {}), key.partition(".")[2]: value}
        else:
            result[key] = value
    return result


def without_taken(owners: Owners, asks: t.Iterable[Ask], take_over: t.Mapping[str, t.Container[str]]) -> Owners:
    """What the owners asked for last time, without what others take over from them now."""
    asks = list(asks)
    asking = {ask.owner for ask in asks}
    taken = {key for ask in asks for key in flat(ask.settings) if _takes(ask.owner, key, take_over)}
    return {name: ask if name in asking else without(ask, taken) for name, ask in owners.items()}


def without(ask: Ask, keys: t.Container[str]) -> Ask:
    """What an owner asks for but these keys."""
    return dataclasses.replace(ask, settings=folded({key: value for key, value in flat(ask.settings).items() if key not in keys}))


def _takes(owner: str, key: str, take_over: t.Mapping[str, t.Container[str]]) -> bool:
    names = take_over.get(owner, ())
    return key in names or key.partition(".")[0] in names or ALL in names


def merge(
    current: Settings, owners: Owners, asks: t.Iterable[Ask], take_over: t.Mapping[str, t.Container[str]] = types.MappingProxyType({})
) -> tuple[Settings, list[DrydockError]]:
    """Merge what is asked into what is there.

    A key that its owner no longer asks for goes away. A foreign key stays; one with the same value is adopted; one with
    another value is a conflict, unless it is taken over, or only closes addresses. An owned key that was edited by hand is put right. A feature is a
    key of its own.

    :param owners: what each owner asked for last time.
    :param take_over: the keys that an owner takes over from somebody else, by owner.
    :returns: the new settings in the file's own order, and the conflicts.
    """
    current = flat(current)
    asks = [dataclasses.replace(ask, settings=flat(ask.settings)) for ask in asks]
    owners = {name: dataclasses.replace(ask, settings=flat(ask.settings)) for name, ask in owners.items()}
    asking = {ask.owner for ask in asks}
    result = dict(current)
    conflicts: list[DrydockError] = []
    claimed: dict[str, tuple[str, t.Any]] = {}

    for name, before in owners.items():
        for key, value in before.settings.items():
            if name not in asking:
                claimed[key] = (f"owner '{name}'", value)
            elif key not in MOVED_KEYS:
                result.pop(key, None)

    for ask in asks:
        mine = owners[ask.owner].settings if ask.owner in owners else {}
        for key, value in ask.settings.items():
            by, other = claimed.get(key, ("", None))
            if not by and key in current and key not in mine and not _asked_before(owners, key):
                by, other = "somebody else", current[key]
                if _takes(ask.owner, key, take_over) or (key == "hosts" and _only_closes(value, other)):
                    by = ""
            if by and other != value and not (ask.owner == DATA_ROOT_OWNER and key in MOVED_KEYS):
                conflicts.append(
                    DrydockError(
                        "conflict",
                        f"daemon.json key '{key}' is {json.dumps(other)} by {by}, and owner '{ask.owner}' asks for {json.dumps(value)}.",
                        f"{_WAYS.get(ask.owner, _WAY)} [{key}]. Or let one of the two go: remove the key from the file, or from what is asked.",
                    )
                )
                continue
            claimed[key] = (f"owner '{ask.owner}'", value)
            result[key] = value
    # Keys that stay keep their place, so that a diff shows what changed and nothing else.
    ordered = {key: result[key] for key in current if key in result}
    ordered.update(result)
    return folded(ordered), conflicts


def _only_closes(hosts: t.Any, before: t.Any) -> bool:
    """Whether a list of addresses opens nothing on the network that was not open before."""
    if not isinstance(hosts, list) or not isinstance(before, list):
        return False
    return {one for one in hosts if not str(one).startswith(("fd:", "unix:"))} < {one for one in before if not str(one).startswith(("fd:", "unix:"))}


def _asked_before(owners: Owners, key: str) -> bool:
    return any(key in ask.settings for ask in owners.values())


def render(settings: Settings) -> str:
    """The text of daemon.json."""
    return json.dumps(settings, indent=4, ensure_ascii=False) + "\n"


__all__ = (
    "ALL",
    "DATA_ROOT_OWNER",
    "MOVED_KEYS",
    "SNAPSHOTTER",
    "Ask",
    "Owners",
    "Settings",
    "flat",
    "folded",
    "merge",
    "parse",
    "render",
    "without",
    "without_taken",
)
