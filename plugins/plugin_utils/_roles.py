# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The one place that knows modules and roles: what a module's words are in the roles' words, its options in their variables, and where templates lie.

A module speaks of its own options, because a play may call it without any role. Whoever uses a role reads of that role's variables.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import glob
import os
import re
import typing as t

_COLLECTION = "drydock.dockerd"
_ROLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "roles")
_TLS = "docker_listen_tls_ca, _cert and _key"
# A module's way out, as far as it names an option or an owner, and the same in the words of the roles. Parts of sentences that say nothing else,
# never a single word: text of dockerd and of people goes the same way, and stays as it is.
PHRASES = {
    "Set path.": "Set docker_data_root_path.",
    "Set containerd_path to move it too": "Set docker_data_root_containerd_path to move it too",
    "Leave out containerd_path: that containerd": "Leave out docker_data_root_containerd_path: that containerd",
    "or leave out containerd_path.": "or leave out docker_data_root_containerd_path.",
    "or set require_persistent_mount: false.": "or set docker_data_root_require_persistent_mount: false.",
    "Set allow_swarm_manager: true to move all the same.": "Set docker_data_root_allow_swarm_manager: true to move all the same.",
    "or set changing_limit higher": "or set docker_data_root_changing_limit higher",
    "or set allow_hidden_data: true, in a run": "or set docker_options_allow_hidden_data: true, in a run",
    "Add it to hosts, or remove it there.": "Add it to docker_listen_addresses, or remove it there.",
    "Name one in hosts, for example": "Name one in docker_listen_addresses, for example",
    "Set tlscacert, tlscert and tlskey.": f"Set {_TLS}.",
    "or set tlsverify, tlscacert, tlscert and tlskey.": f"or set {_TLS}.",
    "Set tlsverify, tlscacert, tlscert and tlskey, or allow_insecure: true if": (
        f"Put role docker_tls in front of it, or set {_TLS}, or docker_listen_allow_insecure: true if"
    ),
    "Use owner listen for it.": "Use role docker_listen for it.",
    "Use owner data-root for it.": "Use role docker_data_root for it.",
    "Take the key over with take_over:": "Take the key over with docker_options_take_over:",
    "Take the addresses over with take_over:": "Take the addresses over with docker_listen_take_over:",
    "Nothing is asked for: neither settings nor drop_ins are given.": (
        "Nothing is asked for: neither docker_options_settings nor docker_options_drop_ins are given."
    ),
    "Set tlscacert to the file of the CA": "Set docker_listen_tls_ca to the file of the CA",
    "Put the certificates there first, all three files.": "Let role docker_tls come before in the play, or put the certificates there first, all three files.",
    "Set settings.": "Set docker_options_settings.",
    "Leave settings out to have them untouched.": "Leave docker_options_settings out to have them untouched.",
    "Install the engine from packages and remove the snap.": "Install the engine from packages (role docker_engine) and remove the snap.",
    "Install the engine for the system; a rootless one": "Install the engine for the system (role docker_engine); a rootless one",
    "Install it first, from the package docker.io or docker-ce.": "Install it first, with role docker_engine or from the package docker.io or docker-ce.",
}
_ANY_PHRASE = re.compile(rf"(?<!\S)({'|'.join(map(re.escape, PHRASES))})(?!\w)")

# What module arguments are called in the roles' templates, and what stands for them where only the host knows it.
PATHS = {"path": ("docker_data_root_path", "@data_root@"), "containerd_path": ("docker_data_root_containerd_path", "@containerd_root@")}


def role_template(role: str, name: str) -> str:
    """A template of one of the collection's own roles."""
    return os.path.join(_ROLES, role, "templates", name)


def _drop_in(name: str) -> str:
    return role_template("docker_data_root", f"etc/systemd/system/{name}.j2")


# Each owner with the argument that makes it ask, and its drop-ins: their names, and the templates that they are made of.
OWNERS = {
    "data-root": ("path", {"zz-drydock-data-root.conf": _drop_in("docker.service.d/zz-drydock-data-root.conf")}),
    "containerd": (
        "containerd_path",
        {
            "zz-drydock-containerd.conf": _drop_in("docker.service.d/zz-drydock-containerd.conf"),
            "containerd.service.d/zz-drydock-containerd.conf": _drop_in("containerd.service.d/zz-drydock-containerd.conf"),
        },
    ),
}


# What a role is mostly called with, for whoever takes its name for a variable's.
_MAIN = {
    "docker_client": "docker_client_endpoints",
    "docker_containers": "docker_containers_list",
    "docker_data_root": "docker_data_root_path",
    "docker_engine": "docker_engine_version",
    "docker_listen": "docker_listen_addresses",
    "docker_options": "docker_options_settings",
    "docker_report": "docker_report_path",
    "docker_tls": "docker_tls_names",
}


@functools.lru_cache(maxsize=1)
def variables() -> frozenset[str]:
    """The variables of all roles."""
    found: set[str] = set()
    for path in glob.glob(os.path.join(_ROLES, "*", "meta", "argument_specs.yml")):
        with open(path, encoding="utf-8") as stream:
            found.update(re.findall(r"^      (docker_\w+):$", stream.read(), re.MULTILINE))
    return frozenset(found)


def main_variable(task: t.Any) -> str:
    """What a role is mostly called with, of the role that a task belongs to; empty where there is no such variable."""
    return _MAIN.get(task._role.get_name().rpartition(".")[2], "") if is_of_a_role(task) else ""


def misspelt(names: t.Iterable[str]) -> dict[str, str]:
    """Variables of a play that look like one of ours and are none, each with the one that is meant. Those of others (docker_compose_version) are theirs."""
    found = {}
    for name in names:
        if name.startswith("docker_") and name not in variables():
            close = [_MAIN[name]] if name in _MAIN else difflib.get_close_matches(name, variables(), 1, 0.9)
            if close:
                found[name] = close[0]
    return found


def in_role_words(text: str) -> str:
    """What a module says, in the words of the roles."""
    return _ANY_PHRASE.sub(lambda found: PHRASES[found[0]], text)


def is_of_a_role(task: t.Any) -> bool:
    """Whether a task belongs to one of the collection's roles: whichever way that was included, and found by the collection's name or by its path."""
    role = task._role
    return role is not None and (role.get_name().startswith(f"{_COLLECTION}.") or os.path.dirname(role.get_role_path()) == os.path.realpath(_ROLES))


def retold(result: t.Mapping[str, t.Any], words: t.Callable[[str], str]) -> dict[str, t.Any]:
    """A module's answer with all of it that a person reads in other words."""
    told = {**result}
    for key in ("msg", "exception"):
        if key in told:
            told[key] = _anew(told[key], words)
    if "warnings" in told:
        told["warnings"] = [_anew(one, words) for one in told["warnings"] or []]
    if "findings" in told:
        told["findings"] = [{**one, "sentence": words(one["sentence"]), "hint": words(one["hint"])} for one in told["findings"] or []]
    return told


def _anew(value: t.Any, words: t.Callable[[str], str]) -> t.Any:
    """Text, or what ansible-core from 2.19 on keeps and shows it in: an error is a dataclass, with another one inside that has the words."""
    if isinstance(value, str):
        return words(value)
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    before = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    after = {name: _anew(part, words) for name, part in before.items()}
    return dataclasses.replace(value, **after) if after != before else value


__all__ = ("OWNERS", "PATHS", "PHRASES", "in_role_words", "is_of_a_role", "main_variable", "misspelt", "retold", "role_template", "variables")
