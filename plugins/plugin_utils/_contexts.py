# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What role docker_client decides: the contexts that a list of endpoints asks for, and why it is refused. Pure."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, message
from ansible_collections.drydock.dockerd.plugins.plugin_utils._survey import to_list

# The docker client's own rule (docker/cli, cli/context/store); 'default' is its own context.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+")
_HOST = re.compile(r"tcp://(\[[0-9a-fA-F:.]+\]|[^\s/:,\[\]]+):\d{1,5}|ssh://[^\s,]+")
_KEYS = {"name", "host", "description"}


def plan(endpoints: t.Any, directory: str, default_context: str) -> dict[str, t.Any]:
    """The contexts that are asked for.

    :param directory: where the client's ca.pem, cert.pem and key.pem are.
    :returns: refusals (sentences; with one nothing may be done) and contexts, each with name, host, description, whether it uses tls, and
        what the docker client has to be told.
    """
    try:
        items = to_list(endpoints, "docker_client_endpoints", "a list of endpoints, each with a name and a host")
    except DrydockError as exc:
        return {"refusals": [str(exc)], "contexts": []}
    refusals = [sentence for item in items for sentence in _wrong(item)]
    names = [item["name"] for item in items if isinstance(item, dict) and "name" in item]
    refusals += [
        message("variables-clash", f"docker_client_endpoints has two endpoints of name {name}.", "Give each a name of its own.")
        for name in sorted({one for one in names if names.count(one) > 1})
    ]
    if default_context and default_context not in [*names, "default"]:
        sentence = f"docker_client_default_context is '{default_context}', which is no endpoint's name."
        refusals.append(message("variable-value", sentence, "Name one of them, or 'default'."))
    if not directory.startswith("/") or set(directory) & set(',="'):
        refusals.append(message("variable-value", f"docker_client_dir is '{directory}'.", "Give an absolute path without commas, equals signs and quotes."))
    return {"refusals": refusals, "contexts": [] if refusals else [_context(item, directory) for item in items]}


def _wrong(item: t.Any) -> list[str]:
    if not isinstance(item, dict) or not {"name", "host"} <= set(item):
        return [message("variable-value", f"docker_client_endpoints has {item!r}, which lacks a name or a host.", "Give both.")]
    found = []
    if set(item) - _KEYS:
        sentence = f"Endpoint {item['name']} has {', '.join(sorted(set(item) - _KEYS))}, which is unknown."
        found.append(message("variable-value", sentence, "There are name, host and description."))
    if not _NAME.fullmatch(str(item["name"])) or item["name"] == "default":
        way_out = "Use two or more letters, digits and the characters _ . + and -, and not 'default'."
        found.append(message("variable-value", f"Endpoint '{item['name']}' cannot be a context's name.", way_out))
    if not _HOST.fullmatch(str(item["host"])):
        way_out = "Write it as tcp://docker.example.com:2376 or ssh://user@docker.example.com."
        found.append(message("variable-value", f"Endpoint {item['name']} has the host '{item['host']}'.", way_out))
    return found


def _context(item: t.Mapping[str, t.Any], directory: str) -> dict[str, t.Any]:
    tls = item["host"].startswith("tcp://")
    files = f",ca={directory}/ca.pem,cert={directory}/cert.pem,key={directory}/key.pem" if tls else ""
    return {"name": item["name"], "host": item["host"], "description": item.get("description") or "", "tls": tls, "docker": f"host={item['host']}{files}"}


__all__ = ("plan",)
