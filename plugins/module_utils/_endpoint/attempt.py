# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""One connection to something that may be a daemon: what it said, or how the connection ended."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import http.client
import io
import ipaddress
import json
import math
import re
import socket
import ssl
import tempfile
import time
import typing as t

from .._engine.api import Engine

# An engine's answer has about 1 KiB.
_LARGEST = 1 << 20
# How OpenSSL calls it when what it reads is no TLS; a version says the one or the other.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")


class _Bounded(io.RawIOBase):
    """What a peer says until a moment: one that sends a byte now and then holds nobody longer than one that is silent."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock, self._until = sock, until

    def makefile(self, *_args: t.Any) -> io.BufferedReader:
        """What http.client asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int:
        rest = self._until - time.monotonic()
        if rest <= 0:
            raise socket.timeout("timed out")
        self._sock.settimeout(rest)
        return self._sock.recv_into(buffer)


@dataclasses.dataclass(frozen=True)
class Answer:
    """An answer in HTTP to the question for the version.

    :param dockers: its headers are those of an engine.
    :param data: what was decoded from JSON, or None.
    """

    status: int
    dockers: bool = False
    data: t.Any = None

    @property
    def version(self) -> t.Mapping[str, t.Any]:
        """What an engine says of itself; empty when this is no engine."""
        known = self.status == 200 and isinstance(self.data, dict) and isinstance(self.data.get("ApiVersion"), str)
        return self.data if known else {}

    @property
    def trouble(self) -> str:
        """The words of an engine that answers with an error; empty when this is none."""
        # An authorization plugin answers in front of the part that sets the headers. Every engine has a version, so 404 is somebody else's.
        shaped = isinstance(self.data, dict) and set(self.data) == {"message"}
        if self.status < 400 or not (self.dockers or (shaped and self.status != 404)):
            return ""
        return str(self.data["message"]) if shaped else "no words"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What came of one connection.

    :param connected: somebody took it.
    :param shaken: both sides agreed on TLS. From TLS 1.3 on, a server may still turn the client's certificate away after that.
    :param certificate: the server's, as describe tells it; empty when there was none to see.
    :param error: what ended it in the place of an answer.
    """

    connected: bool
    shaken: bool
    certificate: t.Mapping[str, t.Any]
    answer: t.Optional[Answer] = None
    error: t.Optional[Exception] = None

    @property
    def version(self) -> t.Mapping[str, t.Any]:
        """What an engine said of itself; empty when none did."""
        return self.answer.version if self.answer else {}

    @property
    def alert(self) -> str:
        """The alert that the peer ended TLS with, such as UNKNOWN_CA, or an empty string."""
        if not isinstance(self.error, ssl.SSLError):
            return ""
        # SSLV3_ALERT_BAD_CERTIFICATE, SSL/TLS_ALERT_BAD_CERTIFICATE, or words alone where Python has no name for it.
        match = re.search(r"ALERT_(\w+)", (self.error.reason or str(self.error)).upper().replace(" ", "_"))
        return match[1].strip("_") if match else ""

    @property
    def speaks_tls(self) -> bool:
        """Whether the peer speaks TLS, however it ended."""
        # When the peer just closes the connection, ssl calls that by the one or the other name.
        failed = isinstance(self.error, ssl.SSLError) and not isinstance(self.error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
        return self.shaken or (failed and self.error.reason not in _NO_TLS)  # type: ignore[union-attr]


def attempt(engine: Engine) -> Attempt:
    """Connect, and ask for the version."""
    connection = engine.connection()
    shaken, certificate = False, {}
    try:
        connection.connect()
        if isinstance(connection.sock, ssl.SSLSocket):
            shaken, certificate = True, _certificate_of(connection.sock)
        return Attempt(True, shaken, certificate, answer=_ask(connection.sock, connection.host, engine.timeout))
    except (OSError, http.client.HTTPException) as exc:
        return Attempt(connection.sock is not None, shaken, certificate, error=exc)
    finally:
        connection.close()


def _ask(sock: socket.socket, host: str, timeout: float) -> Answer:
    name = f"[{host}]" if ":" in host else host
    # A server that turns us away may have closed already. Why, it has said before that, and that can still be read.
    with contextlib.suppress(OSError):
        sock.sendall(f"GET /version HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    with contextlib.closing(http.client.HTTPResponse(_Bounded(sock, time.monotonic() + timeout), method="GET")) as response:  # type: ignore[arg-type]
        response.begin()
        body = response.read(_LARGEST)
    dockers = "Api-Version" in response.headers or response.headers.get("Server", "").startswith("Docker/")
    try:
        return Answer(response.status, dockers, json.loads(body))
    except (ValueError, RecursionError):
        return Answer(response.status, dockers)


def _certificate_of(sock: ssl.SSLSocket) -> dict[str, t.Any]:
    """The server's certificate, verified or not; empty when it cannot be read."""
    decoded = sock.getpeercert()
    if decoded:
        return describe(decoded, time.time())
    # Of one that nobody verified ssl gives no more than its bytes.
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True) or b""))
        file.flush()
        return read_certificate(file.name)


def read_certificate(path: str) -> dict[str, t.Any]:
    """The first certificate in a file; empty when it cannot be read.

    The decoder is the one behind getpeercert, private but the same in each Python from 3.9 on. A reader of our own would be a second parser
    of what comes from strangers.
    """
    try:
        return describe(ssl._ssl._test_decode_cert(path), time.time())  # type: ignore[attr-defined]
    except (OSError, KeyError, ValueError):
        return {}


def describe(decoded: t.Mapping[str, t.Any], now: float) -> dict[str, t.Any]:
    """A certificate as ssl decodes it, in the module's own terms. Pure."""
    end = ssl.cert_time_to_seconds(decoded["notAfter"])
    return {
        "subject": _attributes(decoded["subject"]),
        "issuer": _attributes(decoded["issuer"]),
        "names": [_name(value) for kind, value in decoded.get("subjectAltName", ()) if kind in ("DNS", "IP Address")],
        "not_after": datetime.datetime.fromtimestamp(end, tz=datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "days_left": math.floor((end - now) / 86400),
    }


def _attributes(name: t.Iterable[t.Iterable[tuple[str, str]]]) -> dict[str, str]:
    return {key: value for part in name for key, value in part}


def _name(value: str) -> str:
    # ssl writes ::1 as 0:0:0:0:0:0:0:1.
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value


__all__ = (
    "Answer",
    "Attempt",
    "attempt",
    "describe",
    "read_certificate",
)
