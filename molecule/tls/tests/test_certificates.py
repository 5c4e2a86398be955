# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the play has left on the hosts and on the controller."""

from __future__ import annotations

import ipaddress
import stat
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from plays import CA, DAEMONS, connect, lines_of


@pytest.fixture(scope="module", params=DAEMONS)
def host(request: pytest.FixtureRequest) -> t.Any:
    return connect(request.param)


@pytest.fixture
def certificate(host: t.Any) -> x509.Certificate:
    return x509.load_pem_x509_certificate(host.file("/etc/docker/tls/server-cert.pem").content)


@pytest.fixture
def authority() -> x509.Certificate:
    return x509.load_pem_x509_certificate((CA / "ca.pem").read_bytes())


def test_files_on_the_host_have_their_modes(host: t.Any) -> None:
    found = host.check_output("stat --format '%n %a %U' /etc/docker/tls /etc/docker/tls/*").splitlines()
    assert found == [
        "/etc/docker/tls 700 root",
        "/etc/docker/tls/ca.pem 444 root",
        "/etc/docker/tls/server-cert.pem 444 root",
        "/etc/docker/tls/server-key.pem 400 root",
    ]


def test_files_on_the_controller_have_their_modes() -> None:
    found = {str(path.relative_to(CA)): stat.S_IMODE(path.stat().st_mode) for path in [CA, *CA.rglob("*")]}
    assert found == {
        ".": 0o700,
        "ca.pem": 0o444,
        "ca-key.pem": 0o400,
        "clients": 0o700,
        "clients/ci": 0o700,
        "clients/ci/ca.pem": 0o444,
        "clients/ci/cert.pem": 0o444,
        "clients/ci/key.pem": 0o400,
    }
    # What was made beside its place is gone.
    assert list(CA.parent.glob(".ca.*")) == []


def test_key_of_the_ca_has_its_passphrase() -> None:
    key = (CA / "ca-key.pem").read_bytes()
    with pytest.raises(TypeError):
        load_pem_private_key(key, None)
    assert load_pem_private_key(key, b"correct horse")


def test_ca_signs_hosts_and_no_other_ca(authority: x509.Certificate) -> None:
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    assert 3640 < (authority.not_valid_after_utc - authority.not_valid_before_utc).days <= 3651


def test_certificate_is_for_a_server_and_knows_its_ca(host: t.Any, certificate: x509.Certificate, authority: x509.Certificate) -> None:
    certificate.verify_directly_issued_by(authority)
    extensions = certificate.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    mine = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == mine
    assert extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest != mine
    assert host.file("/etc/docker/tls/ca.pem").content == (CA / "ca.pem").read_bytes()


def test_certificate_has_the_names_by_which_the_host_is_reached(host: t.Any, certificate: x509.Certificate) -> None:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    variables = host.ansible.get_variables()
    assert {variables["inventory_hostname"], variables["ansible_host"], "localhost"} <= set(names.get_values_for_type(x509.DNSName))
    # It listens on 0.0.0.0: all addresses of the host, but not those of the bridges that Docker makes and removes.
    own = host.check_output("ip -4 -oneline address show eth0").split()[3].split("/")[0]
    assert set(names.get_values_for_type(x509.IPAddress)) == {ipaddress.ip_address(one) for one in (own, "127.0.0.1", "::1")}


def search(host: t.Any, line: str) -> list[str]:
    """Files on a host that hold a line; not those of the kernel, of images and of the lab."""
    places = "/etc /home /mnt /opt /root /run /srv /tmp /usr /var"
    found = host.run(f"grep --recursive --files-with-matches --fixed-strings --exclude-dir=overlay2 --exclude-dir=lab -e %s {places}", line)
    return found.stdout.splitlines()


def test_key_of_the_ca_is_on_no_host(host: t.Any) -> None:
    for line in lines_of((CA / "ca-key.pem").read_text(), "correct horse")[:2]:
        assert search(host, line) == []


def test_key_of_the_host_is_there_and_nowhere_else(host: t.Any) -> None:
    """And the search above can find something."""
    line = lines_of(host.file("/etc/docker/tls/server-key.pem").content_string)[0]
    assert search(host, line) == ["/etc/docker/tls/server-key.pem"]
    assert not any(line in path.read_text() for path in CA.rglob("*") if path.is_file())


def test_certificates_for_clients_on_the_controller_are_for_clients(authority: x509.Certificate) -> None:
    certificate = x509.load_pem_x509_certificate((CA / "clients/ci/cert.pem").read_bytes())
    certificate.verify_directly_issued_by(authority)
    assert certificate.subject.rfc4514_string() == "CN=ci"
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_daemon_was_restarted_once_by_two_runs(host: t.Any) -> None:
    """For the address, and not again for the certificates."""
    journal = host.check_output("journalctl --unit docker.service --output cat")
    assert journal.count("Daemon shutdown complete") == 1
