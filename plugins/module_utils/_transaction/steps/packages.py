# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Another version of the engine's packages."""

from __future__ import annotations

import os
import typing as t

from ..._engine.apt_packages import MEND, Upgrade
from ..._plan.order import DOWNLOAD_PACKAGES, INSTALL_PACKAGES
from .base import Step


class PackageStep(Step):
    """A step that needs to know the packages."""

    @property
    def packages(self) -> Upgrade:
        """Which they are."""
        if self.plan.packages is None:
            raise AssertionError("this plan changes no packages")
        return self.plan.packages


class DownloadPackages(PackageStep):
    """Get the packages while everything runs."""

    name = DOWNLOAD_PACKAGES

    def apply(self) -> None:
        self.host.say(f"getting {', '.join(self.packages.after)}")
        self.host.must(*self.packages.download, timeout=None)


class InstallPackages(PackageStep):
    """Install them while the daemon is held."""

    name = INSTALL_PACKAGES

    def apply(self) -> None:
        self.host.must(*self.packages.forth, timeout=None)
        if self.plan.effect == "restart":
            # The new package may have another unit, with another command.
            service = self.context.service
            unit = service.read({os.path.basename(name) for ask in self.plan.owners.values() for name in ask.drop_ins})
            service.hold(unit.start_line(unit.ours), "", self.plan.after.systemd_socket)

    def undo(self, line: dict[str, t.Any]) -> str:
        """Install what was there, where the package manager still has it; says so."""
        packages = self.packages
        if self.context.service.main_pid():
            # A boot has started what was there by then.
            self.context.hold(self.plan.before)
            self.context.service.stop()
        self.host.must(*MEND, timeout=None)
        if not packages.back:
            return f"The package manager does not have {' and '.join(packages.before)} of the old version any more."
        self.host.must(*packages.undo, timeout=None)
        return f"{' and '.join(f'{name} {version}' for name, version in packages.before.items())} came back."


__all__ = ("DownloadPackages", "InstallPackages")
