# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Module parameters become a request, whatever way a survey writes them."""

from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.argument_spec import COMMON, to_request
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request


def params(**given):
    """Parameters as a module gets them, with the defaults of the specification."""
    own = {key: given.pop(key) for key in list(given) if key not in COMMON}
    result = ArgumentSpecValidator(COMMON).validate(given)
    assert not result.error_messages
    return {**result.validated_parameters, **own}


ASKS = {
    "nothing": ({}, ()),
    "settings": ({"owner": "a", "settings": {"debug": True}}, (Ask("a", {"debug": True}),)),
    "an owner who asks for nothing any more": ({"owner": "a"}, (Ask("a"),)),
    "drop-ins": (
        {"owner": "a", "drop_ins": [{"name": "zz.conf", "content": "[Service]\n"}, {"name": "yy.conf"}]},
        (Ask("a", {}, {"zz.conf": "[Service]\n", "yy.conf": ""}),),
    ),
    "allowed in words": ({"owner": "a", "allow_insecure": True}, (Ask("a", allow_insecure=True),)),
    "a list as text": ({"owner": "a", "settings": {"hosts": "fd://\n tcp://10.0.0.5:2376 \n\n"}}, (Ask("a", {"hosts": ["fd://", "tcp://10.0.0.5:2376"]}),)),
    "text that is no list": ({"owner": "a", "settings": {"log-driver": "local"}}, (Ask("a", {"log-driver": "local"}),)),
    "several": (
        {"requests": [{"owner": "b", "settings": {"tls": False}}, {"owner": "c"}], "owner": "a", "settings": {"debug": True}},
        (Ask("b", {"tls": False}), Ask("c"), Ask("a", {"debug": True})),
    ),
}

REFUSED = {
    "settings of nobody": ({"settings": {"debug": True}}, "need an 'owner'"),
    "drop-ins of nobody": ({"drop_ins": [{"name": "zz.conf"}]}, "need an 'owner'"),
    "an owner twice": ({"requests": [{"owner": "a"}], "owner": "a"}, "Owner 'a' is named twice"),
    "an owner twice in a list": ({"requests": [{"owner": "b"}, {"owner": "b"}]}, "Owner 'b' is named twice"),
    "a template of settings": ({"owner": "a", "settings_template": "x.j2"}, "unrendered"),
    "a template of a drop-in": ({"requests": [{"owner": "a", "drop_ins": [{"name": "zz.conf", "template": "x.j2"}]}]}, "unrendered"),
    "a limit that is no number": ({"bandwidth_limit": "fast"}, "bandwidth_limit 'fast'"),
}


@pytest.mark.parametrize(("given", "asks"), ASKS.values(), ids=ASKS)
def test_asks(given, asks):
    assert to_request(params(**given)).asks == asks


@pytest.mark.parametrize(("given", "complaint"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_refused(given, complaint):
    with pytest.raises(DrydockError, match=complaint):
        to_request(params(**given))


def test_a_module_without_a_data_root_asks_for_the_defaults():
    assert to_request(params()) == Request()


@pytest.mark.parametrize(("path", "wanted"), [(None, None), ("", None), ("  ", None), (" /mnt/data/docker ", "/mnt/data/docker")])
def test_an_unanswered_path_is_no_path(path, wanted):
    assert to_request(params(path=path)).path == wanted


def test_every_parameter_reaches_the_request():
    given = {
        **{"path": "/d", "keep_source": False, "verify": "checksum", "bandwidth_limit": "50M", "require_persistent_mount": False},
        **{"allow_swarm_manager": True, "restart": "never", "ready_timeout": 7},
    }
    assert to_request(params(**given)) == Request((), "/d", False, "checksum", 50 * 1024, False, True, "never", 7)


TAKEN_OVER = [([], set()), (["log-opts", " mtu "], {"log-opts", "mtu"}), ("log-opts\nmtu", {"log-opts", "mtu"}), (True, {"*"}), ("true", {"*"}), (False, set())]


@pytest.mark.parametrize(("value", "names"), TAKEN_OVER)
def test_what_is_taken_over_is_read_as_a_survey_sends_it(value, names):
    assert to_request(params(owner="a", take_over=value)).take_over == {"a": names}


@pytest.mark.parametrize("value", [3, {"mtu": 1}, [True]])
def test_what_names_no_keys_is_refused(value):
    with pytest.raises(DrydockError, match="What is to be taken over is"):
        to_request(params(owner="a", take_over=value))


def test_what_was_not_given_is_known():
    assert to_request(params(owner="a", settings={})).untouched == {("a", "drop_ins")}
    assert to_request(params(owner="a", drop_ins=[])).untouched == {("a", "settings")}
