# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

import pytest
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _tls

GIVEN = {
    "ca_dir": "/srv/ca",
    "ca_cert": "",
    "ca_key": "",
    "ca_passphrase": "",
    "server_cert": "",
    "server_key": "",
    "names": [],
    "clients": [],
    "renew_before": 30,
    "dir": "/etc/docker/tls",
}
FACTS = {
    "fqdn": "Web1.example.com",
    "hostname": "web1",
    "interfaces": ["lo", "eth0", "br-lan", "docker0", "br-0123456789ab", "veth12", "gone"],
    "lo": {"ipv4": {"address": "127.0.0.1"}, "ipv6": [{"address": "::1"}]},
    "eth0": {
        "ipv4": {"address": "10.0.0.20"},
        "ipv4_secondaries": [{"address": "10.0.0.3"}],
        "ipv6": [{"address": "2001:db8::5"}, {"address": "fe80::1"}],
    },
    "br_lan": {"ipv4": {"address": "192.168.1.1"}},
    "docker0": {"ipv4": {"address": "172.17.0.1"}},
    "br_0123456789ab": {"ipv4": {"address": "172.18.0.1"}},
    "veth12": {"ipv6": [{"address": "2001:db8::99"}]},
}
LOOPBACK = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]
CALLED = {"ca": "docker_tls_ca_cert", "ca_key": "docker_tls_ca_key", "server": "docker_tls_server_cert", "server_key": "docker_tls_server_key"}


# Names -----------------------------------------------------------------------------------------------------------


def test_names_are_all_that_the_host_is_called():
    found = _tls.names(["docker.example.com", "10.9.9.9"], ["fd://", "tcp://10.0.0.3:2376"], FACTS, ["web", "10.0.0.20"])
    own = ["DNS:web", "IP:10.0.0.20", "DNS:web1.example.com", "DNS:web1", "IP:10.0.0.3"]
    assert found == [*own, *LOOPBACK, "DNS:docker.example.com", "IP:10.9.9.9"]


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:2376", "tcp://[::]:2376", "0.0.0.0:2376"])
def test_any_address_stands_for_those_that_others_reach(address):
    """Docker's own bridges come and go with containers: a certificate with them would change all the time."""
    found = _tls.names("", [address], FACTS, [])
    assert found == ["DNS:web1.example.com", "DNS:web1", "IP:10.0.0.3", "IP:10.0.0.20", "IP:192.168.1.1", "IP:2001:db8::5", *LOOPBACK]


def test_names_do_not_depend_on_the_order_of_interfaces():
    turned = {**FACTS, "interfaces": FACTS["interfaces"][::-1]}
    assert _tls.names([], ["tcp://0.0.0.0:1"], FACTS, ["a"]) == _tls.names([], ["tcp://0.0.0.0:1"], turned, ["a"])


def test_answers_of_a_survey_are_lists():
    assert _tls.names("one.example.com\n\n [2001:db8::1] \n", "fd://\ntcp://web.example.com:2376\n", {}, []) == [
        "DNS:web.example.com",
        *LOOPBACK,
        "DNS:one.example.com",
        "IP:2001:db8::1",
    ]


def test_what_is_no_name_of_the_network_is_left_out():
    assert _tls.names([], ["tcp://a:b:c", "unix:///run/docker.sock"], {}, ["web server 1", "", "bad..name"]) == LOOPBACK


# Refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"ca_dir": "", "ca_cert": "x", "ca_key": "x"},
        {"ca_dir": "", "ca_cert": "x", "server_cert": "x", "server_key": "x"},
        {"names": "a\nb.example.com\n*.example.com\n10.0.0.1\n::1", "clients": ["ci", "ann@example.com"], "renew_before": ""},
        {"ca_passphrase": "eight888"},
        # There is a place for one.
        {"ca_dir": ""},
    ],
)
def test_what_is_complete_is_not_refused(given):
    assert _tls.refusals({**GIVEN, **given}) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"ca_passphrase": 1234567890}, "docker_tls_ca_passphrase was read as a number"),
        ({"ca_key": "x"}, "docker_tls_ca_key is given without docker_tls_ca_cert."),
        ({"ca_cert": "x"}, "docker_tls_ca_cert is given without docker_tls_ca_key, so that nothing can be signed."),
        ({"server_cert": "x"}, "docker_tls_server_cert is given without docker_tls_server_key."),
        ({"server_key": "x", "ca_cert": "x"}, "docker_tls_server_key is given without docker_tls_server_cert."),
        ({"server_cert": "x", "server_key": "x"}, "docker_tls_server_cert is given without docker_tls_ca_cert,"),
        ({"ca_cert": "x", "ca_key": "x", "clients": ["ci"]}, "docker_tls_clients needs docker_tls_ca_dir,"),
        ({"names": ["web server"]}, "docker_tls_names has 'web server', which is neither a name nor an address."),
        ({"names": ["a..b"]}, "docker_tls_names has 'a..b', which is neither a name nor an address."),
        ({"names": {"a": 1}}, "docker_tls_names is {'a': 1}. Give a list of text,"),
        ({"names": [{"a": 1}]}, "docker_tls_names is [{'a': 1}]. Give a list of text,"),
        ({"clients": ["../root"]}, "docker_tls_clients has '../root', which is no name of a client."),
        ({"clients": ["x" * 65]}, "which is no name of a client."),
        ({"clients": 5}, "docker_tls_clients is 5. Give a list of text,"),
        ({"renew_before": "soon"}, "docker_tls_renew_before is 'soon'. Give a number of days."),
        ({"renew_before": -1}, "docker_tls_renew_before is '-1'."),
        ({"dir": "tls"}, "docker_tls_dir 'tls' is a relative path."),
        ({"ca_dir": "ca"}, "docker_tls_ca_dir 'ca' is a relative path."),
        ({"ca_passphrase": "short"}, "docker_tls_ca_passphrase has fewer than 8 characters,"),
    ],
)
def test_bad_variables_are_refused(given, sentence):
    found = _tls.refusals({**GIVEN, **given})
    assert len(found) == 1
    assert sentence in found[0]


def test_no_refusal_shows_a_secret():
    found = _tls.refusals({**GIVEN, "ca_key": "hush", "server_key": "hush", "ca_passphrase": "hush"})
    assert found
    assert "hush" not in " ".join(found)


# Trouble ---------------------------------------------------------------------------------------------------------


def certificate(part, **changes):
    one = {
        "item": part,
        "public_key": part,
        "not_after": "20360102030405Z",
        "expired": False,
        "valid_at": {"now": True, "later": True},
        "basic_constraints": ["CA:TRUE", "pathlen:0"] if part == "ca" else None,
        "extended_key_usage": None,
    }
    return {**one, **changes}


def key(part, **changes):
    return {"item": part, "public_key": part, **changes}


def test_what_fits_is_no_trouble():
    assert _tls.trouble([certificate("ca")], [key("ca")], CALLED) == []
    # A CA that is not asked to sign may end soon.
    assert _tls.trouble([certificate("ca", valid_at={"now": True, "later": False}), certificate("server")], [key("server")], CALLED) == []


SOON = {"now": True, "later": False}
NOT_YET = {"now": False, "later": True}


@pytest.mark.parametrize(
    ("certificates", "keys", "sentence"),
    [
        ([{"item": "ca", "msg": "Unable to load."}], [key("ca")], "docker_tls_ca_cert is no certificate in PEM: Unable to load."),
        ([certificate("ca", expired=True)], [key("ca")], "docker_tls_ca_cert has ended on 2036-01-02. Move it and its key away,"),
        ([certificate("ca", valid_at=NOT_YET)], [key("ca")], "docker_tls_ca_cert is not valid yet."),
        ([certificate("ca", valid_at=SOON)], [key("ca")], "docker_tls_ca_cert ends on 2036-01-02, within docker_tls_renew_before days,"),
        ([certificate("ca", basic_constraints=["CA:FALSE"])], [key("ca")], "docker_tls_ca_cert is not the certificate of a CA."),
        ([certificate("ca", basic_constraints=None)], [key("ca")], "docker_tls_ca_cert is not the certificate of a CA."),
        ([certificate("ca")], [key("ca", public_key="x")], "docker_tls_ca_key does not fit docker_tls_ca_cert."),
        ([certificate("ca")], [{"item": "ca", "msg": "Wrong"}], "docker_tls_ca_key cannot be read: Wrong. Give the key in PEM, and its passphrase,"),
        (
            [certificate("ca"), certificate("server")],
            [{"item": "server", "msg": "No"}],
            "docker_tls_server_key cannot be read: No. Give the key in PEM and without",
        ),
        ([certificate("ca"), certificate("server", expired=True)], [key("server")], "docker_tls_server_cert has ended on 2036-01-02. Give a newer one."),
        (
            [certificate("ca"), certificate("server", extended_key_usage=["TLS Web Client Authentication"])],
            [key("server")],
            "docker_tls_server_cert is not meant for servers: its extended key usage is TLS Web Client Authentication.",
        ),
    ],
)
def test_what_does_not_fit_is_told(certificates, keys, sentence):
    found = _tls.trouble(certificates, keys, CALLED)
    assert len(found) == 1
    assert found[0].startswith(sentence)


def test_a_server_that_the_ca_has_not_signed_is_told():
    found = _tls.trouble([certificate("ca"), certificate("server")], [key("server")], CALLED, signed=False)
    assert found == ["docker_tls_ca_cert has not signed docker_tls_server_cert. Give the CA that has. [tls-other-ca]"]


def test_a_ca_that_would_be_lost_with_the_job_is_not_made():
    (found,) = _tls.refusals({**GIVEN, "ca_dir": ""}, passing=True)
    assert "is lost with this job" in found
    for given in ({}, {"ca_dir": "", "ca_cert": "x", "ca_key": "x"}):
        assert _tls.refusals({**GIVEN, **given}, passing=True) == []
