# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What is kept on a host in JSON, and which forms of it are known: another release, of another controller, may have written it. Pure."""

from __future__ import annotations

import dataclasses
import json
import typing as t

from .._errors import DrydockError

# Of all that is kept. Files without a number are those of release 0.1.0, which has this form too.
FORMAT = 1

Kind = t.TypeVar("Kind")


def parse_json(text: str | None, where: str) -> dict[str, t.Any]:
    """What a file of ours holds; no file, or an empty one, holds nothing.

    :param where: the file's path, for a message.
    :raises DrydockError: it is no JSON object, or of a form that this release does not know.
    """
    if not text:
        return {}
    try:
        data = json.loads(text)
    except ValueError as exc:
        raise unknown(where, f"no JSON ({exc})") from exc
    if not isinstance(data, dict):
        raise unknown(where, f"a JSON {type(data).__name__}, not an object")
    check_format(data.get("format", FORMAT), where)
    return data


def check_format(number: t.Any, where: str) -> None:
    """Refuse what has another number.

    :raises DrydockError: it has.
    """
    if number != FORMAT:
        raise unknown(where, f"format {number}")


def read_as(kind: type[Kind], data: t.Mapping[str, t.Any], where: str) -> Kind:
    """An object of a dataclass, whose fields are the keys of the data.

    :raises DrydockError: a field is not known, or one is missing.
    """
    check_fields(kind, data, where)
    return kind(**data)


def check_fields(kind: type, data: t.Mapping[str, t.Any], where: str) -> None:
    """Refuse data that are no object of a dataclass.

    :raises DrydockError: a field is not known, or one is missing.
    """
    fields = dataclasses.fields(kind)
    needed = {one.name for one in fields if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING}
    strange, missing = sorted({*data} - {one.name for one in fields}), sorted(needed - {*data})
    if strange or missing:
        raise unknown(where, f"the field '{strange[0]}'" if strange else f"no field '{missing[0]}'")


def unknown(where: str, what: str) -> DrydockError:
    """What is said of a file that another release has written."""
    return DrydockError(
        "format-unknown",
        f"{where} has {what}, which this release of drydock.dockerd does not know.",
        "Another release wrote it: run again with that one, or with a newer one.",
    )


__all__ = ("FORMAT", "check_fields", "check_format", "parse_json", "read_as", "unknown")
