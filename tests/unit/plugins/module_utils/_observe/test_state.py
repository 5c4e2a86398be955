# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What a daemon has and has in force, from its own answers."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import types

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.addresses import addresses_of, known_addresses, socket_of
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.inventory import Inventory, take_inventory
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, EngineError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files as files_module
from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import process_identity
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import state as state_module
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import Records
from ansible_collections.drydock.dockerd.plugins.module_utils._service.containerd import CONTAINERD_DATABASE

RAW = {
    "Id": "1",
    "Name": "/web",
    "Image": "sha256:1",
    "RestartCount": 3,
    "Config": {"Image": "debian:13"},
    "State": {"Status": "exited", "ExitCode": 137, "StartedAt": "2026-01-02T03:04:05.6Z", "Health": {"Status": "unhealthy"}},
    "HostConfig": {
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
        "AutoRemove": True,
        "NetworkMode": "container:2",
        "IpcMode": "private",
        "PidMode": "container:3",
        "Links": ["/db:/web/database"],
    },
    "Mounts": [{"Type": "bind", "Source": "/srv"}, {"Type": "volume", "Source": "/var/lib/docker/volumes/v/_data"}],
}
BARE = {"Id": "2", "Name": "/bare", "Config": {}, "State": {"Status": "running"}, "HostConfig": {"RestartPolicy": {"Name": ""}, "Links": None}, "Mounts": None}

ANSWERS = {
    "/containers/json": [{"Id": "1"}, {"Id": "2"}, {"Id": "removed meanwhile"}],
    "/containers/1/json": RAW,
    "/containers/2/json": BARE,
    "/images/json": [{"Id": "sha256:1", "RepoTags": ["b:1", "a:1"]}, {"Id": "sha256:2", "RepoTags": None}],
    "/volumes": {"Volumes": [{"Name": "v2"}, {"Name": "v1"}]},
    "/networks": [{"Id": "n0", "Name": "bridge"}, {"Id": "n1", "Name": "front"}],
}


@pytest.fixture
def inventory(make_container):
    return Inventory(
        {one.id: one for one in (make_container("web"), make_container("job", auto_remove=True), make_container("old", state="exited"))},
        {"sha256:1": ("a:1", "b:1"), "sha256:2": ()},
        ("v1", "v2"),
        {"bridge": "bridge", "n1": "front"},
    )


def test_take_inventory(fake_engine, make_container):
    found = take_inventory(fake_engine(ANSWERS))
    web = make_container(
        **{"id": "1", "image": "debian:13", "state": "exited", "policy": "on-failure", "max_retries": 5, "exit_code": 137},
        **{"restart_count": 3, "auto_remove": True, "needs": ("2", "3", "db"), "binds": ("/srv",)},
        health="unhealthy",
        started_at="2026-01-02T03:04:05.6Z",
    )
    assert found == Inventory(
        {"1": web, "2": make_container("bare", id="2", image="")},
        {"sha256:1": ("a:1", "b:1"), "sha256:2": ()},
        ("v1", "v2"),
        {"bridge": "bridge", "n1": "front"},
    )


@pytest.mark.parametrize("status", [404, 500, 0], ids=["it is gone", "an error", "no answer in time"])
def test_a_container_of_which_the_engine_says_nothing_is_not_taken_to_be_gone(fake_engine, status):
    """It would not be started again."""
    engine = fake_engine(ANSWERS)
    get = engine.get

    def answer(path, **query):
        if path == "/containers/1/json":
            raise EngineError("api-error", "It does not say.", status=status)
        return get(path, **query)

    object.__setattr__(engine, "get", answer)
    if status == 404:
        assert list(take_inventory(engine).containers) == ["2"]
    else:
        with pytest.raises(EngineError):
            take_inventory(engine)


def test_take_inventory_of_an_engine_without_volumes(fake_engine):
    assert take_inventory(fake_engine({**ANSWERS, "/volumes": {"Volumes": None}})).volumes == ()


def test_an_inventory_comes_back_from_the_journal(inventory):
    assert Inventory.from_data(json.loads(json.dumps(inventory.to_data()))) == inventory


def test_the_running_set_is_what_lives_and_does_not_remove_itself(make_container):
    states = ("created", "running", "paused", "restarting", "exited", "removing", "dead")
    containers = [*(make_container(state, state=state) for state in states), make_container("job", auto_remove=True)]
    assert [one.name for one in Inventory({one.id: one for one in containers}, {}, (), {}).running_set()] == ["running", "paused", "restarting"]


def without(name, *keys):
    return lambda data: {**data, name: {key: one for key, one in data[name].items() if key not in keys}}


# How the inventory afterwards differs, and what is told of it.
DIFFERENCES = {
    "nothing": (lambda data: data, []),
    "a container is gone": (without("containers", "id-old"), ["container old is missing"]),
    "one with --rm is gone": (without("containers", "id-job"), []),
    "an image is gone": (without("images", "sha256:1"), ["image a:1, b:1 is missing"]),
    "an image without tags is gone": (without("images", "sha256:2"), ["image sha256:2 is missing"]),
    "an image lost a tag": (
        lambda data: {**data, "images": {**data["images"], "sha256:1": ("a:1",)}},
        ["image sha256:1 has the tags ('a:1',), not ('a:1', 'b:1')"],
    ),
    "a volume is gone": (lambda data: {**data, "volumes": ("v2",)}, ["volume v1 is missing"]),
    "a network is gone": (without("networks", "n1"), ["network front is missing"]),
    "something is new": (lambda data: {**data, "volumes": ("v1", "v2", "v3")}, []),
    "a container ended": (
        lambda data: {**data, "containers": {**data["containers"], "id-web": {**data["containers"]["id-web"], "state": "exited"}}},
        [],
    ),
}


@pytest.mark.parametrize(("change", "told"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_differences(inventory, change, told):
    after = Inventory.from_data(change(inventory.to_data()))
    assert [*(f"{one} is missing" for one in inventory.missing(after)), *inventory.renamed_images(after).values()] == told


def test_what_a_swarm_makes_and_takes_away_is_its_own(inventory, make_container):
    """In the journal's form, too, of which release 0.1.0 knows no field of it."""
    task = make_container("task", swarm_task=True)
    containers, networks = {**inventory.containers, task.id: task}, {**inventory.networks, "in": "ingress"}
    swarm = dataclasses.replace(inventory, containers=containers, networks=networks, swarm_networks=("in",))
    again = Inventory.from_data(json.loads(json.dumps(swarm.to_data())))
    assert again == swarm
    assert "swarm_task" not in swarm.to_data()["containers"][task.id]
    assert again.missing(inventory) == []
    assert task not in again.running_set()


LISTENS = [
    (["fd://"], "/run/docker.sock"),
    (["tcp://0.0.0.0:2375", "unix:///srv/docker.sock", "fd://"], "/srv/docker.sock"),
    (["nonsense://", "unix://"], "/var/run/docker.sock"),
    (["tcp://0.0.0.0:2375"], None),
    ([], None),
]


@pytest.mark.parametrize(("listens", "path"), LISTENS)
def test_socket_of(listens, path):
    assert socket_of(known_addresses(listens), "/run/docker.sock") == path


def test_socket_of_without_a_socket_unit_is_none():
    assert socket_of(known_addresses(["fd://", "unix:///srv/docker.sock"]), None) is None


@pytest.mark.parametrize(("settings", "expected"), [({}, ["unix:///var/run/docker.sock"]), ({"hosts": ["fd://"]}, ["fd://"])])
def test_addresses_of_a_configuration(settings, expected):
    assert addresses_of(settings) == expected


def test_what_was_proved_holds_for_that_process_only():
    me = os.getpid()
    proved = {"process": process_identity(me), "settings": {"debug": True}}
    assert state_module.verified_settings(proved, process_identity(me), {}) == {"debug": True}
    assert state_module.verified_settings(proved, "", {}) == {}
    assert state_module.verified_settings({**proved, "process": f"{me}:1"}, process_identity(me), {}) == {}
    assert state_module.verified_settings({}, process_identity(me), {"tls": True}) == {"tls": True}


def test_process_identity_tells_two_processes_apart():
    assert process_identity(os.getpid()) == process_identity(os.getpid()) != process_identity(os.getppid())
    assert process_identity(os.getpid()).startswith(f"{os.getpid()}:")


ROOTS = {
    "as the daemon says": ({"DockerRootDir": "/mnt/d"}, {"data-root": "/x"}, "/mnt/d"),
    "without the part of userns-remap": ({"DockerRootDir": "/mnt/d/165536.165536", "SecurityOptions": ["name=userns"]}, {}, "/mnt/d"),
    "a name that only looks like it": ({"DockerRootDir": "/mnt/165536.165536", "SecurityOptions": None}, {}, "/mnt/165536.165536"),
    "from the file when it is down": ({}, {"data-root": "/x"}, "/x"),
    "by default": ({}, {}, "/var/lib/docker"),
}


@pytest.mark.parametrize(("info", "settings", "root"), ROOTS.values(), ids=ROOTS)
def test_data_root(make_state, info, settings, root):
    assert make_state(settings, info=info).data_root == root


def test_pending_compares_files_with_what_was_proved(make_state, make_unit):
    me = os.getpid()
    verified = {"process": process_identity(me), "settings": {"debug": False}}
    flagged = make_unit(ours={"zz.conf": "[Service]\nExecStart=\nExecStart=dockerd --debug\n"})
    assert not make_state({"debug": True}).pending
    assert make_state({"debug": True}, verified=verified).pending
    assert not make_state({"debug": False}, verified=verified).pending
    assert make_state(unit=flagged, running_flags={"hosts": ["fd://"]}).pending
    assert not make_state({"debug": True}, verified=verified, pid=0).pending


def test_flags_are_in_force_over_the_file(make_state):
    state = make_state({"debug": False, "tls": True}, running_flags={"debug": True})
    assert state.in_force == {"debug": True, "tls": True}


@pytest.fixture
def down(host, monkeypatch):
    """A host whose daemon is down."""
    # What this machine has below /var/lib/docker is nobody's business.
    monkeypatch.setattr(state_module, "holds_no_data", lambda root: True)
    os.makedirs(host.places.units)
    pathlib.Path(host.places.units, "docker.service").write_text("[Service]\nExecStart=/usr/sbin/dockerd -H fd://\n")
    pathlib.Path(host.places.daemon_json).write_text('{"debug": true}')
    pathlib.Path(host.places.fstab).write_text("UUID=1 / ext4\n")
    pathlib.Path(host.places.mountinfo).write_text("22 1 254:1 / / rw - ext4 /dev/vda1 rw\n")
    host.execute.answers = {
        "systemctl show docker.service": (0, "ActiveState=inactive\nMainPID=0\n"),
        "systemctl show docker.socket": (0, "Listen=/run/docker.sock (Stream)\nLoadState=loaded\n"),
        "/usr/sbin/dockerd --version": (0, "Docker version 20.10.24+dfsg1, build 297e128\n"),
    }
    return host


def test_a_daemon_that_is_down_is_not_started_to_look_at_it(down):
    state = state_module.observe(down)
    assert (state.pid, state.engine_version, state.version) == (0, "20.10.24+dfsg1", (20, 10, 24))
    assert (state.daemon_json, state.info, state.inventory.containers) == ({"debug": True}, {}, {})
    assert [mount.point for mount in state.mounts] == ["/"]
    assert (state.fstab, state.systemd_socket) == ("UUID=1 / ext4\n", "/run/docker.sock")
    assert not any(command.startswith("systemctl start") for command in down.execute.commands)


def test_an_engine_that_was_not_used_yet_is_known_by_where_its_data_would_lie(down, monkeypatch):
    assert state_module.observe(down).is_unused
    monkeypatch.setattr(state_module, "holds_no_data", lambda root: False)
    assert not state_module.observe(down).is_unused


def test_where_nobody_may_look_there_may_be_data(down, monkeypatch):
    def refuse(root):
        raise PermissionError(root)

    monkeypatch.setattr(state_module, "holds_no_data", refuse)
    assert not state_module.observe(down).is_unused


def test_a_containerd_that_was_not_used_yet_has_no_database(down, containerd, monkeypatch):
    monkeypatch.setattr(state_module, "observe_containerd", lambda *_arguments: dataclasses.replace(containerd, pid=0))
    assert state_module.observe(down).containerd_is_unused
    database = pathlib.Path(containerd.root, CONTAINERD_DATABASE)
    database.parent.mkdir()
    database.touch()
    assert not state_module.observe(down).containerd_is_unused


def test_a_running_daemon_without_a_unix_socket_is_refused(down, monkeypatch):
    monkeypatch.setattr(state_module, "running_flags", lambda pid: {"hosts": ["tcp://127.0.0.1:2375"]})
    down.execute.answers["systemctl show docker.service"] = (0, f"ActiveState=active\nMainPID={os.getpid()}\n")
    with pytest.raises(DrydockError, match="no unix socket"):
        state_module.observe(down)


@pytest.fixture
def running(down, monkeypatch):
    """The same host with its daemon up, since a moment between two changes of its files."""
    monkeypatch.setattr(state_module, "running_flags", lambda pid: {"hosts": ["fd://"]})
    monkeypatch.setattr(state_module, "take_inventory", lambda engine: Inventory({}, {}, (), {}))
    answers = {"/info": {"ServerVersion": "26.1.5"}, "/volumes": {}}
    monkeypatch.setattr(state_module, "Engine", lambda path: types.SimpleNamespace(get=answers.get))
    down.execute.answers["systemctl show docker.service"] = (0, f"ActiveState=active\nMainPID={os.getpid()}\n")
    os.makedirs(os.path.join(down.places.units, "docker.service.d"))
    pathlib.Path(down.places.units, "docker.service.d", "theirs.conf").write_text("[Service]\nEnvironment=A=1\n")
    return down


def test_files_that_are_newer_than_the_process(running, monkeypatch):
    unit, theirs = (os.path.join(running.places.units, name) for name in ("docker.service", "docker.service.d/theirs.conf"))
    monkeypatch.setattr(state_module, "began_at", lambda pid: os.stat(theirs).st_ctime + 1)
    assert state_module.observe(running).newer == ()
    monkeypatch.setattr(state_module, "began_at", lambda pid: os.stat(unit).st_ctime - 1)
    assert state_module.observe(running).newer == (running.places.daemon_json, unit, theirs)
    assert state_module.observe(running).pending
    verified = {"process": process_identity(os.getpid()), "settings": {"debug": True}}
    os.makedirs(running.places.state_dir)
    pathlib.Path(running.places.state_dir, "owners.json").write_text(Records({}, verified, "").text())
    assert state_module.observe(running).newer == (unit, theirs)


def test_what_was_rewritten_since_the_last_run(running):
    unit, theirs = (os.path.join(running.places.units, name) for name in ("docker.service", "docker.service.d/theirs.conf"))
    assert state_module.observe(running).rewritten == ()
    files = {path: files_module.digest(path) for path in (running.places.daemon_json, unit, "/etc/gone.conf")}
    os.makedirs(running.places.state_dir)
    pathlib.Path(running.places.state_dir, "owners.json").write_text(Records({}, {}, "", files={**files, "/etc/gone.conf": "1a2b"}).text())
    assert state_module.observe(running).rewritten == tuple(sorted(["/etc/gone.conf", theirs]))
    pathlib.Path(running.places.daemon_json).write_text("{}")
    assert running.places.daemon_json in state_module.observe(running).rewritten


def test_certificates_that_changed_are_seen_when_the_daemon_is_observed_and_not_later(running, tmp_path):
    pem = tmp_path / "cert.pem"
    pem.write_text("new")
    pathlib.Path(running.places.daemon_json).write_text(json.dumps({"tlscert": str(pem)}))
    os.makedirs(running.places.state_dir)

    def observed(checksum):
        verified = {"process": process_identity(os.getpid()), "settings": {"tlscert": str(pem)}, "certificates": {str(pem): checksum}}
        pathlib.Path(running.places.state_dir, "owners.json").write_text(Records({}, verified, "").text())
        return state_module.observe(running)

    same, other = observed(files_module.digest(str(pem))), observed("another")
    pem.unlink()
    assert (same.changed_certificates, other.changed_certificates) == ([], [str(pem)])
