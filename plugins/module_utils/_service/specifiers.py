# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What the %-specifiers of a system unit stand for on this host (systemd.unit(5), "Specifiers")."""

from __future__ import annotations

import os
import platform
import pwd
import shlex
import socket

from .._host import files
from .._host.processes import boot_id

_OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
# By letter, the fields of os-release.
_OS_FIELDS = {"A": "IMAGE_VERSION", "B": "BUILD_ID", "M": "IMAGE_ID", "o": "ID", "w": "VERSION_ID", "W": "VARIANT_ID"}
_ARCHITECTURES = {"x86_64": "x86-64", "aarch64": "arm64", "i686": "x86", "armv7l": "arm", "s390x": "s390x", "ppc64le": "ppc64-le"}
_DIRECTORIES = {"C": "/var/cache", "D": "/usr/share", "E": "/etc", "L": "/var/log", "S": "/var/lib", "T": "/tmp", "V": "/var/tmp", "t": "/run"}


def specifiers_of(unit: str, fragment: str) -> dict[str, str]:
    """The values by letter.

    :param unit: its name, such as docker.service; it is no instance of a template.
    :param fragment: its file.
    """
    name = unit.rpartition(".")[0]
    host = socket.gethostname()
    root = pwd.getpwuid(0)
    release = _os_release()
    return {
        **_DIRECTORIES,
        **{letter: release.get(field, "") for letter, field in _OS_FIELDS.items()},
        "n": unit, "N": name, "p": name, "P": name, "f": "/" + name, "j": name.rpartition("-")[2], "J": name.rpartition("-")[2],
        "i": "", "I": "", "H": host, "q": _pretty_name() or host, "l": host.partition(".")[0], "v": platform.release(),
        "m": (files.read("/etc/machine-id") or "").strip(), "b": boot_id().replace("-", ""), "a": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "u": "root", "U": "0", "g": "root", "G": "0", "h": root.pw_dir, "s": root.pw_shell,
        "y": fragment, "Y": os.path.dirname(fragment), "d": f"/run/credentials/{unit}",
    }  # fmt: skip


def _os_release() -> dict[str, str]:
    text = next((text for text in map(files.read, _OS_RELEASE) if text), "")
    found = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.startswith("#"):
            found[key] = "".join(shlex.split(value)[:1])
    return found


def _pretty_name() -> str:
    for line in (files.read("/etc/machine-info") or "").splitlines():
        if line.startswith("PRETTY_HOSTNAME="):
            return "".join(shlex.split(line.partition("=")[2])[:1])
    return ""


__all__ = ("specifiers_of",)
