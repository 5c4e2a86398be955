# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import os
import time

import certificates
import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine import certificates as certificates_module
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.certificates import (
    CERTIFICATE_KEYS,
    certificate_faults,
    certificate_files,
    certificates_in_force,
    changed_certificates,
    checksums,
    default_files,
)
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import began_at, process_identity
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID


@pytest.fixture
def ca(tmp_path):
    return certificates.make(tmp_path, "ca")


@pytest.fixture
def server(tmp_path, ca):
    return certificates.make(tmp_path, "server", ca)


def settings(ca, cert, key):
    return {"tlsverify": True, "tlscacert": str(ca.cert_path), "tlscert": str(cert.cert_path), "tlskey": str(key.key_path)}


def ids(asked):
    return [name for name, _sentence, _hint in certificate_faults(asked)]


def test_a_good_pair_has_no_faults(ca, server):
    assert ids(settings(ca, server, server)) == []


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"valid": (-9, -1)}, "tls-expired"),
        ({"valid": (1, 9)}, "tls-not-yet-valid"),
        ({"purpose": ExtendedKeyUsageOID.CLIENT_AUTH}, "tls-purpose"),
    ],
)
def test_a_certificate_that_no_client_would_accept(tmp_path, ca, options, fault):
    bad = certificates.make(tmp_path, "bad", ca, **options)
    assert ids(settings(ca, bad, bad)) == [fault]


def test_a_certificate_is_looked_at_whoever_signed_it(tmp_path, ca):
    stranger = certificates.make(tmp_path, "stranger", certificates.make(tmp_path, "other"), valid=(-9, -1))
    assert ids(settings(ca, stranger, stranger)) == ["tls-expired"]


def test_a_certificate_of_another_ca(tmp_path, server):
    assert ids(settings(certificates.make(tmp_path, "other"), server, server)) == ["tls-other-ca"]


def test_a_key_of_another_certificate(tmp_path, ca, server):
    assert ids(settings(ca, server, certificates.make(tmp_path, "second", ca))) == ["tls-mismatch"]


def test_files_that_are_no_certificates(tmp_path, ca, server):
    garbage = tmp_path / "garbage"
    garbage.write_text("x")
    for key in CERTIFICATE_KEYS:
        assert ids({**settings(ca, server, server), key: str(garbage)})[-1:] == ["tls-unreadable"]


def test_a_key_with_a_passphrase(ca, server):
    encrypted = serialization.BestAvailableEncryption(b"secret")
    server.key_path.chmod(0o600)
    server.key_path.write_bytes(server.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encrypted))
    assert ids(settings(ca, server, server)) == ["tls-unreadable"]


def test_a_key_that_everybody_can_read(ca, server):
    server.key_path.chmod(0o444)
    assert ids(settings(ca, server, server)) == ["tls-key-mode"]


def test_what_a_process_has_read_is_what_was_noted_of_it(ca, server):
    asked, me = settings(ca, server, server), os.getpid()
    noted = {"process": process_identity(me), "certificates": {path: f"sum of {path}" for path in certificate_files(asked)}}
    assert certificates_in_force(me, noted, asked) == noted["certificates"]
    assert changed_certificates(noted["certificates"], checksums(asked), asked) == certificate_files(asked)
    assert changed_certificates({}, {}, asked) == certificate_files(asked)
    assert certificates_in_force(me, {**noted, "process": "another"}, asked) == {}
    assert certificates_in_force(0, noted, asked) == {}


def test_a_file_that_is_older_than_the_process_was_read(tmp_path, ca, server, monkeypatch):
    asked = settings(ca, server, server)
    monkeypatch.setattr(certificates_module, "began_at", lambda pid: time.time() + 1)
    read = certificates_in_force(os.getpid(), {}, asked)
    assert list(read) == certificate_files(asked)
    assert changed_certificates(read, checksums(asked), asked) == []

    certificates.make(tmp_path, "server2", ca).cert_path.replace(server.cert_path)
    assert changed_certificates(read, checksums(asked), asked) == [str(server.cert_path)]


def test_a_file_that_is_gone_is_changed(ca, server):
    asked = settings(ca, server, server)
    read = {path: files.digest(path) for path in certificate_files(asked)}
    server.cert_path.unlink()
    assert changed_certificates(read, checksums(asked), asked) == [str(server.cert_path)]


def test_when_a_process_began(tmp_path):
    (tmp_path / "now").touch()
    assert time.time() - 3600 * 24 < began_at(os.getpid()) < os.stat(tmp_path / "now").st_ctime


# Flags, daemon.json, environment; and where dockerd takes the CA from then, as 20.10.24 and 26.1.5 did.
DEFAULTS = {
    "no TLS": ({}, {}, {"DOCKER_CERT_PATH": "/certs"}, ""),
    "a variable alone": ({}, {}, {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}, ""),
    "daemon.json alone": ({}, {"tls": True}, {"DOCKER_CERT_PATH": "/certs"}, ""),
    "a variable beside daemon.json": ({}, {"tls": True}, {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}, "/certs/ca.pem"),
    "the flag of TLS": ({"tls": True}, {}, {"HOME": "/home/one"}, "/home/one/.docker/ca.pem"),
    "the flag of TLS, switched off": ({"tls": False}, {}, {"HOME": "/home/one"}, ""),
    "the flag of verification": ({"tlsverify": True}, {}, {"DOCKER_CONFIG": "/config", "HOME": "/home/one"}, "/config/ca.pem"),
    "the flag of verification, switched off": ({"tlsverify": False}, {}, {"DOCKER_CERT_PATH": "/certs", "DOCKER_CONFIG": "/config"}, "/certs/ca.pem"),
}


@pytest.mark.parametrize(("flags", "settings", "environment", "ca"), DEFAULTS.values(), ids=DEFAULTS)
def test_what_dockerd_takes_where_no_files_are_named(flags, settings, environment, ca):
    found = default_files(flags, settings, environment)
    assert found.get("tlscacert", "") == ca
    assert set(found) in (set(), set(CERTIFICATE_KEYS))
