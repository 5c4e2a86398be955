# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What a daemon says that happened."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
import time

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.api import Engine
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.events import (
    Event,
    EventStream,
    deeds,
    events_between,
    parse_event,
    running_after,
    taken,
)
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import EngineError

# As 20.10.24 and 26.1.5 say it.
LINE = (
    b'{"status":"destroy","id":"c1","from":"bb:1","Type":"container","Action":"destroy",'
    b'"Actor":{"ID":"c1","Attributes":{"image":"bb:1","name":"web"}},"scope":"local","time":1700000000,"timeNano":1700000000500000000}'
)


def event(action, id, kind="container"):
    return Event(kind, action, id, id, 0.0)


def test_an_event_is_read():
    assert parse_event(LINE) == Event("container", "destroy", "c1", "web", 1700000000.5)


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", LINE[:-5], b'{"Actor": 1}'])
def test_a_line_that_was_cut_short_is_no_event(line):
    assert parse_event(line) is None


def test_what_was_removed_or_has_other_names():
    events = [event("destroy", "c"), event("die", "d"), event("untag", "i", "image"), event("delete", "i", "image"), event("destroy", "v", "volume")]
    assert taken([*events, event("disconnect", "n", "network")]) == {("container", "c"), ("image", "i"), ("volume", "v")}


def test_deeds_are_what_a_client_was_promised():
    """What the daemon does by itself at its start is none."""
    events = [event("create", "c"), event("start", "c"), event("start", "c"), event("connect", "n", "network"), event("pull", "i", "image"), event("die", "c")]
    assert deeds(events) == ["container c (create)", "container c (start)", "image i (pull)"]


# What happened, and who of a (with a restart policy) and b (without) ran behind it; both ran before.
RAN = {
    "nothing": ([], ["a", "b"]),
    "one starts": ([event("start", "c")], ["a", "b", "c"]),
    "one is stopped": ([event("kill", "a"), event("die", "a"), event("stop", "a")], ["b"]),
    "one ends and its policy starts it": ([event("die", "a")], ["a", "b"]),
    "one ends": ([event("die", "b")], ["a"]),
    "one is stopped and started": ([event("kill", "a"), event("die", "a"), event("start", "a"), event("die", "a")], ["b", "a"]),
    "one is removed": ([event("kill", "a"), event("die", "a"), event("destroy", "a")], ["b"]),
    "a volume of its name is removed": ([event("destroy", "a", "volume")], ["a", "b"]),
}


@pytest.mark.parametrize(("events", "ran"), RAN.values(), ids=RAN)
def test_who_ran_behind_some_events(events, ran):
    assert running_after(["a", "b"], events, {"a"}) == ran


class Talking(http.server.BaseHTTPRequestHandler):
    """A daemon that says one thing at once and another one later, and ends."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in (LINE, LINE.replace(b"c1", b"c2")):
            self.wfile.write(f"{len(line) + 1:x}\r\n".encode() + line + b"\n\r\n")
            self.wfile.flush()
            self.server.more.wait(10)
        # It ends in the middle of its words, as one that is stopped does.
        self.wfile.write(b"40\r\nhalf")
        self.close_connection = True

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


@pytest.fixture
def daemon(tmp_path):
    path = str(tmp_path / "docker.sock")
    with socketserver.ThreadingUnixStreamServer(path, Talking) as server:
        server.daemon_threads = True
        server.more, server.asked, server.path = threading.Event(), [], path
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def test_a_stream_has_all_that_came_until_the_daemon_ended(daemon):
    stream = EventStream(Engine(daemon.path), 1.5)
    # Its containers take their time.
    threading.Timer(0.05, daemon.more.set).start()
    assert [one.id for one in stream.end()] == ["c1", "c2"]
    assert daemon.asked == ["/events?since=1.500000000"]


def test_a_stream_of_a_daemon_that_lives_on_ends_all_the_same(daemon, monkeypatch):
    monkeypatch.setattr("ansible_collections.drydock.dockerd.plugins.module_utils._engine.events._REST_SECONDS", 0.2)
    stream = EventStream(Engine(daemon.path), 1.5)
    assert [one.id for one in stream.end()] == ["c1"]


def test_nobody_waits_for_a_stream_that_ends_soon(daemon):
    """dockerd 25 and newer would, for five seconds, in the outage."""
    stream = EventStream(Engine(daemon.path), 1.5)
    began = time.monotonic()
    stream.end_soon()
    assert [one.id for one in stream.end()] == ["c1"]
    assert time.monotonic() - began < 3


def test_a_daemon_that_does_not_answer_has_no_stream(tmp_path):
    with pytest.raises(EngineError, match="does not answer"):
        EventStream(Engine(str(tmp_path / "nothing")), 1.5)


def test_events_between_two_moments(fake_engine):
    lines = b"\n".join([LINE, json.dumps({"Type": "odd"}).encode(), LINE.replace(b"c1", b"c2")])
    assert [one.id for one in events_between(fake_engine({"/events": lines}), 1.0, 2.0)] == ["c1", "c2"]
