# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""New addresses are reached before anything is stopped, or it is said why not; real servers on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import socket
import ssl
import threading

import certificates
import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint.reach import reach
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.addresses import parse_address
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.binding import listen_on
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.certificates import certificate_to_show
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.paths import look_at_paths
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.planner import make_plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import confirmation
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.stand_in import standing_in
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps import prove
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps.base import Context
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps.confirm import Confirm
from cryptography.hazmat.primitives import serialization


class Ping(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/_ping" and self.server.is_docker else 404)
        self.end_headers()

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(context=None, is_docker=True):
    """Its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ping) as server:
        server.is_docker = is_docker
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(tmp_path):
    """A certificate, its CA and a context that wants one of clients, as dockerd does."""
    ca = certificates.make(tmp_path, "ca")
    pair = certificates.make(tmp_path, "server", ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert_path, pair.key_path)
    context.load_verify_locations(ca.cert_path)
    context.verify_mode = ssl.CERT_REQUIRED
    return pair, ca, context


def digest(pair):
    return hashlib.sha256(pair.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def test_plain_addresses():
    with serving() as port:
        assert reach(f"tcp://127.0.0.1:{port}", "", "elsewhere", 5) == ""
        assert reach(f"tcp://0.0.0.0:{port}", "", "127.0.0.1", 5) == ""
    with serving(is_docker=False) as port:
        assert reach(f"tcp://127.0.0.1:{port}", "", "", 5) == "it is no Docker daemon that answers"


def test_tls_is_reached_without_a_client_certificate(server):
    pair, ca, context = server
    with serving(context) as port:
        assert reach(f"tcp://127.0.0.1:{port}", digest(pair), "", 5) == ""
        assert reach(f"tcp://127.0.0.1:{port}", digest(ca), "", 5) == "it shows another certificate"


def test_what_is_not_reached(server):
    pair, _ca, _context = server
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert "refused" in reach(f"tcp://127.0.0.1:{unused.getsockname()[1]}", "", "", 5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for certificate in ("", digest(pair)):
            assert "timed out" in reach(f"tcp://127.0.0.1:{silent.getsockname()[1]}", certificate, "", 0.2)
    with serving() as port:
        assert "SSL" in reach(f"tcp://127.0.0.1:{port}", digest(pair), "", 5)


def test_the_way_alone():
    """Where the old daemon still listens, whatever it shows."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert reach(f"tcp://127.0.0.1:{port}", None, "", 5) == ""
    assert "refused" in reach(f"tcp://127.0.0.1:{port}", None, "", 5)


def test_what_is_wanted_and_given(host):
    assert confirmation.wanted(host) is None
    confirmation.give(host)
    assert not confirmation.is_given(host)

    confirmation.ask(host, ["tcp://10.0.0.5:2376"], "abc", ["tcp://10.0.0.5:2375"])
    assert confirmation.wanted(host) == {"addresses": ["tcp://10.0.0.5:2376"], "certificate": "abc", "ways": ["tcp://10.0.0.5:2375"]}
    assert not confirmation.is_given(host)
    confirmation.give(host)
    assert confirmation.is_given(host)
    assert confirmation.wanted(host) is None
    confirmation.end(host)
    assert not confirmation.is_given(host)


# What is reached --------------------------------------------------------------------------------------------------


@pytest.fixture
def settings(server, tmp_path):
    pair, ca, _context = server
    # A chain, with words in front of it.
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"A chain.\n" + pair.cert_path.read_bytes() + ca.cert_path.read_bytes())
    return {"tlsverify": True, "tlscacert": str(ca.cert_path), "tlscert": str(chain), "tlskey": str(pair.key_path)}


def test_the_certificate_to_show(server, settings):
    assert certificate_to_show(settings) == digest(server[0])
    assert certificate_to_show({**settings, "tlsverify": False}) == ""
    assert certificate_to_show({"tls": True}) == ""


@pytest.mark.parametrize("verifies", [False, True])
def test_what_stands_in_for_the_daemon_is_reached_as_that_would_be(settings, verifies):
    settings = settings if verifies else {}
    with contextlib.ExitStack() as ended:
        listeners = [ended.enter_context(socket.create_server(("127.0.0.1", 0))) for _one in range(2)]
        ports = [one.getsockname()[1] for one in listeners]
        with standing_in(listeners, settings):
            for port in ports:
                # A client that says nothing keeps nobody out.
                ended.enter_context(socket.create_connection(("127.0.0.1", port)))
                assert reach(f"tcp://127.0.0.1:{port}", certificate_to_show(settings), "", 5) == ""
    for port in ports:
        listen_on(parse_address(f"tcp://127.0.0.1:{port}")).close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_the_certificate_that_the_daemon_shows_is_proved(server, version):
    """In TLS 1.2 a client without a certificate is turned away before it can be told."""
    pair, ca, context = server
    context.maximum_version = version
    with serving(context) as port:
        address = parse_address(f"tcp://127.0.0.1:{port}")
        prove._check_tcp(address, digest(pair))
        if version == ssl.TLSVersion.TLSv1_3:
            with pytest.raises(DrydockError, match=r"shows another certificate .*\[not-proved\]"):
                prove._check_tcp(address, digest(ca))


def test_a_daemon_without_tls_does_not_pass_for_one_with_it(server):
    with serving() as port, pytest.raises(DrydockError, match=r"\[address-silent\]"):
        prove._check_tcp(parse_address(f"tcp://127.0.0.1:{port}"), digest(server[0]))


def test_what_stands_in_shows_the_new_certificate(server, settings):
    with socket.create_server(("127.0.0.1", 0)) as listener, standing_in([listener], settings):
        where = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        assert reach(where, digest(server[1]), "", 5) == "it shows another certificate"


def test_an_address_that_nobody_can_listen_on():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(DrydockError, match=r"\[address-in-use\]"):
        listen_on(parse_address(f"tcp://127.0.0.1:{taken.getsockname()[1]}"))
    with pytest.raises(DrydockError, match=r"is not an address of this host.*\[address-not-here\]"):
        listen_on(parse_address("tcp://192.0.2.1:2376"))


# The step -------------------------------------------------------------------------------------------------------

RULES = "table inet mine; delete table inet mine; table inet mine { chain input { type filter hook input priority -10; tcp dport 2376 drop; }; }"
GUARD = f'[Service]\nExecStartPre=/usr/sbin/nft "{RULES}"\nExecStartPre=/bin/true\n'


OLD = "table inet mine {\n}\n"


@pytest.fixture
def make_step(host, make_state, settings):
    """The step of a change from some addresses to others; while it waits, 'looks' is called."""

    def make(before, after, drop_ins=None, looks=lambda: None, seconds=60):
        plan, _problems = make_plan(state := make_state(), Request(), look_at_paths(state, None, None, "relocated"), host.places.units, host.places.daemon_json)
        plan = dataclasses.replace(
            plan,
            before=dataclasses.replace(plan.before, settings={"hosts": before}),
            after=dataclasses.replace(plan.after, settings={"hosts": after, **settings}),
            owners={"listen": Ask("listen", {}, drop_ins or {})},
            confirm=tuple(after),
            confirm_timeout=seconds,
        )

        def pause(_seconds):
            looks()
            confirmation.give(host)

        host.sleep = pause
        return Confirm(Context(host, plan, None), "confirm")

    return make


@pytest.fixture
def free():
    """Addresses that nobody listens on."""
    with contextlib.ExitStack() as ended:
        servers = [ended.enter_context(socket.create_server(("127.0.0.1", 0))) for _one in range(2)]
        return [f"tcp://127.0.0.1:{one.getsockname()[1]}" for one in servers]


def take(step):
    line = step.facts()
    step.apply()
    return line


def test_new_addresses_are_there_while_it_waits(host, make_step, free, server):
    seen = []
    take(make_step(["fd://"], free, looks=lambda: seen.append((confirmation.wanted(host), [reach(one, digest(server[0]), "", 5) for one in free]))))
    assert seen == [({"addresses": free, "certificate": digest(server[0]), "ways": []}, ["", ""])]
    assert ["refused" in reach(one, None, "", 5) for one in free] == [True, True]
    assert confirmation.wanted(host) is None
    assert host.execute.commands == []


@pytest.mark.parametrize("old", ["{}", "tcp://0.0.0.0:{port}"], ids=["the same", "all addresses"])
def test_of_what_the_old_daemon_listens_on_the_way_is_asked_for(host, make_step, free, old):
    seen = []
    with listen_on(parse_address(free[0])):
        before = old.format(free[0], port=parse_address(free[0]).port)
        take(make_step([before], free, looks=lambda: seen.append(confirmation.wanted(host))))
    assert [(one["addresses"], one["ways"]) for one in seen] == [(free[1:], free[:1])]


def test_what_somebody_else_listens_on_is_told(host, make_step, free):
    with listen_on(parse_address(free[1])), pytest.raises(DrydockError, match=rf"{free[1]} is taken: .*\[address-in-use\]"):
        take(make_step(["fd://"], free))
    # The other one is let go.
    listen_on(parse_address(free[0])).close()
    assert confirmation.wanted(host) is None


def test_who_is_let_in_is_decided_by_what_the_start_will_load(host, make_step, free):
    host.execute.answers["/usr/sbin/nft list table inet mine"] = (0, OLD)
    seen = []
    step = make_step(["fd://"], free, {"zz.conf": GUARD}, looks=lambda: seen.extend(host.execute.commands))
    line = take(step)
    assert line == {"tables": {"inet mine": OLD}}
    assert seen == ["/usr/sbin/nft list table inet mine", f"/usr/sbin/nft {RULES}"]
    # Until the start loads them the old ones hold.
    back = f"add table inet mine\ndelete table inet mine\n{OLD}".encode()
    assert host.execute.inputs[2:] == [back]
    # The start has loaded the new ones, and the old daemon has none of its own.
    step.undo(line)
    assert host.execute.inputs[3:] == [back]


def test_rules_that_shut_the_controller_out_go(host, make_step, free):
    host.execute.answers["/usr/sbin/nft list table inet mine"] = (1, "No such file or directory")
    with pytest.raises(DrydockError, match="did not reach"):
        take(make_step(["fd://"], free, {"zz.conf": GUARD}, seconds=-1))
    assert host.execute.inputs[-1] == b"add table inet mine\ndelete table inet mine\n"


def test_rules_that_cannot_be_loaded_end_it(host, make_step, free):
    host.execute.answers[f"/usr/sbin/nft {RULES}"] = (1, "syntax error")
    with pytest.raises(DrydockError, match="syntax error"):
        take(make_step(["fd://"], free, {"zz.conf": GUARD}, looks=lambda: pytest.fail("nothing may be asked")))
