# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""One mechanism for everything that touches the daemon: apply a plan step by step, prove the result, undo on any failure.

Each step is noted in the journal before it acts, with all that undoing it needs, so that undoing reads nothing but the journal:
it works the same in this process and in the next one after a crash. Up to the release of the containers the new state has
written nothing that the old one lacks, and undoing loses nothing; from the release on there is no undoing.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import functools
import os
import socket
import time
import typing as t

from . import _addresses, _certificates, _confirm, _containerd, _containers, _daemon_json, _files, _keys, _mounts, _notes, _roots, _stored_paths, _tree
from ._copy import Copier, full_disk
from ._engine import Engine
from ._errors import DrydockError, EngineError, wrapping
from ._host import Host, command_line, process_fields
from ._journal import Journal
from ._notes import Notes, Past
from ._observe import Inventory, addresses, process_identity, take_inventory
from ._outcome import Moved, Outcome, record
from ._packages import MEND, Upgrade
from ._plan import DATA_ROOT, Move, Plan, Side
from ._service import CONTAINERD
from ._sysv import service_of

# More warm passes than this never paid; a pass that sends less than the second number is the last one.
_WARM_PASSES, _SMALL_PASS = 4, 16 << 20
# For what a change adds to the notes: the settings that were proved, and the moves.
_NOTES_ROOM = 16 << 10
# How often the daemon is given a tenth of a second more for containers that are just dying.
_DYING_LOOKS = 50
# A time that shows whether a file system keeps all of it.
_ODD_NANOSECONDS = 1_500_000_000_123_456_789
# For a forecast: bytes a second that any disk copies, what a container takes to start, and the engine's own pause before plain tcp.
_SLOW_DISK, _CONTAINER_SECONDS, _INSECURE_SECONDS = 50 << 20, 0.2, 1.0


@contextlib.contextmanager
def locked(host: Host, what: str) -> t.Iterator[None]:
    """One change at a time on a host.

    :raises DrydockError: somebody else holds the lock; says who and since when.
    """
    with open(host.places.lock, "a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            stream.seek(0)
            raise DrydockError(
                "lock-held", f"Another change of this host's Docker daemon is under way: {stream.read().strip() or 'unknown'}.", "Wait until it ends."
            ) from exc
        stream.truncate(0)
        since = datetime.datetime.fromtimestamp(host.now()).astimezone().isoformat(timespec="seconds")
        stream.write(f"{what}, process {os.getpid()}, since {since}")
        stream.flush()
        yield


class Transaction:
    """A plan under way; its journal is open."""

    def __init__(self, host: Host, plan: Plan, journal: Journal) -> None:
        self.host = host
        self.plan = plan
        self.journal = journal
        self.service = service_of(host, with_containerd=plan.containerd is not None)
        self.outcome = Outcome()
        self._stopped_at: float | None = None
        self._copiers: dict[str, Copier] = {}

    # Going forward ---------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Apply the whole plan.

        :raises DrydockError: it failed and everything was undone; the message says what failed and what was restored.
        """
        self._stage()
        try:
            for step in self.plan.steps:
                began = time.monotonic()
                try:
                    self._apply(step)
                except Exception as exc:
                    if self._released():
                        raise _unfinished(step, exc) from exc
                    raise self._undone(step, exc) from exc
                self._took(step, began)
        finally:
            for copier in self._copiers.values():
                copier.untrack()
        self.outcome.applied = self.plan.effect
        settle(self.host, self.plan, self.outcome)
        self.close()
        return self.outcome

    def _stage(self) -> None:
        """Write every file beside its place, so that a disk that fills up later stops neither the change nor its undoing."""
        for change in self.plan.files:
            _files.stage(change.path, change.after)
        notes = self._committed_notes()
        _files.stage(_notes.path_of(self.host), notes, 0o600)
        # What will be in force and was moved comes to it in the end.
        _files.reserve(_notes.path_of(self.host), 2 * len(notes) + _NOTES_ROOM)

    def _committed_notes(self) -> str:
        notes = _notes.load(self.host)
        return Notes(self.plan.owners, notes.settled, self.plan.marker, self.plan.history, self.plan.containerd_marker, notes.files).text()

    def close(self) -> str:
        """Remove what was staged and close the journal; returns where it is kept."""
        for path in (*(change.path for change in self.plan.files), _notes.path_of(self.host)):
            _files.unstage(path)
        return self.journal.close()

    def _took(self, what: str, began: float) -> float:
        seconds = round(time.monotonic() - began, 3)
        self.outcome.phases.append({"phase": what, "seconds": seconds})
        return seconds

    def _apply(self, step: str) -> None:
        verb, _space, path = step.partition(" /")
        if verb in ("write", "remove"):
            change = next(one for one in self.plan.files if one.path == "/" + path)
            self.journal.note("begin", step)
            _files.put(change.path, change.after)
        else:
            getattr(self, "_do_" + step.replace(" ", "_"))()
        self.journal.note("done", step)

    def _do_take_back(self) -> None:
        self.journal.note("begin", "take back")
        for move in self.plan.moves:
            if move.base:
                _roots.take_back(move.base, move.target)

    def _do_warm_copy(self) -> None:
        self.journal.note("begin", "warm copy")
        for move in self.plan.copies:
            with _telling_full_disk(move):
                self._copiers[move.tree] = self._begin_copy(move)
        self._warm_copy(self.plan.copies)
        for move in self.plan.copies:
            if move.verify == "checksum":
                self._copiers[move.tree].compare_contents()

    def _begin_copy(self, move: Move) -> Copier:
        _files.make_directories(move.target, 0o711)
        mark = os.path.join(move.target, _tree.COPY_MARK)
        _files.write(mark, f"An unfinished copy of {move.source} by drydock.dockerd; safe to remove.\n")
        os.utime(mark, ns=(_ODD_NANOSECONDS, _ODD_NANOSECONDS))
        if os.stat(mark).st_mtime_ns != _ODD_NANOSECONDS:
            raise DrydockError(
                "file-system",
                f"The file system of {move.target} keeps no nanoseconds, so no copy there can be exact.",
                "Make it anew with inodes of 256 bytes (mkfs.ext4 -I 256).",
            )
        copier = Copier(self.host, move.source, move.target, move.bandwidth_limit)
        copier.resume()
        if self.plan.moves:
            copier.track()
        return copier

    def _warm_copy(self, moves: list[Move]) -> None:
        """Passes over all that is copied, in turn: what one of them writes must not be a flood of events to the other one's last pass."""
        last = None
        for number in range(1, _WARM_PASSES + 1):
            began = time.monotonic()
            sent = _tree.Totals(0, 0)
            for move in moves:
                with _telling_full_disk(move):
                    sent += self._copiers[move.tree].warm_pass()
            seconds = self._took(f"warm copy, pass {number}", began)
            self.outcome.sent_bytes, self.outcome.sent_files = self.outcome.sent_bytes + sent.bytes, self.outcome.sent_files + sent.files
            self.host.say(f"warm copy, pass {number}: {_tree.human(sent.bytes)} in {sent.files:,} files, {seconds:.1f} s")
            if (sent.bytes < _SMALL_PASS and number > 1) or (last is not None and sent.bytes > last / 2):
                break
            last = sent.bytes
        self._forecast(sent.bytes, seconds)
        limit = self.plan.changing_limit
        if self.plan.moves and limit and sent.bytes > limit:
            raise DrydockError(
                "changing-limit",
                f"Containers write as fast as they are copied: the last pass still had {_tree.human(sent.bytes)} to send, which took {seconds:.1f} s, "
                f"and a cut-over would have the containers down for as long. More than {_tree.human(limit)} is not wanted, so the daemon was not stopped",
                "Slow down what writes, or set docker_data_root_changing_limit higher ('0' for no limit). The copy is kept, and the next run goes on with it.",
            )

    def _forecast(self, changing: int, seconds: float) -> None:
        running = self._engine(self.plan.before).get("/info").get("ContainersRunning") or 0
        listens = [_addresses.parse(text) for text in addresses(self.plan.after.settings)]
        outage = self.service.last_restart_seconds() + running * _CONTAINER_SECONDS + min(seconds, changing / _SLOW_DISK)
        outage += _INSECURE_SECONDS if _addresses.plain(listens, self.plan.after.settings) else 0
        self.outcome.forecast = {"changing_bytes": changing, "outage_seconds": round(outage, 1)}
        self.host.say(f"expected outage: about {self.outcome.forecast['outage_seconds']} s")

    def _do_discard(self) -> None:
        self.journal.note("begin", "discard")
        for one in self.plan.doomed:
            if os.path.lexists(one.path):
                self.host.say(f"removing {one.path}")
                _roots.remove(one.path, one.inode, _files.read(self.host.places.mountinfo) or "")

    def _do_hold(self) -> None:
        self.journal.note("begin", "hold")
        self._hold(self.plan.after)
        if self.plan.live_restore and (self.plan.moves or self.plan.hides):
            self._live_restore_off()

    def _hold(self, side: Side) -> None:
        # Of containers that come into view nobody knows who ran: their policies do.
        policies = side is self.plan.after and (bool(self.plan.hides) or self.plan.effect == "start")
        self.service.hold(side.command, side.containerd, side.systemd_socket, policies)

    def _live_restore_off(self) -> None:
        """Containers that outlive the daemon would go on writing to the old root. The removed key would keep the old value: false is written."""
        path = self.host.places.daemon_json
        text = _files.read(path)
        self.journal.note("begin", "live-restore off", text=text)
        _files.write(path, _daemon_json.render({**_daemon_json.parse(text, path), "live-restore": False}))
        self.service.signal_reload()
        engine = self._engine(self.plan.before)
        self._wait("not-proved", lambda: engine.get("/info")["LiveRestoreEnabled"] is False, 30, "live-restore could not be switched off")

    def _do_stop(self) -> None:
        inventory = take_inventory(self._engine(self.plan.before))
        self.journal.note("begin", "stop", inventory=inventory.to_data())
        self._stopped_at = time.monotonic()
        self.service.stop()

    def _do_final_copy(self) -> None:
        self.journal.note("begin", "final copy")
        for move in self.plan.copies:
            with _telling_full_disk(move):
                self._final_copy(move, self._copiers[move.tree])

    def _final_copy(self, move: Move, copier: Copier) -> None:
        self._nothing_left_alive(move.source)
        sent = copier.final_pass()
        if move.verify == "checksum":
            copier.compare_contents(path for path in copier.copied if path not in copier.trusted)
        self.host.say(f"final copy of the {move.what}: {_tree.human(sent.bytes)} in {sent.files:,} files")
        self._rewrite_paths(move, move.target)
        self._mark(move, move.target)
        copier.sync(move.target)

    def _rewrite_paths(self, move: Move, root: str) -> None:
        if move.tree == DATA_ROOT:
            _stored_paths.rewrite_all(root)

    def _mark(self, move: Move, root: str) -> None:
        _files.write(
            os.path.join(root, move.marker),
            f"The {move.what} of this host's Docker daemon, moved from {move.source}. docker.service does not start without this file.\n",
        )

    def _do_rename(self) -> None:
        self.journal.note("begin", "rename")
        for move in self.plan.moves:
            if move.rename:
                self._rename(move)

    def _rename(self, move: Move) -> None:
        self._nothing_left_alive(move.source)
        self._mark(move, move.source)
        _roots.exchange(move.source, move.target)
        self._rewrite_paths(move, move.target)

    def _nothing_left_alive(self, source: str) -> None:
        """No container outlived the daemon, and nothing of it is mounted: a classic build may leave its layer after a clean stop."""
        looks = 0
        while shims := _busy_shims():
            if looks == _DYING_LOOKS:
                raise DrydockError(
                    "containers-alive",
                    f"{len(shims)} containers outlived the daemon's stop (containerd-shim {', '.join(shims)}).",
                    "Stop them, then run again.",
                )
            looks += 1
            self.host.sleep(0.1)
        for point in _mounts.points_below(source, _mounts.parse_mountinfo(_files.read(self.host.places.mountinfo) or "")):
            self.host.must("umount", point)

    def _packages(self) -> Upgrade:
        if self.plan.packages is None:
            raise AssertionError("this plan changes no packages")
        return self.plan.packages

    def _do_download_packages(self) -> None:
        packages = self._packages()
        self.host.say(f"getting {', '.join(packages.after)}")
        self.host.must(*packages.download, timeout=None)

    def _do_install_packages(self) -> None:
        packages = self._packages()
        self.journal.note("begin", "install packages")
        self.host.must(*packages.forth, timeout=None)
        if self.plan.effect == "restart":
            # The new package may have another unit, with another command.
            unit = self.service.read({os.path.basename(name) for ask in self.plan.owners.values() for name in ask.drop_ins})
            self.service.hold(unit.effective(unit.ours), (), self.plan.after.systemd_socket)

    def _take_packages_back(self) -> str:
        """Install what was there, where the package manager still has it; says so."""
        packages = self._packages()
        if self.service.main_pid():
            # A boot has started what was there by then.
            self._hold(self.plan.before)
            self.service.stop()
        self.host.must(*MEND, timeout=None)
        if not packages.back:
            return f"The package manager does not have {' and '.join(packages.before)} of the old version any more."
        self.host.must(*packages.undo, timeout=None)
        return f"{' and '.join(f'{name} {version}' for name, version in packages.before.items())} came back."

    def _do_reload_units(self) -> None:
        self.journal.note("begin", "reload units")
        self.service.reload_units()

    def _do_commit(self) -> None:
        path = _notes.path_of(self.host)
        self.journal.note("begin", "commit", text=_files.read(path))
        _files.put(path, self._committed_notes(), 0o600)
        self.journal.commit()

    def _do_start(self) -> None:
        self.journal.note("begin", "start")
        self._start(self.plan.after, self.plan.before)

    def _do_prove(self) -> None:
        self.journal.note("begin", "prove")
        self._prove(self.plan.after)

    def _do_confirm(self) -> None:
        """The controller reaches the new addresses over a new connection, or they are taken back."""
        self.journal.note("begin", "confirm")
        where = ", ".join(self.plan.confirm)
        self.host.say(f"waiting for the controller to reach {where}, at most {self.plan.confirm_timeout} s")
        _confirm.ask(self.host, self.plan.confirm, self.plan.after.settings)
        try:
            self._wait("not-confirmed", lambda: _confirm.is_given(self.host), self.plan.confirm_timeout, f"the controller did not reach {where}")
        finally:
            _confirm.end(self.host)

    def _do_release(self) -> None:
        running = [] if self.plan.hides else self._inventory().running_set()
        self.journal.note("begin", "release")
        self.outcome.failures = _containers.start_again(self._engine(self.plan.after), running)
        self.outcome.started = len(running) - len(self.outcome.failures)
        if self._stopped_at is not None:
            self.outcome.downtime = round(time.monotonic() - self._stopped_at, 2)
        self.service.unhold()

    def _do_finish(self) -> None:
        # An interrupted run may have come this far: the names are the ones that it noted.
        kept: dict[str, str] = next((line["kept"] for line in self.journal.lines() if "kept" in line), {})
        when = datetime.datetime.fromtimestamp(self.host.now()).strftime("%Y%m%dT%H%M%S")
        kept = kept or {move.tree: _roots.kept_name(move.source, when) for move in self.plan.moves}
        self.journal.note("begin", "finish", kept=kept)
        for move in self.plan.moves:
            copier = self._copiers.get(move.tree)
            whole = _tree.totals(copier.copied if copier else _tree.listing(move.target))
            _files.remove(os.path.join(move.target, _tree.COPY_MARK))
            self.outcome.moved.append(Moved(move, whole.bytes, whole.files, self._finish(move, kept[move.tree])))

    def _finish(self, move: Move, kept: str) -> str:
        """Nothing reads the old root any more; returns where it is kept, empty where it is not."""
        if move.rename:
            _files.remove(move.source)
            return ""
        _roots.set_aside(move.source, kept)
        if move.keep_source:
            return kept
        if os.path.lexists(kept):
            _roots.remove(kept, _notes.inode_of(kept), _files.read(self.host.places.mountinfo) or "")
        return ""

    def _do_reloading(self) -> None:
        """Undoing comes back here last, when the files are restored, and lets dockerd read them."""
        self.journal.note("begin", "reloading")

    def _do_reload(self) -> None:
        self.journal.note("begin", "reload")
        self.service.signal_reload()

    def _do_prove_values(self) -> None:
        self.journal.note("begin", "prove values")
        engine = self._engine(self.plan.after)
        for key, look in _keys.IN_FORCE.items():
            wanted = self.plan.after.settings.get(key)
            if wanted is None or wanted == self.plan.before.settings.get(key):
                continue
            wanted = [one.rstrip("/") for one in wanted] if key == "registry-mirrors" else wanted
            answers = functools.partial(_is_in_force, engine, look, wanted)
            self._wait("not-proved", answers, 10, f"after the reload {key} is not {wanted} in force")

    def _prove(self, side: Side, compare: bool = True) -> None:
        """The daemon answers, on its root and its addresses, and has all that it had."""
        if side.containerd:
            self._prove_containerd(side)
        engine = self._engine(side)
        self._wait("api-silent", lambda: engine.get("/info"), self.plan.ready_timeout, "the daemon does not answer")
        info = engine.get("/info")
        root = os.path.realpath(side.data_root)
        if info["DockerRootDir"] != root and os.path.dirname(info["DockerRootDir"]) != root:
            raise DrydockError("not-proved", f"The daemon uses the data root {info['DockerRootDir']}, not {root}.")
        in_view = side is self.plan.before or not self.plan.hides
        if in_view and self.plan.driver and info["Driver"] != self.plan.driver:
            raise DrydockError("not-proved", f"The daemon uses the storage driver {info['Driver']}, not {self.plan.driver}.")
        differences = self._inventory().differences(take_inventory(engine)) if compare and in_view else []
        if differences:
            raise DrydockError("not-proved", f"The daemon does not have what it had before: {'; '.join(differences[:5])}.")
        for text in addresses(side.settings):
            address = _addresses.parse(text)
            if address.scheme == "tcp":
                _knock(address)

    def _prove_containerd(self, side: Side) -> None:
        """It runs on the root that its command names."""
        command = command_line(self.service.main_pid(CONTAINERD))
        roots = [_containerd.root_of(self.host, words) if words else "nowhere" for words in (command, side.containerd)]
        if roots[0] != roots[1]:
            raise DrydockError("not-proved", f"containerd uses the root {roots[0]}, not {roots[1]}.")

    @property
    def has_to_go_on(self) -> bool:
        """Whether an interrupted transaction can only go forward: behind its commit point, or when a boot between two writes has
        already let the daemon, and with it the containers, work on the new root."""
        if self.journal.committed or not self.plan.moves or not self.service.main_pid() or self.service.is_held():
            return self.journal.committed
        return any(self._is_in_use(move) for move in self.plan.moves)

    def _is_in_use(self, move: Move) -> bool:
        """Whether the running daemon works on the new root, be it by the link that a rename leaves."""
        if move.tree == DATA_ROOT:
            root = str(self._engine(self.plan.before).get("/info")["DockerRootDir"])
            return os.path.realpath(move.target) in (root, os.path.dirname(root))
        command = command_line(self.service.main_pid(CONTAINERD))
        return bool(command) and os.path.realpath(_containerd.root_of(self.host, command)) == os.path.realpath(move.target)

    def go_on(self, compare: bool) -> str:
        """Finish a transaction that was interrupted behind its commit point: from there on the new state is the truth.

        :param compare: whether the daemon must have all that it had; after a boot, what was removed since is the users' business.
        """
        if not self.journal.committed:
            behind = [move for move in self.plan.moves if not self._is_in_use(move)]
            if behind or any(move.rename for move in self.plan.moves):
                # It came up by the link, with the old configuration, or with one root new and the other one old.
                self._hold(self.plan.after)
                self.service.stop()
            for move in behind:
                self._catch_up(move)
            for change in self.plan.files:
                _files.put(change.path, change.after)
            self._apply("commit")
        steps = self.plan.steps
        for step in steps[steps.index("commit") + 1 :]:
            if step == "prove":
                self._prove(self.plan.after, compare)
            else:
                self._apply(step)
        settle(self.host, self.plan, self.outcome)
        return " ".join([f"An interrupted change was finished (evidence: {self.close()}).", *self.outcome.failures])

    def _catch_up(self, move: Move) -> None:
        """Move a root that the daemon has gone on working on since it was copied."""
        if move.rename:
            return self._rename(move)
        copier = Copier(self.host, move.source, move.target)
        copier.resume()
        return self._final_copy(move, copier)

    # Going back ------------------------------------------------------------------------------------------------

    def _released(self) -> bool:
        return any(line["step"] == "release" for line in self.journal.lines())

    def _undone(self, step: str, cause: Exception) -> DrydockError:
        """Undo everything and make the one message of it."""
        sentence, hint = _words(cause)
        try:
            restored = self.undo()
        except Exception as exc:
            return wrapping(cause, "step-failed", f"Failed at '{step}': {sentence}. Undoing failed as well: {_words(exc)[0]}. The next run tries again.", hint)
        evidence = self.close()
        return wrapping(cause, "step-failed", f"Failed at '{step}': {sentence}. {restored} Evidence: {evidence} and {self.service.log}.", hint)

    def undo(self) -> str:
        """Undo what the journal says was begun, in reverse; prove the old state; returns a sentence about what was restored."""
        restored, packages = "Nothing had been changed.", ""
        for line in self._begun():
            step = line["step"]
            if step == "start":
                self._hold(self.plan.before)
                self.service.stop()
            elif step == "stop":
                restored = self._start_old()
            elif step == "install packages":
                packages = self._take_packages_back()
            elif step == "hold":
                self.service.unhold()
            elif step == "confirm":
                _confirm.end(self.host)
            elif step == "reloading":
                if self.plan.unit_changes:
                    self.service.reload_units()
                self.service.signal_reload()
                restored = "The old configuration was restored and read again."
            self._put_back(line)
            if step == "commit":
                self.journal.revoke()
            elif step == "live-restore off" and self.service.main_pid():
                self.service.signal_reload()
            elif step.startswith(("write /", "remove /")):
                restored = "The old configuration was restored."
        if self.plan.effect == "none" and self.plan.unit_changes:
            self.service.reload_units()
        return f"{packages} {restored}".strip()

    def undo_files(self) -> None:
        """Undo what a boot would start the daemon with, and nothing else: for the time before it starts."""
        for line in self._begun():
            self._put_back(line)

    def _begun(self) -> list[dict[str, t.Any]]:
        """What was begun, the latest first."""
        return [line for line in reversed(self.journal.lines()) if line["event"] == "begin"]

    def _put_back(self, line: dict[str, t.Any]) -> None:
        """Undo what one step did to files, if it did."""
        step = line["step"]
        if step.startswith(("write /", "remove /")):
            change = next(one for one in self.plan.files if step.endswith(" " + one.path))
            _files.put(change.path, change.before)
        elif step == "commit":
            _files.put(_notes.path_of(self.host), line["text"])
        elif step == "live-restore off":
            _files.put(self.host.places.daemon_json, line["text"])
        elif step == "rename":
            for move in self.plan.moves:
                if move.rename:
                    _roots.exchange_back(move.source, move.target)
                    self._rewrite_paths(move, move.source)
        elif step == "take back":
            for move in self.plan.moves:
                if move.base:
                    _roots.set_aside(move.target, move.base)

    def _start_old(self) -> str:
        running = self._inventory().running_set()
        begun = self._begun()
        for line in begun:
            if line["step"] == "live-restore off":
                self._put_back(line)
        self._hold(self.plan.before)
        if self.service.main_pid() and any(line["step"].startswith(("write /", "remove /")) for line in begun):
            # A boot in between started it with half of the change.
            self.service.stop()
        self._start(self.plan.before, self.plan.after)
        self._prove(self.plan.before)
        failures = _containers.start_again(self._engine(self.plan.before), running)
        where = f" on {self.plan.before.data_root}"
        back = f"{len(running) - len(failures)} of {len(running)} {'container runs' if len(running) == 1 else 'containers run'} again."
        return " ".join([f"The old configuration was restored, the daemon answers{where if self.plan.move else ''}, {back}", *failures])

    # Helpers ---------------------------------------------------------------------------------------------------

    def _start(self, side: Side, other: Side) -> None:
        """Start the daemon on one side; of a socket that it had on the other one systemd leaves the node, where clients would knock in vain."""
        if other.systemd_socket and other.systemd_socket != side.systemd_socket:
            _files.remove(other.systemd_socket)
        self.service.start(self.plan.ready_timeout)

    def _inventory(self) -> Inventory:
        """What the daemon had when it was stopped; nothing where it was not."""
        return next((Inventory.from_data(line["inventory"]) for line in self.journal.lines() if "inventory" in line), Inventory({}, {}, (), {}))

    def _engine(self, side: Side) -> Engine:
        return Engine(side.socket or "/var/run/docker.sock")

    def _wait(self, id: str, done: t.Callable[[], t.Any], seconds: float, otherwise: str) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if done():
                    return
                words = ""
            except EngineError as exc:
                words = f" ({exc.sentence.rstrip('.')})"
            if time.monotonic() > deadline:
                raise DrydockError(id, f"Within {seconds:g} s {otherwise}{words}.")
            self.host.sleep(0.02)


def settle(host: Host, plan: Plan, outcome: Outcome | None = None) -> None:
    """Record what was proved to be in force in this process of dockerd, so that the next plan knows what it still lacks, and the move."""
    pid = service_of(host).main_pid()
    pending = plan.effect == "none" and plan.why
    in_force = plan.before.settings if pending else plan.file_settings
    settled: dict[str, t.Any] = {}
    if pid:
        certificates = _certificates.in_force(pid, _notes.load(host).settled, (plan.before if pending else plan.after).settings)
        settled = {"process": process_identity(pid), "settings": in_force, "certificates": certificates}
    history = plan.history
    for moved in outcome.moved if outcome else ():
        move, kept = moved.move, moved.kept
        inode = _notes.inode_of(kept) if kept else (0, 0)
        told = record(outcome, moved, host.now()) if outcome else {}
        history = (*history, Past(move.source, move.target, kept, inode, move.restores, move.tree, move.run, told))
    files = {path: _files.digest(path) for path in (host.places.daemon_json, *plan.unit_files)}
    text = Notes(plan.owners, settled, plan.marker, history, plan.containerd_marker, files).text()
    path = _notes.path_of(host)
    if text != _files.read(path):
        _files.write(path, text, 0o600)


def recover(host: Host) -> str | None:
    """Undo or finish what an interrupted run left open; returns a sentence about it, None where there was nothing.

    :raises DrydockError: it could not be recovered.
    """
    journal = Journal(host)
    if not journal.is_open:
        return None
    transaction = Transaction(host, Plan.from_data(journal.plan()), journal)
    if transaction.has_to_go_on:
        # The hold lies in /run: as long as it is there, no boot has let containers write, and undoing still loses nothing.
        undoable = transaction.service.is_held() and not transaction._released()
        try:
            return transaction.go_on(compare=undoable)
        except Exception:
            if not undoable:
                raise
    restored = transaction.undo()
    return f"An interrupted change was undone: {restored} Evidence: {transaction.close()}."


def _words(cause: Exception) -> tuple[str, str]:
    if isinstance(cause, DrydockError):
        return cause.sentence.rstrip("."), cause.hint
    return f"{type(cause).__name__}: {cause}", ""


def _unfinished(step: str, cause: Exception) -> DrydockError:
    sentence, hint = _words(cause)
    return wrapping(
        cause, "step-failed", f"The change is in force and the containers were started, but '{step}' failed: {sentence}. The next run goes on from there.", hint
    )


@contextlib.contextmanager
def _telling_full_disk(move: Move) -> t.Iterator[None]:
    """Where our own writes find the target full, say it as the copying commands' ends are told."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise full_disk(move.source, move.target) from exc
        raise


def _busy_shims() -> list[str]:
    """Those of Docker's shims, by process id, whose container has a process: each is the shim's child, because it adopts orphans.

    A shim alone has nothing that could write. An engine now and then fails to remove the task of a container that has ended
    ("cannot delete running task", seen with 20.10.24), forgets the shim, and tidies up at its next start.
    """
    pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    shims = {pid for pid in pids if _is_shim(pid)}
    parents: set[str] = set()
    for pid in pids if shims else ():
        with contextlib.suppress(OSError):
            parents.add(process_fields(pid)[1])
    return sorted(shims & parents, key=int)


def _is_shim(pid: str) -> bool:
    words = command_line(pid)
    return bool(words) and "containerd-shim" in words[0] and "moby" in words


def _is_in_force(engine: Engine, look: t.Callable[[dict[str, t.Any]], t.Any], wanted: t.Any) -> bool:
    return bool(look(engine.get("/info")) == wanted)


def _knock(address: _addresses.Address) -> None:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    try:
        socket.create_connection((host, address.port), timeout=10).close()
    except (OSError, UnicodeError) as exc:
        raise DrydockError("address-silent", f"The daemon runs, but nothing accepts connections on {address.text}: {exc}.") from exc


__all__ = ("Transaction", "locked", "recover", "settle")
