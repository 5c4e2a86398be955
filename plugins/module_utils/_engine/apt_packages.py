# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The engine's packages, as apt has them: which version is there, which can come, and the commands that bring it or the old one back."""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import re
import shutil
import tempfile
import typing as t

from .._errors import DrydockError
from .._host import files
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
    """Packages that change together with the daemon's restart.

    :param before: versions by package, as they are, empty where there is none, and
    :param after: as they will be, empty where it goes.
    :param back: whether the package manager can bring the old ones back.
    """

    before: t.Dict[str, str]
    after: t.Dict[str, str]
    back: bool

    @property
    def downloads(self) -> list[list[str]]:
        """Get them while everything runs, and those that are there as well: nobody waits for a network when they have to come back."""
        there = {name: version for name, version in self.before.items() if version} if self.back else {}
        return [[*_INSTALL, "--download-only", *_specs(self.after)], *([[*_INSTALL, "--download-only", "--reinstall", *_specs(there)]] if there else [])]

    @property
    def forth(self) -> list[str]:
        """Install them."""
        return [*_INSTALL, *_specs(self.after)]

    @property
    def undo(self) -> list[str]:
        """Install what was there."""
        return [*_INSTALL, *_specs(self.before)]

    def __str__(self) -> str:
        words = [f"{name} from {self.before[name] or 'none'} to {after}" for name, after in self.after.items() if after]
        gone = [f"{name} {version}" for name, version in self.before.items() if not self.after[name]]
        return " and ".join(words) + (f" in place of {' and '.join(gone)}" if gone else "")


def _specs(versions: t.Mapping[str, str]) -> list[str]:
    # A dash behind a name removes a package.
    return [f"{name}={version}" if version else f"{name}-" for name, version in versions.items()]


def find_upgrade(host: Host, names: t.Sequence[str], version: str, replaces: t.Sequence[str] = ()) -> Upgrade:
    """What has to change: of the first package that version, of the others the same one where they have it; empty where nothing has.

    :param names: of the engine's packages, that of the daemon first.
    :param version: as the package manager has it, a pattern too; empty for the newest.
    :param replaces: packages of another source, which go; with any of them the others need not be there.
    :raises DrydockError: no apt, apt does not answer, there is no such package or version, or apt would take away more than is said.
    """
    if not shutil.which("apt-get"):
        raise DrydockError(
            "package-manager", "This host has no apt-get, and no other package manager is known here.", "Upgrade the engine by hand; daemon_state restarts it."
        )
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    back = True
    leaving = {name: installed for name, installed in ((name, _installed(host, name)) for name in replaces) if installed}
    for name in names:
        installed = _installed(host, name)
        known = _versions(host, name)
        fitting = [one for one in known if fnmatch.fnmatchcase(one, version or "*")]
        is_there = bool(installed or (leaving and (fitting or name != names[0])))
        if not is_there or (not fitting and name == names[0]):
            what = f"version '{version}' of {name}" if is_there or version else f"package {name} installed"
            raise DrydockError(
                "package-unavailable", f"There is no {what}: the package manager has {', '.join(known) or 'none'}.", f"See 'apt-cache madison {name}'."
            )
        stays = bool(installed and version) and (not fitting or fnmatch.fnmatchcase(installed, version))
        wanted = installed if stays else fitting[0] if version and fitting else _candidate(host, name)
        if wanted != installed:
            before[name], after[name] = installed, wanted
            back = back and (not installed or installed in known)
    for name, installed in leaving.items():
        before[name], after[name] = installed, ""
        back = back and installed in _versions(host, name)
    client = after.get(_ENGINE, "")
    if client and _CLIENT not in names and not _installed(host, _CLIENT) and client in _versions(host, _CLIENT):
        before[_CLIENT], after[_CLIENT] = "", client
    found = Upgrade(before, after, back)
    if leaving:
        _refuse_more(host, found)
    return found


def _refuse_more(host: Host, upgrade: Upgrade) -> None:
    """Who else needs a package that goes, goes with it: apt does that without asking.

    :raises DrydockError: apt would remove more than is said, or cannot do it at all.
    """
    told = host.must(*_INSTALL, "--simulate", *_specs(upgrade.after)).out
    more = [name for name in re.findall(r"^Remv (\S+)", told, re.MULTILINE) if name.partition(":")[0] not in upgrade.after]
    if more:
        gone = " and ".join(name for name, version in upgrade.after.items() if not version)
        raise DrydockError("package-conflict", f"{' and '.join(more)} would be removed with {gone}.", "Remove it first, if nothing of it is needed.")


def packaged_unit(host: Host, name: str, version: str) -> str:
    """The text of docker.service in a package that is not installed yet; empty where it has none.

    :raises CommandFailed: the package cannot be fetched, or not be read.
    """
    with tempfile.TemporaryDirectory(prefix="drydock-") as place:
        host.must("sh", "-c", 'cd "$1" && apt-get download "$2" && dpkg-deb --extract ./*.deb tree', "sh", place, f"{name}={version}", timeout=None)
        found = (files.read(os.path.join(place, "tree", top, "systemd/system/docker.service")) for top in ("lib", "usr/lib"))
        return next(filter(None, found), "")


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
    "packaged_unit",
    "upstream",
)
