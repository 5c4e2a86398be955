# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What is known of dockerd's options, as data.

Source: moby's daemon/config, daemon/command and daemon/reload.go over all releases from 1.10 to 29.7.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import typing as t

from .daemon_json import DATA_ROOT_OWNER, SNAPSHOTTER, flat
from .on_disk import uses_containerd_store
from .values import value_fault

Version = t.Tuple[int, ...]
# Key of daemon.json by the name of its flag, where the two differ.
FLAG_TO_KEY = {
    "H": "hosts",
    "host": "hosts",
    "D": "debug",
    "G": "group",
    "b": "bridge",
    "g": "data-root",
    "graph": "data-root",
    "l": "log-level",
    "p": "pidfile",
    "s": "storage-driver",
    "add-runtime": "runtimes",
    "authorization-plugin": "authorization-plugins",
    "cdi-spec-dir": "cdi-spec-dirs",
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "default-ulimit": "default-ulimits",
    "dns-opt": "dns-opts",
    "exec-opt": "exec-opts",
    "feature": "features",
    "host-gateway-ip": "host-gateway-ips",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "log-opt": "log-opts",
    "node-generic-resource": "node-generic-resources",
    "registry-mirror": "registry-mirrors",
    "storage-opt": "storage-opts",
}
# Flags that take no separate value; they may be written --flag or --flag=false.
BOOLEAN_FLAGS = frozenset(
    {
        "D", "allow-direct-routing", "cri-containerd", "debug", "experimental", "help", "icc", "init", "ip-forward", "ip-forward-no-drop",
        "ip-masq", "ip6tables", "iptables", "ipv6", "live-restore", "no-new-privileges", "raw-logs", "restart", "rootless", "selinux-enabled",
        "tls", "tlsverify", "userland-proxy", "v", "validate", "version",
    }
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of daemon.json.

    :param kind: the type that its value has in JSON.
    :param since: the first release that knows it, and
    :param until: the first one that does not, or takes it and does not use it any more; empty for none yet.
    :param values: all that it may be; empty for anything of its kind.
    :param reloads: the first release in which SIGHUP puts it into force; empty for none.
    :param resets: a reload takes it back to its default when it is gone; without that it keeps its value until a restart.
    :param hides: a change makes images and containers disappear from view.
    :param owner: who alone may ask for it; empty for any owner.
    """

    name: str
    kind: type
    since: Version
    until: Version = ()
    values: t.Tuple[str, ...] = ()
    reloads: Version = ()
    resets: bool = False
    hides: bool = False
    owner: str = ""


LISTEN_OWNER = "listen"
# The catalogue's newest release: what a newer engine knows beside it is that engine's own to judge.
NEWEST: Version = (29, 7)
_LEVELS = ("panic", "fatal", "error", "warn", "info", "debug", "trace")
CATALOGUE: dict[str, Key] = {
    key.name: key
    for key in (
        Key("allow-direct-routing", bool, (28, 2)),
        Key("allow-nondistributable-artifacts", list, (17, 6), until=(28, 1)),
        Key("authorization-plugins", list, (1, 10)),
        Key("bip", str, (1, 10)),
        Key("bip6", str, (28,)),
        Key("bridge", str, (1, 10)),
        Key("bridge-accept-fwmark", str, (29,)),
        Key("builder", dict, (18, 9)),
        Key("cdi-spec-dirs", list, (25,)),
        Key("cgroup-parent", str, (1, 10)),
        Key("containerd", str, (1, 11)),
        Key("containerd-namespace", str, (20, 10), hides=True),
        Key("cpu-rt-period", int, (1, 13)),
        Key("cpu-rt-runtime", int, (1, 13)),
        Key("cri-containerd", bool, (18, 9)),
        Key("data-root", str, (17, 5), owner=DATA_ROOT_OWNER),
        Key("debug", bool, (1, 10), reloads=(1, 12)),
        Key("default-address-pools", list, (18, 6)),
        Key("default-cgroupns-mode", str, (20, 10), values=("host", "private"), reloads=(20, 10)),
        Key("default-gateway", str, (1, 10)),
        Key("default-gateway-v6", str, (1, 10)),
        Key("default-ipc-mode", str, (17, 9), values=("private", "shareable"), reloads=(18, 9)),
        Key("default-network-opts", dict, (24,)),
        Key("default-runtime", str, (1, 12), reloads=(18, 9)),
        Key("default-shm-size", str, (17, 4), reloads=(18, 9)),
        Key("default-stop-timeout", int, (29, 7), reloads=(29, 7)),
        Key("default-ulimits", dict, (1, 10)),
        Key("deprecated-key-path", str, (17, 6), until=(24,)),
        Key("dns", list, (1, 10)),
        Key("dns-opts", list, (1, 10)),
        Key("dns-search", list, (1, 10)),
        Key("exec-opts", list, (1, 10)),
        Key("exec-root", str, (1, 10)),
        Key("experimental", bool, (1, 13)),
        Key("features", dict, (18, 9)),
        Key("firewall-backend", str, (29,), values=("iptables", "nftables")),
        Key("fixed-cidr", str, (1, 10)),
        Key("fixed-cidr-v6", str, (1, 10)),
        Key("group", str, (1, 10)),
        Key("host-gateway-ip", str, (20, 10)),
        Key("host-gateway-ips", list, (28,)),
        Key("hosts", list, (1, 10), owner=LISTEN_OWNER),
        Key("icc", bool, (1, 10)),
        Key("init", bool, (1, 13)),
        Key("init-path", str, (1, 13)),
        Key("insecure-registries", list, (1, 11), reloads=(1, 13)),
        Key("ip", str, (1, 10)),
        Key("ip-forward", bool, (1, 10)),
        Key("ip-forward-no-drop", bool, (28,)),
        Key("ip-masq", bool, (1, 12)),
        Key("ip6tables", bool, (20, 10)),
        Key("iptables", bool, (1, 10)),
        Key("ipv6", bool, (1, 10)),
        Key("labels", list, (1, 10), reloads=(1, 12)),
        Key("live-restore", bool, (1, 12), reloads=(1, 12)),
        Key("log-driver", str, (1, 10)),
        Key("log-format", str, (25,), values=("text", "json")),
        Key("log-level", str, (1, 10), values=_LEVELS),
        Key("log-opts", dict, (1, 10)),
        Key("max-concurrent-downloads", int, (1, 12), reloads=(1, 12), resets=True),
        Key("max-concurrent-uploads", int, (1, 12), reloads=(1, 12), resets=True),
        Key("max-download-attempts", int, (20, 10), reloads=(20, 10), resets=True),
        Key("metrics-addr", str, (1, 13)),
        Key("min-api-version", str, (29,)),
        Key("mtu", int, (1, 10)),
        Key("network-control-plane-mtu", int, (17, 9)),
        Key("network-diagnostic-port", int, (17, 12), reloads=(18, 9), resets=True),
        Key("no-new-privileges", bool, (17, 4)),
        Key("node-generic-resources", list, (17, 9)),
        Key("nri-opts", dict, (29, 2), reloads=(29, 2), resets=True),
        Key("oom-score-adjust", int, (1, 12), until=(25,)),
        Key("pidfile", str, (1, 10)),
        Key("proxies", dict, (23,)),
        Key("raw-logs", bool, (1, 11)),
        Key("registry-mirrors", list, (1, 11), reloads=(17, 4)),
        Key("rootless", bool, (19, 3)),
        Key("runtimes", dict, (1, 12), reloads=(18, 9)),
        Key("seccomp-profile", str, (1, 13)),
        Key("selinux-enabled", bool, (1, 10)),
        Key("shutdown-timeout", int, (1, 13), reloads=(1, 13)),
        Key("storage-driver", str, (1, 10), hides=True),
        Key("storage-opts", list, (1, 10)),
        Key("swarm-default-advertise-addr", str, (1, 12)),
        Key("tls", bool, (1, 10), owner=LISTEN_OWNER),
        Key("tlscacert", str, (1, 10), owner=LISTEN_OWNER),
        Key("tlscert", str, (1, 10), owner=LISTEN_OWNER),
        Key("tlskey", str, (1, 10), owner=LISTEN_OWNER),
        Key("tlsverify", bool, (1, 10), owner=LISTEN_OWNER),
        Key("userland-proxy", bool, (1, 10)),
        Key("userland-proxy-path", str, (1, 13)),
        Key("userns-remap", str, (1, 10), hides=True),
    )
}
# What key 'features' may have in it: dockerd takes any name there, and passes over one that it does not know.
FEATURES: dict[str, Key] = {
    key.name: key
    for key in (
        Key("features.buildkit", bool, (18, 9), reloads=(18, 9), resets=True),
        Key("features.cdi", bool, (25,)),
        Key("features.containerd-migration", bool, (29,)),
        Key(SNAPSHOTTER, bool, (24,), hides=True),
        Key("features.embedded-containerd", bool, (29, 7), hides=True),
        Key("features.swarm-nftables", bool, (29, 6)),
        Key("features.time-namespaces", bool, (29, 5)),
    )
}
# What dockerd takes and does not use, with what is meant instead; and old names that a newer engine does not start with.
INERT = {
    "add-runtime": "runtimes",
    "authorization-plugin": "authorization-plugins",
    "cdi-spec-dir": "cdi-spec-dirs",
    "containerd-plugins-namespace": "",
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "default-ulimit": "default-ulimits",
    "dns-opt": "dns-opts",
    "exec-opt": "exec-opts",
    "feature": "features",
    "help": "",
    "host": "hosts",
    "http-proxy": "proxies",
    "https-proxy": "proxies",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "log-opt": "log-opts",
    "no-proxy": "proxies",
    "node-generic-resource": "node-generic-resources",
    "registry-mirror": "registry-mirrors",
    "storage-opt": "storage-opts",
    "version": "",
}
# A name of its source that it never takes.
_MEANT = {"default-init": "init"}
_OLD_NAMES = {"graph": "data-root", "ip-mask": "ip-masq", "api-cors-header": "", "disable-legacy-registry": ""}
_KINDS = {bool: "true or false", int: "a number", str: "text", list: "a list", dict: "a dictionary"}
# Lists of text; pools are dictionaries, which have no order and cannot be a line each.
LIST_KEYS = frozenset(name for name, key in CATALOGUE.items() if key.kind is list and name != "default-address-pools")
HIDES_DATA = frozenset(name for name, key in {**CATALOGUE, **FEATURES}.items() if key.hides)
OWNER_OF_KEY = {name: key.owner for name, key in CATALOGUE.items() if key.owner}
# Where the API shows the value in force, and how it looks there.
IN_FORCE: dict[str, t.Callable[[dict[str, t.Any]], t.Any]] = {
    "debug": lambda info: info.get("Debug"),
    "labels": lambda info: info.get("Labels"),
    "live-restore": lambda info: info.get("LiveRestoreEnabled"),
    "default-runtime": lambda info: info.get("DefaultRuntime"),
    SNAPSHOTTER: uses_containerd_store,
    "log-driver": lambda info: info.get("LoggingDriver"),
    "registry-mirrors": lambda info: [mirror.rstrip("/") for mirror in (info.get("RegistryConfig") or {}).get("Mirrors") or []],
}


def fault(name: str, value: t.Any, engine: Version) -> tuple[str, str, str] | None:
    """What is wrong with a key that somebody asks for: an id, a sentence and the way out; None when nothing is.

    :param engine: the release that has to take it; empty when it is not known.
    """
    found = _fault(CATALOGUE, name, value, engine)
    if found or name != "features":
        return found
    faults = (_fault(FEATURES, one, on, engine) for one, on in flat({name: value}).items() if one != name)
    return next((one for one in faults if one), None)


def _fault(rows: t.Mapping[str, Key], name: str, value: t.Any, engine: Version) -> tuple[str, str, str] | None:
    key = rows.get(name)
    if key is None:
        return _unknown(rows, name, engine)
    shown = json.dumps(value)
    if engine and engine < key.since:
        sentence = f"Key '{name}' is known from Docker {_dotted(key.since)} on, and this host has {_dotted(engine)}."
        return "key-too-new", sentence, "Leave it out for this host, or update its engine."
    if engine and key.until and engine >= key.until:
        sentence = f"Key '{name}' is not used any more from Docker {_dotted(key.until)} on, and this host has {_dotted(engine)}."
        return "key-too-old", sentence, "Leave it out for this host."
    # Python's booleans are numbers.
    if not isinstance(value, key.kind) or (key.kind is int and isinstance(value, bool)):
        return "key-type", f"Key '{name}' is {shown}, and dockerd wants {_KINDS[key.kind]}.", _as_wanted(key, value)
    if key.values and value not in key.values:
        return "key-value", f"Key '{name}' is {shown}, which dockerd does not know.", f"Use one of {', '.join(key.values)}."
    odd = _odd_part(key, value)
    if odd:
        return "key-type", f"Key '{name}' has {odd} in it, and dockerd wants text there.", "Write it in quotes."
    wrong = value_fault(name, value)
    if wrong:
        return "key-value", f"Key '{name}': {wrong[0]}, and dockerd does not start with it.", wrong[1]
    return None


def _unknown(rows: t.Iterable[str], name: str, engine: Version) -> tuple[str, str, str] | None:
    meant = INERT.get(name, _OLD_NAMES.get(name))
    if meant is not None:
        owner = OWNER_OF_KEY.get(meant, "")
        out = f"Use owner {owner} for it." if owner else f"Use {meant}." if meant else "Leave it out."
        what = "takes and never uses" if name in INERT else "no longer knows"
        return "key-unused", f"Key '{name}' is one that dockerd {what}.", out
    if engine[:2] > NEWEST:
        return None
    last = name.rpartition(".")[2]
    close = [_MEANT[name]] if name in _MEANT else difflib.get_close_matches(last, [one.rpartition(".")[2] for one in rows], 1, 0.75)
    return "key-unknown", f"Key '{name}' is none that dockerd knows.", f"Did you mean {close[0]}?" if close else "Leave it out."


def _as_wanted(key: Key, value: t.Any) -> str:
    """How a value would have to be written, where that can be guessed."""
    if key.kind is list and isinstance(value, str):
        return f"Write it as {json.dumps([value])}."
    if isinstance(value, str):
        return "Write it without quotes; a template gives text, unless a filter such as int or bool makes it something else."
    return "Write it in quotes." if key.kind is str else "See dockerd's documentation."


def _odd_part(key: Key, value: t.Any) -> str:
    """What is no text in a value whose parts all are; empty when there is none. The other parts are dockerd's to judge."""
    if key.name == "log-opts":
        return next((f"{name}: {json.dumps(one)}" for name, one in value.items() if not isinstance(one, str)), "")
    return next((json.dumps(one) for one in (value if key.name in LIST_KEYS else ()) if not isinstance(one, str)), "")


def _dotted(version: Version) -> str:
    return ".".join(str(number).zfill(2) if at == 1 and version[0] in (17, 18, 19) else str(number) for at, number in enumerate(version))


def reloads(key: str, removed: bool, engine: Version) -> bool:
    """Whether SIGHUP brings the new value of a key into force on this engine."""
    known = CATALOGUE.get(key) or FEATURES.get(key)
    return known is not None and bool(known.reloads) and engine >= known.reloads and (not removed or known.resets)


def parse_version(text: str) -> Version:
    """The numbers of a version such as 20.10.24+dfsg1."""
    numbers: list[int] = []
    for part in text.split("."):
        digits = ""
        for char in part:
            if not char.isdigit():
                break
            digits += char
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


__all__ = (
    "BOOLEAN_FLAGS",
    "CATALOGUE",
    "FEATURES",
    "FLAG_TO_KEY",
    "HIDES_DATA",
    "INERT",
    "IN_FORCE",
    "LISTEN_OWNER",
    "LIST_KEYS",
    "OWNER_OF_KEY",
    "Key",
    "Version",
    "fault",
    "parse_version",
    "reloads",
)
