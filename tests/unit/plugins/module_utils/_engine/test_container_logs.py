# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The last lines that a container printed."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine import container_logs


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


FRAMED = frame(1, b"one\ntw") + frame(2, b"error\n") + frame(1, b"o\n")


@pytest.mark.parametrize(("output", "text"), [(FRAMED, b"one\ntwerror\no\n"), (b"", b""), (frame(1, b""), b""), (frame(1, b"abc")[:-1], b"ab"), (b"\1\0", b"")])
def test_headers_are_taken_away(output, text):
    assert container_logs.unframed(output) == text


def test_last_lines_of_each(fake_engine, make_container):
    engine = fake_engine({"/containers/id-web/logs": FRAMED, "/containers/id-term/logs": b"a\r\nb \xff\r\n"})
    found = container_logs.last_lines(engine, [make_container("web"), make_container("term", tty=True)], 2)
    assert found == {"id-web": ["twerror", "o"], "id-term": ["a", "b \ufffd"]}


def test_no_lines_are_asked_for(fake_engine, make_container):
    assert container_logs.last_lines(fake_engine({}), [make_container("web")], 0) == {}


def test_output_that_cannot_be_read_says_so(fake_engine, make_container):
    (line,) = container_logs.last_lines(fake_engine({}), [make_container("web")], 5)["id-web"]
    assert line.startswith("(The daemon answered GET /containers/id-web/logs with 404: ")
