# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A host with systemd and dockerd in a few lines, and the changes that are tried on it: what the tests of the transaction share."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import json
import os
import pathlib
import shutil
import socket

from ansible_collections.drydock.dockerd.plugins.module_utils._copy import copier as copier_module
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import first_pass
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.kept_mark import KEPT_MARK, read_mark
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import COPY_MARK
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.api import Engine
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.apt_packages import Upgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.events import parse_event
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.inventory import take_inventory
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import EngineError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host, Places, Result
from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import Mount
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import MARKED, PastMove, load
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.planner import make_plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request
from ansible_collections.drydock.dockerd.plugins.module_utils._service import unit_file
from ansible_collections.drydock.dockerd.plugins.module_utils._service.api_gate import hidden_path
from ansible_collections.drydock.dockerd.plugins.module_utils._service.containerd import Containerd, root_flag
from ansible_collections.drydock.dockerd.plugins.module_utils._service.systemd import HOLD_DROP_IN, STAY_DROP_IN, Unit
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction import confirmation, recovery, surroundings
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.runner import Transaction
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps import base, daemon, prove, roots
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps import copy as copy_module
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.steps import packages as packages_module
from made_up_mounts import look_at_made_up_paths

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
        # What goes wrong: a piece of a command, and its complaint, once, or a list of them, once each.
        self.failing = {}
        self.containers = dict(CONTAINERS)
        # With the new configuration an image is not there, a container does not start, or a reload changes nothing.
        self.loses_image, self.broken, self.deaf = False, "", False
        # Its new addresses are reached from elsewhere.
        self.reached = True
        self.default_images = str(images)
        # The engine's version, as its package; and whether a start of ours holds containers back.
        # Of the packages, and of the daemon that runs.
        self.version, self.in_memory, self.holds_back = "1", "1", True
        # What the daemon says that happened, since its start.
        self.events = []
        # What others do, once each: how a command begins, and what is called in front of it.
        self.others, self.after_start, self.before_start = {}, [], lambda: None
        self.starts = 0
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

    def read_file_of_start(self):
        words = (unit_file.values([self.units.get(HOLD_DROP_IN, "")], "Service", "ExecStart") or [""])[-1].split()
        return json.loads(files.read(words[words.index("--config-file") + 1])) if "--config-file" in words else self.read_file()

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
        for prefix in [one for one in self.others if one in words]:
            self.others.pop(prefix)()
        error = next((self.bad_luck(piece) for piece in list(self.failing) if piece in words), "")
        out = "" if error else self.act(argv, stdin)
        self.moment()
        return Result(tuple(argv), 1 if error else 0, out, error or "")

    def bad_luck(self, piece):
        left = self.failing[piece]
        if isinstance(left, list) and len(left) > 1:
            return left.pop()
        del self.failing[piece]
        return left.pop() if isinstance(left, list) else left

    def filling(self, source, target, now, limit, passed, calm, flags):
        self.moment()
        self.commands.append("fill")
        if error := self.failing.pop("fill", ""):
            raise OSError(errno.EIO, error, target)
        missed = first_pass.fill(source, target, now, limit, passed, flags=flags)
        self.moment()
        return missed

    def act(self, argv, stdin):
        if argv[:2] == ("systemctl", "show"):
            values = {"Listen": f"{self.socket_path} (Stream)"}
            listens = self.listener.fileno() >= 0
            active = listens if argv[2] == "docker.socket" else self.up
            values |= {"LoadState": "loaded", "ActiveState": "active" if active else "inactive", "Result": "success", "MainPID": str(os.getpid())}
            return "".join(f"{key}={values.get(key, '')}\n" for key in argv[4].split(","))
        if argv[:2] in (("systemctl", "stop"), ("systemctl", "start")) and "docker.service" not in argv:
            # Of units that depend on it, and of those that are no matter here.
            return ""
        if argv[:2] == ("systemctl", "stop") and self.up:
            self.up = False
            if "docker.socket" in argv:
                self.listener.close()
            # Or who knocks drives it into its trigger limit.
            assert not self.is_open()
            if not self.in_force.get("live-restore"):
                self.containers = dict.fromkeys(self.containers, "exited")
        elif argv[:2] == ("systemctl", "start") and not self.up and not os.path.exists(self.places.hold):
            self.before_start()
            assert self.holds_back is None or ("--restart=false" in self.units[HOLD_DROP_IN]) == self.holds_back
            self.up, self.in_force, self.events, self.in_memory = True, self.read_file_of_start(), [], self.version
            self.starts += 1
            if self.listener.fileno() < 0:
                self.listen()
            while self.after_start:
                self.after_start.pop()()
            if "containerd.service" in argv:
                self.images = self.images_of_units()
                # Debian's makes this again at every start.
                os.makedirs(os.path.join(self.default_images, "opt", "bin"), exist_ok=True)
        elif argv[:2] == ("systemctl", "daemon-reload"):
            self.units = self.read_units()
        elif argv[:2] == ("systemctl", "kill") and not self.deaf:
            self.in_force = {**self.in_force, **{key: self.read_file().get(key) for key in RELOADED}}
        elif "apt-get" in argv and "--download-only" not in argv:
            assert not self.up or STAY_DROP_IN in self.units, "the packages' own scripts would restart the daemon"
            self.version = argv[-1].partition("=")[2]
        elif "rsync" in argv:
            copy(stdin, argv[1].partition("=")[2] + "/", argv[-1])
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
        self.up, self.in_force, self.units, self.in_memory = True, self.read_file(), self.read_units(), self.version
        self.images = self.images_of_units()
        self.starts += 1
        pathlib.Path(self.root, "containers", "written").write_text("since the boot")

    def happens(self, kind, action, id):
        """The daemon says so."""
        self.events.append({"Type": kind, "Action": action, "Actor": {"ID": id, "Attributes": {"name": id}}, "timeNano": 1_700_000_000 * 10**9})

    def service_is_held(self):
        return any(HOLD_DROP_IN in name for name in self.read_units())

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

    def get_bytes(self, path, **query):
        assert path == "/events"
        self._call("GET", "/info", {})
        return b"".join(json.dumps(one).encode() + b"\n" for one in self.machine.events)

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


class Stream:
    """What the daemon says from the stop's beginning to its end."""

    def __init__(self, engine, since):
        self.engine = engine

    def end_soon(self):
        pass

    def end(self):
        return [parse_event(json.dumps(one)) for one in self.engine.machine.events]


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
        (lives / "image" / "overlay2" / "imagedb" / "content" / "sha256" / "1").mkdir(parents=True)
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
        digests = {places.daemon_json: files.digest(places.daemon_json)}
        changes = {"mounts": list(mounts), "history": history, "digests": digests}
        changes.update(socket=self.machine.socket_path, systemd_socket=self.machine.socket_path)
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
        paths = look_at_made_up_paths(state, request.path, request.containerd_path, request.state)
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
        journal.create(self.plan.to_data(), self.plan.surroundings)
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
        assert machine.version == machine.in_memory == ("2" if new and self.plan.packages else "1")
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
    "an upgrade": ({}, (Ask("a", {"debug": True}),), None, "restart", {"packages": Upgrade({"docker.io": "1"}, {"docker.io": "2"}, back=True)}),
    "a move taken back": ({}, (Ask("a", {"debug": True}),), None, "restart", {"restores": True}),
    "a move taken back to a mount point": ({}, (Ask("a", {"debug": True}),), None, "restart", {"restores": True, "inside": True}),
}


def make_world(patch, top, make_state, change, **options):
    """A new world for a change, and the collection in it.

    :param patch: a MonkeyPatch.
    :param top: a directory that is not there yet.
    """
    settings, asks, path, effect, *more = CHANGES[change]
    top.mkdir()
    places = Places(**{name: str(top / name) for name in vars(Places())})
    made = World(top, places, make_state, settings, asks, path, **{**(more[0] if more else {}), **options})
    assert made.plan.effect == effect
    patch.setattr(base, "Engine", lambda path: made.engine)
    patch.setattr(daemon, "EventStream", Stream)
    for module in (daemon, packages_module):
        patch.setattr(module, "process_identity", lambda pid: f"{pid}:{made.machine.starts}")
    for module in (copy_module, recovery):
        patch.setattr(module, "Copier", functools.partial(copier_module.Copier, fill=made.machine.filling))
    for module in (prove, recovery):
        patch.setattr(module, "command_line", lambda pid: ["containerd", "--root", made.machine.images])
    patch.setattr(os, "fsync", lambda fd: made.machine.moment())
    # Processes of the machine that runs the tests are nobody's business, and there are many.
    patch.setattr(roots, "_busy_shims", lambda _settings: [])
    patch.setattr(surroundings, "processes", list)
    return made
