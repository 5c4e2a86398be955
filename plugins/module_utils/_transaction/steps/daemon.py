# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Hold, stop, start and release the daemon, or let it read its configuration again."""

from __future__ import annotations

import time
import typing as t

from ..._engine import daemon_json, running_set
from ..._engine.inventory import take_inventory
from ..._host import files
from ..._plan.order import HOLD, RELEASE, RELOAD, RELOAD_UNITS, RELOADING, REMOVE, START, STOP, WRITE
from .base import Step
from .prove import prove


class Hold(Step):
    """Keep everybody from starting the daemon."""

    name = HOLD

    def apply(self) -> None:
        self.context.hold(self.plan.after)
        if self.plan.live_restore and (self.plan.moves or self.plan.hides):
            self.context.do(LiveRestoreOff(self.context, LiveRestoreOff.name))

    def undo(self, line: dict[str, t.Any]) -> str:
        self.context.service.unhold()
        return ""


class LiveRestoreOff(Step):
    """Containers that outlive the daemon would go on writing to the old root. The removed key would keep the old value: false is written.

    It is part of the hold, and in no plan: who reads a plan knows that containers stop.
    """

    name = "live-restore off"

    def facts(self) -> dict[str, t.Any]:
        return {"text": files.read(self.host.places.daemon_json)}

    def apply(self) -> None:
        path = self.host.places.daemon_json
        files.write(path, daemon_json.render({**daemon_json.parse(files.read(path), path), "live-restore": False}))
        self.context.service.signal_reload()
        engine = self.context.engine(self.plan.before)
        self.context.wait("not-proved", lambda: engine.get("/info")["LiveRestoreEnabled"] is False, 30, "live-restore could not be switched off")

    def put_back(self, line: dict[str, t.Any]) -> None:
        files.put(self.host.places.daemon_json, line["text"])

    def undo(self, line: dict[str, t.Any]) -> str:
        self.put_back(line)
        if self.context.service.main_pid():
            self.context.service.signal_reload()
        return ""


class Stop(Step):
    """Stop the daemon, and with it all containers. Undoing it starts the old one with all that ran."""

    name = STOP

    def facts(self) -> dict[str, t.Any]:
        # What comes to be from here on would be in no inventory, and undone with the change.
        self.context.close(self.plan.before)
        return {"inventory": take_inventory(self.context.engine(self.plan.before)).to_data()}

    def apply(self) -> None:
        self.context.stopped_at = time.monotonic()
        self.context.service.stop(keep_socket=self._keeps_socket())

    def _keeps_socket(self) -> bool:
        """Whether docker.socket has nothing to gain from a new start, and is opened only behind the daemon's."""
        plan = self.plan
        changes = plan.before.systemd_socket != plan.after.systemd_socket or any("/docker.socket.d/" in change.path for change in plan.files)
        return not (changes or plan.packages or self.context.policies_act(plan.after))

    def undo(self, line: dict[str, t.Any]) -> str:
        context, before = self.context, self.plan.before
        running = context.inventory().running_set()
        begun = context.begun()
        for one in begun:
            if one["step"] == LiveRestoreOff.name:
                LiveRestoreOff(context, one["step"]).put_back(one)
        context.hold(before)
        if context.service.main_pid() and any(one["step"].partition(" /")[0] in (WRITE, REMOVE) for one in begun):
            # A boot in between started it with half of the change.
            context.service.stop()
        context.start(before, self.plan.after)
        prove(context, before)
        # Some containers mount the socket.
        context.service.gate.open()
        failures = running_set.start_again(context.engine(before), running)
        where = f" on {before.data_root}"
        back = f"{len(running) - len(failures)} of {len(running)} {'container runs' if len(running) == 1 else 'containers run'} again."
        return " ".join([f"The old configuration was restored, the daemon answers{where if self.plan.move else ''}, {back}", *failures])


class ReloadUnits(Step):
    """Let systemd read its unit files again."""

    name = RELOAD_UNITS

    def apply(self) -> None:
        self.context.service.reload_units()


class Start(Step):
    """Start the daemon with all containers held back."""

    name = START

    def apply(self) -> None:
        self.context.start(self.plan.after, self.plan.before)

    def undo(self, line: dict[str, t.Any]) -> str:
        self.context.hold(self.plan.before)
        self.context.service.stop()
        return ""


class Release(Step):
    """Start what ran, and let others start and stop the daemon again. From here on containers write what the old state lacks."""

    name = RELEASE
    undoable = False
    # What somebody has stopped since is not started once more.
    repeatable = False

    def facts(self) -> dict[str, t.Any]:
        # Read before it has begun: from then on there is no undoing.
        self.running = [] if self.plan.hides else self.context.inventory().running_set()
        return {}

    def apply(self) -> None:
        context = self.context
        # Some containers mount the socket.
        context.service.gate.open()
        context.outcome.failures = running_set.start_again(context.engine(self.plan.after), self.running)
        context.outcome.started = len(self.running) - len(context.outcome.failures)
        if context.stopped_at is not None:
            context.outcome.downtime = round(time.monotonic() - context.stopped_at, 2)
        context.service.unhold()


class Reloading(Step):
    """Undoing comes back here last, when the files are restored, and lets dockerd read them."""

    name = RELOADING

    def apply(self) -> None:
        """There is nothing to do yet."""

    def undo(self, line: dict[str, t.Any]) -> str:
        if self.plan.unit_changes:
            self.context.service.reload_units()
        self.context.service.signal_reload()
        return "The old configuration was restored and read again."


class Reload(Step):
    """Let dockerd read daemon.json again."""

    name = RELOAD

    def apply(self) -> None:
        self.context.service.signal_reload()


__all__ = ("Hold", "LiveRestoreOff", "Release", "Reload", "ReloadUnits", "Reloading", "Start", "Stop")
