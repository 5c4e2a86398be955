# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What role docker_tls decides: the names in a server's certificate, and why it refuses what it is given. No cryptography is in here. Pure."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.drydock.dockerd.plugins.module_utils._engine.addresses import Address, parse_address
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, message
from ansible_collections.drydock.dockerd.plugins.plugin_utils._survey import lines

# Go takes an underscore in a name, too, and a star for its first part.
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.IGNORECASE)
# A client's name is a common name, which has 64 characters at most, and a directory.
_CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
# They come and go with networks and containers, and a name that goes would be a reason for a new certificate.
_OF_DOCKER = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}|veth.*")
# Ansible masks a secret wherever it sees it. A short one may stand in a certificate by chance, and would make a hole there.
_SHORTEST_PASSPHRASE = 8
SERVER_AUTH = "TLS Web Server Authentication"


def names(asked: t.Any, listens: t.Any, facts: t.Mapping[str, t.Any], known: t.Iterable[str]) -> list[str]:
    """The alternative names of a host's certificate, in an order that is the same in each run.

    :param asked: docker_tls_names as it was typed.
    :param listens: docker_listen_addresses as it was typed.
    :param facts: the host's facts of its names and interfaces.
    :param known: what Ansible calls the host. What is no name of the network is left out.
    """
    tcp = [address for address in map(_parse, lines(listens, "docker_listen_addresses")) if address and address.scheme == "tcp"]
    found = [*known, facts.get("fqdn", ""), facts.get("hostname", ""), *(address.host for address in tcp if not address.unspecified)]
    if any(address.unspecified for address in tcp):
        found += _addresses_of(facts)
    found += ["localhost", "127.0.0.1", "::1", *lines(asked, "docker_tls_names")]
    return list(dict.fromkeys(one for one in map(_alternative_name, found) if one))


def _parse(text: str) -> Address | None:
    """An address that dockerd cannot serve is refused by role docker_listen, not here."""
    try:
        return parse_address(text)
    except DrydockError:
        return None


def _addresses_of(facts: t.Mapping[str, t.Any]) -> list[str]:
    """The host's own addresses that somebody else can reach it by."""
    found = set()
    for interface in facts.get("interfaces", []):
        fact = facts.get(interface.replace("-", "_").replace(":", "_"))
        if _OF_DOCKER.fullmatch(interface) or not isinstance(fact, dict):
            continue
        for one in [fact.get("ipv4") or {}, *(fact.get("ipv4_secondaries") or []), *(fact.get("ipv6") or [])]:
            if one.get("address"):
                found.add(ipaddress.ip_address(one["address"].partition("%")[0]))
    return [str(one) for one in sorted(found, key=lambda one: (one.version, one)) if not one.is_loopback and not one.is_link_local]


def _alternative_name(text: str) -> str:
    """In the terms of community.crypto, or nothing when it is neither a name nor an address."""
    text = text.strip().rstrip(".")
    try:
        return f"IP:{ipaddress.ip_address(text.strip('[]'))}"
    except ValueError:
        return f"DNS:{text.lower()}" if _NAME.fullmatch(text) and len(text) < 254 else ""


def refusals(given: t.Mapping[str, t.Any], passing: bool = False) -> list[str]:
    """Why nothing may be done, looking at nothing but the role's variables.

    :param given: the variables without their prefix.
    :param passing: the controller ends with this play, and all that lies on it with it.
    """
    return [
        *_misshapen(given),
        *_incomplete({name: bool(str(given[name]).strip()) for name in ("ca_cert", "ca_key", "ca_dir", "server_cert", "server_key")}, given, passing),
    ]


def _misshapen(given: t.Mapping[str, t.Any]) -> list[str]:
    found = []
    for variable, accepts, kind in (
        ("names", _alternative_name, "neither a name nor an address. Write it as 'docker.example.com' or '10.0.0.5'."),
        ("clients", _CLIENT.fullmatch, "no name of a client. Use up to 64 letters, digits and the characters . _ @ and -."),
    ):
        try:
            asked = lines(given[variable], f"docker_tls_{variable}")
            found += [message("variable-value", f"docker_tls_{variable} has '{one}', which is {kind}") for one in asked if not accepts(one)]
        except DrydockError as exc:
            found.append(str(exc))
    if not re.fullmatch(r"\d{1,5}|", str(given["renew_before"]).strip()):
        found.append(message("variable-value", f"docker_tls_renew_before is '{given['renew_before']}'.", "Give a number of days."))
    for variable in ("dir", "ca_dir"):
        if given[variable] and not given[variable].startswith("/"):
            found.append(message("variable-value", f"docker_tls_{variable} '{given[variable]}' is a relative path.", "Give an absolute one."))
    if not isinstance(given["ca_passphrase"], str):
        # As a number it may have other digits than those that were typed, which is not told here: it is a secret.
        sentence = "docker_tls_ca_passphrase was read as a number, and not as text."
        found.append(message("variable-value", sentence, "Put it in quotes, or take one that is no number."))
    if 0 < len(str(given["ca_passphrase"])) < _SHORTEST_PASSPHRASE:
        sentence = f"docker_tls_ca_passphrase has fewer than {_SHORTEST_PASSPHRASE} characters, which may occur in a certificate by chance."
        found.append(message("variable-value", sentence, "Take a longer one."))
    return found


def _incomplete(has: t.Mapping[str, bool], given: t.Mapping[str, t.Any], passing: bool) -> list[str]:
    found = []
    if has["server_cert"] != has["server_key"]:
        there, missing = ("server_cert", "server_key") if has["server_cert"] else ("server_key", "server_cert")
        sentence = f"docker_tls_{there} is given without docker_tls_{missing}."
        found.append(message("tls-incomplete", sentence, "Give both, or neither and let the role make them."))
    elif has["server_cert"] and not has["ca_cert"]:
        sentence = "docker_tls_server_cert is given without docker_tls_ca_cert, so that the daemon would know no client."
        found.append(message("tls-incomplete", sentence, "Give the CA's certificate, too."))
    elif has["ca_key"] and not has["ca_cert"]:
        found.append(message("tls-incomplete", "docker_tls_ca_key is given without docker_tls_ca_cert.", "Give both."))
    elif has["ca_cert"] and not has["ca_key"] and not has["server_cert"]:
        sentence = "docker_tls_ca_cert is given without docker_tls_ca_key, so that nothing can be signed."
        found.append(message("tls-incomplete", sentence, "Give the key, or docker_tls_server_cert."))
    elif passing and not has["ca_cert"] and not has["ca_dir"]:
        sentence = "There is no CA, and one that is made here is lost with this job, because its container is the controller."
        hint = "In AWX give the template a credential of type 'CA of Docker hosts'; elsewhere docker_tls_ca_cert and docker_tls_ca_key, or docker_tls_ca_dir on"
        found.append(message("tls-ca", sentence, f"{hint} a volume that stays."))
    if has["ca_cert"] and given["clients"]:
        sentence = "docker_tls_clients needs docker_tls_ca_dir, where their files are made, and not a CA that is given as text."
        found.append(message("variables-clash", sentence, "Use role docker_client, which makes the key on the client's machine."))
    return found


def trouble(certificates: t.Sequence[t.Any], keys: t.Sequence[t.Any], called: t.Mapping[str, str], signed: bool = True) -> list[str]:
    """Why what is given, or lies in the CA's directory, cannot be used.

    :param certificates: what module x509_certificate_info said of each 'item', ca or server. One that could not be read has nothing but a message.
    :param keys: what module openssl_privatekey_info said of each, likewise.
    :param called: what people call the certificates and, with '_key', their keys.
    :param signed: whether the CA has signed the server's certificate.
    """
    read = {one["item"]: one for one in certificates if "public_key" in one}
    unread = [one for one in certificates if one["item"] not in read]
    found = [message("tls-unreadable", f"{called[one['item']]} is no certificate in PEM: {_words(one)}") for one in unread]
    for part, one in read.items():
        found += _unusable(part, one, called[part], signs=any(key["item"] == "ca" for key in keys))
    for key in keys:
        part, name = key["item"], called[f"{key['item']}_key"]
        if "public_key" not in key:
            found.append(message("tls-unreadable", f"{name} cannot be read: {_words(key)}", _PASSPHRASE[part]))
        elif part in read and key["public_key"] != read[part]["public_key"]:
            found.append(message("tls-mismatch", f"{name} does not fit {called[part]}.", "Give the key that the certificate was made for."))
    if not found and not signed:
        found.append(message("tls-other-ca", f"{called['ca']} has not signed {called['server']}.", "Give the CA that has."))
    return found


def _words(one: t.Mapping[str, t.Any]) -> str:
    return f"{' '.join(str(one['msg']).split()).rstrip('.')}."


def _unusable(part: str, one: t.Mapping[str, t.Any], name: str, signs: bool) -> list[str]:
    ends = "{}-{}-{}".format(one["not_after"][:4], one["not_after"][4:6], one["not_after"][6:8])
    if one["expired"]:
        return [message("tls-expired", f"{name} has ended on {ends}.", _NEW_CA if part == "ca" else "Give a newer one.")]
    if not one["valid_at"]["now"]:
        return [message("tls-not-yet-valid", f"{name} is not valid yet.", "Look at the controller's clock, or give another one.")]
    if part == "ca" and "CA:TRUE" not in (one["basic_constraints"] or []):
        return [message("tls-ca", f"{name} is not the certificate of a CA.", "Give the one that signs the others.")]
    if part == "ca" and signs and not one["valid_at"]["later"]:
        return [message("tls-expired", f"{name} ends on {ends}, within docker_tls_renew_before days, and nothing that it signs can last longer.", _NEW_CA)]
    if part == "server" and SERVER_AUTH not in (one["extended_key_usage"] or [SERVER_AUTH]):
        sentence = f"{name} is not meant for servers: its extended key usage is {', '.join(one['extended_key_usage'])}."
        return [message("tls-purpose", sentence, "Give one that is.")]
    return []


_NEW_CA = "Move it and its key away, or give a new CA: all servers and clients then get new certificates."
_PASSPHRASE = {
    "ca": "Give the key in PEM, and its passphrase, if it has one, in docker_tls_ca_passphrase.",
    "server": "Give the key in PEM and without a passphrase: dockerd could not ask for one.",
}

__all__ = ("SERVER_AUTH", "names", "refusals", "trouble")
