# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Several owners share one file, and nobody loses a key by somebody else's run."""

from __future__ import annotations

import copy

import hypothesis
import hypothesis.strategies as st
import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import ALL, Ask, merge, parse, render, without_taken
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError

PATH = "/etc/docker/daemon.json"

READABLE = [
    (None, {}),
    ("", {}),
    (" \n\t", {}),
    ("\ufeff", {}),
    ("{}", {}),
    ('\ufeff{"debug": true}', {"debug": True}),
    ('{"log-opts": {"max-size": "10m"}}\n', {"log-opts": {"max-size": "10m"}}),
]

UNREADABLE = [
    ('{"debug": true,}', "not valid JSON.*line 1, column"),
    ('{\n  "debug": true\n  "tls": true\n}', "line 3, column 3"),
    ("[]", "holds a JSON list, not an object"),
    ("null", "holds a JSON NoneType"),
    ('{"debug": true, "debug": false}', "'debug' twice"),
    ('{"log-opts": {"tag": "a", "tag": "b"}}', "'tag' twice"),
]


@pytest.mark.parametrize(("text", "settings"), READABLE)
def test_parse_reads_what_dockerd_reads(text, settings):
    assert parse(text, PATH) == settings


@pytest.mark.parametrize(("text", "complaint"), UNREADABLE)
def test_parse_names_the_file_and_the_fault(text, complaint):
    with pytest.raises(DrydockError, match=complaint) as caught:
        parse(text, PATH)
    assert PATH in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("settings", [{}, {"hosts": ["fd://"], "debug": False}, {"labels": ["ort=Köln"], "log-opts": {"max-size": "10m"}}])
def test_rendered_settings_are_read_back(settings):
    assert parse(render(settings), PATH) == settings


def test_render_is_for_people():
    assert render({"labels": ["ort=Köln"]}) == '{\n    "labels": [\n        "ort=Köln"\n    ]\n}\n'


# What is in the file, what each owner asked for before, what is asked now, what comes out.
MERGES = {
    "a new key is added": ({}, {}, [("a", {"debug": True})], {"debug": True}),
    "a foreign key stays": ({"ipv6": True}, {}, [("a", {"debug": True})], {"ipv6": True, "debug": True}),
    "an equal foreign key is adopted": ({"debug": True}, {}, [("a", {"debug": True})], {"debug": True}),
    "an owner's dropped key goes": ({"debug": True, "ipv6": True}, {"a": {"debug": True}}, [("a", {})], {"ipv6": True}),
    "an owner's dropped key goes though edited": ({"debug": False}, {"a": {"debug": True}}, [("a", {})], {}),
    "an owner who asks for nothing now keeps all": ({"debug": True}, {"a": {"debug": True}}, [("b", {"ipv6": True})], {"debug": True, "ipv6": True}),
    "an edited key is put right": ({"debug": False}, {"a": {"debug": True}}, [("a", {"debug": True})], {"debug": True}),
    "a removed key comes back": ({}, {"a": {"debug": True}}, [("a", {"debug": True})], {"debug": True}),
    "an owner changes its mind": ({"debug": True}, {"a": {"debug": True}}, [("a", {"debug": False})], {"debug": False}),
    "a key goes from one owner to another": ({"debug": True}, {"a": {"debug": True}}, [("a", {}), ("b", {"debug": False})], {"debug": False}),
    "two owners agree": ({}, {}, [("a", {"debug": True}), ("b", {"debug": True})], {"debug": True}),
    "an owner agrees with an absent one": ({"debug": True}, {"a": {"debug": True}}, [("b", {"debug": True})], {"debug": True}),
    "the data root stays when nobody asks for it": ({"data-root": "/d"}, {"data-root": {"data-root": "/d"}}, [("data-root", {})], {"data-root": "/d"}),
    "a move takes over a foreign data root": ({"data-root": "/d"}, {}, [("data-root", {"data-root": "/e"})], {"data-root": "/e"}),
    "a move pins the driver over a foreign one": (
        {"storage-driver": "vfs"},
        {},
        [("data-root", {"storage-driver": "overlay2"})],
        {"storage-driver": "overlay2"},
    ),
}

CONFLICTS = {
    "with a foreign key": ({"debug": False}, {}, [("a", {"debug": True})], "by somebody else.*owner 'a' asks for true"),
    "with an absent owner": ({"debug": False}, {"b": {"debug": False}}, [("a", {"debug": True})], "by owner 'b'.*owner 'a' asks"),
    "within one run": ({}, {}, [("a", {"debug": True}), ("b", {"debug": False})], "is true by owner 'a', and owner 'b' asks for false"),
    "about the data root, asked by a wrong owner": ({"data-root": "/d"}, {}, [("a", {"data-root": "/e"})], "'data-root'.*somebody else"),
}


# What is in the file, what each owner asked for before, what is asked and may be taken over; what comes out, and what the others still ask for.
TAKEN = {
    "a foreign key by its name": ({"debug": False}, {}, {"debug": True}, ["debug"], {"debug": True}, {}),
    "any foreign key": ({"debug": False}, {}, {"debug": True}, [ALL], {"debug": True}, {}),
    "an owner's key": ({"debug": False}, {"b": {"debug": False, "ipv6": True}}, {"debug": True}, ["debug"], {"debug": True}, {"b": {"ipv6": True}}),
    "what nobody else has": ({}, {"b": {"ipv6": True}}, {"debug": True}, ["debug"], {"debug": True}, {"b": {"ipv6": True}}),
}


@pytest.mark.parametrize(("current", "owners", "asked", "names", "expected", "left"), TAKEN.values(), ids=TAKEN)
def test_what_is_taken_over_is_the_owner_s_from_then_on(current, owners, asked, names, expected, left):
    asks, take_over = [Ask("a", asked)], {"a": frozenset(names)}
    others = without_taken(owners_of(owners), asks, take_over)
    assert {name: one.settings for name, one in others.items()} == left
    settings, conflicts = merge(current, others, asks, take_over)
    assert ({key: settings[key] for key in expected}, conflicts) == (expected, [])
    # Another owner's word is not enough.
    foreign, plain = (merge(current, owners_of(owners), asks, given)[1] for given in ({"b": frozenset({ALL})}, {}))
    assert list(map(str, foreign)) == list(map(str, plain))


def test_a_conflict_says_what_to_set():
    for owner, way in (("a", "Take the key over with take_over: [debug]."), ("listen", "Take the addresses over with take_over: [debug].")):
        (conflict,) = merge({"debug": False}, {}, [Ask(owner, {"debug": True})])[1]
        assert conflict.hint.startswith(way)


HOSTS = ["unix:///var/run/docker.sock", "tcp://0.0.0.0:2375", "tcp://10.0.0.5:2376"]


@pytest.mark.parametrize(
    ("hosts", "closes"),
    [
        (["fd://"], True),
        (["fd://", "tcp://10.0.0.5:2376"], True),
        (["fd://", "tcp://10.0.0.5:2377"], False),
        (["fd://", "tcp://0.0.0.0:2375", "tcp://10.0.0.5:2376"], False),
        ("fd://", False),
    ],
)
def test_addresses_of_others_may_always_be_closed(hosts, closes):
    assert (merge({"hosts": HOSTS}, {}, [Ask("listen", {"hosts": hosts})])[1] == []) is closes


def owners_of(settings):
    return {name: Ask(name, one) for name, one in settings.items()}


@pytest.mark.parametrize(("current", "owners", "asks", "expected"), MERGES.values(), ids=MERGES)
def test_merge(current, owners, asks, expected):
    before = copy.deepcopy((current, owners, asks))
    settings, conflicts = merge(current, owners_of(owners), [Ask(*ask) for ask in asks])
    assert (settings, conflicts) == (expected, [])
    assert (current, owners, asks) == before
    # What was merged once is not changed by the same run again.
    again, conflicts = merge(settings, owners_of({**owners, **dict(asks)}), [Ask(*ask) for ask in asks])
    assert (list(again.items()), conflicts) == (list(settings.items()), [])


@pytest.mark.parametrize(("current", "owners", "asks", "complaint"), CONFLICTS.values(), ids=CONFLICTS)
def test_merge_conflict(current, owners, asks, complaint):
    """A conflict is told with both sides, and the value of the one who was there first stays."""
    settings, conflicts = merge(current, owners_of(owners), [Ask(*ask) for ask in asks])
    assert len(conflicts) == 1
    with pytest.raises(DrydockError, match=complaint):
        raise conflicts[0]
    first = current or asks[0][1]
    assert settings == first


def test_merge_keeps_the_order_of_the_file():
    """A diff shows what changed and nothing else."""
    current = {"log-driver": "local", "debug": True, "ipv6": True}
    settings, _conflicts = merge(current, owners_of({"a": {"debug": True}}), [Ask("a", {"tls": False, "debug": False})])
    assert list(settings) == ["log-driver", "debug", "ipv6", "tls"]


def test_ask_comes_back_from_its_data():
    ask = Ask("a", {"debug": True}, {"zz.conf": "[Service]\n"}, True)
    assert Ask(**ask.to_data()) == ask


# Whatever owners ask for, and whoever edits the file meanwhile: few keys and values, so that they meet.
KEYS = st.sampled_from(["debug", "ipv6", "mtu", "labels", "data-root"])
SETTINGS = st.dictionaries(KEYS, st.sampled_from([True, False, 1500, ["a=b"]]), max_size=4)
ASKS = st.dictionaries(st.sampled_from(["a", "b", "c"]), SETTINGS, max_size=3)


def asks_of(raw):
    return [Ask(name, settings) for name, settings in raw.items()]


@hypothesis.given(SETTINGS, ASKS, ASKS)
def test_merging_again_changes_nothing(current, before, asked):
    owners, asks = {ask.owner: ask for ask in asks_of(before)}, asks_of(asked)
    merged, conflicts = merge(current, owners, asks)
    hypothesis.assume(not conflicts)
    assert merge(merged, {**owners, **{ask.owner: ask for ask in asks}}, asks) == (merged, [])


@hypothesis.given(SETTINGS, ASKS, ASKS)
def test_no_foreign_key_is_ever_lost_or_changed(current, before, asked):
    merged, _conflicts = merge(current, {ask.owner: ask for ask in asks_of(before)}, asks_of(asked))
    owned = {key for settings in before.values() for key in settings}
    assert {key: merged.get(key) for key in current if key not in owned} == {key: value for key, value in current.items() if key not in owned}


@hypothesis.given(SETTINGS, ASKS, ASKS)
def test_what_was_dropped_is_gone(current, before, asked):
    merged, _conflicts = merge(current, {ask.owner: ask for ask in asks_of(before)}, asks_of(asked))
    kept = {key for settings in {**before, **asked}.values() for key in settings}
    dropped = {key for name, settings in before.items() if name in asked for key in settings} - kept
    assert not dropped & set(merged) - {"data-root"}


@hypothesis.given(SETTINGS, ASKS, ASKS)
def test_without_a_conflict_everybody_gets_what_they_ask_for(current, before, asked):
    merged, conflicts = merge(current, {ask.owner: ask for ask in asks_of(before)}, asks_of(asked))
    hypothesis.assume(not conflicts)
    for settings in asked.values():
        assert {key: merged[key] for key in settings} == settings
