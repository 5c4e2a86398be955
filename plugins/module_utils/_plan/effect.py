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
from .._engine.daemon_json import SNAPSHOTTER, Owners, flat
from .._observe.state import State, differing_keys
from .._service import unit_file
from .._service.service import SOCKET
from .placeholders import drop_ins_of, drop_ins_of_docker
from .request import Request

# What is hidden by it, where no key alone says which it is.
IMAGE_STORE = "image store"
_DEFAULTS = {"containerd-namespace": "moby"}


def effect_of(
    state: State, request: Request, before: dict[str, t.Any], after: dict[str, t.Any], drop_ins: dict[str, str], moving: bool, others: t.Container[str] = ()
) -> tuple[str, list[str]]:
    """How much the daemon is disturbed, and by what.

    :param others: keys that others have written and did not put into force.
    """
    if not state.pid:
        first = state.is_unused and request.state == "relocated" and request.restart != "never"
        return ("start", ["the first start"]) if first else ("none", [])
    before, after = flat(before), flat(after)
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
    in_file_only = not set(keys) & set(flat(state.running_flags))
    if in_file_only and all(options.reloads(key, key not in after, state.version) for key in keys) and has_its_plugins(state, after):
        return "reload", why
    return "restart", why


def hidden_by(state: State, before: t.Mapping[str, t.Any], after: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str]]:
    """Keys with the values by which the engine looks for its images and containers in another place.

    :param before: the settings in force, and
    :param after: those of the next start.
    """
    if not state.info:
        return
    now, then = state.store, state.next_store(after)
    if then.in_containerd != now.in_containerd:
        yield IMAGE_STORE, then.name
    elif then.driver and then.driver != now.driver:
        yield "storage-driver", then.driver
    mapped = str(after.get("userns-remap") or "")
    if bool(mapped) != state.maps_users or (mapped and before.get("userns-remap", mapped) != mapped):
        yield "userns-remap", mapped
    before, after = flat(before), flat(after)
    # What is in containerd's store is one engine's by the rest.
    for key in sorted(options.HIDES_DATA - {"storage-driver", "userns-remap", SNAPSHOTTER} if now.in_containerd and then.in_containerd else ()):
        values = [settings.get(key) or _DEFAULTS.get(key) for settings in (before, after)]
        if values[0] != values[1]:
            yield key, str(values[1])


def pending_keys(state: State, settings: t.Mapping[str, t.Any], owners: Owners) -> t.Iterator[tuple[str, t.Any, t.Any]]:
    """Keys that others have written and only a start would bring into force, with the value in force and the one in the file.

    :param settings: daemon.json as it will be.
    :param owners: whose keys are no others'.
    """
    if state.left_by_us:
        return
    asked = {key for ask in owners.values() for key in flat(ask.settings)} | {"data-root"}
    settings, there = flat(settings), flat(state.daemon_json)
    proved = state.verified.get("process") == state.process != ""
    shown = {key: look(state.info) for key, look in options.IN_FORCE.items() if state.info}
    known = {**(flat(state.file_in_force) if proved else {}), **{key: value for key, value in shown.items() if key in there}}
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
    "IMAGE_STORE",
    "effect_of",
    "has_its_plugins",
    "hidden_by",
    "pending_keys",
    "to_confirm",
)
