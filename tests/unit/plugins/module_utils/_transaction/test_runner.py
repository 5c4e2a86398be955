# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Either all of a change is in force or nothing of it, wherever it is cut, and the containers run."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import functools
import itertools
import json
import os
import pathlib
import shutil
import socket
import stat
import subprocess
import tempfile
import time
import types

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import copier as copier_module
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import first_pass
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.kept_mark import KEPT_MARK, read_mark
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import COPY_MARK, Totals
from ansible_collections.drydock.dockerd.plugins.module_utils._engine import certificates
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.addresses import parse_address
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.api import Engine
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.apt_packages import Upgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.inventory import take_inventory
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, EngineError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._host.files import inode_of
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host, Result
from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import Mount
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.paths import look_at_paths
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import MARKED, RECORDS_FILE, PastMove, load
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.order import steps_of
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.plan import MARKER_PREFIX, FileChange, Removal
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.planner import make_plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request
from ansible_collections.drydock.dockerd.plugins.module_utils._service import unit_file
from ansible_collections.drydock.dockerd.plugins.module_utils._service.api_gate import hidden_path
from ansible_collections.drydock.dockerd.plugins.module_utils._service.containerd import Containerd, root_flag
from ansible_collections.drydock.dockerd.plugins.module_utils._service.systemd import HOLD_DROP_IN, Unit
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import confirmation, recovery, worker_main
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.lock import locked
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.outcome import words
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.recovery import recover
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.runner import Transaction
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps import base, daemon, prove, roots
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps import copy as copy_module
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.verified import record_verified

CONTAINERS = {"web": "running", "held": "paused", "old": "exited"}
RELOADED = ("debug", "live-restore")
LIMITS = "[Service]\nLimitNOFILE=9\n"


class Crash(BaseException):
    """The process ends here: no handler of ours runs."""


class Machine(Host):
    """A host with systemd and dockerd in a few lines: what the files said when they were read last is what is in force."""

    def __init__(self, places, root, images=""):
        super().__init__(execute=self.command, now=self.moment, sleep=self.pause, places=places)
        self.default_root = str(root)
        self.commands, self.posts, self.moments, self.crash_at = [], [], 0, 0
        # What goes wrong, once each: how a command begins, and its complaint.
        self.failing = {}
        self.containers = dict(CONTAINERS)
        # With the new configuration an image is not there, a container does not start, or a reload changes nothing.
        self.loses_image, self.broken, self.deaf = False, "", False
        # Its new addresses are reached from elsewhere.
        self.reached = True
        self.default_images = str(images)
        # The engine's version, as its package; and whether a start of ours holds containers back.
        self.version, self.holds_back = "1", True
        self.up, self.in_force, self.units = True, self.read_file(), self.read_units()
        self.images = self.images_of_units()
        # Where systemd listens in the daemon's place, while it is up.
        self.socket_path, self.listener = os.path.join(os.path.dirname(places.daemon_json), "docker.sock"), None
        self.listen()

    def listen(self):
        """systemd makes its socket, and does with it what the hold says."""
        self.listener = socket.socket(socket.AF_UNIX)
        files.remove(self.socket_path)
        self.listener.bind(self.socket_path)
        self.listener.listen()
        hold = files.read(os.path.join(self.places.runtime_units, "docker.socket.d", HOLD_DROP_IN)) or ""
        for command in unit_file.values([hold], "Socket", "ExecStartPost"):
            program, *words = command.split()
            if program == "/bin/mkdir":
                os.makedirs(words[-1], 0o700, exist_ok=True)
            else:
                assert program == "/bin/mv"
                os.rename(*words)

    def is_open(self):
        """Whether a client is let in."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            return client.connect_ex(self.socket_path) == 0

    def moment(self):
        """Commands, notes in the journal and what is written to the disk are the moments at which a crash is tried."""
        self.moments += 1
        if self.moments == self.crash_at:
            raise Crash
        return 1_700_000_000.0

    def pause(self, seconds):
        if self.reached:
            confirmation.give(self)

    def read_file(self):
        return json.loads(files.read(self.places.daemon_json) or "{}")

    def read_units(self):
        places = [pathlib.Path(place) for place in (self.places.units, self.places.runtime_units)]
        found = {path.name: path.read_text() for place in places for path in place.glob("docker.service.d/*.conf")}
        return {**found, **{f"containerd/{path.name}": path.read_text() for place in places for path in place.glob("containerd.service.d/*.conf")}}

    def images_of_units(self):
        """containerd's root as the units say that systemd has read."""
        texts = [text for name, text in sorted(self.units.items()) if name.startswith("containerd/")]
        commands = unit_file.values(texts, "Service", "ExecStart")
        return root_flag(commands[-1].split()) if commands else self.default_images

    def command(self, argv, timeout, stdin):
        self.moment()
        words = " ".join(argv)
        if argv[:2] != ("systemctl", "show"):
            self.commands.append(words)
        error = next((self.failing.pop(prefix) for prefix in list(self.failing) if prefix in words), "")
        out = "" if error else self.act(argv, stdin)
        self.moment()
        return Result(tuple(argv), 1 if error else 0, out, error or "")

    def filling(self, source, target, now, limit, passed, calm):
        self.moment()
        self.commands.append("fill")
        if error := self.failing.pop("fill", ""):
            raise OSError(errno.EIO, error, target)
        missed = first_pass.fill(source, target, now, limit, passed)
        self.moment()
        return missed

    def act(self, argv, stdin):
        if argv[:2] == ("systemctl", "show"):
            values = {"Listen": f"{self.socket_path} (Stream)"}
            listens = self.listener.fileno() >= 0
            active = listens if argv[2] == "docker.socket" else self.up
            values |= {"LoadState": "loaded", "ActiveState": "active" if active else "inactive", "Result": "success", "MainPID": str(os.getpid())}
            return "".join(f"{key}={values.get(key, '')}\n" for key in argv[4].split(","))
        if argv[:2] == ("systemctl", "stop") and self.up:
            self.up = False
            if "docker.socket" in argv:
                self.listener.close()
            # Or who knocks drives it into its trigger limit.
            assert not self.is_open()
            if not self.in_force.get("live-restore"):
                self.containers = dict.fromkeys(self.containers, "exited")
        elif argv[:2] == ("systemctl", "start") and not self.up and not os.path.exists(self.places.hold):
            assert ("--restart=false" in self.units[HOLD_DROP_IN]) == self.holds_back
            self.up, self.in_force = True, self.read_file()
            if self.listener.fileno() < 0:
                self.listen()
            if "containerd.service" in argv:
                self.images = self.images_of_units()
                # Debian's makes this again at every start.
                os.makedirs(os.path.join(self.default_images, "opt", "bin"), exist_ok=True)
        elif argv[:2] == ("systemctl", "daemon-reload"):
            self.units = self.read_units()
        elif argv[:2] == ("systemctl", "kill") and not self.deaf:
            self.in_force = {**self.in_force, **{key: self.read_file().get(key) for key in RELOADED}}
        elif "apt-get" in argv and "--download-only" not in argv:
            assert not self.up, "the packages' own scripts would restart the daemon"
            self.version = argv[-1].partition("=")[2]
        elif "rsync" in argv:
            copy(stdin, argv[-2], argv[-1])
        return ""

    def boot(self):
        """What lies in /run is gone, dockerd starts with the files as they are, and containers write what must not be lost."""
        shutil.rmtree(self.places.runtime_units, ignore_errors=True)
        files.remove(self.places.hold)
        files.remove(self.places.confirm)
        files.remove(self.places.gate)
        shutil.rmtree(os.path.dirname(hidden_path(self.socket_path)), ignore_errors=True)
        self.listener.close()
        self.listen()
        self.up, self.in_force, self.units = True, self.read_file(), self.read_units()
        self.images = self.images_of_units()
        pathlib.Path(self.root, "containers", "written").write_text("since the boot")

    def info(self):
        return {
            "Driver": "overlay2",
            "DockerRootDir": os.path.realpath(self.root),
            "Debug": self.in_force.get("debug"),
            "LiveRestoreEnabled": bool(self.in_force.get("live-restore")),
        }

    @property
    def root(self):
        return self.in_force.get("data-root", self.default_root)


def copy(names, source, target):
    """What rsync would do here."""
    for name in sorted(os.fsdecode(names).split("\0")):
        if os.path.isdir(source + name):
            os.makedirs(target + name, exist_ok=True)
        else:
            shutil.copy2(source + name, target + name)
        shutil.copystat(source + name, target + name)


class Daemon(Engine):
    """The API of a machine's dockerd."""

    def __init__(self, machine):
        super().__init__("/nowhere")
        object.__setattr__(self, "machine", machine)

    def _call(self, method, path, query):
        machine = self.machine
        _empty, kind, name, *rest = [*path.split("/"), ""]
        if not machine.up:
            raise EngineError("api-silent", "The daemon does not answer.")
        if method == "POST":
            machine.posts.append((name, rest[0], machine.in_force.get("debug")))
            if name == machine.broken:
                raise EngineError("api-error", "The port is taken.")
            machine.containers[name] = {"start": "running", "pause": "paused"}[rest[0]]
            return None
        if kind == "containers" and name != "json":
            return {"Id": name, "Name": f"/{name}", "Config": {}, "HostConfig": {}, "State": {"Status": machine.containers[name]}}
        return {
            "info": machine.info(),
            "containers": [{"Id": one} for one in machine.containers],
            "images": [] if machine.loses_image and machine.in_force.get("debug") else [{"Id": "sha256:1"}],
            "volumes": {"Volumes": None},
            "networks": [],
        }[kind]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class World:
    """A machine, a plan for it, and what both sides of the plan look like."""

    def __init__(
        self, top, places, state_of, settings, asks, path, keep_source=True, mounts=(), restores=False, inside=False, images=False, confirm=False, packages=None
    ):
        self.root = top / "root"
        self.kept, history = None, ()
        lives = top / "moved" if restores else self.root
        (lives / "containers").mkdir(parents=True)
        (lives / "containers" / "precious").write_text("data")
        if restores:
            settings = {**settings, "data-root": str(lives)}
            self.kept = self.root / ".drydock-kept-1" if inside else top / "root.drydock-kept-1"
            (self.kept / "containers").mkdir(parents=True)
            (self.kept / "containers" / "precious").write_text("of old")
            (self.kept / "containers" / "deleted").write_text("since")
            # Since then a boot has given its disk another number.
            history = (PastMove(str(self.root), str(lives), str(self.kept), (5, 6), False, run="then", record={MARKED: True}),)
            (self.kept / KEPT_MARK).write_text(f"{history[0].kept_id}\n")
        pathlib.Path(places.daemon_json).write_text(json.dumps(settings))
        self.machine = Machine(places, self.root, top / "images")
        self.engine = Daemon(self.machine)
        changes = {"mounts": list(mounts), "history": history, "socket": self.machine.socket_path, "systemd_socket": self.machine.socket_path}
        self.images = [str(top / "images"), str(top / "images")]
        if images:
            asks += (
                Ask("containerd", {}, {"containerd.service.d/zz.conf": "[Service]\nExecStart=\nExecStart=@containerd_command@ --root @containerd_root@\n"}),
            )
            (top / "images").mkdir()
            (top / "images" / "layer").write_text("image")
            fragment = "/lib/systemd/system/containerd.service"
            unit = Unit(fragment, {fragment: f"[Service]\nExecStart=containerd --root {self.images[0]}\n"}, {}, {})
            changes["containerd"] = Containerd(unit, os.getpid(), self.images[0], {})
            self.images[1] = str(top / "images-new")
        state = state_of(settings, info=self.engine.get("/info"), inventory=take_inventory(self.engine), **changes)
        request = Request(
            asks=asks,
            path=str(top / path) if path else None,
            containerd_path=self.images[1] if images else None,
            keep_source=keep_source,
            state="restored" if restores else "relocated",
        )
        paths = look_at_paths(state, request.path, request.containerd_path, request.state)
        self.plan, problems = make_plan(state, request, paths, places.units, places.daemon_json)
        assert problems == []
        if confirm:
            self.plan = dataclasses.replace(self.plan, confirm=(f"tcp://127.0.0.1:{free_port()}",), confirm_timeout=60)
        if packages:
            pathlib.Path(places.units).mkdir(exist_ok=True)
            pathlib.Path(places.units, "docker.service").write_text("[Service]\nExecStart=/usr/sbin/dockerd -H fd://\n")
            self.plan = dataclasses.replace(self.plan, packages=packages, effect="restart")
        self.state = state
        self.before = {one.path: one.before for one in self.plan.files}
        self.after = {one.path: one.after for one in self.plan.files}

    def run(self):
        journal = Journal(self.machine)
        journal.create(self.plan.to_data())
        return Transaction(self.machine, self.plan, journal).run()

    def assert_whole(self, new, booted=False):
        """All of one side: files, what systemd and dockerd have read, our notes, the data, the containers; nothing left over."""
        machine = self.machine
        assert {path: files.read(path) for path in self.before} == (self.after if new else self.before)
        assert machine.up
        # What ran before a boot is for restart policies to start.
        assert booted or machine.containers == CONTAINERS
        assert os.path.exists(os.path.join(machine.root, "containers", "written")) == booted
        assert {key: machine.in_force.get(key) for key in RELOADED} == {key: machine.read_file().get(key) for key in RELOADED}
        assert machine.root == machine.read_file().get("data-root", str(self.root))
        assert pathlib.Path(machine.root, "containers", "precious").read_text() == "data"
        assert not os.path.lexists(os.path.join(machine.root, "containers", "deleted"))
        assert not os.path.islink(machine.root)
        assert self.kept is None or self.kept.exists() is not new
        # Kept data are known by their mark, and a root in use has no mark of ours.
        for past in self.plan.history if not new else load(machine).history[len(self.plan.history) :]:
            assert not past.kept or (past.record[MARKED], read_mark(past.kept)) == (True, past.kept_id)
        assert not {COPY_MARK, KEPT_MARK} & {*os.listdir(machine.root), *(os.listdir(self.root) if self.kept and not new and self.root.exists() else ())}
        assert machine.units == machine.read_units()
        assert machine.images == self.images[new]
        assert machine.version == ("2" if new and self.plan.packages else "1")
        assert self.plan.containerd is None or pathlib.Path(machine.images, "layer").read_text() == "image"
        assert not os.path.islink(machine.images)
        assert not any(HOLD_DROP_IN in name for name in machine.units)
        assert not os.path.exists(machine.places.hold)
        assert not os.path.exists(machine.places.confirm)
        assert not os.path.exists(machine.places.gate)
        assert not os.path.exists(os.path.dirname(hidden_path(machine.socket_path)))
        assert machine.is_open()
        assert not Journal(machine).is_open
        assert load(machine).owners == (self.plan.owners if new else {})


# What daemon.json says before, what is asked, where the data should go, effect.
CHANGES = {
    "a guard of the start": ({}, (Ask("a", {}, {"zz.conf": "[Unit]\nAfter=x.service\n"}),), None, "none"),
    "a reload": ({"ipv6": False}, (Ask("a", {"debug": True}),), None, "reload"),
    "a restart": ({}, (Ask("a", {"debug": True, "mtu": 1400}, {"zz.conf": LIMITS}),), None, "restart"),
    "a move": ({"live-restore": True}, (Ask("a", {"debug": True}),), "new", "restart"),
    "a rename": ({"live-restore": True}, (Ask("a", {"debug": True}),), "new", "restart", {"mounts": [Mount("/", "ext4", "/dev/x", frozenset())]}),
    "a move of containerd too": ({}, (Ask("a", {"debug": True}),), "new", "restart", {"images": True}),
    "a rename of containerd": ({}, (), None, "restart", {"images": True, "mounts": [Mount("/", "ext4", "/dev/x", frozenset())]}),
    "a restart that is confirmed": ({}, (Ask("a", {"debug": True, "mtu": 1400}),), None, "restart", {"confirm": True}),
    "a move that is confirmed": ({}, (Ask("a", {"debug": True}),), "new", "restart", {"confirm": True}),
    "an upgrade": ({}, (Ask("a", {"debug": True}),), None, "restart", {"packages": Upgrade({"docker.io": "1"}, {"docker.io": "2"}, back=True)}),
    "a move taken back": ({}, (Ask("a", {"debug": True}),), None, "restart", {"restores": True}),
    "a move taken back to a mount point": ({}, (Ask("a", {"debug": True}),), None, "restart", {"restores": True, "inside": True}),
}


@pytest.fixture
def memory(tmp_path):
    """A directory in memory where there is one: thousands of worlds are made, and each is flushed many times."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as directory:
        yield pathlib.Path(directory)


@pytest.fixture
def world(host, memory, make_state, monkeypatch):
    """Make a world for a change; each call makes a new one."""
    numbers = itertools.count()

    def make(change, **options):
        settings, asks, path, effect, *more = CHANGES[change]
        top = memory / f"world{next(numbers)}"
        top.mkdir()
        places = type(host.places)(**{name: str(top / name) for name in vars(host.places)})
        made = World(top, places, make_state, settings, asks, path, **{**(more[0] if more else {}), **options})
        assert made.plan.effect == effect
        monkeypatch.setattr(base, "Engine", lambda path: made.engine)
        for module in (copy_module, recovery):
            monkeypatch.setattr(module, "Copier", functools.partial(copier_module.Copier, fill=made.machine.filling))
        for module in (prove, recovery):
            monkeypatch.setattr(module, "command_line", lambda pid: ["containerd", "--root", made.machine.images])
        monkeypatch.setattr(os, "fsync", lambda fd: made.machine.moment())
        return made

    # Containers of the machine that runs the tests are nobody's business.
    monkeypatch.setattr(roots, "_busy_shims", list)
    return make


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_comes_into_force(world, change):
    it = world(change)
    outcome = it.run()
    it.assert_whole(new=True)
    assert (outcome.applied, outcome.failures) == (it.plan.effect, [])
    assert [phase["phase"] for phase in outcome.phases if "pass" not in phase["phase"]] == steps_of(it.plan)
    assert (outcome.downtime is not None) == (it.plan.effect == "restart")
    assert load(it.machine).verified["settings"] == it.plan.file_settings


@pytest.mark.parametrize("change", [name for name in CHANGES if "move" in name or "rename" in name])
def test_a_move_is_noted_with_its_measures(world, change):
    """The closed journal is replaced by the next change, and a report has to know for longer."""
    it = world(change)
    outcome = it.run()
    noted = load(it.machine).history[len(it.plan.history) :]
    assert [(one.tree, one.root) for one in noted] == [(move.tree, move.target) for move in it.plan.moves]
    for one, moved in zip(noted, outcome.moved):
        assert one.record == {
            **{"ended": 1_700_000_000, "bytes": moved.bytes, "files": moved.files, "downtime_seconds": outcome.downtime, "phases": outcome.phases},
            **({MARKED: True} if one.kept else {}),
            "forecast_seconds": outcome.forecast.get("outage_seconds"),
        }


@pytest.mark.parametrize(("limit", "stops"), [(1 << 30, False), (3 << 30, True), (0, True)])
def test_a_daemon_whose_containers_write_too_fast_is_not_stopped(world, monkeypatch, limit, stops):
    it = world("a move")
    it.plan = dataclasses.replace(it.plan, changing_limit=limit)
    real = copier_module.Copier.warm_pass
    monkeypatch.setattr(copier_module.Copier, "warm_pass", lambda copier: (real(copier), Totals(2 << 30, 7))[1])
    if stops:
        it.run()
        return it.assert_whole(new=True)
    with pytest.raises(DrydockError, match=r"the last pass still had 2\.0 GiB to send, .* was not stopped\. Nothing had been changed\."):
        it.run()
    assert not any(command.startswith("systemctl stop") for command in it.machine.commands)
    assert os.path.exists(os.path.join(it.plan.move.target, "containers", "precious"))
    return it.assert_whole(new=False)


TAKEN_BACK = ["a move taken back", "a move taken back to a mount point"]


def planned_again(it, wanted):
    """A plan made of what lies there now, and its problems."""
    return make_plan(it.state, Request(state=wanted), look_at_paths(it.state, wanted=wanted), it.machine.places.units, it.machine.places.daemon_json)


@pytest.mark.parametrize("change", TAKEN_BACK)
def test_after_a_move_back_that_failed_old_data_are_known(world, monkeypatch, change):
    """They can be taken back once more, and be removed; the warm copy has written into them meanwhile."""
    it = world(change)
    it.plan = dataclasses.replace(it.plan, changing_limit=1 << 30)
    real = copier_module.Copier.warm_pass
    with monkeypatch.context() as patch:
        patch.setattr(copier_module.Copier, "warm_pass", lambda copier: (real(copier), Totals(2 << 30, 7))[1])
        with pytest.raises(DrydockError, match=r"More than 1\.0 GiB is not wanted, so the daemon was not stopped\."):
            it.run()
    it.assert_whole(new=False)
    cleaned, problems = planned_again(it, "cleaned")
    assert ([one.path for one in cleaned.doomed], [one.id for one in problems]) == ([str(it.kept)], ["root-missing"])
    back, problems = planned_again(it, "restored")
    assert (back.move.base, problems) == (str(it.kept), [])
    it.run()
    it.assert_whole(new=True)


@pytest.mark.parametrize("change", TAKEN_BACK)
def test_after_a_move_back_old_data_of_before_marks_are_known(world, change):
    """Release 0.1.0 has set them aside, and a boot gives their disk another number behind the failure."""
    it = world(change)
    (it.kept / KEPT_MARK).unlink()
    it.machine.failing = {"rsync": "out of luck"}
    with pytest.raises(DrydockError, match="out of luck"):
        it.run()
    (past,) = it.plan.history
    assert dataclasses.replace(past, record={}).is_there((7, 8), read_mark(past.kept))


def test_a_move_is_done_where_the_old_disk_has_no_room_for_a_mark(world, monkeypatch):
    """A full disk is the usual reason for a move; its old data are known by their inode then."""
    it = world("a move")
    write = files.write

    def full(path, *more):
        if path.endswith(KEPT_MARK):
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write(path, *more)

    monkeypatch.setattr(files, "write", full)
    (kept,) = it.run().kept
    past = load(it.machine).history[-1]
    assert (MARKED in past.record, past.is_there(inode_of(kept), read_mark(kept))) == (False, True)


@pytest.mark.parametrize("mounted_on", [True, False], ids=["its mount point stays", "its mount point is gone, too"])
def test_a_change_is_done_where_the_old_disk_is_gone(world, monkeypatch, mounted_on):
    """Somebody has taken it out while a recovery was waited for; nothing is made in its place."""
    it = world("a move")

    def taken_out(step):
        shutil.rmtree(it.root)
        if mounted_on:
            it.root.mkdir()
        return {"kept": {"data-root": str(it.root / ".drydock-kept-1")}}

    monkeypatch.setattr(roots.Finish, "facts", taken_out)
    assert it.run().kept == []
    assert not mounted_on or os.listdir(it.root) == []


def test_old_data_are_judged_again_before_they_are_removed(world):
    it = world("a move")
    (kept,) = it.run().kept
    it.plan = dataclasses.replace(it.plan, files=(), effect="none", move=None, doomed=(Removal(kept, inode_of(kept)),))
    (mark,) = pathlib.Path(kept).glob(KEPT_MARK)
    text = mark.read_text()
    mark.write_text("data-root other\n")
    with pytest.raises(DrydockError, match=rf"Failed at 'discard': {kept} is not the directory that the move set aside\. .* \[old-data-changed\]$"):
        it.run()
    assert pathlib.Path(kept, "containers", "precious").exists()
    mark.write_text(text)
    it.run()
    assert not os.path.exists(kept)


def test_a_containerd_on_another_root_is_undone(world, monkeypatch):
    it = world("a move of containerd too")
    default = [*it.plan.before.containerd]
    monkeypatch.setattr(prove, "command_line", lambda pid: default)
    with pytest.raises(DrydockError, match=r"Failed at 'prove': containerd uses the root \S+/images, not \S+/images-new\. The old configuration was restored"):
        it.run()
    it.assert_whole(new=False)


def test_the_last_notes_have_their_room_before_the_daemon_stops(world):
    it = world("a move")
    state = it.machine.places.state_dir
    kept = watched(
        it,
        lambda machine: (
            sum(os.stat(os.path.join(state, name)).st_blocks for name in os.listdir(state) if name.endswith("drydock-new")) if os.path.isdir(state) else 0
        ),
    )
    it.run()
    written = os.stat(os.path.join(state, RECORDS_FILE)).st_blocks
    (found,) = [blocks for command, blocks in kept if command.startswith("systemctl stop")]
    assert found > written > 0
    assert not [name for name in os.listdir(state) if "drydock" in name]


def test_a_reload_stops_nothing(world):
    it = world("a reload")
    it.run()
    assert not any("stop" in command or "start" in command for command in it.machine.commands)


def test_the_daemon_is_down_only_for_what_must_be_done_then(world):
    """Containers are stopped behind the warm copy, and started when all is proved."""
    it = world("a move")
    it.run()
    short = [command.split()[0] if "rsync" not in command else "rsync" for command in it.machine.commands]
    stop = next(number for number, command in enumerate(it.machine.commands) if command.startswith("systemctl stop"))
    start = next(number for number, command in enumerate(it.machine.commands) if command.startswith("systemctl start"))
    assert "rsync" in short[:stop]
    assert set(short[stop + 1 : start]) <= {"rsync", "sync", "systemctl"}


def test_a_move_keeps_the_old_data_aside_and_marks_the_new(world):
    it = world("a move")
    outcome = it.run()
    (kept,) = outcome.kept
    assert kept.startswith(f"{it.root}.drydock-kept-")
    assert not it.root.exists()
    assert pathlib.Path(kept, "containers", "precious").read_text() == "data"
    assert sorted(os.listdir(it.machine.root)) == [it.plan.marker, "containers"]
    assert it.plan.marker.startswith(MARKER_PREFIX)


def test_a_move_without_keeping_leaves_no_old_data(world):
    it = world("a move", keep_source=False)
    assert it.run().kept == []
    it.assert_whole(new=True)
    assert not list(it.root.parent.glob("root*"))


def test_a_renamed_root_is_marked(world):
    it = world("a rename")
    it.run()
    assert sorted(os.listdir(it.machine.root)) == [it.plan.marker, "containers"]


def watched(it, look):
    """What a look at the machine finds before each of its commands: pairs of command and finding."""
    seen = []

    def execute(argv, timeout, stdin):
        seen.append((" ".join(argv), look(it.machine)))
        return it.machine.command(argv, timeout, stdin)

    it.machine.execute = execute
    return seen


@pytest.mark.parametrize("change", ["a move", "a rename"])
def test_no_container_can_outlive_the_stop_of_a_move(world, change):
    """It would go on writing to the old root. A key that is only taken out of the file keeps its value at a reload."""
    it = world(change)
    seen = watched(it, lambda machine: (machine.in_force.get("live-restore"), machine.read_file().get("live-restore")))
    it.run()
    assert [found for command, found in seen if command.startswith("systemctl stop")] == [(False, False)]


def test_the_copy_is_on_the_disk_before_anything_points_to_it(world):
    it = world("a move")
    seen = watched(it, lambda machine: (machine.read_file().get("data-root"), os.path.exists(os.path.join(it.plan.move.target, it.plan.marker))))
    it.run()
    commands = [command for command, _found in seen]
    behind_the_last_copy = seen[max(number for number, command in enumerate(commands) if "rsync" in command) + 1 :]
    assert (f"sync --file-system {it.plan.move.target}", (None, True)) in behind_the_last_copy


def test_files_are_staged_before_the_daemon_stops(world):
    """A disk that fills up later stops neither the change nor its undoing."""
    it = world("a restart")
    paths = [pathlib.Path(one) for one in (*it.before, it.machine.places.state_dir + "/owners.json")]
    seen = watched(it, lambda machine: {path.name for path in paths if (path.parent / f".{path.name}.drydock-next").exists()})
    it.run()
    assert [found for command, found in seen if command.startswith("systemctl stop")] == [{path.name for path in paths}]
    assert not [left for path in paths for left in path.parent.glob(".*drydock*")]


def test_a_target_without_nanoseconds_is_found_before_the_stop(world, monkeypatch):
    """The comparison after the final copy would find it, too, but with the daemon down."""
    it = world("a move")
    utime = os.utime

    def whole_seconds(path, **options):
        if "ns" in options:
            options["ns"] = tuple(when // 10**9 * 10**9 for when in options["ns"])
        utime(path, **options)

    monkeypatch.setattr(os, "utime", whole_seconds)
    with pytest.raises(DrydockError, match=r"Failed at 'warm copy': The file system of .* keeps no nanoseconds"):
        it.run()
    assert not any(command.startswith("systemctl stop") for command in it.machine.commands)


# Failures: the change, what goes wrong, the step that the message names.
FAILURES = {
    "units cannot be read": ("a guard of the start", "systemctl daemon-reload", "reload units"),
    "the signal fails": ("a reload", "systemctl kill", "reload"),
    "the hold fails": ("a restart", "systemctl daemon-reload", "hold"),
    "the stop fails": ("a restart", "systemctl stop", "stop"),
    "the start fails": ("a restart", "systemctl start", "start"),
    "live-restore cannot be switched off": ("a move", "systemctl kill", "hold"),
    "the copy fails": ("a move", "fill", "warm copy"),
    "the copy of what changed fails": ("a move", "rsync", "warm copy"),
    "a disk fails": ("a move", "sync --file-system", "warm copy"),
    "the start on the new root fails": ("a move", "systemctl start", "start"),
    "the copy onto old data fails": ("a move taken back", "rsync", "warm copy"),
    "the start on the old root fails": ("a move taken back", "systemctl start", "start"),
    "the copy onto old data on a mount point fails": ("a move taken back to a mount point", "rsync", "warm copy"),
    "the start on the old root on a mount point fails": ("a move taken back to a mount point", "systemctl start", "start"),
}


@pytest.mark.parametrize(("change", "command", "step"), FAILURES.values(), ids=FAILURES)
def test_a_failure_leaves_everything_as_it_was(world, change, command, step):
    it = world(change)
    it.machine.failing = {command: "out of luck"}
    with pytest.raises(DrydockError, match=f"Failed at '{step}': .*out of luck.* Evidence: "):
        it.run()
    it.assert_whole(new=False)
    # The same request is fine when the reason is gone.
    it.run()
    it.assert_whole(new=True)


@pytest.mark.parametrize("change", ["a restart", "a move"])
def test_a_daemon_that_lost_something_is_not_let_loose(world, change):
    """No container starts before the daemon has proved to have all it had; then the old one gets them back."""
    it = world(change)
    it.machine.loses_image = True
    with pytest.raises(
        DrydockError, match=r"Failed at 'prove': The daemon does not have what it had before: image sha256:1 is missing\. [^[]* \[not-proved\]$"
    ):
        it.run()
    it.assert_whole(new=False)
    assert sorted(it.machine.posts) == [("held", "pause", None), ("held", "start", None), ("web", "start", None)]


@pytest.mark.parametrize("change", ["a restart that is confirmed", "a move that is confirmed"])
def test_a_daemon_whose_addresses_nobody_reaches_is_not_stopped(world, change):
    it = world(change)
    it.machine.reached = False
    it.plan = dataclasses.replace(it.plan, confirm_timeout=0)
    with pytest.raises(
        DrydockError,
        match=rf"Failed at 'confirm': Within 0 s the controller did not reach {it.plan.confirm[0]}, so the daemon was not stopped\. "
        r"Nothing had been changed\. [^[]* \[not-confirmed\]$",
    ):
        it.run()
    it.assert_whole(new=False)
    assert (it.machine.commands, it.machine.posts) == ([], [])
    with socket.create_server(("127.0.0.1", parse_address(it.plan.confirm[0]).port)):
        pass


@pytest.mark.parametrize("changed", [{"DockerRootDir": "/elsewhere"}, {"Driver": "vfs"}], ids=["on another root", "with another driver"])
def test_a_daemon_that_came_up_differently_is_not_let_loose(world, changed):
    it = world("a move")
    info = it.machine.info
    it.machine.info = lambda: {**info(), **(changed if it.machine.in_force.get("debug") else {})}
    with pytest.raises(DrydockError, match=f"Failed at 'prove': The daemon uses the .* {next(iter(changed.values()))}, not "):
        it.run()
    it.assert_whole(new=False)
    assert not any(debug for _name, _verb, debug in it.machine.posts)


def test_a_reload_that_changes_nothing_is_taken_back(world, monkeypatch):
    it = world("a reload")
    it.machine.deaf = True
    clock = itertools.count()
    monkeypatch.setattr(base, "time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(DrydockError, match="Failed at 'prove values': Within 10 s after the reload debug is not True in force"):
        it.run()
    it.assert_whole(new=False)


@pytest.mark.parametrize("change", ["a reload", "a restart", "a move"])
def test_a_file_that_may_not_be_changed_ends_the_change_before_anything_is_done(world, monkeypatch, change):
    """As of an immutable one, which a second name may not be made of: the next run has to find a closed journal."""
    it = world(change)
    link = os.link

    def refuse(path, *more):
        if path == it.machine.places.daemon_json:
            raise PermissionError(errno.EPERM, "Operation not permitted", path)
        link(path, *more)

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(DrydockError, match=rf"Failed at 'prepare': {it.machine.places.daemon_json}: Operation not permitted\. Nothing had been changed\."):
        it.run()
    assert not any("stop" in command for command in it.machine.commands)
    it.assert_whole(new=False)
    assert [name for name in os.listdir(os.path.dirname(it.machine.places.daemon_json)) if "drydock" in name] == []


def test_a_container_that_does_not_start_is_told_and_takes_nothing_back(world):
    it = world("a restart")
    it.machine.broken = "web"
    outcome = it.run()
    assert (outcome.started, outcome.failures) == (1, ["Container web does not run again: The port is taken."])
    assert files.read(it.machine.places.daemon_json) == it.after[it.machine.places.daemon_json]


def test_when_containers_work_on_the_new_root_there_is_no_way_back(world):
    """What they wrote since would be lost: a failure behind the release is told, and the next run goes on."""
    it = world("a move")
    in_the_way = pathlib.Path(f"{it.root}.drydock-kept-{datetime.datetime.fromtimestamp(1_700_000_000):%Y%m%dT%H%M%S}", "x")
    in_the_way.mkdir(parents=True)
    with pytest.raises(
        DrydockError, match=r"The change is in force and the containers were started, but 'finish' failed: .*goes on from there\. \[step-failed\]$"
    ):
        it.run()
    assert (it.machine.root, it.machine.containers) == (it.plan.move.target, CONTAINERS)
    shutil.rmtree(in_the_way.parent)
    assert "An interrupted change was finished" in recover(it.machine)
    it.assert_whole(new=True)


def test_old_data_that_cannot_be_removed_are_kept_and_the_change_is_done(world, monkeypatch):
    """As an immutable file, or one that is busy: no later run fails because of it, and state cleaned finds it."""
    it = world("a move", keep_source=False)
    unlink = os.unlink

    def refuse(name, *more, **options):
        if name == "precious":
            raise PermissionError(errno.EPERM, "Operation not permitted", name)
        unlink(name, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        outcome = it.run()
    kept = f"{it.root}.drydock-kept-{datetime.datetime.fromtimestamp(1_700_000_000):%Y%m%dT%H%M%S}"
    assert outcome.kept == [kept]
    assert outcome.remarks == [
        f"{kept} was to be removed and is kept, because that failed: {kept}/containers/precious: Operation not permitted. "
        "Mend that, then remove it: state cleaned."
    ]
    assert words(it.plan, outcome).endswith(f"the old copy is kept in {kept}. {outcome.remarks[0]}")
    past = load(it.machine).history[-1]
    assert (past.kept, past.is_there(inode_of(kept), read_mark(kept))) == (kept, True)
    it.assert_whole(new=True)


def test_what_somebody_has_stopped_since_the_release_is_not_started_once_more(world):
    """The rest of the change waits for somebody; meanwhile the containers are their owner's."""
    it = world("a move")
    in_the_way = pathlib.Path(f"{it.root}.drydock-kept-{datetime.datetime.fromtimestamp(1_700_000_000):%Y%m%dT%H%M%S}", "x")
    in_the_way.mkdir(parents=True)
    with pytest.raises(DrydockError, match="'finish' failed"):
        it.run()
    it.machine.containers["web"] = "exited"
    shutil.rmtree(in_the_way.parent)
    assert "An interrupted change was finished" in recover(it.machine)
    assert it.machine.containers == {**CONTAINERS, "web": "exited"}


@pytest.mark.parametrize("died", [False, True])
def test_containers_that_were_let_loose_are_never_undone(world, monkeypatch, died):
    """The process dies when they run again, and before anything else is noted; what they removed meanwhile is their business."""
    it = world("a restart")
    start_again = daemon.running_set.start_again

    def then_crash(*arguments):
        start_again(*arguments)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(daemon.running_set, "start_again", then_crash)
        with pytest.raises(Crash):
            it.run()
    it.machine.loses_image = True
    seen = looks_at_the_door(it)
    if died:
        it.machine.up = False
        it.machine.listener.close()
        it.machine.containers = dict.fromkeys(it.machine.containers, "exited")
    assert "An interrupted change was finished" in recover(it.machine)
    assert at(seen, "GET ") == {True}
    it.assert_whole(new=True)


def test_what_containers_wrote_since_a_boot_is_never_undone(world, monkeypatch):
    """Behind the commit a boot starts them on the new root; what they removed there before the recovery is their business."""
    it = world("a move")
    commit = Journal.commit

    def then_crash(journal):
        commit(journal)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "commit", then_crash)
        with pytest.raises(Crash):
            it.run()
    it.machine.boot()
    it.machine.loses_image = True
    assert "An interrupted change was finished" in recover(it.machine)
    it.assert_whole(new=True, booted=True)


# The API --------------------------------------------------------------------------------------------------------


def looks_at_the_door(it):
    """What is done to the machine, by a command or by the API, and whether a client would be let in just then."""
    seen = []
    command, call = it.machine.command, it.engine._call
    it.machine.execute = lambda argv, *more: (seen.append((" ".join(argv[:2]), it.machine.is_open())), command(argv, *more))[1]
    object.__setattr__(it.engine, "_call", lambda method, path, query: (seen.append((f"{method} {path}", it.machine.is_open())), call(method, path, query))[1])
    return seen


def at(seen, what):
    return {is_open for done, is_open in seen if done.startswith(what)}


@pytest.mark.parametrize("change", ["a restart", "a move", "an upgrade"])
def test_nobody_else_gets_in_from_the_inventory_to_the_release(world, change):
    """What a client was promised by then would be undone with the change."""
    it = world(change)
    seen = looks_at_the_door(it)
    it.run()
    assert at(seen, "systemctl stop") == {False}
    # Before the stop, and behind the start.
    assert [is_open for done, is_open in seen if done == "GET /images/json"] == [False, False]
    # Some containers mount the socket.
    assert at(seen, "POST /containers/") == {True}
    it.assert_whole(new=True)


@pytest.mark.parametrize(("change", "stays"), [("a restart", True), ("a move", True), ("an upgrade", False)])
def test_the_socket_that_is_closed_stays_over_the_outage(world, change, stays):
    """A client could find a new one open for some moments. Packages have scripts that may want it anew."""
    it = world(change)
    listener = it.machine.listener
    it.run()
    assert (it.machine.listener is listener) == stays
    assert it.machine.is_open()


def test_a_socket_whose_drop_ins_change_is_made_anew(world):
    it = world("a restart")
    listener = it.machine.listener
    drop_in = FileChange(os.path.join(it.machine.places.units, "docker.socket.d", "zz.conf"), None, "[Socket]\nSocketMode=0600\n")
    it.plan = dataclasses.replace(it.plan, files=(*it.plan.files, drop_in))
    it.run()
    assert it.machine.listener is not listener


def test_the_daemon_that_comes_back_is_open_when_its_containers_start(world):
    it = world("a restart")
    it.machine.loses_image = True
    seen = looks_at_the_door(it)
    with pytest.raises(DrydockError, match="image sha256:1 is missing"):
        it.run()
    assert [is_open for done, is_open in seen if done == "GET /images/json"] == [False, False, False]
    assert at(seen, "POST /containers/") == {True}
    it.assert_whole(new=False)


def test_containers_that_come_up_with_the_daemon_find_its_socket(world):
    """Of what comes into view the policies decide, and some containers mount the socket."""
    it = world("a restart")
    it.machine.holds_back = False
    it.plan = dataclasses.replace(it.plan, hides=(("storage-driver", "vfs"),))
    starts = []
    act = it.machine.act
    it.machine.act = lambda argv, stdin: (act(argv, stdin), starts.append(it.machine.is_open()) if argv[:2] == ("systemctl", "start") else None)[0]
    seen = looks_at_the_door(it)
    it.run()
    assert any(done.startswith("systemctl stop --job-mode=replace-irreversibly docker.socket") for done in it.machine.commands)
    behind = [done for done, _is_open in seen].index("systemctl start")
    assert (starts, at(seen[behind + 1 :], "GET ")) == ([True], {True})


def test_the_ports_of_both_sides_are_closed(world):
    it = world("a restart")
    sides = [
        dataclasses.replace(side, settings={**side.settings, "hosts": ["fd://", f"tcp://127.0.0.1:{port}"]})
        for side, port in ((it.plan.before, 1), (it.plan.after, 2))
    ]
    it.plan = dataclasses.replace(it.plan, before=sides[0], after=sides[1])
    rules = []
    act = it.machine.act
    it.machine.act = lambda argv, stdin: (rules.append(stdin.decode()) if "nft" in argv[0] else None, act(argv, stdin))[1]
    with pytest.raises(DrydockError, match="nothing accepts connections on tcp://127"):
        it.run()
    assert ["dport { 1 }" in rules[0], "dport { 1, 2 }" in rules[1]] == [True, True]
    # What is undone fails in the same way here: nobody listens on the old port either.
    assert it.machine.is_open() is False


# Crashes --------------------------------------------------------------------------------------------------------


def crashed(make, moment, booted=False):
    """A world whose change was cut at a moment."""
    it = make()
    it.machine.moments, it.machine.crash_at = 0, moment
    with pytest.raises(Crash):
        it.run()
    it.machine.crash_at = 0
    if booted:
        it.machine.boot()
    return it


def moments_of(make):
    it = make()
    it.machine.moments = 0
    it.run()
    return range(1, it.machine.moments + 1)


@pytest.mark.parametrize("booted", [False, True], ids=["killed", "booted"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_crash_at_any_moment_is_recovered(world, change, booted):
    sides = []
    for moment in moments_of(lambda: world(change)):
        it = crashed(lambda: world(change), moment, booted)
        begun, released = Journal(it.machine).is_open, any(debug for _name, _verb, debug in it.machine.posts)
        told = recover(it.machine)
        new = bool(load(it.machine).owners)
        assert new or not released
        assert (told is not None) == begun
        assert told is None or told.startswith("An interrupted change was finished" if new else "An interrupted change was undone")
        it.assert_whole(new, booted)
        assert recover(it.machine) is None
        sides.append(new)
    # Early crashes lead back, and from some moment on every crash leads forward.
    assert sides == sorted(sides)
    assert set(sides) == {False, True}


@pytest.mark.parametrize("change", ["a restart", "a rename", "a move taken back", "a move taken back to a mount point"])
def test_a_boot_undoes_half_a_change_before_the_daemon_starts(world, change):
    """What the recovery unit does; the next run only finishes what was committed."""
    for moment in moments_of(lambda: world(change)):
        it = crashed(lambda: world(change), moment)
        journal = Journal(it.machine)
        committed, released = journal.committed, any(debug for _name, _verb, debug in it.machine.posts)
        if journal.is_open:
            worker_main._at_boot(it.machine)
        if not committed and not released:
            assert {path: files.read(path) for path in it.before} == it.before
            assert not journal.is_open
        it.machine.boot()
        recover(it.machine)
        new = bool(load(it.machine).owners)
        assert new or not released
        it.assert_whole(new, booted=True)


@pytest.mark.parametrize("change", ["a restart", "a move", "a move taken back to a mount point"])
def test_a_crash_of_undoing_is_recovered(world, change):
    """A start fails, and the process dies at any moment while it takes all back."""
    for moment in itertools.count(1):
        it = world(change)
        it.machine.failing = {"systemctl start": "out of luck"}
        it.machine.moments, it.machine.crash_at = 0, moment
        with pytest.raises((Crash, DrydockError)) as caught:
            it.run()
        it.machine.crash_at = 0
        it.machine.failing = {}
        recover(it.machine)
        it.assert_whole(bool(load(it.machine).owners))
        if caught.type is DrydockError:
            break


@pytest.mark.parametrize("change", CHANGES)
def test_a_crash_of_the_recovery_is_recovered(world, change):
    """A choice of moments of the change, every moment of its recovery."""
    for moment in moments_of(lambda: world(change))[5::17]:
        for second in itertools.count(1):
            it = crashed(lambda: world(change), moment)
            it.machine.moments, it.machine.crash_at = 0, second
            try:
                recover(it.machine)
            except Crash:
                it.machine.crash_at = 0
                recover(it.machine)
            it.assert_whole(bool(load(it.machine).owners))
            if it.machine.crash_at:
                break


def test_an_engine_that_does_not_come_up_goes(world):
    it = world("an upgrade")
    it.machine.failing = {"systemctl start": "the new one is ill"}
    with pytest.raises(DrydockError, match=r"dockerd does not start: the new one is ill\. docker\.io 1 came back\. The old configuration was restored"):
        it.run()
    it.assert_whole(new=False)


def test_an_engine_whose_packages_are_gone_stays(world):
    it = world("an upgrade")
    it.plan = dataclasses.replace(it.plan, packages=dataclasses.replace(it.plan.packages, back=False))
    it.machine.failing = {"systemctl start": "the new one is ill"}
    with pytest.raises(DrydockError, match=r"The package manager does not have docker\.io of the old version any more\. The old configuration was restored"):
        it.run()
    assert it.machine.version == "2"
    assert it.machine.up


# The first start -------------------------------------------------------------------------------------------------


@pytest.fixture
def first(host, memory, make_state, monkeypatch):
    """Make a machine whose engine has just been installed, with a plan for it; each call makes a new one."""
    numbers = itertools.count()
    monkeypatch.setattr(roots, "_busy_shims", list)

    def make():
        top = memory / f"first{next(numbers)}"
        top.mkdir()
        places = type(host.places)(**{name: str(top / name) for name in vars(host.places)})
        machine = Machine(places, top / "default", top / "images")
        machine.up, machine.containers, machine.holds_back = False, {}, False
        machine.listener.close()
        state = make_state(None, pid=0, info={}, running_flags={}, socket=None, systemd_socket=machine.socket_path, default_root_unused=True)
        ask = Ask("data-root", {"data-root": str(top / "disk" / "docker")}, {"zz.conf": "[Service]\nExecStartPre=test -e @data_root@/@data_root_marker@\n"})
        request = Request(asks=(ask,), path=str(top / "disk" / "docker"))
        plan, problems = make_plan(state, request, look_at_paths(state, request.path), places.units, places.daemon_json)
        assert problems == []
        monkeypatch.setattr(base, "Engine", lambda path: Daemon(machine))
        monkeypatch.setattr(os, "fsync", lambda fd: machine.moment())
        return machine, plan

    return make


def run_first(machine, plan):
    journal = Journal(machine)
    journal.create(plan.to_data())
    return Transaction(machine, plan, journal).run()


def assert_first(machine, plan, started):
    """The daemon is up with all files, or down as it was, with none."""
    assert machine.up == started
    for one in plan.files:
        assert files.read(one.path) == (one.after if started else None)
    assert not os.path.exists(machine.places.hold)
    assert not os.path.exists(machine.default_root)
    assert not Journal(machine).is_open


def test_a_first_start_has_its_files_in_place(first):
    machine, plan = first()
    marker = next(one.path for one in plan.files if one.after == "")
    assert os.path.dirname(marker) == plan.after.data_root == machine.read_file().get("data-root", plan.after.data_root)
    outcome = run_first(machine, plan)
    assert_first(machine, plan, started=True)
    assert outcome.applied == "start"
    assert outcome.downtime is None
    assert [words for words in machine.commands if words.startswith(("systemctl start", "systemctl stop"))] == ["systemctl start docker.socket docker.service"]
    # Those of a daemon that this host had before come up as their policies say.
    assert not machine.posts


def test_a_first_start_that_fails_leaves_the_daemon_down(first):
    machine, plan = first()
    machine.failing = {"systemctl start": "out of luck"}
    with pytest.raises(DrydockError, match=r"Failed at 'start': dockerd does not start: out of luck\. The old configuration was restored\."):
        run_first(machine, plan)
    assert_first(machine, plan, started=False)


def test_a_crash_of_a_first_start_is_recovered(first):
    for moment in itertools.count(1):
        machine, plan = first()
        machine.moments, machine.crash_at = 0, moment
        try:
            run_first(machine, plan)
        except Crash:
            machine.crash_at = 0
            recover(machine)
            assert_first(machine, plan, started=machine.up)
            continue
        break
    assert_first(machine, plan, started=True)


# Helpers --------------------------------------------------------------------------------------------------------


def test_only_one_change_at_a_time(host):
    with locked(host, "data_root"):
        with pytest.raises(DrydockError, match=f"under way: data_root, process {os.getpid()}, since 2023-11-1"), locked(host, "other"):
            pass
        # Being turned away must not free the lock.
        with pytest.raises(DrydockError), locked(host, "other"):
            pass
    with locked(host, "other"):
        assert pathlib.Path(host.places.lock).read_text().startswith("other, ")


def test_nobody_but_root_can_hold_the_lock(host):
    """Who may open a file for reading may take its lock; an older release has made it readable for all."""
    pathlib.Path(host.places.lock).touch(mode=0o644)
    for _again in range(2):
        with locked(host, "data_root"):
            assert stat.S_IMODE(os.stat(host.places.lock).st_mode) == 0o600
        os.unlink(host.places.lock)


def test_a_lock_is_free_after_a_failure(host):
    with pytest.raises(ValueError, match="x"), locked(host, "data_root"):
        raise ValueError("x")
    with locked(host, "data_root"):
        pass


def test_nothing_to_recover(host):
    assert recover(host) is None


def test_the_certificates_that_the_daemon_has_read_are_noted(world, monkeypatch):
    it = world("a restart")
    pem = it.root / "cert.pem"
    pem.write_text("first")
    it.plan = dataclasses.replace(it.plan, after=dataclasses.replace(it.plan.after, settings={**it.plan.after.settings, "tlscert": str(pem)}))
    monkeypatch.setattr(certificates, "began_at", lambda pid: time.time() + 1)
    it.run()
    noted = {str(pem): files.digest(str(pem))}
    assert load(it.machine).verified["certificates"] == noted

    # Renewed, and some change that restarts nothing: the process has still read the first one.
    pem.write_text("second")
    record_verified(it.machine, dataclasses.replace(it.plan, effect="none", why=()))
    assert load(it.machine).verified["certificates"] == noted


def test_containers_that_outlived_the_daemon_stop_the_copy(world, monkeypatch):
    monkeypatch.setattr(roots, "_busy_shims", lambda: ["4711"])
    it = world("a move")
    with pytest.raises(DrydockError, match=r"Failed at 'final copy': 1 containers outlived the daemon's stop .containerd-shim 4711"):
        it.run()
    it.assert_whole(new=False)


def test_containers_that_are_just_dying_are_waited_for(world, monkeypatch):
    looks = iter([["4711", "4712"], ["4711"], []])
    monkeypatch.setattr(roots, "_busy_shims", lambda: next(looks))
    it = world("a move")
    it.run()
    it.assert_whole(new=True)
    assert next(looks, None) is None


@pytest.mark.runs_commands
@pytest.mark.parametrize("busy", [True, False])
def test_a_shim_counts_while_its_container_has_a_process(busy):
    script = f"{'sleep 60 &' if busy else ''} echo ready; read word"
    with subprocess.Popen(["containerd-shim-runc-v2", "-c", script, "-namespace", "moby"], executable="/bin/sh", stdin=-1, stdout=-1) as shim:
        assert shim.stdout.readline() == b"ready\n"
        try:
            assert (str(shim.pid) in roots._busy_shims()) is busy
        finally:
            subprocess.run(["pkill", "--parent", str(shim.pid)], check=False)
            shim.kill()


def test_mounts_that_the_daemon_left_are_taken_away_the_deepest_first(world):
    it = world("a move")
    points = [it.root, f"{it.root}/a", f"{it.root}/a/b", f"{it.root}-not"]
    pathlib.Path(it.machine.places.mountinfo).write_text("".join(f"1 2 0:1 / {point} rw - ext4 /dev/x rw\n" for point in points))
    it.run()
    assert [command for command in it.machine.commands if "umount" in command] == [f"umount {it.root}/a/b", f"umount {it.root}/a"]


@pytest.mark.parametrize("pid", [str(os.getpid()), "999999999", "self"])
def test_other_processes_are_no_shims(pid):
    assert not roots._is_shim(pid)


def test_an_address_is_proved_by_a_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0", "localhost"):
            prove._check_tcp(parse_address(f"tcp://{host}:{port}"))
    with pytest.raises(DrydockError, match=f"nothing accepts connections on tcp://127.0.0.1:{port}"):
        prove._check_tcp(parse_address(f"tcp://127.0.0.1:{port}"))
