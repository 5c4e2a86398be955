# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""A daemon at any address, asked in the terms of community.docker's modules, and what it has."""

from __future__ import annotations

import dataclasses
import http.client
import re
import ssl
import typing as t
import urllib.parse

from .._engine.api import Engine
from .._errors import DrydockError

OPTIONS: dict[str, t.Any] = {
    "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock", "aliases": ["docker_url"]},
    "tls": {"type": "bool", "default": False},
    "validate_certs": {"type": "bool", "default": False, "aliases": ["tls_verify"]},
    "ca_path": {"type": "path", "aliases": ["ca_cert", "tls_ca_cert", "cacert_path"]},
    "client_cert": {"type": "path", "aliases": ["tls_client_cert", "cert_path"]},
    "client_key": {"type": "path", "aliases": ["tls_client_key", "key_path"]},
    "tls_hostname": {"type": "str"},
    "timeout": {"type": "int", "default": 60},
}


class _TlsConnection(http.client.HTTPSConnection):
    """HTTPS whose certificate may be for another name than the address."""

    def __init__(self, host: str, port: int, timeout: float, context: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls, self._name = context, name

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


@dataclasses.dataclass(frozen=True)
class Remote(Engine):
    """The daemon behind a tcp address.

    :param tls: None for plain tcp.
    :param name: the name that its certificate has to have.
    """

    host: str = ""
    port: int = 0
    tls: t.Optional[ssl.SSLContext] = None
    name: str = ""

    @property
    def where(self) -> str:
        """How a person knows it."""
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"

    def connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        return _TlsConnection(self.host, self.port, self.timeout, self.tls, self.name)


def engine_of(params: t.Mapping[str, t.Any]) -> Engine:
    """The daemon that module parameters mean.

    :raises DrydockError: an address of another kind, or client files that cannot be read.
    """
    text = params["docker_host"]
    try:
        scheme, host, port, path = _split(text)
    except ValueError as exc:
        raise DrydockError(
            "endpoint-option", f"'{text}' is no address of a daemon that can be asked.", "Give unix:///path, or tcp://host:port with its client files."
        ) from exc
    if scheme == "unix":
        return Engine(path, params["timeout"])
    secure = params["tls"] or params["validate_certs"] or scheme == "https"
    return Remote("", params["timeout"], host, port, _context(params) if secure else None, _name(params["tls_hostname"]) or host)


def _split(text: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of an address.

    :raises ValueError: it is none.
    """
    url = urllib.parse.urlsplit(text)
    host, port = url.hostname or "", url.port or 0
    if url.scheme == "unix" and url.path and not url.netloc:
        return url.scheme, "", 0, url.path
    # The encoding is what a look-up of the name begins with; it has no words for a name that is too long.
    if url.scheme not in ("tcp", "http", "https") or not port or not host.encode("idna") or re.search(r"\s", host):
        raise ValueError(text)
    return url.scheme, host, port, ""


def _name(text: str | None) -> str:
    try:
        if not text or (not text.startswith(".") and text.encode("idna")):
            return text or ""
    except UnicodeError:
        pass
    raise DrydockError(
        "endpoint-option", f"tls_hostname '{text}' is no name that a certificate can have.", "Give one of the names in the server's certificate."
    )


def unverified() -> ssl.SSLContext:
    """Believe any server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context(params: t.Mapping[str, t.Any]) -> ssl.SSLContext:
    given = [params[name] for name in ("ca_path", "client_cert", "client_key") if params[name]]
    if bool(params["client_cert"]) != bool(params["client_key"]):
        raise DrydockError("endpoint-option", f"Of client_cert and client_key only {given[-1]} is given.", "A certificate needs its key; give both or none.")
    try:
        for path in given:
            # ssl does not say which of them is missing.
            with open(path, "rb"):
                pass
        context = ssl.create_default_context(cafile=params["ca_path"] or None) if params["validate_certs"] else unverified()
        if params["client_cert"] and params["client_key"]:
            # Without a password, OpenSSL asks the terminal for that of an encrypted key, and waits.
            context.load_cert_chain(params["client_cert"], params["client_key"], password="")
        # The default from Python 3.13 on. Docker's own client accepts a CA as it comes from 'openssl req -x509', without a key usage.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    except OSError as exc:
        raise DrydockError(
            "tls-unreadable",
            f"The client files {', '.join(given)} cannot be used: {_reason(exc)}.",
            "They have to be on the machine that asks, in PEM, the key without a password.",
        ) from exc
    return context


def _reason(exc: OSError) -> str:
    if isinstance(exc, ssl.SSLError) and exc.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    return str(exc)


__all__ = (
    "OPTIONS",
    "Remote",
    "engine_of",
    "unverified",
)
