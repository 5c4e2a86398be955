# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What a report says of a fleet."""

from __future__ import annotations

import base64
import copy
import datetime
import hashlib
import html.parser
import json
import pathlib
import re

import pytest
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _page, _report

NOW = datetime.datetime(2026, 11, 25, 13, 40, tzinfo=datetime.timezone.utc)
TEMPLATES = str(pathlib.Path(__file__).parents[4] / "roles" / "docker_report" / "templates")
EVIL = "</script><script>alert('1')</script><img src=x onerror=alert(2)>\"'&{{ 1 + 1 }}"
GIB = 1 << 30


def disk(point="/", used=10, free=90, holds=("data-root",)):
    return {
        **{"point": point, "fstype": "ext4", "source": f"/dev/{point}", "holds": list(holds)},
        **{"size_bytes": (used + free) * GIB, "used_bytes": used * GIB, "free_bytes": free * GIB},
    }


def container(name="web", **changes):
    fields = {
        **{"id": "1", "name": name, "image": "debian", "state": "running", "policy": "always", "max_retries": 0, "restart_count": 0, "exit_code": 0},
        **{"health": "", "started_at": "2026-11-25T13:39:00.123456789Z", "log": []},
    }
    return {**fields, **changes}


def look(**changes):
    """What daemon_info returns of a daemon that nothing is the matter with."""
    docker = {
        **{"running": True, "pid": 1, "engine_version": "26.1.5", "addresses": ["fd://"], "data_root": "/var/lib/docker", "data_root_bytes": 5 * GIB},
        **{"containerd_root": "/var/lib/containerd", "containerd_root_bytes": None, "image_store": "docker", "storage_driver": "overlay2"},
        **{"live_restore": True, "time": "2026-11-25T13:40:00.1+00:00", "listening": [{"address": "unix:///run/docker.sock", "purpose": "api"}]},
        **{
            "certificates": [],
            "file_systems": [disk()],
            "data_root_mount": {"point": "/"},
            "drop_ins": {"ours": [], "foreign": []},
            "config": {},
            "owners": {},
            "restart_pending": False,
        },
        **{
            "interrupted": None,
            "down": [],
            "out_of_sight": {"containers": 0, "images": 0},
            "pending": [],
            "rewritten": [],
            "cis": [],
            "moves": [],
            "containers": [container()],
            "other_log_settings": [],
            "images": 3,
            "volumes": ["v"],
            "networks": ["bridge"],
        },
    }
    return {"changed": False, "dockerd": {**docker, **changes}}


def answer(item, turned_away, tls=True, certificate=None):
    return {"item": item, "turned_away_without_certificate": turned_away, "tls": tls, "certificate": certificate}


def certificate(days, **more):
    return {"subject": {}, "issuer": {}, "names": ["host1"], "not_after": f"2027-01-{days % 28 + 1:02}T00:00:00Z", "days_left": days, **more}


def phases(*pairs):
    return [{"phase": name, "seconds": seconds} for name, seconds in pairs]


def move(run="1", **changes):
    measured = {"ended": 1, "bytes": 2, "files": 3, "downtime_seconds": 2.5, "forecast_seconds": 3.0, "phases": phases(("stop", 1), ("release", 1))}
    return {**{"tree": "data-root", "source": "/a", "target": "/b", "kept": "", "restored": False, "run": run}, **measured, **changes}


MOVE = move()
INTERRUPTED = {"since": "2026-11-25T13:00:00Z", "step": "stop", "held": True, "under_way": False, "what": "A change was interrupted at 'stop'."}


def of(asked=None, **changes):
    return _report.describe("host1", look(**changes), {"results": asked or []})


def about(host):
    return [(one["level"], one["about"]) for one in host["reasons"]]


def report(looks, answers=None):
    return _report.data(looks, answers or {}, "Docker hosts", NOW)


def test_a_host_with_nothing_the_matter_is_fine():
    host = of()
    assert (host["level"], host["reasons"], host["state"]) == ("fine", [], "running")


@pytest.mark.parametrize(
    ("looked", "state", "text"),
    [
        ({"unreachable": True, "msg": "Task failed: Failed to connect"}, "unreachable", "It could not be reached. Failed to connect"),
        ({"failed": True, "msg": "No\n engine"}, "failed", "Its daemon could not be looked at. No engine"),
        ({}, "not_asked", "It was not asked: it failed, or was out of reach, before its turn."),
    ],
)
def test_a_host_without_a_look_is_in_the_report_as_such(looked, state, text):
    found = report({"host1": look(), "host2": looked})
    assert [one["state"] for one in found["hosts"]] == ["running", state]
    assert found["hosts"][1]["reasons"] == [{"level": "act", "about": "host", "text": text}]
    assert found["summary"]["sentence"] == "2 hosts: 1 needs attention."


def test_a_daemon_that_is_down_needs_attention():
    assert about(of(running=False, listening=[])) == [("act", "host")]


@pytest.mark.parametrize(("under_way", "level"), [(False, "act"), (True, "watch")], ids=["interrupted", "under way"])
def test_a_change_that_has_not_ended_is_told(under_way, level):
    """Its daemon may run and answer, and be held all the same."""
    host = of(interrupted={**INTERRUPTED, "under_way": under_way})
    assert host["reasons"] == [{"level": level, "about": "interrupted", "text": INTERRUPTED["what"]}]
    assert host["level"] == level


# A listening address, whether a stranger is turned away, whether it speaks TLS, and what that means.
DOORS = {
    "open": ("tcp://[::]:2375", "api", False, False, "plain_open", ["act"]),
    "open with TLS": ("tcp://10.0.0.5:2376", "api", False, True, "tls_open", ["act"]),
    "loopback": ("tcp://127.0.0.1:2375", "api", False, False, "plain_local", ["watch"]),
    "verified": ("tcp://[::]:2376", "api", True, True, "tls", []),
    "nobody knows": ("tcp://10.0.0.5:2376", "api", None, True, "unclear", ["watch"]),
    "of before an edit": ("tcp://[::]:2375", "unknown", False, False, "plain_open", ["act"]),
    "a published port": ("tcp://[::]:8080", "unknown", None, False, "other", []),
}


@pytest.mark.parametrize(("address", "purpose", "turned_away", "tls", "safety", "levels"), DOORS.values(), ids=DOORS)
def test_an_address_is_as_safe_as_it_proved_to_be(address, purpose, turned_away, tls, safety, levels):
    listening = [{"address": address, "purpose": purpose}]
    (asked,) = _report.questions(look(listening=listening))
    host = of([answer(asked, turned_away, tls)], listening=listening)
    assert [one["safety"] for one in host["listens"]] == [safety]
    assert about(host) == [(level, "listen") for level in levels]


def test_only_what_may_be_the_api_is_asked():
    listening = [("unix:///run/docker.sock", "api"), ("tcp://[::]:2375", "api"), ("tcp://[2001:db8::1]:2376", "api"), ("tcp://[::]:2377", "swarm")]
    looked = look(listening=[{"address": address, "purpose": purpose} for address, purpose in listening])
    assert _report.questions(looked) == ["tcp://127.0.0.1:2375", "tcp://[2001:db8::1]:2376"]
    assert _report.questions({"unreachable": True}) == []


@pytest.mark.parametrize(("days", "levels"), [(30, []), (29, ["watch"]), (13, ["act"]), (-1, ["act"])])
def test_a_certificate_that_ends_is_told(days, levels):
    host = of(certificates=[certificate(days, key="tlscert", path="/c", read=True)])
    assert about(host) == [(level, "certificate") for level in levels]


def test_the_certificate_that_clients_see_is_the_one_that_counts():
    """A file that was renewed proves nothing before the daemon has read it."""
    files = [certificate(300, key="tlscert", path="/c", read=False), certificate(400, key="tlscacert", path="/ca", read=True)]
    host = of([answer("tcp://127.0.0.1:2376", True, certificate=certificate(3))], certificates=files)
    assert [(one["what"], one["days_left"], one["renewed"]) for one in host["certificates"]] == [("server", 3, True), ("ca", 400, False)]
    assert about(host) == [("act", "certificate"), ("watch", "certificate")]


def test_a_disk_that_fills_up_is_told_with_what_a_move_would_gain():
    disks = [disk("/", 91, 9), disk("/srv", 10, 190, ()), disk("/small", 1, 4, ())]
    host = of(file_systems=disks)
    assert host["gain"] == {"target": "/srv", "frees_bytes": 5 * GIB, "source": "/", "source_percent": 86, "target_percent": 8}
    assert [(one["level"], one["text"]) for one in host["reasons"]] == [("act", "/ is 91% full. A move to /srv would free 5.0 GiB.")]


@pytest.mark.parametrize(
    "changes",
    [
        {"file_systems": [disk()]},
        {"file_systems": [disk(), disk("/small", 1, 5, ())]},
        {"file_systems": [disk("/", 10, 90, ()), disk("/var", 95, 5)], "data_root_mount": {"point": "/var"}},
        {"file_systems": [disk("/var/lib/docker"), disk("/srv", 1, 99, ())], "data_root_mount": {"point": "/var/lib/docker"}},
        {"file_systems": [disk(), disk("/srv", 1, 99, ())], "data_root_bytes": None},
        {"file_systems": [disk("/mnt"), disk("/srv", 1, 99, ())], "data_root_mount": {"point": "/mnt"}, "data_root": "/b", "moves": [MOVE]},
    ],
    ids=["one disk", "no room", "only the root", "its own disk", "not measured", "just moved"],
)
def test_a_move_that_gains_nothing_is_not_offered(changes):
    assert of(**changes)["gain"] is None


def test_secrets_are_not_told():
    parts = {"owner": "options", "asked": {"token": "old"}, "in_file": {"token": "new"}, "in_force": {"token": "old"}, "value": {"token": "new"}}
    plain = {"owner": "options", "asked": False, "in_file": True, "in_force": False, "value": True}
    config = {"log-opts": parts, "debug": plain, "proxies": {**parts, "owner": ""}}
    pending = ['log-opts: {"token": "old"} -> {"token": "new"}', "debug: false -> true", "/etc/x was changed since the daemon was started"]
    host = of(config=config, pending=pending, rewritten=["/etc/docker/daemon.json"])
    assert host["pending"] == ["log-opts", "debug: false → true", "/etc/x was changed since the daemon was started"]
    assert host["drift"] == [
        "debug, which options asked for: false → true",
        "log-opts, which options asked for",
        "/etc/docker/daemon.json was rewritten",
    ]
    assert about(host) == [("watch", "restart"), ("watch", "drift")]
    assert "token" not in json.dumps(host)


TROUBLE = {
    "well": ({}, None),
    "restarts now": ({"state": "restarting", "restart_count": 1, "started_at": ""}, "flaps"),
    "has just been restarted again": ({"restart_count": 3}, "flaps"),
    "was restarted twice": ({"restart_count": 2}, None),
    "has run for long since": ({"restart_count": 30, "started_at": "2026-11-25T12:00:00Z"}, None),
    "was given up": ({"state": "exited", "max_retries": 2, "restart_count": 2}, "given_up"),
    "ended": ({"state": "exited", "exit_code": 1}, None),
    "is unhealthy": ({"health": "unhealthy"}, "unhealthy"),
    "is dead": ({"state": "dead"}, "dead"),
}


@pytest.mark.parametrize(("changes", "trouble"), TROUBLE.values(), ids=TROUBLE)
def test_a_container_that_does_not_stay_up_is_told(changes, trouble):
    host = of(containers=[container(**changes)])
    assert [one["trouble"] for one in host["containers"]["troubled"]] == ([trouble] if trouble else [])
    assert [one["about"] for one in host["reasons"]] == (["containers"] if trouble else [])


def test_phases_are_told_in_two_parts():
    told = phases(
        ("warm copy, pass 1", 50), ("warm copy", 51), ("hold", 0.01), ("stop", 1), ("final copy", 0.5), ("commit", 0.0001), ("start", 0.7), ("release", 0.3)
    )
    before, outage = _report.split_phases([*told, {"phase": "finish", "seconds": 9}])
    assert [one["phase"] for one in before] == ["warm copy, pass 1"]
    assert [one["phase"] for one in outage] == ["stop", "final copy", "start", "release"]
    assert _report.split_phases([]) == ([], [])


def test_the_last_move_is_told_with_all_that_moved():
    last = of(moves=[move("1"), move("2"), move("2", tree="containerd")])["move"]
    assert [one["tree"] for one in last["trees"]] == ["data-root", "containerd"]
    assert (last["downtime_seconds"], last["forecast_seconds"], len(last["outage"])) == (2.5, 3.0, 2)


# Written again ---------------------------------------------------------------------------------------------------


def last(found):
    return base64.b64encode(json.dumps(found).encode()).decode()


def later(changes, now=NOW + datetime.timedelta(hours=3)):
    return _report.data({"host1": look(**changes)}, {}, "Docker hosts", now)


def test_what_changes_by_itself_is_no_new_report():
    before = later({"file_systems": [disk(used=9.9, free=90.1)]}, NOW)
    for changes in ({}, {"pid": 2}, {"data_root_bytes": 1}, {"containers": [container(started_at="2026-11-25T13:39:59Z")]}):
        assert _report.newest(last(before), later({"file_systems": [disk(used=10.1, free=89.9)], **changes})) == before
    flaps = later({"containers": [container(state="restarting", restart_count=7)]}, NOW)
    assert _report.newest(last(flaps), later({"containers": [container(restart_count=9, exit_code=3)]})) == flaps


@pytest.mark.parametrize(
    "changes",
    [
        {"engine_version": "28.5.2"},
        {"running": False},
        {"file_systems": [disk(used=12, free=88)]},
        {"containers": []},
        {"containers": [container(state="restarting")]},
        {"rewritten": ["/etc/docker/daemon.json"]},
        {"moves": [move()]},
        {"interrupted": INTERRUPTED},
    ],
)
def test_what_is_worth_telling_is_a_new_report(changes):
    before, found = later({}, NOW), later(changes)
    assert _report.newest(last(before), found) == found


def test_another_day_is_a_new_report():
    before, found = later({}, NOW), later({}, NOW + datetime.timedelta(days=1))
    assert _report.newest(last(before), found) == found


@pytest.mark.parametrize("text", ["", "!", last({}), last([]), last({"schema": 0}), last({"schema": 1, "hosts": 5, "made_at": "", "title": ""})])
def test_what_is_no_report_of_ours_is_replaced(text):
    found = later({})
    assert _report.newest(text, found) == found


@pytest.mark.parametrize("path", ["docker.html", "/srv/docker.htm", "/srv/", "/srv/.html", "/srv/a\nb.html"])
def test_a_path_that_is_none_is_refused(path):
    (sentence,) = _report.refusals(path, "localhost")
    assert sentence.startswith(f"docker_report_path is '{path}'.")


def test_a_path_on_another_host_has_to_be_given():
    assert _report.refusals("/srv/docker.html", "web1") == []
    assert _report.refusals("", "web1")[0].startswith("docker_report_path is not set, and on web1 ")


# The page --------------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: its elements, and the addresses that it would ask for."""

    VOID = ("meta", "link", "input", "br", "img")

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.open, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action", "data")]
        assert not any(name.startswith("on") for name, _value in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def everything():
    """A fleet in which everything is there that a page can show."""
    doors = [{"address": address, "purpose": purpose} for address, purpose, *_rest in DOORS.values()]
    answers = [
        answer(asked, turned_away, tls, certificate(3))
        for asked, (_a, _p, turned_away, tls, *_rest) in zip(_report.questions(look(listening=doors)), DOORS.values())
    ]
    busy = look(
        listening=doors,
        certificates=[certificate(300, key="tlscert", path="/c", read=False), certificate(-1, key="tlscacert", path="/ca", read=True)],
        file_systems=[disk("/", 91, 9), disk("/srv", 10, 190, ("containerd",))],
        containers=[container(name, **changes) for name, (changes, _trouble) in TROUBLE.items()],
        moves=[move("2"), move("2", tree="containerd", restored=True, kept="/kept")],
        cis=[{"rule": "2.1", "title": "A rule", "state": state, "evidence": "why"} for state in ("pass", "fail", "manual")],
        image_store="containerd",
        containerd_root_bytes=7,
        rewritten=["/etc/docker/daemon.json"],
        pending=["/etc/x was changed"],
        drop_ins={"ours": ["zz-drydock-firewall.conf"], "foreign": []},
        interrupted=INTERRUPTED,
    )
    recovered = look(moves=[move(downtime_seconds=None, forecast_seconds=None, ended=None, bytes=None, files=None, phases=[])])
    down = look(running=False, listening=[], image_store="", time="", containers=[], file_systems=[], data_root_bytes=None)
    looks = {"busy": busy, "calm": look(), "recovered": recovered, "down": down, "gone": {"unreachable": True, "msg": "No route"}, "never": {}}
    return looks, {"busy": {"results": answers}}


def test_a_page_is_whole_and_asks_for_nothing():
    page = Page(_page.render(report(*everything()), TEMPLATES))
    assert page.links == ["data:,"]
    assert page.tags.count("tbody") == 6
    assert "6 hosts: 4 need attention." in page.text
    assert "Container restarts now does not stay up: restarted 1 times." in page.text


def test_whatever_comes_from_a_host_is_text():
    """Each text in all that hosts say is replaced by one that would break out of the page, wherever it is written without care."""
    looks, answers = everything()
    plain = Page(_page.render(report(looks, answers), TEMPLATES))
    free = (
        "name",
        "image",
        "policy",
        "title",
        "evidence",
        "rule",
        "msg",
        "source",
        "target",
        "kept",
        "point",
        "fstype",
        "engine_version",
        "storage_driver",
        "names",
    )
    free += ("what", "step", "data_root", "containerd_root", "phase", "rewritten", "pending")

    def spoil(value, key=""):
        if isinstance(value, dict):
            return {name: spoil(one, name) for name, one in value.items()}
        if isinstance(value, list):
            return [spoil(one, key) for one in value]
        return EVIL if isinstance(value, str) and key in free and not (key == "phase" and value in ("stop", "release")) else value

    spoiled = {name + EVIL: spoil(copy.deepcopy(one)) for name, one in looks.items()}
    found = _report.data(spoiled, {name + EVIL: spoil(one) for name, one in answers.items()}, EVIL, NOW)
    page = Page(_page.render(found, TEMPLATES))
    assert page.tags == plain.tags or sorted(set(page.tags)) == sorted(set(plain.tags))
    assert page.tags.count("script") == 1
    assert page.links == ["data:,"]
    assert page.text.count(EVIL) > 40


def test_the_pages_policy_runs_its_own_script_and_nothing_else():
    text = _page.render(report(*everything()), TEMPLATES)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; ")
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)[1]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy


@pytest.mark.parametrize(
    ("hidden", "words"), [({"containers": 2, "images": 1}, "2 containers and 1 image of another"), ({"containers": 0, "images": 3}, "3 images of another")]
)
def test_a_host_with_hidden_data_is_worth_a_look(hidden, words):
    host = of(out_of_sight=hidden)
    assert (host["level"], [one["about"] for one in host["reasons"]]) == ("watch", ["hidden"])
    assert host["reasons"][0]["text"].startswith(words)
