# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What is known of dockerd's options, as data.

Source: moby's daemon/config, daemon/command and daemon/reload.go over all releases from 1.10 to 29.7.
"""

from __future__ import annotations

import typing as t

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

LIST_KEYS = frozenset(
    {
        "authorization-plugins", "cdi-spec-dirs", "dns", "dns-opts", "dns-search", "exec-opts", "hosts", "host-gateway-ips", "insecure-registries",
        "labels", "node-generic-resources", "registry-mirrors", "storage-opts",
    }
)  # fmt: skip

# Since when SIGHUP puts a key into force.
RELOADABLE_SINCE: dict[str, Version] = {
    "debug": (1, 12),
    "labels": (1, 12),
    "live-restore": (1, 12),
    "max-concurrent-downloads": (1, 12),
    "max-concurrent-uploads": (1, 12),
    "insecure-registries": (1, 13),
    "shutdown-timeout": (1, 13),
    "registry-mirrors": (17, 4),
    "features": (18, 9),
    "network-diagnostic-port": (18, 9),
    "default-shm-size": (18, 9),
    "default-ipc-mode": (18, 9),
    "runtimes": (18, 9),
    "default-runtime": (18, 9),
    "max-download-attempts": (20, 10),
    "default-cgroupns-mode": (20, 10),
    "nri-opts": (29, 2),
    "default-stop-timeout": (29, 7),
}

# Of those, the ones that a reload takes back to their default when the key is gone; the others keep the old value until a restart.
REMOVABLE_BY_RELOAD = frozenset({"max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts", "network-diagnostic-port", "nri-opts"})

# Where the API shows the value in force, and how it looks there.
IN_FORCE: dict[str, t.Callable[[dict[str, t.Any]], t.Any]] = {
    "debug": lambda info: info.get("Debug"),
    "labels": lambda info: info.get("Labels"),
    "live-restore": lambda info: info.get("LiveRestoreEnabled"),
    "default-runtime": lambda info: info.get("DefaultRuntime"),
    "log-driver": lambda info: info.get("LoggingDriver"),
    "registry-mirrors": lambda info: [mirror.rstrip("/") for mirror in (info.get("RegistryConfig") or {}).get("Mirrors") or []],
}

# A change of these makes images and containers disappear from view.
HIDES_DATA = frozenset({"storage-driver", "userns-remap"})

# Keys that belong to a role of their own.
ROLE_OF_KEY = {
    "hosts": "docker_listen",
    "tls": "docker_listen",
    "tlsverify": "docker_listen",
    "tlscacert": "docker_listen",
    "tlscert": "docker_listen",
    "tlskey": "docker_listen",
    "data-root": "docker_data_root",
}


def reloads(key: str, removed: bool, engine: Version) -> bool:
    """Whether SIGHUP brings the new value of a key into force on this engine."""
    since = RELOADABLE_SINCE.get(key)
    return since is not None and engine >= since and (not removed or key in REMOVABLE_BY_RELOAD)


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


__all__ = ("BOOLEAN_FLAGS", "FLAG_TO_KEY", "HIDES_DATA", "IN_FORCE", "LIST_KEYS", "ROLE_OF_KEY", "Version", "parse_version", "reloads")
