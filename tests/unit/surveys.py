# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What is wrong with a survey of an AWX job template. Pure.

The rules of AWX's own API are restated (AWX 24.6.1, what POST /job_templates/N/survey_spec/ answers with 400), and beside them those that it does
not look at and that a job or a person stumbles over.
"""

from __future__ import annotations

import re
import typing as t

TYPES = {"text": str, "textarea": str, "password": str, "multiplechoice": str, "multiselect": str, "integer": int, "float": (int, float)}
# AWX sets variables of these names itself, over everything else.
RESERVED = ("awx_", "tower_", "ansible_")


def complaints(spec: t.Any) -> list[str]:
    """What is wrong with a survey by itself."""
    missing = [key for key in ("name", "description", "spec") if key not in spec]
    if missing:
        return [f"{key} is missing" for key in missing]
    if not spec["spec"]:
        return ["it asks nothing"]
    found = [f"{one.get('variable')}: {words}" for one in spec["spec"] for words in _of_question(one)]
    variables = [one.get("variable") for one in spec["spec"]]
    return found + [f"{one}: asked twice" for one in sorted({str(one) for one in variables if variables.count(one) > 1})]


def _of_question(question: dict[str, t.Any]) -> t.Iterator[str]:
    missing = [key for key in ("type", "question_name", "variable", "required") if key not in question]
    if missing:
        yield f"{missing} is missing"
        return
    if question["type"] not in TYPES:
        yield f"type {question['type']} is unknown"
        return
    if not isinstance(question["required"], bool):
        yield "required is no boolean"
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", str(question["variable"])) or str(question["variable"]).startswith(RESERVED):
        yield "no name for a variable"
    for key, words in (("question_name", "has no label"), ("question_description", "has no help")):
        if not str(question.get(key) or "").strip():
            yield words
    for key in ("default", "min", "max"):
        if key not in question:
            yield f"{key} is missing, which AWX's editor needs or fills in"
    yield from _of_limits(question)
    yield from _of_choices(question) if question["type"].startswith("multi") else _of_default(question)


def _of_limits(question: dict[str, t.Any]) -> t.Iterator[str]:
    low, high = question.get("min"), question.get("max")
    for one in (low, high):
        if one is not None and (isinstance(one, bool) or not isinstance(one, int)):
            yield f"limit {one!r} is no integer"
            return
    if low is not None and high is not None and low > high:
        yield "min is over max"
    if question["type"] in ("text", "textarea", "password") and question["required"] and not low:
        yield "required, but an empty answer passes"


def _of_default(question: dict[str, t.Any]) -> t.Iterator[str]:
    default = question.get("default")
    if default == "" or "default" not in question:
        return
    if isinstance(default, bool) or not isinstance(default, TYPES[question["type"]]):
        yield f"default {default!r} is no {question['type']}"
        return
    if str(default).startswith("$encrypted$"):
        yield "$encrypted$ is a word of AWX's own"
    if question["required"]:
        yield "a default does not stand for an answer that is required"
    size = len(default) if isinstance(default, str) else default
    low, high = (one if isinstance(one, int) else size for one in (question.get("min"), question.get("max")))
    if not low <= size <= high:
        yield "default is out of its limits"


def _of_choices(question: dict[str, t.Any]) -> t.Iterator[str]:
    choices, default = question.get("choices"), question.get("default", "")
    if not isinstance(choices, list) or not choices:
        yield "no list of choices"
        return
    if not all(isinstance(one, str) and one for one in choices):
        yield "a choice is no text: unquoted, true and 1 are none"
    if not isinstance(default, str):
        yield f"default {default!r} is no text"
        return
    answers = [one for one in default.split("\n") if one]
    if len(answers) > 1 and question["type"] == "multiplechoice":
        yield "more than one default"
    if [one for one in answers if one not in choices]:
        yield "default is none of the choices"
    if question["required"] and answers:
        yield "a default does not stand for an answer that is required"


def misfits(spec: dict[str, t.Any], options: dict[str, dict[str, t.Any]], others: t.Collection[str]) -> list[str]:
    """Where a survey does not fit the options of the roles that get its answers.

    :param options: as in argument_specs; 'choices' may be those of the module behind.
    :param others: variables that are the playbook's own.
    """
    return [f"{one['variable']}: {words}" for one in spec["spec"] if one["variable"] not in others for words in _misfits_of(one, options)]


def _misfits_of(question: dict[str, t.Any], options: dict[str, dict[str, t.Any]]) -> t.Iterator[str]:
    option = options.get(question["variable"])
    if option is None:
        yield "no role has such an option"
        return
    if option.get("no_log"):
        yield "is a secret, which belongs into a credential"
    own = option["default"]
    wanted = _type_for(option)
    if question["type"] not in wanted:
        yield f"is asked for as {question['type']}, and is {' or '.join(wanted)}"
    allowed = ["true", "false"] if isinstance(own, bool) else [one for one in option.get("choices") or [] if one]
    if allowed and set(question.get("choices") or []) - set(allowed):
        yield f"offers other choices than {', '.join(allowed)}"
    default = question.get("default", "")
    if default != "" and str(default) != (str(own).lower() if isinstance(own, bool) else str(own)):
        yield f"has {default!r} as default, and the role {own!r}"


def _type_for(option: dict[str, t.Any]) -> tuple[str, ...]:
    own = option["default"]
    if isinstance(own, bool) or option.get("choices"):
        return ("multiplechoice",)
    if isinstance(own, int):
        return ("integer",)
    if isinstance(own, (list, dict)):
        return ("textarea",)
    return ("text", "textarea")


__all__ = ("complaints", "misfits")
