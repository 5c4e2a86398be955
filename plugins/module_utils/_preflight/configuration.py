# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""daemon.json, flags and variables together: owners, keys, plugins, hidden data, and dockerd's own judgement."""

from __future__ import annotations

import json
import os
import re
import typing as t

from .._engine import options
from .._engine.certificates import certificate_files
from .._engine.daemon_json import ALL, SNAPSHOTTER
from .._host import files
from .._host.host import Host
from .._host.mounts import are_one_place
from .._observe.state import DEFAULT_DATA_ROOT, State
from .._plan.effect import IMAGE_STORE, has_its_plugins, pending_keys
from .._plan.plan import NAMES, Plan
from .._plan.request import Request
from .._service import unit_file
from .finding import ERROR, WARNING, Finding

# Who sets the keys of another owner, too: whoever brings the certificates along may have them named apart from the addresses.
_STAND_INS = {"tls": options.LISTEN_OWNER}
# How many images are told by name.
_TOLD = 5


def owner_findings(state: State, plan: Plan, request: Request) -> t.Iterator[Finding]:
    yield from _asked_findings(state, request)
    for owner, ask in plan.owners.items():
        for key in ask.settings:
            only = options.OWNER_OF_KEY.get(key)
            if only and only not in (owner, _STAND_INS.get(owner)):
                yield Finding("wrong-role", ERROR, f"Key '{key}' cannot be set by owner '{owner}'.", f"Use owner {only} for it.")
    if "restart" in plan.file_settings:
        yield Finding(
            "restart-key", ERROR, "daemon.json has the key 'restart', which keeps or starts all containers at once.", "Remove it; true is the default."
        )


def _asked_findings(state: State, request: Request) -> t.Iterator[Finding]:
    """Who asks for nothing, and who gives up all that he had asked for."""
    given = [part for ask in request.asks for part in ("settings", "drop_ins") if (ask.owner, part) not in request.untouched]
    if request.asks and not (given or request.path or request.containerd_path) and request.state == "relocated":
        yield Finding("nothing-asked", WARNING, "Nothing is asked for: neither settings nor drop_ins are given.", "Set settings.")
    for ask in request.asks:
        before = state.owners.get(ask.owner)
        if before and before.settings and not ask.settings and (ask.owner, "settings") not in request.untouched and ask.owner not in NAMES:
            names = ", ".join(sorted(before.settings))
            sentence = f"Owner '{ask.owner}' asks for no settings any more: all that were asked for by it go out of daemon.json ({names})."
            yield Finding("gives-up", WARNING, sentence, "Leave settings out to have them untouched.")


def key_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """What the catalogue says of the keys. Those of others are in force as they are, but for those of a file that the daemon has not read."""
    asked = {key for ask in plan.owners.values() for key in ask.settings}
    unread = state.config_file in state.newer and plan.effect == "restart"
    for name, value in plan.file_settings.items():
        found = options.fault(name, value, state.version)
        # 'restart' is a flag that dockerd takes from the file, too; what is wrong with it is told above.
        if found and name != "restart":
            yield Finding(found[0], ERROR if name in asked or unread else WARNING, found[1], found[2])


def plugin_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """A plugin that is in the file and not in force: dockerd ends where it is not there, and so would it with the old file."""
    key = "authorization-plugins"
    there = state.daemon_json.get(key)
    if there and plan.effect != "none" and plan.file_settings.get(key) == there and not has_its_plugins(state, plan.after.settings):
        sentence = f"daemon.json has {key} {', '.join(map(str, there))}, which is not in force, and without such a plugin dockerd does not start."
        yield Finding("plugin-pending", ERROR, sentence, "Restart the daemon with it first, or take it out of the file.")


def flag_findings(state: State, plan: Plan, request: Request) -> t.Iterator[Finding]:
    """Keys that dockerd gets both as a flag and from the file (it does not start then), and addresses of others that ours would drop. One that lets in
    whoever reaches it may always be closed."""
    first = {flag.key: flag for flag in reversed(unit_file.parse_flags(plan.after.command[1:]))}
    for key in sorted(set(first) & set(plan.file_settings) - {"runtimes"}):
        flag = first[key]
        yield Finding(
            "flag-conflict",
            ERROR,
            f"'{key}' is given by {' '.join(flag.words)} in {state.unit.origin(flag)} and in daemon.json; dockerd does not start with both.",
            _hint_for_flag(state, key, state.unit.origin(flag)),
        )
    asked = plan.file_settings.get("hosts")
    if asked and not {ALL, "hosts"} & set(request.take_over.get(options.LISTEN_OWNER, ())):
        for flag in unit_file.parse_flags(state.unit.own_words[1:]):
            origin = state.unit.origin(flag)
            if flag.key == "hosts" and flag.value not in asked and origin != state.unit.fragment and not state.lets_in.get(str(flag.value)):
                yield Finding(
                    "foreign-address",
                    ERROR,
                    f"{origin} lets the daemon listen on {flag.value}, which is not asked for.",
                    "Add it to hosts, or remove it there. Take the addresses over with take_over: [hosts] to leave it out.",
                )


def _hint_for_flag(state: State, key: str, origin: str) -> str:
    if key != "data-root":
        return "Remove the flag there, or the key."
    # Whoever only takes the flag away has an empty daemon at its next start.
    return f'Write "data-root": "{state.data_root}" into {state.config_file} and take the flag out of {origin}, then restart: the data stay where they are.'


def hidden_data_findings(state: State, plan: Plan, request: Request) -> t.Iterator[Finding]:
    for key, value in plan.hides if state.inventory.containers or state.inventory.images else ():
        what, back = (f"A start with {value} image store", _way_back(state)) if key == IMAGE_STORE else (f"Setting '{key}' to '{value}'", "")
        yield Finding(
            "hides-data",
            WARNING if request.allow_hidden_data and not plan.moves else ERROR,
            f"{what} would hide the images and containers that this host has.",
            f"Remove them first, leave the key alone, or set allow_hidden_data: true, in a run that moves nothing.{back}",
        )


def _way_back(state: State) -> str:
    """How images and containers come back from the other image store, and what has to be pulled until then."""
    tags = sorted({tag for tags in state.inventory.images.values() for tag in tags})
    more = f" and {len(tags) - _TOLD} more" if len(tags) > _TOLD else ""
    pull = f" The other store needs its own: pull or load {', '.join(tags[:_TOLD])}{more} there again." if tags else ""
    return f" They come back with {SNAPSHOTTER}: {str(state.snapshotter).lower()}.{pull}"


def store_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """An image store and a storage driver that do not fit: dockerd does not start, or runs no container, and --validate does not see it."""
    fault = state.next_store(plan.after.settings).fault
    if fault and (plan.files or plan.effect != "none" or plan.packages):
        sentence = f"dockerd would not start with its images, or run no container: {fault}."
        yield Finding("image-store", ERROR, sentence, f"Let storage-driver and {SNAPSHOTTER} name one store, or leave one of them out.")


def command_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """A daemon that cannot be held back, or told anything, because its unit starts something else."""
    there = state.unit.launched
    if there and there.problem and (plan.effect in ("reload", "restart") or plan.packages):
        yield Finding(there.problem.id, ERROR, there.problem.sentence, there.problem.hint)


def root_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """A data root that waits in the files for the next start: only a move may start the daemon on another root than the one in force."""
    wanted = str(plan.after.settings.get("data-root") or DEFAULT_DATA_ROOT)
    if plan.move or not state.pid or are_one_place(wanted, state.data_root):
        return
    where = f"{state.config_file} says" if "data-root" in state.daemon_json else "the daemon's command says"
    says = f"{where} data-root {wanted}" if "data-root" in plan.after.settings else f"no file says so, which means {wanted}"
    sentence = f"The running daemon uses the data root {state.data_root}, and {says}: a restart would start it there, without its data."
    hint = f'Write "data-root": "{state.data_root}" into {state.config_file}, and nothing is lost; to move the data, ask for the move after that.'
    yield Finding("root-pending", ERROR if plan.effect == "restart" else WARNING, sentence, hint)


def pending_findings(state: State, plan: Plan, request: Request) -> t.Iterator[Finding]:
    """What others have written and nobody has put into force: a start for something else is none for that."""
    if request.restart == "always" or not state.pid:
        return
    restarts = plan.effect == "restart"
    for key, before, after in pending_keys(state, plan.file_settings, plan.owners):
        now, then = ("its default" if value is None else json.dumps(value) for value in (before, after))
        so = ": this restart would" if restarts else ""
        sentence = f"Key '{key}' is {now} in the running daemon and {then} in {state.config_file}, which nobody has put into force{so}."
        hint = "Put it into force by itself first (daemon_state: restarted), or write what is in force into the file."
        yield Finding("key-pending", ERROR if restarts else WARNING, sentence, hint)


def validate(host: Host, state: State, plan: Plan, check_mode: bool) -> t.Iterator[Finding]:
    """Let dockerd itself judge the new configuration, where it can (23.0 and newer)."""
    # With other packages the engine that would have to judge is not there yet.
    if state.version < (23, 0) or plan.packages or not (plan.files or plan.effect == "restart"):
        return
    if check_mode and plan.file_settings.get("userns-remap") == "default":
        # Validating would create the user dockremap.
        return
    if check_mode and not all(os.path.isfile(path) for path in certificate_files(plan.after.settings)):
        return
    text = next((one.after for one in plan.files if one.path == host.places.daemon_json), None)
    if text is None:
        text = files.read(host.places.daemon_json) or "{}"
    arguments = unit_file.without_keys(plan.after.command, {"config-file"})[1:]
    result = host.run(plan.after.command[0], "--validate", "--config-file", "/dev/stdin", *arguments, stdin=text.encode())
    if result.rc != 0:
        words = re.sub(r"^unable to configure the Docker daemon with file /dev/stdin: ", "", result.words)
        yield Finding("validate", ERROR, f"dockerd rejects the new configuration: {words}.", "Correct what is asked for.")


__all__ = (
    "command_findings",
    "flag_findings",
    "hidden_data_findings",
    "key_findings",
    "owner_findings",
    "pending_findings",
    "plugin_findings",
    "root_findings",
    "store_findings",
    "validate",
)
