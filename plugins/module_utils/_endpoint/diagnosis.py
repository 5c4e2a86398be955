# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""A look at an endpoint from where a client is: who answers there, whether it can be believed, and whom it lets in."""

from __future__ import annotations

import dataclasses
import re
import socket
import ssl
import typing as t

from .._engine.api import Engine
from .attempt import Attempt, attempt, read_certificate
from .connection import Remote, engine_of, unverified

# A status, and the sentence for it. Those in brackets are further sentences of the status in front of them.
SENTENCES = {
    "ok": "{where} is Docker Engine {version}{trust}.",
    "unreachable": "{where} cannot be reached: {unreached}.",
    "plain_http": "{where} answers in plain HTTP where TLS was asked for.",
    "tls_required": "{where} speaks TLS, which was not asked for: set validate_certs, ca_path, client_cert and client_key.",
    "wrong_ca": "The certificate of {where} is not signed by {ca}{issuer} ({words}).",
    "expired": "The certificate of {where} has expired{end}, or the clock of this machine is wrong.",
    "expired (ca)": "The certificate of {where} has not expired, but that of a CA which stands behind it has.",
    "not_yet_valid": "The certificate of {where} is not valid yet: the clock of this machine is wrong, or was where it was made.",
    "name_mismatch": "The certificate of {where} is for {names}, not for {name}: ask by a name that it has, or set tls_hostname to one.",
    "client_certificate_refused": "{where} turns {own} away ({words}): it has to be made for clients, by the CA that the daemon was given as tlscacert.",
    "client_certificate_refused (none)": "{where} turns away who has no certificate ({words}): set client_cert and client_key.",
    "client_certificate_expired": "{where} turns {own} away ({words}), which is valid until {own_end}.",
    "tls_error": "TLS with {where} fails: {words}.",
    "not_docker": "{where} answers, but is no Docker API: {words}.",
    "api_error": "{where} is a Docker API that answers with an error: {words}.",
}
PROTECTION = {
    True: "Who has no certificate is turned away.",
    False: "It asks nobody for a certificate: whoever reaches it is root on its host.",
    None: "Whether it turns away who has no certificate could not be told.",
}
# What a verification failed with, by OpenSSL's number (x509_vfy.h); its words differ between versions.
# 2, 20, 21, 27: an unknown issuer; 7: the right name and another key; 18, 19: self-signed; 30: another key by its identifier.
VERIFICATION = {9: "not_yet_valid", 10: "expired", 62: "name_mismatch", 64: "name_mismatch", **dict.fromkeys((2, 7, 18, 19, 20, 21, 27, 30), "wrong_ca")}
# Alerts by which a server says that it does not take a client's certificate, or misses one. Older TLS has no word of its own for the latter.
REFUSALS = (
    *("BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN"),
    *("UNKNOWN_CA", "ACCESS_DENIED", "CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE"),
)


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """All that was seen.

    :param asked: the attempt that was asked for.
    :param bare: one over TLS without a certificate that believes any server; None where there was no sense in it.
    :param plain: one in plain HTTP, likewise.
    :param shown: the server gets as far as showing its own certificate. Before that, no alert is about the client's: handshake_failure then
        means that both sides have no cipher in common.
    :param own_days: how long the client's certificate is still valid.
    """

    engine: Engine
    asked: Attempt
    bare: t.Optional[Attempt] = None
    plain: t.Optional[Attempt] = None
    shown: bool = False
    own_days: int = 0

    @property
    def tls(self) -> t.Optional[ssl.SSLContext]:
        """How TLS was asked for."""
        return self.engine.tls if isinstance(self.engine, Remote) else None

    @property
    def status(self) -> str:
        """The one word."""
        if self.asked.version:
            return "ok"
        if not self.asked.connected:
            return "unreachable"
        if self.tls is None:
            return "tls_required" if self.bare and self.bare.speaks_tls else _without_certificates(self.asked)
        if isinstance(self.asked.error, ssl.SSLCertVerificationError):
            return VERIFICATION.get(self.asked.error.verify_code, "tls_error")
        if self.refused(self.asked):
            # Older engines have one alert for all that can be wrong with a certificate.
            late = self.asked.alert == "CERTIFICATE_EXPIRED" or self.own_days < 0
            return "client_certificate_expired" if late else "client_certificate_refused"
        return "plain_http" if self.plain and self.plain.answer else _without_certificates(self.asked)

    def refused(self, one: Attempt) -> bool:
        """Whether an attempt was turned away for its certificate, or for having none."""
        return one.alert in REFUSALS and (one.shaken or self.shown)

    @property
    def verified(self) -> bool:
        """Whether the server is who it should be: nobody else can agree on TLS."""
        return self.tls is not None and self.tls.verify_mode == ssl.CERT_REQUIRED and self.asked.shaken

    @property
    def turned_away(self) -> bool | None:
        """Whether somebody without a certificate is turned away; None where there is no such thing, or it cannot be told."""
        if not isinstance(self.engine, Remote):
            return None
        if any(one and one.version for one in (self.bare, self.plain, None if self.tls else self.asked)):
            return False
        if self.bare is None:
            return None
        # A proxy in front of the daemon says it in HTTP.
        told = bool(self.asked.version and self.bare.answer and 400 <= self.bare.answer.status < 500)
        return True if told or self.refused(self.bare) else None

    @property
    def certificate(self) -> t.Mapping[str, t.Any]:
        """The server's certificate; empty when it was not seen."""
        return self.asked.certificate or (self.bare.certificate if self.bare else {})


def _without_certificates(one: Attempt) -> str:
    if one.answer:
        return "api_error" if one.answer.trouble else "not_docker"
    if isinstance(one.error, socket.timeout):
        return "unreachable"
    return "tls_error" if one.speaks_tls and isinstance(one.error, ssl.SSLError) else "not_docker"


def diagnose(engine: Engine, own_days: int = 0) -> Diagnosis:
    """Connect as often as it takes, which is up to four times."""
    asked = attempt(engine)
    bare = plain = None
    shown = False
    if isinstance(engine, Remote) and asked.connected:
        if asked.speaks_tls or not (engine.tls or asked.version):
            bare = attempt(dataclasses.replace(engine, tls=unverified()))
        elif engine.tls:
            plain = attempt(dataclasses.replace(engine, tls=None))
        shown = any(one and one.alert in REFUSALS and not one.shaken for one in (asked, bare)) and _shows_certificate(engine)
    return Diagnosis(engine, asked, bare, plain, shown, own_days)


def _shows_certificate(engine: Remote) -> bool:
    """Whether a server gets as far as its certificate: there a client ends that trusts no CA at all."""
    trusts_none = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return isinstance(attempt(dataclasses.replace(engine, tls=trusts_none)).error, ssl.SSLCertVerificationError)


def describe_endpoint(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the module returns.

    :raises DrydockError: parameters that mean no endpoint.
    """
    own = read_certificate(params["client_cert"]) if params["client_cert"] else {}
    seen = diagnose(engine_of(params), own.get("days_left", 0))
    version = next((one.version for one in (seen.asked, seen.plain) if one and one.version), {})
    return {
        "status": seen.status,
        "msg": _sentences(seen, params, own.get("not_after", "a day that cannot be read")),
        "reachable": seen.status != "unreachable",
        "engine_version": version.get("Version"),
        "api_version": version.get("ApiVersion"),
        "tls": any(one.speaks_tls for one in (seen.asked, seen.bare) if one),
        "verified": seen.verified,
        "certificate": dict(seen.certificate) or None,
        "turned_away_without_certificate": seen.turned_away,
    }


def _sentences(seen: Diagnosis, params: t.Mapping[str, t.Any], own_end: str) -> str:
    key, certificate = seen.status, seen.certificate
    # OpenSSL has one number for all certificates of a chain.
    if key == "expired" and certificate.get("days_left", -1) >= 0:
        key = "expired (ca)"
    if key == "client_certificate_refused" and not params["client_cert"]:
        key = "client_certificate_refused (none)"
    said = SENTENCES[key].format(
        where=seen.engine.where,
        version=f"{seen.asked.version.get('Version')} (API {seen.asked.version.get('ApiVersion')})",
        trust=_trust(seen),
        unreached=_unreached(seen),
        ca=params["ca_path"] or "a CA that this machine trusts",
        issuer=f" but by {' '.join(certificate['issuer'].values())}" if certificate else "",
        end=f" at {certificate['not_after']}" if certificate else "",
        names=", ".join(certificate["names"]) or "no name" if certificate else "other names",
        name=getattr(seen.engine, "name", ""),
        own=params["client_cert"],
        own_end=own_end,
        words=_words(seen.asked),
    )
    nobody = not isinstance(seen.engine, Remote) or seen.status in ("unreachable", "not_docker")
    return said if nobody else f"{said} {PROTECTION[seen.turned_away]}"


def _trust(seen: Diagnosis) -> str:
    if seen.tls is None:
        return " in plain HTTP" if isinstance(seen.engine, Remote) else ""
    if not seen.verified:
        return " over TLS, its certificate was not verified"
    return f" over TLS, its certificate is verified and ends in {seen.certificate['days_left']} days" if seen.certificate else " over TLS"


def _unreached(seen: Diagnosis) -> str:
    error = seen.asked.error
    if isinstance(error, socket.timeout):
        return f"there is no answer within {seen.engine.timeout:g} s"
    if isinstance(error, socket.gaierror):
        return f"its name does not resolve ({error.strerror})"
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused, nobody listens there"
    return str(getattr(error, "strerror", None) or error)


def _words(one: Attempt) -> str:
    """What ended an attempt, without the decoration of OpenSSL and of Python."""
    if one.answer:
        return f"{one.answer.status} {one.answer.trouble or 'on GET /version'}"
    return re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", str(one.error))


__all__ = (
    "Diagnosis",
    "describe_endpoint",
    "diagnose",
)
