# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""A daemon at any address, asked in the terms of community.docker's modules, and what it has."""

from __future__ import annotations

import dataclasses
import http.client
import json
import re
import ssl
import typing as t
import urllib.parse

from ._engine import Engine
from ._errors import DrydockError
from ._info import describe_container
from ._moments import seconds
from ._observe import Container, inspect_containers, to_container
from ._output import last_lines

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


def describe(engine: Engine, names: t.Container[str] | None, log_lines: int) -> list[dict[str, t.Any]]:
    """The containers of a daemon, or those of these names, each with its labels, its published ports and what its health check said last."""
    found = []
    for raw in inspect_containers(engine, names):
        one = to_container(raw)
        described = describe_container(one, last_lines(engine, [one], log_lines).get(one.id, []))
        if one.state in ("running", "paused") and one.restart_count:
            described["exit_code"] = _last_exit_code(engine, one)
        found.append({**described, "labels": raw["Config"].get("Labels") or {}, "ports": published(raw), "health_output": _health_output(raw)})
    return sorted(found, key=lambda one: str(one["name"]))


def _last_exit_code(engine: Engine, one: Container) -> int:
    """How it ended last time, of which the engine keeps nothing once it runs again but for a line among its last events."""
    only = json.dumps({"type": ["container"], "event": ["die"], "container": [one.id]})
    until = f"{seconds(engine.get('/info')['SystemTime']):.6f}"
    lines = engine.get_bytes("/events", since=1, until=until, filters=only).splitlines()
    return int(json.loads(lines[-1])["Actor"]["Attributes"].get("exitCode", 0)) if lines else one.exit_code


def _health_output(raw: t.Mapping[str, t.Any]) -> str:
    log = (raw["State"].get("Health") or {}).get("Log") or [{}]
    return " ".join((log[-1].get("Output") or "").split())


def published(raw: t.Mapping[str, t.Any]) -> list[dict[str, str]]:
    """Ports of the host that a container asks for, as C(ip), C(port) and C(protocol). Pure."""
    return [
        {"ip": binding.get("HostIp") or "", "port": binding["HostPort"], "protocol": inner.partition("/")[2] or "tcp"}
        for inner, bindings in sorted((raw["HostConfig"].get("PortBindings") or {}).items())
        for binding in bindings or []
        if binding.get("HostPort")
    ]


def images(engine: Engine) -> list[dict[str, t.Any]]:
    """The images of a daemon, each with its id and all names that it is called by."""
    return [{"id": one["Id"], "names": [*(one.get("RepoTags") or []), *(one.get("RepoDigests") or [])]} for one in engine.get("/images/json")]


def names_of(engine: Engine) -> dict[str, list[str]]:
    """The names of a daemon's volumes and networks."""
    return {
        "volumes": sorted(one["Name"] for one in engine.get("/volumes").get("Volumes") or []),
        "networks": sorted(one["Name"] for one in engine.get("/networks")),
    }


def unsettled(containers: t.Iterable[t.Mapping[str, t.Any]], now: str, settle_time: float) -> float:
    """Seconds until each of these that is alive has run for so long. Pure.

    One that ended has nothing more to show; one that waits for its next start has yet to run at all.
    """
    rest = [0.0]
    for one in containers:
        if one["state"] == "restarting":
            rest.append(settle_time)
        elif one["state"] in ("running", "paused"):
            rest.append(settle_time - (seconds(now) - seconds(one["started_at"])))
    return min(max(rest), settle_time)


__all__ = ("OPTIONS", "Remote", "describe", "engine_of", "images", "names_of", "published", "unsettled", "unverified")
