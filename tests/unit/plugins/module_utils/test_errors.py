# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""An id stands once in a message, at its end, and is that of the cause."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, Refused, message, wrapping


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("disk-full", "It is full.", "Make room."), "It is full. Make room. [disk-full]"),
        (("disk-full", "It is full."), "It is full. [disk-full]"),
        (("", "It is full.", "Make room."), "It is full. Make room."),
        (("", "It is full:  ", ""), "It is full:"),
    ],
    ids=["all", "no hint", "no id", "words that somebody left empty"],
)
def test_a_message_ends_with_its_id(parts, text):
    assert message(*parts) == text
    assert str(DrydockError(*parts)) == text


def test_a_refusal_leaves_the_ids_to_its_findings():
    assert str(Refused("It is full. [disk-full] It is late. [too-late]")) == "It is full. [disk-full] It is late. [too-late]"


@pytest.mark.parametrize(
    ("cause", "id"),
    [(DrydockError("disk-full", "x"), "disk-full"), (DrydockError("", "x"), "step-failed"), (OSError("x"), "step-failed")],
    ids=["a cause with one", "a cause without", "a cause of another kind"],
)
def test_an_error_about_another_one_has_the_id_of_its_cause(cause, id):
    error = wrapping(cause, "step-failed", "Failed.", "Mend it.")
    assert str(error) == f"Failed. Mend it. [{id}]"
