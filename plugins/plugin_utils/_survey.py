# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Answers of a survey as data. Pure.

AWX writes each as text that is never a template. From 2.19 on ansible-core reads that text as YAML all the same: empty text arrives as None,
'true' as a boolean, '3' as a number.
"""

from __future__ import annotations

import json
import typing as t

import yaml
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError


def to_list(value: t.Any, variable: str, what: str) -> list[t.Any]:
    """A list as it was typed: data, or text in YAML or JSON; empty text means none.

    :param what: what to give instead, for the sentence.
    :raises DrydockError: it is no list.
    """
    if value is None or isinstance(value, str):
        try:
            value = yaml.safe_load(value) if value and value.strip() else []
        except yaml.YAMLError as exc:
            raise DrydockError("variable-value", f"{variable} is text that is no YAML: {' '.join(str(exc).split())}.", "Give a list.") from exc
    if not isinstance(value, (list, tuple)):
        raise DrydockError("variable-value", f"{variable} is {value!r}, which is no list.", f"Give {what}.")
    return list(value)


def to_dict(value: t.Any, variable: str, what: str) -> dict[str, t.Any]:
    """A dictionary as it was typed: data, or text in JSON, where it begins as that does, or in YAML.

    YAML takes more than JSON does, a comma too many for one: who writes JSON hears of a slip.

    :param what: what to give instead, for the sentence.
    :raises DrydockError: it is no dictionary.
    """
    found, reason = value, ""
    if isinstance(value, str):
        try:
            found = json.loads(value) if value.strip().startswith("{") else yaml.safe_load(value)
        except (ValueError, yaml.YAMLError) as exc:
            reason = f", which cannot be read: {' '.join(str(exc).split())}"
    if not isinstance(found, dict):
        raise DrydockError("variable-value", f"{variable} is {json.dumps(value, default=str)[:60]}{reason}.", f"Give {what}.")
    return found


def lines(value: t.Any, variable: str) -> list[str]:
    """A list as it was typed: data, or text of a survey with one value a line; empty text means none.

    :raises DrydockError: it is something else.
    """
    if value is None or isinstance(value, str):
        value = (value or "").splitlines()
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        raise DrydockError("variable-value", f"{variable} is {value!r}.", "Give a list of text, or text with one value a line.")
    return [one.strip() for one in value if one.strip()]


__all__ = ("lines", "to_dict", "to_list")
