# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A look at an endpoint: each status against a server that really is like that, on loopback."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import functools
import ipaddress
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import termios
import threading
import time
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint import attempt, diagnosis
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint import connection as connection_module
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PARAMS = {name: option.get("default") for name, option in connection_module.OPTIONS.items()}
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
AWAY, ANYBODY, UNKNOWN = (diagnosis.PROTECTION[known] for known in (True, False, None))
PLAIN_ONLY = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


def http(status: int, body: t.Any, *headers: str) -> bytes:
    """An answer as Go writes it."""
    text = (body if isinstance(body, str) else json.dumps(body)).encode()
    return "\r\n".join([f"HTTP/1.1 {status} X", *headers, f"Content-Length: {len(text)}", "", ""]).encode() + text


DOCKER = http(200, {"Version": "26.1.5", "ApiVersion": "1.45"}, "Api-Version: 1.45", "Server: Docker/26.1.5 (linux)")


# Certificates ----------------------------------------------------------------------------------------------------


class Authority:
    """A CA.

    :param strict: it says what its key is for, and which key it is, as only strict checks want it.
    """

    def __init__(self, directory: t.Any, name: str = "lab-ca", days: tuple[int, int] = (-9, 90), strict: bool = True) -> None:
        self.directory, self.name, self.strict, self.key = directory, name, strict, ec.generate_private_key(ec.SECP256R1())
        directory.mkdir()
        usage = [(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)] if strict else []
        self.path = self._write("ca", self._sign(name, self.key, days, [(x509.BasicConstraints(True, None), True), *usage]))

    def issue(self, name: str, names: t.Sequence[str] = (), days: tuple[int, int] = (-1, 90), usage: t.Any = SERVER) -> tuple[str, str]:
        """Paths of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions: list[tuple[t.Any, bool]] = [(x509.ExtendedKeyUsage([usage]), False), (x509.BasicConstraints(False, None), True)]
        if names:
            extensions.append((x509.SubjectAlternativeName([_general(one) for one in names]), False))
        path = self._write(name, self._sign(name, key, days, extensions))
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.directory / f"{name}-key.pem").write_bytes(text)
        return path, f"{self.directory}/{name}-key.pem"

    def _sign(self, name: str, key: t.Any, days: tuple[int, int], extensions: t.Iterable[tuple[t.Any, bool]]) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            # So that a slow test still has whole days in front of it.
            .not_valid_after(now + datetime.timedelta(days=days[1], minutes=30))
        )
        own, issuer = x509.SubjectKeyIdentifier.from_public_key(key.public_key()), x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        for extension, critical in [*extensions, *([(own, False), (issuer, False)] if self.strict else [])]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name: str, certificate: x509.Certificate) -> str:
        path = self.directory / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return str(path)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA, and of it what most tests need: server and client."""
    made = Authority(tmp_path_factory.mktemp("pki") / "ca")
    made.issue("server", ["docker.lab", "127.0.0.1", "::1"])
    made.issue("client", usage=CLIENT)
    return made


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another CA, with a server and a client."""
    made = Authority(tmp_path_factory.mktemp("pki") / "other", "other-ca")
    made.issue("server", ["127.0.0.1"])
    made.issue("client", usage=CLIENT)
    return made


def pair(authority: Authority, name: str) -> tuple[str, str]:
    return f"{authority.directory}/{name}.pem", f"{authority.directory}/{name}-key.pem"


def asking(authority: Authority, client: tuple[str, str] | None = None) -> dict[str, t.Any]:
    """The parameters of a client that believes this CA."""
    cert, key = client or (None, None)
    return {"validate_certs": True, "ca_path": authority.path, "client_cert": cert, "client_key": key}


# Servers ---------------------------------------------------------------------------------------------------------


def context(
    files: tuple[str, str], clients: Authority | None = None, version: ssl.TLSVersion | None = None, need: ssl.VerifyMode = ssl.CERT_REQUIRED
) -> ssl.SSLContext:
    """A server's end of TLS.

    :param clients: whose certificates it asks clients for.
    """
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(*files)
    if clients:
        made.load_verify_locations(clients.path)
        made.verify_mode = need
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def hosts() -> list[str]:
    """Loopback in both families, as far as this machine has them."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as one:
        one.bind(("::1", 0))
        return ["127.0.0.1", "::1"]
    return ["127.0.0.1"]


Answer = t.Union[bytes, None, t.Callable[[t.Any, bytes], None]]


class Server:
    """Treats each connection alike.

    :param answer: what it says to the first bytes, or does with them; None says nothing.
    :param tls: its end of TLS.
    :param polite: like Go, it tells in plain HTTP that it wants TLS.
    """

    def __init__(self, listener: socket.socket, answer: Answer, tls: ssl.SSLContext | None, polite: bool) -> None:
        self.listener, self.answer, self.tls, self.polite = listener, answer, tls, polite
        self.stopped = threading.Event()
        self.connections: list[t.Any] = []
        listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        for one in (self.listener, *self.connections):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self.stopped.is_set():
                self.connections.append(self.listener.accept()[0])
                threading.Thread(target=self._serve, args=(self.connections[-1],), daemon=True).start()

    def _serve(self, connection: t.Any) -> None:
        with contextlib.suppress(OSError):
            connection.settimeout(5)
            if self.polite and connection.recv(1, socket.MSG_PEEK) != b"\x16":
                connection.recv(65536)
                connection.sendall(PLAIN_ONLY)
            else:
                connection = self.tls.wrap_socket(connection, server_side=True) if self.tls else connection
                self.connections.append(connection)
                self._say(connection, connection.recv(65536))
            # What was said arrives before the end does.
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        connection.close()

    def _say(self, connection: t.Any, heard: bytes) -> None:
        if callable(self.answer):
            self.answer(connection, heard)
        elif self.answer is None:
            self.stopped.wait(5)
        else:
            connection.sendall(self.answer)


@pytest.fixture
def serve() -> t.Iterator[t.Callable[..., str]]:
    """Start a server; returns its address."""
    servers = []

    def start(answer: Answer = DOCKER, tls: ssl.SSLContext | None = None, polite: bool = False, host: str = "127.0.0.1", path: t.Any = None) -> str:
        listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.bind(str(path) if path else (host, 0))
        servers.append(Server(listener, answer, tls, polite))
        return f"unix://{path}" if path else f"tcp://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"

    yield start
    for server in servers:
        server.stop()


def look(address: str, **params: t.Any) -> dict[str, t.Any]:
    return diagnosis.describe_endpoint({**PARAMS, "timeout": 5, "docker_host": address, **params})


def brief(found: dict[str, t.Any]) -> tuple[t.Any, ...]:
    """The status, and what is asked of the protection."""
    return found["status"], found["verified"], found["turned_away_without_certificate"]


# It answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host", hosts())
def test_daemon_that_demands_certificates(serve, ca, version, host):
    address = serve(tls=context(pair(ca, "server"), ca, version), host=host)
    found = look(address, **asking(ca, pair(ca, "client")))
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=90, minutes=30)
    assert abs(datetime.datetime.strptime(found["certificate"].pop("not_after"), "%Y-%m-%dT%H:%M:%S%z") - end) < datetime.timedelta(minutes=5)
    assert found == {
        "status": "ok",
        "msg": f"{address} is Docker Engine 26.1.5 (API 1.45) over TLS, its certificate is verified and ends in 90 days. {AWAY}",
        "reachable": True,
        "engine_version": "26.1.5",
        "api_version": "1.45",
        "tls": True,
        "verified": True,
        "certificate": {
            "subject": {"commonName": "server"},
            "issuer": {"commonName": "lab-ca"},
            "names": ["docker.lab", "127.0.0.1", "::1"],
            "days_left": 90,
        },
        "turned_away_without_certificate": True,
    }


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client", ["client", None])
def test_daemon_that_lets_anybody_in_over_tls(serve, ca, version, client):
    found = look(serve(tls=context(pair(ca, "server"), version=version)), **asking(ca, client and pair(ca, client)))
    assert brief(found) == ("ok", True, False)
    assert found["msg"].endswith(ANYBODY)
    assert "root" in found["msg"]


def test_daemon_in_plain_http_lets_anybody_in(serve):
    address = serve()
    found = look(address)
    assert brief(found) == ("ok", False, False)
    assert (found["tls"], found["certificate"], found["api_version"]) == (False, None, "1.45")
    assert found["msg"] == f"{address} is Docker Engine 26.1.5 (API 1.45) in plain HTTP. {ANYBODY}"


def test_server_that_nobody_verifies_is_told_with_its_certificate(serve, ca):
    found = look(serve(tls=context(pair(ca, "server"), ca)), tls=True, **{**asking(ca, pair(ca, "client")), "validate_certs": False})
    assert brief(found) == ("ok", False, True)
    assert (found["certificate"]["names"], found["certificate"]["days_left"]) == (["docker.lab", "127.0.0.1", "::1"], 90)
    assert "was not verified" in found["msg"]


@pytest.mark.parametrize("refusal", [http(400, "No required SSL certificate was sent"), http(403, "no")])
def test_proxy_that_turns_away_in_http(serve, ca, refusal):
    def answer(connection, _heard):
        connection.sendall(DOCKER if connection.getpeercert() else refusal)

    found = look(serve(answer, context(pair(ca, "server"), ca, need=ssl.CERT_OPTIONAL)), **asking(ca, pair(ca, "client")))
    assert brief(found) == ("ok", True, True)


def test_error_for_those_without_a_certificate_is_no_protection(serve, ca):
    def answer(connection, _heard):
        connection.sendall(DOCKER if connection.getpeercert() else http(502, "no"))

    found = look(serve(answer, context(pair(ca, "server"), ca, need=ssl.CERT_OPTIONAL)), **asking(ca, pair(ca, "client")))
    assert brief(found) == ("ok", True, None)
    assert found["msg"].endswith(UNKNOWN)


def test_daemon_behind_a_socket(serve, tmp_path):
    address = serve(path=tmp_path / "docker.sock")
    found = look(address, tls=True)
    assert brief(found) == ("ok", False, None)
    assert found["msg"] == f"{tmp_path}/docker.sock is Docker Engine 26.1.5 (API 1.45)."


def test_answer_in_pieces(serve):
    def answer(connection, _heard):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b'{"Version": "1", ', b'"ApiVersion": "2"}', b""):
            time.sleep(0.02)
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))

    found = look(serve(answer))
    assert (found["status"], found["engine_version"], found["api_version"]) == ("ok", "1", "2")


def test_last_words_of_a_server_that_has_closed_are_heard():
    """One that turns a certificate away may be gone before it is asked, and its alert is there to be read."""
    near, far = socket.socketpair()
    with near, far:
        far.sendall(DOCKER)
        far.close()
        assert attempt._ask(near, "docker", 5).version["Version"] == "26.1.5"


# Nobody answers --------------------------------------------------------------------------------------------------


def unreachable(address: str, why: str, **params: t.Any) -> None:
    began = time.monotonic()
    found = look(address, **params)
    assert (found["status"], found["reachable"], found["certificate"]) == ("unreachable", False, None)
    assert found["turned_away_without_certificate"] is None
    assert found["msg"].endswith(why)
    assert time.monotonic() - began < 4


def test_port_on_which_nobody_listens():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        unreachable(f"tcp://127.0.0.1:{free.getsockname()[1]}", "cannot be reached: the connection is refused, nobody listens there.")


def test_port_that_does_not_answer():
    with socket.socket() as full, contextlib.ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _number in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        unreachable(f"tcp://127.0.0.1:{full.getsockname()[1]}", "cannot be reached: there is no answer within 1 s.", timeout=1)


def test_server_that_says_nothing(serve, ca):
    why = "cannot be reached: there is no answer within 0.3 s."
    unreachable(serve(None), why, timeout=0.3)
    unreachable(serve(None), why, timeout=0.3, **asking(ca))


def test_server_that_agrees_on_tls_and_says_nothing(serve, ca):
    found = look(serve(None, context(pair(ca, "server"))), timeout=0.3, **asking(ca))
    assert brief(found) == ("unreachable", True, None)
    assert found["certificate"]["days_left"] == 90


def test_server_that_hardly_comes_to_an_end(serve):
    def answer(connection, _heard):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for letter in [b"x"] * 60:
            time.sleep(0.05)
            connection.sendall(letter)

    unreachable(serve(answer), "cannot be reached: there is no answer within 0.5 s.", timeout=0.5)


def test_name_that_does_not_resolve():
    # Longer than a name can be, so that no name server is asked.
    unreachable(f"tcp://{'.'.join(['a' * 60] * 5)}:2376", ").")
    assert "its name does not resolve (" in look(f"tcp://{'.'.join(['a' * 60] * 5)}:2376")["msg"]


def test_socket_that_is_not_there(tmp_path):
    unreachable(f"unix://{tmp_path}/docker.sock", "cannot be reached: No such file or directory.")


def test_socket_on_which_nobody_listens(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/docker.sock")
        unreachable(f"unix://{tmp_path}/docker.sock", "cannot be reached: the connection is refused, nobody listens there.")


# TLS or not ------------------------------------------------------------------------------------------------------


def waiting_for_a_line(connection: t.Any, heard: bytes) -> None:
    """Some servers wait for the end of a line, which the beginning of TLS never has."""
    while b"\r\n\r\n" not in heard:
        heard += connection.recv(65536)
    connection.sendall(DOCKER)


@pytest.mark.parametrize(("answer", "timeout"), [(DOCKER, 5), (waiting_for_a_line, 0.3)])
def test_plain_daemon_that_is_asked_for_tls(serve, ca, answer, timeout):
    found = look(serve(answer), timeout=timeout, **asking(ca, pair(ca, "client")))
    assert brief(found) == ("plain_http", False, False)
    assert (found["tls"], found["reachable"], found["engine_version"]) == (False, True, "26.1.5")
    assert found["msg"].endswith(f"answers in plain HTTP where TLS was asked for. {ANYBODY}")


def test_plain_web_server_that_is_asked_for_tls(serve, ca):
    assert brief(look(serve(http(404, "no")), **asking(ca))) == ("plain_http", False, None)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("polite", [True, False])
@pytest.mark.parametrize("protected", [True, False])
def test_tls_daemon_that_is_asked_in_plain_http(serve, ca, version, polite, protected):
    found = look(serve(DOCKER, context(pair(ca, "server"), ca if protected else None, version), polite))
    assert brief(found) == ("tls_required", False, protected)
    assert found["tls"]
    # Until TLS 1.2 a server that misses the client's certificate never finishes with its own.
    seen = version == ssl.TLSVersion.TLSv1_3 or not protected
    assert (found["certificate"] or {}).get("names") == (["docker.lab", "127.0.0.1", "::1"] if seen else None)


# The server's certificate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_server_of_another_ca(serve, ca, other, version):
    address = serve(tls=context(pair(other, "server"), version=version))
    found = look(address, **asking(ca))
    assert brief(found) == ("wrong_ca", False, False)
    assert found["msg"].startswith(f"The certificate of {address} is not signed by {ca.path} but by other-ca (")
    assert found["certificate"]["issuer"] == {"commonName": "other-ca"}


@pytest.mark.parametrize("strict", [True, False])
def test_server_of_a_ca_that_was_made_anew_under_its_name(serve, ca, tmp_path, strict):
    anew = Authority(tmp_path / "anew", strict=strict)
    assert look(serve(tls=context(anew.issue("server", ["127.0.0.1"]))), **asking(ca))["status"] == "wrong_ca"


def test_server_of_a_ca_that_the_machine_does_not_trust(serve, ca):
    found = look(serve(tls=context(pair(ca, "server"))), validate_certs=True)
    assert found["status"] == "wrong_ca"
    assert "is not signed by a CA that this machine trusts but by lab-ca" in found["msg"]


def test_server_that_signed_itself(serve, ca, tmp_path):
    alone = Authority(tmp_path / "127.0.0.1", "127.0.0.1")
    key = alone.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (alone.directory / "ca-key.pem").write_bytes(key)
    assert look(serve(tls=context(pair(alone, "ca"))), **asking(ca))["status"] == "wrong_ca"


def test_other_server_still_tells_whether_it_is_protected(serve, ca, other):
    assert brief(look(serve(tls=context(pair(other, "server"), other)), **asking(ca, pair(ca, "client")))) == ("wrong_ca", False, True)


@pytest.mark.parametrize("version", VERSIONS)
def test_server_whose_certificate_has_expired(serve, ca, version):
    address = serve(tls=context(ca.issue("expired", ["127.0.0.1"], (-9, -2)), version=version))
    found = look(address, **asking(ca))
    assert brief(found) == ("expired", False, False)
    assert found["certificate"]["days_left"] == -2
    assert found["msg"].startswith(f"The certificate of {address} has expired at {found['certificate']['not_after']}, or ")


def test_server_whose_expired_certificate_is_not_seen(serve, ca):
    found = look(serve(tls=context(ca.issue("expired", ["127.0.0.1"], (-9, -2)), ca, ssl.TLSVersion.TLSv1_2)), **asking(ca))
    assert brief(found) == ("expired", False, True)
    assert found["certificate"] is None
    assert "has expired, or " in found["msg"]


def test_server_whose_ca_has_expired(serve, tmp_path):
    late = Authority(tmp_path / "late", days=(-9, -1))
    found = look(serve(tls=context(late.issue("server", ["127.0.0.1"]))), **asking(late))
    assert brief(found) == ("expired", False, False)
    assert "has not expired, but that of a CA" in found["msg"]


def test_server_whose_certificate_begins_later(serve, ca):
    found = look(serve(tls=context(ca.issue("early", ["127.0.0.1"], (1, 9)))), **asking(ca))
    assert brief(found) == ("not_yet_valid", False, False)
    assert "is not valid yet" in found["msg"]


def test_ca_without_a_key_usage_is_accepted_by_each_python(serve, tmp_path, monkeypatch):
    """As 'openssl req -x509' makes it; Python 3.13 began to refuse it."""
    plain = Authority(tmp_path / "plain", strict=False)
    address = serve(tls=context(plain.issue("server", ["127.0.0.1"])))
    usual = ssl.create_default_context

    def as_from_3_13_on(*args, **options):
        made = usual(*args, **options)
        made.verify_flags |= ssl.VERIFY_X509_STRICT
        return made

    monkeypatch.setattr(ssl, "create_default_context", as_from_3_13_on)
    assert brief(look(address, **asking(plain))) == ("ok", True, False)


@pytest.mark.parametrize(("names", "asked"), [(["docker.lab"], None), (["127.0.0.1"], "docker.lab"), (["10.0.0.5", "a.lab"], None)])
def test_server_with_another_name(serve, ca, names, asked):
    address = serve(tls=context(ca.issue("named", names)))
    found = look(address, **asking(ca), tls_hostname=asked)
    assert brief(found) == ("name_mismatch", False, False)
    assert found["msg"].startswith(f"The certificate of {address} is for {', '.join(names)}, not for {asked or '127.0.0.1'}: ")


def test_server_without_any_name(serve, ca):
    found = look(serve(tls=context(ca.issue("nameless"))), **asking(ca))
    assert found["status"] == "name_mismatch"
    assert "is for no name, not for 127.0.0.1" in found["msg"]


def test_name_of_the_server_may_differ_from_its_address(serve, ca):
    assert look(serve(tls=context(pair(ca, "server"))), **asking(ca), tls_hostname="docker.lab")["status"] == "ok"


def test_server_with_a_certificate_for_clients(serve, ca):
    found = look(serve(tls=context(ca.issue("wrong", ["127.0.0.1"], usage=CLIENT))), **asking(ca))
    assert brief(found) == ("tls_error", False, False)
    assert "purpose" in found["msg"]


def test_certificate_that_cannot_be_read(ca, tmp_path):
    (tmp_path / "none.pem").write_text("no\n")
    assert attempt.read_certificate(f"{tmp_path}/none.pem") == {}
    assert attempt.read_certificate(f"{tmp_path}/missing.pem") == {}
    assert attempt.read_certificate(ca.path)["subject"] == {"commonName": "lab-ca"}


@pytest.mark.parametrize(("now", "days"), [("May  1 12:00:00 2026 GMT", 1), ("May  2 12:00:01 2026 GMT", -1), ("May  2 12:00:00 2026 GMT", 0)])
def test_days_that_a_certificate_has_left(now, days):
    decoded = {"subject": (), "issuer": (), "notAfter": "May  2 12:00:00 2026 GMT"}
    described = attempt.describe(decoded, ssl.cert_time_to_seconds(now))
    assert described == {"subject": {}, "issuer": {}, "names": [], "not_after": "2026-05-02T12:00:00Z", "days_left": days}


# The client's certificate ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_client_without_a_certificate(serve, ca, version):
    address = serve(tls=context(pair(ca, "server"), ca, version))
    found = look(address, **asking(ca))
    assert brief(found) == ("client_certificate_refused", version == ssl.TLSVersion.TLSv1_3, True)
    assert found["msg"].startswith(f"{address} turns away who has no certificate (")
    assert bool(found["certificate"]) is (version == ssl.TLSVersion.TLSv1_3)
    assert brief(look(address, tls=True))[:2] == ("client_certificate_refused", False)


@pytest.mark.parametrize("version", VERSIONS)
def test_client_of_another_ca(serve, ca, other, version):
    address = serve(tls=context(pair(ca, "server"), ca, version))
    found = look(address, **asking(ca, pair(other, "client")))
    assert brief(found) == ("client_certificate_refused", version == ssl.TLSVersion.TLSv1_3, True)
    assert found["msg"].startswith(f"{address} turns {other.directory}/client.pem away (")
    assert "unknown ca" in found["msg"]


def test_client_of_another_ca_where_none_is_needed(serve, ca, other):
    found = look(serve(tls=context(pair(ca, "server"), ca, need=ssl.CERT_OPTIONAL)), **asking(ca, pair(other, "client")))
    assert brief(found) == ("client_certificate_refused", True, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_client_whose_certificate_has_expired(serve, ca, version):
    files = ca.issue("late", days=(-9, -2), usage=CLIENT)
    found = look(serve(tls=context(pair(ca, "server"), ca, version)), **asking(ca, files))
    assert brief(found) == ("client_certificate_expired", version == ssl.TLSVersion.TLSv1_3, True)
    assert f"turns {files[0]} away (" in found["msg"]
    assert re.search(r"which is valid until \d{4}-", found["msg"])


def alert(number: int) -> bytes:
    """A fatal alert in the place of an agreement."""
    return bytes([0x15, 3, 3, 0, 2, 2, number])


def refusing(ca: Authority, number: int) -> t.Callable[[t.Any, bytes], None]:
    """A server of TLS 1.2 that shows its certificate, asks for the client's, and ends with this alert."""

    def answer(connection: t.Any, heard: bytes) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        incoming.write(heard)
        with contextlib.suppress(ssl.SSLWantReadError):
            context(pair(ca, "server"), ca, ssl.TLSVersion.TLSv1_2).wrap_bio(incoming, outgoing, server_side=True).do_handshake()
        connection.sendall(outgoing.read())
        connection.recv(65536)
        connection.sendall(alert(number))

    return answer


@pytest.mark.parametrize("number", [40, 42, 43, 44, 46, 48, 49, 116])
def test_alerts_that_mean_the_clients_certificate(serve, ca, number):
    assert brief(look(serve(refusing(ca, number)), **asking(ca, pair(ca, "client")))) == ("client_certificate_refused", False, True)


def test_alert_that_means_an_expired_certificate(serve, ca):
    assert look(serve(refusing(ca, 45)), **asking(ca, pair(ca, "client")))["status"] == "client_certificate_expired"


def test_alert_of_an_old_engine_for_an_expired_certificate(serve, ca):
    files = ca.issue("late", days=(-9, -2), usage=CLIENT)
    assert look(serve(refusing(ca, 42)), **asking(ca, files))["status"] == "client_certificate_expired"


def test_alert_that_means_something_else_though_the_certificate_was_shown(serve, ca):
    assert brief(look(serve(refusing(ca, 80)), **asking(ca, pair(ca, "client")))) == ("tls_error", False, None)


# Before it has shown its certificate, a server does not ask for the client's.
@pytest.mark.parametrize("number", [40, 42, 49, 70, 80, 112])
def test_alerts_that_mean_something_else(serve, ca, number):
    address = serve(alert(number))
    found = look(address, **asking(ca, pair(ca, "client")))
    assert brief(found) == ("tls_error", False, None)
    assert (found["tls"], found["certificate"]) == (True, None)
    assert found["msg"].startswith(f"TLS with {address} fails: ")


# It is something else --------------------------------------------------------------------------------------------


def closing(connection: t.Any, _heard: bytes) -> None:
    connection.close()


SOMETHING = [
    *(http(200, "<html>"), http(200, {"version": "1"}), http(200, ["ApiVersion"]), http(404, {"message": "Not Found"}), http(502, "Bad Gateway")),
    *(http(200, "[" * 100_000), http(200, {"ApiVersion": 1}), http(301, "", "Location: /")),
]


@pytest.mark.parametrize("answer", [*SOMETHING, b"SSH-2.0-OpenSSH_9.2\r\n", closing, b""])
def test_something_that_is_no_docker(serve, ca, answer):
    address = serve(answer)
    found = look(address)
    assert brief(found) == ("not_docker", False, None)
    assert found["reachable"]
    assert found["msg"].startswith(f"{address} answers, but is no Docker API: ")
    found = look(serve(answer, context(pair(ca, "server"))), **asking(ca))
    assert brief(found) == ("not_docker", True, None)
    assert found["tls"]


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"220 mail\r\n", closing])
def test_something_without_tls_and_http(serve, ca, answer):
    found = look(serve(answer), **asking(ca))
    assert brief(found) == ("not_docker", False, None)
    assert not found["tls"]


def test_something_behind_a_socket(serve, tmp_path):
    assert look(serve(SOMETHING[0], path=tmp_path / "docker.sock"))["status"] == "not_docker"


def test_answer_that_is_too_long_is_not_read_to_its_end(serve):
    def answer(connection, _heard):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
        # Far more than the kernel keeps on the way.
        for _number in range(1000):
            connection.sendall(b" " * 100_000)
            sent.append(1)

    sent: list[int] = []
    assert look(serve(answer))["status"] == "not_docker"
    assert len(sent) < 1000


@pytest.mark.parametrize(
    "answer",
    [
        http(500, {"message": "no such thing"}, "Api-Version: 1.45"),
        http(404, {"message": "no such thing"}, "Server: Docker/20.10.24 (linux)"),
        # An authorization plugin answers in front of the headers.
        http(403, {"message": "no such thing"}),
    ],
)
def test_daemon_that_answers_with_an_error(serve, ca, answer):
    address = serve(answer, context(pair(ca, "server")))
    found = look(address, **asking(ca))
    assert brief(found) == ("api_error", True, None)
    assert found["msg"].startswith(f"{address} is a Docker API that answers with an error: {answer.split()[1].decode()} no such thing.")


# Bad input -------------------------------------------------------------------------------------------------------


def test_files_that_are_not_there_are_named(ca, tmp_path):
    cert, key = pair(ca, "client")
    for name, params in {
        "ca.pem": {"ca_path": f"{tmp_path}/ca.pem"},
        "cert.pem": {"client_cert": f"{tmp_path}/cert.pem", "client_key": key},
        "key.pem": {"client_cert": cert, "client_key": f"{tmp_path}/key.pem"},
    }.items():
        with pytest.raises(DrydockError, match=f"cannot be used: .*No such file or directory: '{tmp_path}/{name}'"):
            look("tcp://127.0.0.1:1", **{**asking(ca), **params})


def test_key_of_another_certificate(ca, other):
    with pytest.raises(DrydockError, match="cannot be used: the key does not belong to the certificate"):
        look("tcp://127.0.0.1:1", **asking(ca, (pair(ca, "client")[0], pair(other, "client")[1])))


@pytest.mark.runs_commands
def test_key_with_a_password_is_not_waited_for(ca, tmp_path):
    """With a terminal, as ssh -tt gives the module one, OpenSSL would ask there and wait for ever."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret"))
    (tmp_path / "key.pem").write_bytes(text)
    params = {**PARAMS, "docker_host": "tcp://127.0.0.1:1", **asking(ca, (pair(ca, "client")[0], f"{tmp_path}/key.pem"))}
    code = f"import sys; sys.path[:] = {sys.path!r}; from {connection_module.__name__} import engine_of; engine_of({params!r})"
    ours, terminal = os.openpty()
    own_terminal = functools.partial(fcntl.ioctl, terminal, termios.TIOCSCTTY, 0)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=terminal, stdout=terminal, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=own_terminal, text=True
    )
    try:
        _none, words = process.communicate(timeout=10)
    finally:
        process.kill()
        os.close(terminal)
        os.close(ours)
    assert "the key without a password" in words


@pytest.mark.parametrize("name", ["client_cert", "client_key"])
def test_certificate_and_key_come_together(ca, name):
    with pytest.raises(DrydockError, match=r"only .*client.*pem is given"):
        look("tcp://127.0.0.1:1", **{**asking(ca, pair(ca, "client")), name: None})


def test_file_that_is_no_certificate(ca, tmp_path):
    (tmp_path / "ca.pem").write_text("no\n")
    with pytest.raises(DrydockError, match="cannot be used"):
        look("tcp://127.0.0.1:1", **{**asking(ca), "ca_path": f"{tmp_path}/ca.pem"})


@pytest.mark.parametrize("name", [".lab", "a..b", "a" * 70])
def test_name_that_no_certificate_has(ca, name):
    with pytest.raises(DrydockError, match=f"tls_hostname '{name}' is no name"):
        look("tcp://127.0.0.1:1", **asking(ca), tls_hostname=name)
