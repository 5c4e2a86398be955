# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the tests with certificates share: their scenario's play with other variables, the CA on the controller, certificates made by themselves."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
import re
import subprocess
import typing as t

import forked
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from running import EPHEMERAL, INVENTORY, connect

SCENARIO = pathlib.Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
CA = EPHEMERAL / "ca"
DAEMONS = ("bookworm", "trixie")
SERVER = "/etc/docker/tls/server-cert.pem"


def converge(*options: str, **variables: t.Any) -> tuple[bool, dict[str, int], str]:
    """Run the scenario's play again; whether all went well, how many tasks changed something by host, and all output."""
    file = EPHEMERAL / "variables.json"
    file.write_text(json.dumps(variables))
    words = ["ansible-playbook", "--inventory", str(INVENTORY), str(SCENARIO / "converge.yml"), "--extra-vars", f"@{file}", *options]
    done = forked.run(words, stderr=subprocess.STDOUT)
    changed = re.findall(r"^(\w+) +: ok=\d+ +changed=(\d+)", done.stdout, re.MULTILINE)
    return done.returncode == 0, {name: int(number) for name, number in changed}, done.stdout


def stops(host: t.Any) -> int:
    """How often the daemon was stopped."""
    return host.check_output("journalctl --unit docker.service --output cat").count("Daemon shutdown complete")


def text(host: t.Any, path: str) -> str:
    """What a file holds."""
    return host.file(path).content_string


def lines_of(key: str, passphrase: str = "") -> list[str]:
    """The lines of a private key that nobody else has: not those of its end, where the public key is in it, and not a short rest."""
    public = serialization.load_pem_private_key(key.encode(), passphrase.encode() or None).public_key()
    form = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    return [line for line in key.splitlines() if len(line) > 30 and line not in form]


@dataclasses.dataclass(frozen=True)
class Pair:
    """A certificate and its key, made without the collection."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def cert_pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, passphrase: str = "") -> str:
        kind = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, kind).decode()


def make(name: str, issuer: Pair | None = None, days: int = 100) -> Pair:
    """A CA, or a server's certificate that an issuer has signed; with negative days one that has ended."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1000))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


__all__ = ("CA", "DAEMONS", "EPHEMERAL", "INVENTORY", "SERVER", "Pair", "connect", "converge", "lines_of", "make", "stops", "text")
