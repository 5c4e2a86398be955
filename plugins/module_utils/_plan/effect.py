# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""How much a change disturbs the daemon, and what it hides or has to be confirmed. Pure."""

from __future__ import annotations

import json
import typing as t

from .._engine import options
from .._engine.addresses import Address
from .._engine.certificates import CERTIFICATE_KEYS, certificate_files
from .._engine.daemon_json import Owners
from .._observe.state import State, differing_keys
from .._service import unit_file
from .._service.service import SOCKET
from .placeholders import drop_ins_of, drop_ins_of_docker
from .request import Request


def effect_of(
    state: State, request: Request, before: dict[str, t.Any], after: dict[str, t.Any], drop_ins: dict[str, str], moving: bool, others: t.Container[str] = ()
) -> tuple[str, list[str]]:
    """How much the daemon is disturbed, and by what.

    :param others: keys that others have written and did not put into force.
    """
    if not state.pid:
        first = state.is_unused and request.state == "relocated" and request.restart != "never"
        return ("start", ["the first start"]) if first else ("none", [])
    before, after = options.flat(before), options.flat(after)
    # Whoever has written another root, or anything else, did not put it into force, and nobody does that for him.
    keys = [key for key in differing_keys(state, before, after) if (moving or key != "data-root") and (key not in others or request.restart == "always")]
    why = [f"{key}: {json.dumps(before.get(key))} -> {json.dumps(after.get(key))}" for key in keys]
    ours, asked = state.unit.ours, drop_ins_of_docker(drop_ins)
    why += [f"drop-in {name}" for name in sorted({*ours, *asked}) if unit_file.needs_restart(ours.get(name), asked.get(name))]
    if state.socket_unit and state.socket_unit.ours != drop_ins_of(SOCKET, drop_ins):
        why.append(f"drop-ins of {SOCKET}")
    why += [f"{path} was changed" for path in state.changed_certificates if path in certificate_files(after)]
    if moving:
        return "restart", why
    if not why or request.restart == "never":
        return "none", why
    if request.restart == "always" or len(why) > len(keys):
        return "restart", why
    in_file_only = not set(keys) & set(options.flat(state.running_flags))
    if in_file_only and all(options.reloads(key, key not in after, state.version) for key in keys) and has_its_plugins(state, after):
        return "reload", why
    return "restart", why


def hidden_by(state: State, *sides: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str]]:
    """Keys with the values by which the engine looks for its images and containers in another place.

    :param sides: the settings before and after.
    """
    truth = {"storage-driver": state.info.get("Driver"), options.SNAPSHOTTER: state.snapshotter}
    looks = [{**truth, **{key: value for key, value in options.flat(settings).items() if key in options.HIDES_DATA}} for settings in sides]
    # What a file says by now may be in force at the next start only.
    looks[0].update(truth)
    before, after = looks
    for key in sorted({*before, *after}):
        if (before.get(key) or None) != (after.get(key) or None):
            yield key, str(after.get(key))


def pending_keys(state: State, settings: t.Mapping[str, t.Any], owners: Owners) -> t.Iterator[tuple[str, t.Any, t.Any]]:
    """Keys that others have written and only a start would bring into force, with the value in force and the one in the file.

    :param settings: daemon.json as it will be.
    :param owners: whose keys are no others'.
    """
    if state.left_by_us:
        return
    asked = {key for ask in owners.values() for key in options.flat(ask.settings)} | {"data-root"}
    settings, there = options.flat(settings), options.flat(state.daemon_json)
    proved = state.verified.get("process") == state.process != ""
    shown = {key: look(state.info) for key, look in options.IN_FORCE.items() if state.info}
    known = {**(options.flat(state.file_in_force) if proved else {}), **{key: value for key, value in shown.items() if key in there}}
    after = {key: value for key, value in settings.items() if proved or key in known}
    for key in differing_keys(state, known, after):
        if key not in asked and settings.get(key) == there.get(key) and not options.reloads(key, key not in settings, state.version):
            yield key, known.get(key), settings.get(key)


def has_its_plugins(state: State, settings: t.Mapping[str, t.Any]) -> bool:
    """Whether the authorization plugins are those in force: a reload that meets one that is not there ends dockerd (moby: reloadAuthorizationPlugins)."""
    return list(settings.get("authorization-plugins") or []) == list((state.info.get("Plugins") or {}).get("Authorization") or [])


def to_confirm(state: State, before: dict[str, t.Any], after: dict[str, t.Any], addresses: t.Iterable[Address], systemd_socket: str | None) -> tuple[str, ...]:
    """The tcp addresses that others can reach, when they, TLS, the certificates or the local socket change.

    :param addresses: where the daemon listens afterwards.
    """
    keys = ("hosts", "tls", "tlsverify", *CERTIFICATE_KEYS)
    same = systemd_socket == state.systemd_socket and not state.changed_certificates
    if same and not any(key in keys for key in differing_keys(state, before, after)):
        return ()
    return tuple(one.text for one in addresses if one.scheme == "tcp" and not one.loopback)


__all__ = (
    "effect_of",
    "has_its_plugins",
    "hidden_by",
    "pending_keys",
    "to_confirm",
)
