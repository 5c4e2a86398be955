# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The page of role docker_report, from its data.

An environment of its own, because Ansible's escapes nothing. Here whatever comes from a host is text, and a name that is missing is an error.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import typing as t

import jinja2
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import format_bytes

SCRIPT = "report.js"


def render(data: t.Mapping[str, t.Any], templates: str) -> str:
    """The whole page; it needs nothing from elsewhere.

    :param templates: the directory of its parts.
    """
    loader = jinja2.FileSystemLoader(templates)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(bytes=format_bytes, seconds=seconds, day=day, moment=moment, width=width)
    source, _path, _fresh = loader.get_source(environment, SCRIPT)
    # The page's policy runs this script and nothing else, whatever may have got into the page.
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return environment.get_template("report.html.j2").render(report=data, script=source, script_digest=digest)


def seconds(count: float) -> str:
    """A duration for people."""
    if count < 90:
        return f"{count:.2f} s" if count < 10 else f"{count:.0f} s"
    if count < 5400:
        return f"{count // 60:.0f} min {count % 60:.0f} s"
    return f"{count // 3600:.0f} h {count % 3600 // 60:.0f} min"


def day(text: str) -> str:
    """The day of a moment in ISO's form."""
    return text[:10]


def moment(when: str | int) -> str:
    """A moment, in ISO's form or in seconds since the epoch, for people."""
    if isinstance(when, str):
        return f"{when[:10]} {when[11:16]} UTC"
    return datetime.datetime.fromtimestamp(when, tz=datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def width(part: float, whole: float) -> str:
    """A part of a whole in percent, for a style."""
    return f"{100 * part / whole:.2f}" if whole else "0"


__all__ = ("render",)
