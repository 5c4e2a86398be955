# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Another version of the engine's packages."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ..._engine.apt_packages import MEND, Upgrade
from ..._engine.inventory import take_inventory
from ..._errors import EngineError
from ..._host import files
from ..._host.processes import process_identity
from ..._observe.state import DEFAULT_DATA_ROOT
from ..._plan.order import DOWNLOAD_PACKAGES, INSTALL_PACKAGES
from ..._plan.placeholders import drop_ins_of_docker
from ..surroundings import before_stop, unit_now
from .base import Step

# What docker.io.prerm leaves and docker.io.postrm looks for.
_PURGES = ("nuke-graph-directory.sh", ".purge_sentinel")


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
        for command in self.packages.downloads:
            self.host.must(*command, timeout=None)


class InstallPackages(PackageStep):
    """Install them while the daemon goes on as the process that it is: nobody is down for the unpacking."""

    name = INSTALL_PACKAGES

    def facts(self) -> dict[str, t.Any]:
        if self.plan.effect == "restart":
            # Behind it nobody can tell any more whether it was the package that has changed the unit.
            before_stop(self.context)
        pid = self.context.service.main_pid()
        return {"old_process": process_identity(pid) if pid else ""}

    def apply(self) -> None:
        context = self.context
        with context.service.staying():
            self.host.must(*self.packages.forth, timeout=None)
            self._disarm()
        if self.plan.effect == "restart":
            # The new package may have another unit, with another command.
            unit, path = unit_now(context), self.host.places.daemon_json
            seen = {name: digest for name, digest in (context.noted("seen") or {}).items() if name == path}
            context.journal.note(
                "unit", self.name, seen={**seen, **unit.digests}, lines={**(context.noted("lines") or {}), "after": unit.start_line(self._drop_ins)}
            )
            context.hold(self.plan.after)

    def _disarm(self) -> None:
        """Debian's package, when it goes, leaves beside the data what its purge removes them by: all of them, whoever's engine uses them then."""
        if "" in self.packages.after.values():
            for name in _PURGES:
                files.remove(os.path.join(DEFAULT_DATA_ROOT, name))

    @property
    def _drop_ins(self) -> dict[str, str]:
        """Ours, as they will be."""
        return drop_ins_of_docker({name: text for ask in self.plan.owners.values() for name, text in ask.drop_ins.items()})

    def undo(self, line: dict[str, t.Any]) -> str:
        """Install what was there, where the package manager still has it; says so."""
        context, packages = self.context, self.packages
        pid = context.service.main_pid()
        if pid and process_identity(pid) != line.get("old_process"):
            # systemd or a boot has started what was there by then.
            with contextlib.suppress(EngineError):
                running = take_inventory(context.engine(self.plan.before)).running_set()
                context.journal.note("restarted", self.name, also_ran=[one.id for one in running])
            context.hold(self.plan.before)
            context.service.stop()
        with context.service.staying():
            self.host.must(*MEND, timeout=None)
            if not packages.back:
                return f"The package manager does not have {' and '.join(packages.before)} of the old version any more."
            self.host.must(*packages.undo, timeout=None)
        return f"{' and '.join(f'{name} {version}' for name, version in packages.before.items() if version)} came back."


__all__ = ("DownloadPackages", "InstallPackages")
