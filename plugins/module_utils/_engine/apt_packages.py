# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The engine's packages, as apt has them: which version is there, which can come, and the commands that bring it or the old one back."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
import shutil
import typing as t

from .._errors import DrydockError
from .._host.host import Host

# Nothing asks, files of the configuration stay as they are, and other programs do not restart services behind our back.
_ENVIRONMENT = ("env", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1")
_APT = (*_ENVIRONMENT, "apt-get", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold")
_INSTALL = (*_APT, "--allow-downgrades", "--allow-change-held-packages", "install")
# Debian's engine had the client in it until this became a package of its own.
_ENGINE, _CLIENT = "docker.io", "docker-cli"
# What an interrupted installation has left half done.
MEND = (*_ENVIRONMENT, "dpkg", "--configure", "--pending", "--force-confold")


@dataclasses.dataclass(frozen=True)
class Upgrade:
    """Packages that change their version together with the daemon's restart.

    :param before: versions by package, as they are, empty where there is none, and
    :param after: as they will be.
    :param back: whether the package manager can bring the old ones back.
    """

    before: t.Dict[str, str]
    after: t.Dict[str, str]
    back: bool

    @property
    def download(self) -> list[str]:
        """Get them while everything runs."""
        return [*_INSTALL, "--download-only", *_specs(self.after)]

    @property
    def forth(self) -> list[str]:
        """Install them."""
        return [*_INSTALL, *_specs(self.after)]

    @property
    def undo(self) -> list[str]:
        """Install what was there."""
        return [*_INSTALL, *_specs(self.before)]

    def __str__(self) -> str:
        return " and ".join(f"{name} from {self.before[name] or 'none'} to {after}" for name, after in self.after.items())


def _specs(versions: t.Mapping[str, str]) -> list[str]:
    # A dash behind a name removes a package.
    return [f"{name}={version}" if version else f"{name}-" for name, version in versions.items()]


def find_upgrade(host: Host, names: t.Sequence[str], version: str) -> Upgrade:
    """What has to change: of the first package that version, of the others the same one where they have it; empty where nothing has.

    :param names: of the engine's packages, that of the daemon first.
    :param version: as the package manager has it, a pattern too; empty for the newest.
    :raises DrydockError: no apt, apt does not answer, or there is no such package or version.
    """
    if not shutil.which("apt-get"):
        raise DrydockError(
            "package-manager", "This host has no apt-get, and no other package manager is known here.", "Upgrade the engine by hand; daemon_state restarts it."
        )
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    back = True
    for name in names:
        installed = _installed(host, name)
        known = _versions(host, name)
        fitting = [one for one in known if fnmatch.fnmatchcase(one, version or "*")]
        if not installed or (not fitting and name == names[0]):
            what = f"version '{version}' of {name}" if installed else f"package {name} installed"
            raise DrydockError(
                "package-unavailable", f"There is no {what}: the package manager has {', '.join(known) or 'none'}.", f"See 'apt-cache madison {name}'."
            )
        stays = bool(version) and (not fitting or fnmatch.fnmatchcase(installed, version))
        wanted = installed if stays else fitting[0] if version else _candidate(host, name)
        if wanted != installed:
            before[name], after[name] = installed, wanted
            back = back and installed in known
    client = after.get(_ENGINE, "")
    if client and _CLIENT not in names and not _installed(host, _CLIENT) and client in _versions(host, _CLIENT):
        before[_CLIENT], after[_CLIENT] = "", client
    return Upgrade(before, after, back)


def _installed(host: Host, name: str) -> str:
    # 1: it knows no such package.
    shown = host.must("dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Version}", name, answers=(0, 1)).out.split()
    return shown[1] if len(shown) == 2 and shown[0] == "installed" else ""


def _versions(host: Host, name: str) -> list[str]:
    """Those that apt can get, the newest first, as `apt-cache madison` lists them."""
    lines = host.must("apt-cache", "madison", name).out.splitlines()
    return list(dict.fromkeys(line.split("|")[1].strip() for line in lines if line.count("|") == 2))


def _candidate(host: Host, name: str) -> str:
    """The one that apt would take: preferences may have another opinion than 'the newest'."""
    match = re.search(r"^ *Candidate: (\S+)", host.must("apt-cache", "policy", name).out, re.MULTILINE)
    return match[1] if match else ""


def upstream(version: str) -> str:
    """The engine's own version in that of its package: '5:28.5.1-1~debian.12' has 28.5.1, '20.10.24+dfsg1-1' has 20.10.24."""
    return re.sub(r"[-+~].*", "", version.partition(":")[2] or version)


__all__ = (
    "MEND",
    "Upgrade",
    "find_upgrade",
    "upstream",
)
