# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Listen addresses, their certificates, and docker.socket."""

from __future__ import annotations

import os
import typing as t

from .._engine.addresses import Address, as_address, known_addresses, overlap, trusts_any_ca, verifies_clients
from .._engine.binding import listen_on
from .._engine.certificates import certificate_faults, certificate_files
from .._errors import DrydockError
from .._host.host import Host
from .._observe.state import State
from .._plan.plan import Plan
from .._plan.request import Request
from .._service import unit_file
from .._service.detect import service_of
from .finding import ERROR, WARNING, Finding


def socket_findings(host: Host, state: State, plan: Plan, request: Request) -> t.Iterator[Finding]:
    """docker.socket: where systemd listens in the daemon's place."""
    path = plan.after.systemd_socket
    if path != plan.before.systemd_socket and (request.restart == "never" or not state.pid):
        sentence = f"docker.socket cannot listen on {path} without a restart of a running daemon."
        yield Finding("socket-restart", ERROR, sentence, "Leave out restart: never." if state.pid else f"Start it first: {service_of(host).start_command}.")
    if any(ask.allow_insecure for ask in plan.owners.values()):
        return
    texts = state.socket_unit.texts if state.socket_unit else {}
    listens = [(file, value) for file, text in texts.items() for value in unit_file.values([text], "Socket", "ListenStream")]
    hint = "Take that ListenStream out, or set tlsverify, tlscacert, tlscert and tlskey."
    told = [(file, value, hint) for file, value in listens if value[:1] not in "@%"]
    for unit, values in state.other_sockets.items():
        hint = f"Close it (systemctl disable --now {unit}, then systemctl restart docker), or set tlsverify, tlscacert, tlscert and tlskey."
        told += [(unit, value, hint) for value in values if not value.startswith("@")]
    for who, value, hint in told:
        for address in known_addresses([as_address(value)]):
            if not is_open(address, state, plan):
                continue
            if address.scheme == "tcp" and address.loopback:
                sentence = f"{who} lets systemd listen on {value} for the daemon, which is open to every user of this host: whoever reaches it is root."
                yield Finding("plain-loopback", WARNING, sentence, hint)
            elif address.scheme == "tcp":
                sentence = f"{who} lets systemd listen on {value} for the daemon, which gives root on this host to everybody who reaches it."
                yield Finding("open-api", ERROR, sentence, hint)


def address_findings(state: State, plan: Plan, check_mode: bool) -> t.Iterator[Finding]:
    for exc in plan.after.refused_addresses:
        yield Finding(exc.id, ERROR, exc.sentence, exc.hint)
    allowed = any(ask.allow_insecure for ask in plan.owners.values())
    for address in (one for one in plan.after.addresses if one.scheme == "tcp"):
        if trusts_any_ca(plan.after.settings) and not allowed:
            sentence = f"{address.text} would let in whoever has a certificate of any CA that the system of this host trusts: there is no tlscacert."
            yield Finding("open-api", ERROR, sentence, "Set tlscacert to the file of the CA that signs your clients' certificates.")
        elif not is_open(address, state, plan):
            continue
        elif address.loopback:
            yield Finding(
                "plain-loopback", WARNING, f"{address.text} is open to every user of this host: whoever reaches it is root.", "Set up TLS to close it."
            )
        elif not allowed:
            yield Finding(
                "open-api",
                ERROR,
                f"{address.text} would give root on this host to everybody who reaches it: "
                f"there is no TLS client verification ({_source(state, plan, address.text)}).",
                "Set tlsverify, tlscacert, tlscert and tlskey, or allow_insecure: true if the network is safe.",
            )
    if plan.after.settings.get("hosts") == []:
        yield Finding("no-address", ERROR, "No address is left to listen on.", "Name one in hosts, for example fd://.")
    for key in ("tlscacert", "tlscert", "tlskey"):
        path = plan.after.settings.get(key)
        if not path and plan.after.settings.get("tlsverify"):
            yield Finding("tls-incomplete", ERROR, f"TLS with client verification needs {key} too.", "Set tlscacert, tlscert and tlskey.")
        if path and not os.path.isfile(path):
            # What makes it may come before this in the same play, and makes nothing in check mode.
            severity = WARNING if check_mode else ERROR
            yield Finding("tls-file", severity, f"{key} {path} does not exist on this host.", "Put the certificates there first, all three files.")
    yield from _certificate_findings(state, plan)
    if any(one.scheme == "fd" for one in plan.after.addresses) and state.systemd_socket is None:
        yield Finding(
            "no-socket-unit", ERROR, "fd:// needs docker.socket, which this host does not have or has masked.", "Use unix:///var/run/docker.sock instead."
        )
    before = plan.before.addresses if state.pid else []
    for address in plan.after.addresses:
        if address.scheme == "tcp" and address.text not in [one.text for one in before]:
            yield from _bind_finding(state, address, any(overlap(address, one) for one in before))


def is_open(address: Address, state: State, plan: Plan) -> bool:
    """Whether a tcp address will let in whoever reaches it. Where nothing changes by which that is decided, the socket itself has said so."""
    decided = ("tls", "tlsverify", "tlscacert")
    if address.text in state.lets_in and all(plan.before.settings.get(key) == plan.after.settings.get(key) for key in decided):
        return state.lets_in[address.text]
    return not verifies_clients(plan.after.settings)


def _certificate_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """What is wrong with the certificates. dockerd starts with an expired one all the same: what it has already is no reason to refuse."""
    settings = plan.after.settings
    named = certificate_files(settings)
    if not (settings.get("tls") or settings.get("tlsverify")) or not all(os.path.isfile(path) for path in named):
        return
    fresh = set(named) - set(certificate_files(plan.before.settings)) or set(named) & set(state.changed_certificates)
    for name, sentence, hint in certificate_faults(settings):
        fatal = name in ("tls-mismatch", "tls-unreadable") or (fresh and name != "tls-other-ca")
        yield Finding(name, ERROR if fatal else WARNING, sentence, hint)


def _source(state: State, plan: Plan, address: str) -> str:
    if address in (plan.file_settings.get("hosts") or []):
        return "asked for in daemon.json"
    for flag in unit_file.parse_flags(plan.after.command[1:]):
        if flag.key == "hosts" and flag.value == address:
            return f"from {state.unit.origin(flag)}"
    return "dockerd's default"


def _bind_finding(state: State, address: Address, has_it: bool) -> t.Iterator[Finding]:
    """Try the address as dockerd will.

    :param has_it: the daemon listens there now, so that it cannot be told who else does.
    """
    try:
        listen_on(address).close()
    except DrydockError as exc:
        publishers = [one.name for one in state.inventory.containers.values() if one.alive and f"tcp/{address.port}" in one.ports]
        if exc.id == "address-in-use" and publishers:
            sentence = f"{address.text} is taken: container {publishers[0]} publishes port {address.port}."
            yield Finding("address-in-use", ERROR, sentence, "Choose another port for one of them.")
        elif exc.id != "address-in-use" or not has_it:
            yield Finding(exc.id, ERROR, exc.sentence, exc.hint)


__all__ = (
    "address_findings",
    "socket_findings",
)
