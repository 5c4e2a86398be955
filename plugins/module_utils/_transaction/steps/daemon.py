# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Hold, stop, start and release the daemon, or let it read its configuration again."""

from __future__ import annotations

import shutil
import time
import typing as t

from ..._engine import daemon_json, running_set
from ..._engine.events import EventStream, deeds, running_after, taken
from ..._engine.image_store import Store, driver_directories, has_layers
from ..._engine.inventory import take_inventory
from ..._errors import EngineError
from ..._host import files
from ..._host.processes import process_identity
from ..._observe.down import note_down
from ..._plan.order import HOLD, RELEASE, RELOAD, RELOAD_UNITS, RELOADING, START, STOP
from ..surroundings import as_planned, before_start, before_stop, device_volumes
from .base import Step
from .roots import lead_to_new_roots, names_of_kept


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
        path = self.host.places.daemon_json
        as_planned(self.context)
        text = files.read(path)
        self.text = daemon_json.render({**daemon_json.parse(text, path), "live-restore": False})
        return {"text": text, "live_restore_text": self.text}

    def apply(self) -> None:
        files.write(self.host.places.daemon_json, self.text)
        self.context.service.signal_reload()
        engine = self.context.engine(self.plan.before)
        self.context.wait("not-proved", lambda: engine.get("/info")["LiveRestoreEnabled"] is False, 30, "live-restore could not be switched off")

    def put_back(self, line: dict[str, t.Any]) -> None:
        self.context.put_back(self.host.places.daemon_json, line["text"], line.get("live_restore_text"))

    def undo(self, line: dict[str, t.Any]) -> str:
        rewritten = self.context.is_rewritten
        self.put_back(line)
        if self.context.service.main_pid():
            self.context.service.signal_reload()
            # A daemon that runs reads this without a restart.
            self.context.is_rewritten = rewritten
        return ""


class Stop(Step):
    """Stop the daemon, and with it all containers. Undoing it starts the old one with all that ran."""

    name = STOP

    def facts(self) -> dict[str, t.Any]:
        before_stop(self.context)
        engine = self.context.engine(self.plan.before)
        # From before the inventory on, so that nothing happens unseen between the two.
        self.events = EventStream(engine, self.host.now())
        return {
            "inventory": take_inventory(engine).to_data(),
            "daemon_json": files.read(self.host.places.daemon_json),
            "dependents": self.context.service.dependents(),
            "device_volumes": device_volumes(self.context),
        }

    def apply(self) -> None:
        context = self.context
        context.stopped_at = time.monotonic()
        context.service.stop_dependents(context.noted("dependents") or [])
        # What comes to be from here on would be undone with the change.
        context.close(self.plan.before)
        context.journal.note("closed", self.name)
        stopping = self.host.now()
        self.events.end_soon()
        try:
            context.service.stop(keep_socket=self._keeps_socket())
        finally:
            events = self.events.end()
            inventory = context.inventory()
            restarted = {one.id for one in inventory.containers.values() if one.policy != "no"}
            ran = running_after((one.id for one in inventory.running_set()), [one for one in events if one.at <= stopping], restarted)
            context.journal.note("seen", self.name, ran=ran, taken=sorted(taken(events)))

    def _keeps_socket(self) -> bool:
        """Whether docker.socket has nothing to gain from a new start, and is opened only behind the daemon's."""
        plan = self.plan
        # Where dockerd had a socket of its own at that path, systemd's has no name any more.
        used = any(one.scheme == "fd" for one in plan.before.addresses)
        changes = plan.before.systemd_socket != plan.after.systemd_socket or any("/docker.socket.d/" in change.path for change in plan.files)
        return used and not (changes or plan.packages or self.context.policies_act(plan.after))

    def undo(self, line: dict[str, t.Any]) -> str:
        context, before = self.context, self.plan.before
        rewritten = context.is_rewritten
        for one in context.begun():
            if one["step"] == LiveRestoreOff.name:
                LiveRestoreOff(context, one["step"]).put_back(one)
        if context.service.main_pid() and rewritten and not context.differences and not self._is_foreign(line):
            # A boot has started it with half of the change. Where somebody has put his own words into the files, he has taken it over.
            context.service.stop()
        if not context.service.main_pid():
            more = self._more(line)
            if not more:
                self._say_store()
            context.hold(before, more)
            context.start(before, self.plan.after)
        engine = context.engine(before)
        running = context.running_set(engine)
        # Some containers mount the socket.
        closed = context.open()
        down = running_set.start_again(context.engine(before), running)
        note_down(self.host, running, down)
        failures = list(down.values())
        back = f"{len(running) - len(failures)} of {len(running)} {'container runs' if len(running) == 1 else 'containers run'} again."
        failures += [*closed, *context.service.start_dependents(line.get("dependents") or [])]
        root = f" on {before.data_root}" if self.plan.move else ""
        return " ".join([f"The old configuration was restored, the daemon answers{root}, {back}", *failures])

    def _say_store(self) -> None:
        """A storage driver that was tried, and has images by now, would be taken for the one of the old configuration, too, where that is silent."""
        context, path = self.context, self.host.places.daemon_json
        filled, stores = context.noted("filled"), context.noted("stores") or {}
        settings = daemon_json.flat(daemon_json.parse(files.read(path), path))
        if filled and stores.get("before") == Store(True).name and daemon_json.SNAPSHOTTER not in settings:
            files.write(path, daemon_json.render(daemon_json.folded({**settings, daemon_json.SNAPSHOTTER: True})))
            context.differences.append(f"{path} has {daemon_json.SNAPSHOTTER}, because somebody has filled {', '.join(filled)}, which would be used else")

    def _more(self, line: dict[str, t.Any]) -> tuple[str, ...]:
        """Where somebody has changed daemon.json since the stop, the old command starts with what that said: with his, nobody knows whether it would
        come up, and on which root. His file stays as it is."""
        if not self._is_foreign(line):
            return ()
        files.write(self.host.places.old_daemon_json, line["daemon_json"] or "{}", 0o600)
        # The last of two counts.
        return ("--config-file", self.host.places.old_daemon_json)

    def _is_foreign(self, line: dict[str, t.Any]) -> bool:
        """Whether daemon.json is neither what it was at the stop, nor before the hold switched live-restore off in it."""
        hold = next((one for one in self.context.begun() if one["step"] == LiveRestoreOff.name), {"text": line.get("daemon_json")})
        return "daemon_json" in line and files.read(self.host.places.daemon_json) not in (line["daemon_json"], hold["text"])


class ReloadUnits(Step):
    """Let systemd read its unit files again."""

    name = RELOAD_UNITS

    def apply(self) -> None:
        self.context.service.reload_units()


class Start(Step):
    """Start the daemon with all containers held back."""

    name = START

    def facts(self) -> dict[str, t.Any]:
        return {"drivers": driver_directories(self.plan.after.data_root)}

    def apply(self) -> None:
        before_start(self.context)
        began = self.host.now()
        self.context.start(self.plan.after, self.plan.before)
        self.context.journal.note("started", self.name, since=began, process=process_identity(self.context.service.main_pid()))

    def undo(self, line: dict[str, t.Any]) -> str:
        context, pid = self.context, self.context.service.main_pid()
        ours = context.noted("process")
        if pid and (process_identity(pid) != ours if ours else not context.service.is_held()):
            # Somebody else has started it since, or a boot: it runs as its files say.
            return ""
        events, running = self._watch() if pid and ours else (None, [])
        context.hold(self.plan.before)
        if events:
            events.end_soon()
        context.service.stop()
        done = deeds(events.end()) if events else []
        if done:
            # Neither thrown away nor forgotten: what ran there, and a copy that has more than the old root.
            context.journal.note("deeds", self.name, deeds=done, also_ran=running)
        self._forget_drivers(line.get("drivers"))
        return ""

    def _forget_drivers(self, there: list[str] | None) -> None:
        """An engine from 29 on takes a storage driver that was tried once: the directories that this start has made go, unless somebody has filled them."""
        made = set(driver_directories(self.plan.after.data_root)) - set(there) if there is not None else set()
        filled = {path for path in made if has_layers(path)}
        for path in made - filled:
            shutil.rmtree(path)
        if filled:
            self.context.journal.note("filled", self.name, filled=sorted(filled))

    def _watch(self) -> tuple[EventStream | None, list[str]]:
        """What others did on the new side since its start and do until its end, and what runs there."""
        engine = self.context.engine(self.plan.after)
        try:
            return EventStream(engine, self.context.noted("since")), [one.id for one in take_inventory(engine).running_set()]
        except EngineError:
            return None, []


class Release(Step):
    """Start what ran, and let others start and stop the daemon again. From here on containers write what the old state lacks."""

    name = RELEASE
    undoable = False
    # What somebody has stopped since is not started once more.
    repeatable = False

    def facts(self) -> dict[str, t.Any]:
        # Read before it has begun: from then on there is no undoing.
        self.running = [] if self.plan.hides else self.context.running_set(self.context.engine(self.plan.after))
        return {"kept": names_of_kept(self.context)} if self.plan.moves else {}

    def apply(self) -> None:
        context = self.context
        lead_to_new_roots(context)
        # Some containers mount the socket.
        context.outcome.failures += context.open()
        down = running_set.start_again(context.engine(self.plan.after), self.running)
        context.outcome.failures += down.values()
        context.outcome.started = len(self.running) - len(down)
        if context.stopped_at is not None:
            context.outcome.downtime = round(time.monotonic() - context.stopped_at, 2)
        note_down(self.host, self.running, down)
        context.service.unhold()
        dependents = context.noted("dependents") or []
        failed = context.service.start_dependents(dependents)
        context.outcome.failures += failed
        if dependents and not failed:
            context.outcome.remarks.append(f"Started again behind the daemon: {', '.join(dependents)}.")


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
