# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A daemon's addresses are reached, or it is said why not; real servers on loopback."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import socket
import ssl
import threading

import certificates
import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint.reach import reach
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import confirmation
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


def test_what_is_wanted_and_given(host, server):
    pair, ca, _context = server
    assert confirmation.wanted(host) is None
    confirmation.give(host)
    assert not confirmation.is_given(host)

    pair.cert_path.write_bytes(b"A chain.\n" + pair.cert_path.read_bytes() + ca.cert_path.read_bytes())
    confirmation.ask(host, ["tcp://10.0.0.5:2376"], {"tlsverify": True, "tlscert": str(pair.cert_path)})
    assert confirmation.wanted(host) == {"addresses": ["tcp://10.0.0.5:2376"], "certificate": digest(pair)}
    assert not confirmation.is_given(host)
    confirmation.give(host)
    assert confirmation.is_given(host)
    assert confirmation.wanted(host) is None
    confirmation.end(host)
    assert not confirmation.is_given(host)


def test_without_tls_no_certificate_is_wanted(host):
    confirmation.ask(host, ["tcp://10.0.0.5:2375"], {"tls": False, "tlscert": "/nowhere"})
    assert confirmation.wanted(host) == {"addresses": ["tcp://10.0.0.5:2375"], "certificate": ""}
