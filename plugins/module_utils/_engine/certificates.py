# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The certificate files that dockerd names: what the running process has read of them, and whether they would do."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import typing as t

from .._host.files import changed_at, digest, read
from .._host.processes import began_at, process_identity

CERTIFICATE_KEYS = ("tlscacert", "tlscert", "tlskey")
# What dockerd looks for by itself, and the variables that say where, the first one first; else it is .docker in the home of its user.
_DEFAULTS = {"tlscacert": "ca.pem", "tlscert": "cert.pem", "tlskey": "key.pem"}
_DIRECTORIES = ("DOCKER_CERT_PATH", "DOCKER_CONFIG")
ENVIRONMENT = (*_DIRECTORIES, "DOCKER_TLS_VERIFY", "HOME")
# A certificate may be trusted for itself, whoever signed it (X509_V_FLAG_PARTIAL_CHAIN; Python names it from 3.10 on).
_PARTIAL_CHAIN = 0x80000
# How OpenSSL numbers what it finds (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED, _PURPOSE = 9, 10, 26


def default_files(flags: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any], environment: t.Mapping[str, str]) -> dict[str, str]:
    """The certificate files that dockerd takes where none are named. Pure.

    It does so where a flag has switched TLS on, and not where daemon.json has; DOCKER_TLS_VERIFY alone does not switch it on, and counts as such a flag
    where daemon.json does. (moby: daemon/command/options.go; measured with 20.10.24 and 26.1.5, flag by flag and variable by variable.)

    :param settings: what daemon.json says.
    :param environment: the daemon's.
    """
    in_file = settings.get("tls") or "tlsverify" in settings
    if not (flags.get("tls") or "tlsverify" in flags or (in_file and environment.get("DOCKER_TLS_VERIFY"))):
        return {}
    named = next((environment[name] for name in _DIRECTORIES if environment.get(name)), "")
    directory = named or os.path.join(environment.get("HOME") or os.path.expanduser("~root"), ".docker")
    return {key: os.path.join(directory, name) for key, name in _DEFAULTS.items()}


def certificate_files(settings: t.Mapping[str, t.Any]) -> list[str]:
    """The certificate files that these settings name."""
    return [str(settings[key]) for key in CERTIFICATE_KEYS if settings.get(key)]


def certificates_in_force(pid: int, verified: t.Mapping[str, t.Any], settings: t.Mapping[str, t.Any]) -> dict[str, str]:
    """What a process of dockerd has read, a checksum for each file: it reads them when it starts, and never again.

    :param verified: what was noted of a process. Where nothing was, a file that is older than the process is what it read; a file that is
        not is left out, because nobody knows.
    """
    if not pid:
        return {}
    known: dict[str, str] = verified.get("certificates", {}) if verified.get("process") == process_identity(pid) else {}
    began = began_at(pid)
    return {path: known.get(path) or digest(path) for path in certificate_files(settings) if path in known or changed_at(path) < began}


def checksums(settings: t.Mapping[str, t.Any]) -> dict[str, str]:
    """What the certificate files that these settings name hold now, a checksum each; empty of one that is not there."""
    return {path: digest(path) for path in certificate_files(settings)}


def changed_certificates(read: t.Mapping[str, str], now: t.Mapping[str, str], settings: t.Mapping[str, t.Any]) -> list[str]:
    """The files that hold something else than the process has read. Pure.

    :param read: checksums of what it has read, and
    :param now: of what is there now.
    """
    return [path for path in certificate_files(settings) if now.get(path, "") != read.get(path)]


def certificate_to_show(settings: t.Mapping[str, t.Any]) -> str:
    """What a daemon with these settings shows to its clients, as the SHA-256 of its DER form in hexadecimal digits; empty where it is none, or unknown."""
    if not (settings.get("tls") or settings.get("tlsverify")):
        return ""
    # A chain may follow; what comes first is the server's own.
    first = (read(str(settings.get("tlscert"))) or "").partition(ssl.PEM_HEADER)[2].partition(ssl.PEM_FOOTER)[0]
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(ssl.PEM_HEADER + first + ssl.PEM_FOOTER)).hexdigest() if first else ""


def certificate_shown(connection: socket.socket) -> str:
    """What the server behind a connection shows, in the same form; empty where it turns away who has no certificate before that (TLS 1.2).

    :raises OSError: it speaks no TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with context.wrap_socket(connection) as secure:
            return hashlib.sha256(secure.getpeercert(binary_form=True) or b"").hexdigest()
    except ssl.SSLError as exc:
        if "ALERT" in (exc.reason or ""):
            return ""
        raise


def certificate_faults(settings: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, str, str]]:
    """What is wrong with files that are there: an id, a sentence and a way out each."""
    ca, cert, key = (settings.get(name) for name in CERTIFICATE_KEYS)
    if key and os.stat(key).st_mode & 0o007:
        yield "tls-key-mode", f"The key {key} can be read or written by everybody on this host.", "Give it mode 0400, and make a new key if others may have it."
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ca:
        try:
            server.load_verify_locations(ca)
        except (ssl.SSLError, OSError) as exc:
            yield "tls-unreadable", f"{ca} is no CA certificate that dockerd could use: {getattr(exc, 'reason', None) or exc}.", "Give it in PEM."
            return
    if not (cert and key):
        return
    try:
        # A password is never asked for: dockerd could not be told one.
        server.load_cert_chain(cert, key, password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as exc:
        reason = getattr(exc, "reason", None) or exc
        if reason == "KEY_VALUES_MISMATCH":
            yield "tls-mismatch", f"The certificate {cert} does not fit the key {key}.", "Give the two that were made for each other."
        else:
            yield (
                "tls-unreadable",
                f"{cert} and {key} are no certificate and key that dockerd could use: {reason}.",
                "Give both in PEM, the key without a passphrase.",
            )
        return
    words = {
        _EXPIRED: ("tls-expired", f"The certificate {cert} has expired.", "Renew it first."),
        _NOT_YET_VALID: ("tls-not-yet-valid", f"The certificate {cert} is not valid yet.", "Look at this host's clock."),
        _PURPOSE: ("tls-purpose", f"The certificate {cert} is not made for a server.", "Give one with the extended key usage serverAuth."),
    }
    found = words.get(_verify(server, cert))
    if found:
        yield found
    elif ca and _verify(server, ca):
        yield "tls-other-ca", f"The CA {ca}, which clients are checked by, did not sign the certificate {cert}.", "Clients need the CA that did."


def _verify(server: ssl.SSLContext, trusted: str) -> int:
    """What a client that trusts a file says of a server: OpenSSL's number, 0 for a good one. The two talk in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= _PARTIAL_CHAIN
    client.load_verify_locations(trusted)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
    for _flight in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as exc:
                return exc.verify_code
            except ssl.SSLError:
                return -1
    return 0


__all__ = (
    "CERTIFICATE_KEYS",
    "ENVIRONMENT",
    "certificate_faults",
    "certificate_files",
    "certificate_shown",
    "certificate_to_show",
    "certificates_in_force",
    "changed_certificates",
    "checksums",
    "default_files",
)
