# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Everything that can be known is known before the first write, and nothing of it is a false alarm."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import socket
import types

import certificates
import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import trust_index
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.kept_mark import write_mark
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import COPY_MARK, Moment, list_tree
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.apt_packages import Upgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.certificates import certificate_files
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.inventory import Inventory
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import CommandFailed, DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._host.files import inode_of
from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import Mount
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import MARKED, PastMove
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.planner import make_plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request
from ansible_collections.drydock.dockerd.plugins.module_utils._preflight import configuration, containers, forwarding
from ansible_collections.drydock.dockerd.plugins.module_utils._preflight.checks import preflight
from ansible_collections.drydock.dockerd.plugins.module_utils._preflight.finding import ERROR, WARNING, Finding
from ansible_collections.drydock.dockerd.plugins.module_utils._service.unit_file import mount_unit
from made_up_mounts import look_at_made_up_paths

OPEN = "[Service]\nExecStart=/usr/sbin/dockerd -H fd:// -H tcp://10.0.0.5:2375\n"
LOCAL = "[Service]\nExecStart=/usr/sbin/dockerd -H fd:// -H tcp://127.0.0.1:2375\n"
TLS = dict.fromkeys(("tlscacert", "tlscert", "tlskey"), __file__)
BARE = "[Service]\nExecStart=/usr/sbin/dockerd\n"


def planned(host, state, request):
    """Plan as an operation does, with what lies at the paths at this moment."""
    paths = look_at_made_up_paths(state, request.path, request.containerd_path, request.state)
    return make_plan(state, request, paths, host.places.units, host.places.daemon_json)


@pytest.fixture
def check(host):
    """Findings about a request."""

    def run(state, /, *asks, check_mode=False, **request):
        wanted = Request(asks=tuple(asks), **request)
        plan, problems = planned(host, state, wanted)
        # Temporary directories are no place for a data root; that has a test of its own.
        findings, _forecast = preflight(host, state, plan, dataclasses.replace(wanted, path=None, containerd_path=None), problems, check_mode)
        return findings

    return run


def ids(findings):
    return sorted((one.id, one.severity) for one in findings)


# The unit, daemon.json, what is asked, what is found.
CONFIGURATIONS = {
    "nothing": (None, {}, [], []),
    "an ordinary key": (None, {}, [Ask("options", {"debug": True})], []),
    "a conflict": (None, {"debug": False}, [Ask("options", {"debug": True})], [("conflict", ERROR)]),
    "a foreign drop-in's name": (None, {}, [Ask("options", {}, {"x y.conf": ""})], [("drop-in-name", ERROR)]),
    "a key of another role": (None, {}, [Ask("options", {"tlscacert": os.devnull})], [("tls-file", ERROR), ("wrong-role", ERROR)]),
    "a key of addresses that comes with the certificates": (None, {}, [Ask("tls", {"tlscacert": os.devnull})], [("tls-file", ERROR)]),
    "a key that is asked for and never used": (None, {}, [Ask("options", {"registry-mirror": []})], [("key-unused", ERROR)]),
    "such a key of somebody else": (None, {"registry-mirror": []}, [Ask("options", {"debug": True})], [("key-unused", WARNING)]),
    "a key of a newer engine": (None, {}, [Ask("options", {"proxies": {}})], [("key-too-new", ERROR)]),
    "a data root of another owner": (None, {}, [Ask("listen", {"data-root": "/var/lib/docker"})], [("wrong-role", ERROR)]),
    "the key restart": (None, {"restart": True}, [], [("restart-key", ERROR)]),
    "an open API that was there before": (OPEN, {}, [Ask("options", {"debug": True})], [("open-api", ERROR)]),
    "an open API that is allowed": (OPEN, {}, [Ask("options", {"debug": True}, allow_insecure=True)], []),
    "an API on loopback": (LOCAL, {}, [], [("plain-loopback", WARNING)]),
    "TLS without client verification": (OPEN, {}, [Ask("listen", {"tls": True})], [("open-api", ERROR)]),
    "TLS whose CA is not there": (OPEN, {}, [Ask("listen", {"tlsverify": True, **TLS, "tlscacert": "/no/ca.pem"})], [("tls-file", ERROR)]),
    "no address at all": (BARE, {}, [Ask("listen", {"hosts": []})], [("no-address", ERROR)]),
    "an address that nobody can serve": (BARE, {}, [Ask("listen", {"hosts": ["fd://", "http://x"]})], [("address", ERROR)]),
    "an address of another host": (
        BARE,
        {},
        [Ask("listen", {"hosts": ["fd://", "tcp://192.0.2.1:2375"]}, allow_insecure=True)],
        [("address-not-here", ERROR)],
    ),
    "a flag and a key": (BARE + "ExecStart=\nExecStart=dockerd --debug\n", {"debug": True}, [], [("flag-conflict", ERROR)]),
    "a flag and a key that may be both": (BARE + "ExecStart=\nExecStart=dockerd --add-runtime x=/x\n", {"runtimes": {}}, [], []),
}


@pytest.mark.parametrize(("unit", "settings", "asks", "found"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_configuration(make_state, make_unit, check, unit, settings, asks, found):
    state = make_state(settings, unit=make_unit(unit) if unit else make_unit())
    assert ids(check(state, *asks)) == found


def test_an_address_that_nobody_can_serve_is_refused_where_others_have_to_be_confirmed(make_state, make_unit, check):
    asked = Ask("listen", {"hosts": ["fd://", "tcp://127.0.0.1:2375", "http://x"]})
    assert ids(check(make_state(unit=make_unit(BARE)), asked, confirm_timeout=30)) == [("address", ERROR), ("plain-loopback", WARNING)]


@pytest.fixture
def tls(tmp_path):
    """What role docker_listen asks for, with files that would do."""
    ca = certificates.make(tmp_path, "ca")
    server = certificates.make(tmp_path, "server", ca)
    return {"tlsverify": True, "tlscacert": str(ca.cert_path), "tlscert": str(server.cert_path), "tlskey": str(server.key_path)}


def test_tls_that_would_do(check, make_state, make_unit, tls):
    state = make_state(unit=make_unit(OPEN))
    assert ids(check(state, Ask("listen", tls))) == []
    assert ids(check(state, Ask("listen", {**tls, "tlskey": ""}))) == [("tls-incomplete", ERROR)]


def test_a_key_that_does_not_fit_is_refused(check, make_state, tls):
    tls["tlskey"] = str(certificates.make(pathlib.Path(tls["tlskey"]).parent, "other").key_path)
    assert ids(check(make_state(), Ask("listen", tls))) == [("tls-mismatch", ERROR)]
    assert ids(check(make_state(tls))) == [("tls-mismatch", ERROR)]


def test_an_expired_certificate_is_refused_when_it_is_new_and_told_of_when_it_is_not(check, make_state, tmp_path, tls):
    ca = certificates.make(tmp_path, "ca2")
    old = certificates.make(tmp_path, "old", ca, valid=(-9, -1))
    expired = {**tls, "tlscacert": str(ca.cert_path), "tlscert": str(old.cert_path), "tlskey": str(old.key_path)}
    read = {path: files.digest(path) for path in certificate_files(expired)}
    assert ids(check(make_state(), Ask("listen", expired))) == [("tls-expired", ERROR)]
    assert ids(check(make_state(expired, certificates=read), Ask("options", {"debug": True}))) == [("tls-expired", WARNING)]
    changed = {**read, str(old.cert_path): "another"}
    assert ids(check(make_state(expired, certificates=changed), Ask("options", {"debug": True}))) == [("tls-expired", ERROR)]
    assert ids(check(make_state({**expired, "tlsverify": False, "tls": False}, certificates=read))) == []


def test_a_ca_for_clients_only_is_told_of(check, make_state, tmp_path, tls):
    tls["tlscacert"] = str(certificates.make(tmp_path, "ca2").cert_path)
    assert ids(check(make_state(), Ask("listen", tls))) == [("tls-other-ca", WARNING)]


def test_an_open_api_names_who_opens_it(make_state, make_unit, check):
    foreign = {"/etc/systemd/system/docker.service.d/theirs.conf": OPEN.replace("ExecStart=", "ExecStart=\nExecStart=")}
    (finding,) = check(make_state(unit=make_unit(foreign=foreign)))
    assert "tcp://10.0.0.5:2375" in finding.sentence
    assert "from /etc/systemd/system/docker.service.d/theirs.conf" in finding.sentence


def test_an_address_of_somebody_else_is_not_dropped_silently(make_state, make_unit, check):
    foreign = {"/etc/systemd/system/docker.service.d/theirs.conf": LOCAL.replace("ExecStart=", "ExecStart=\nExecStart=")}
    drop_in = {"zz.conf": "[Service]\nExecStart=\nExecStart=@dockerd_command@\n"}
    findings = check(make_state(unit=make_unit(foreign=foreign)), Ask("listen", {"hosts": ["fd://"]}, drop_in))
    assert ids(findings) == [("foreign-address", ERROR)]
    assert "theirs.conf lets the daemon listen on tcp://127.0.0.1:2375" in findings[0].sentence


def test_fd_needs_a_socket_unit(make_state, check):
    assert ids(check(make_state(systemd_socket=None, socket_unit=None))) == [("no-socket-unit", ERROR)]


@pytest.fixture
def with_tcp(make_state, tmp_path):
    """A host whose docker.socket listens on tcp, by somebody's drop-in."""
    unit = make_state().socket_unit
    theirs = {"/etc/systemd/system/docker.socket.d/theirs.conf": "[Socket]\nListenStream=10.0.0.5:2375\n"}
    return dataclasses.replace(unit, texts={**unit.texts, **theirs})


def test_a_socket_unit_that_opens_the_api_is_found(check, make_state, with_tcp, tls):
    (finding,) = check(make_state(socket_unit=with_tcp))
    assert (finding.id, finding.severity) == ("open-api", ERROR)
    assert "/etc/systemd/system/docker.socket.d/theirs.conf lets systemd listen on 10.0.0.5:2375" in finding.sentence
    assert ids(check(make_state(socket_unit=with_tcp), Ask("options", {"debug": True}, allow_insecure=True))) == []
    assert ids(check(make_state(socket_unit=with_tcp), Ask("listen", tls))) == []


ROOT_SOCKET = Ask("listen", {"hosts": ["@root_socket@"]}, {"docker.socket.d/zz.conf": "[Socket]\nListenStream=\nListenStream=/run/root.sock\n"})


def test_the_local_socket_moves_with_a_restart_only(check, make_state, make_unit):
    unit = make_unit(BARE)
    assert ids(check(make_state(unit=unit), ROOT_SOCKET)) == []
    assert ids(check(make_state(unit=unit), ROOT_SOCKET, restart="never")) == [("restart-pending", WARNING), ("socket-restart", ERROR)]
    assert ids(check(make_state(unit=unit, pid=0), ROOT_SOCKET)) == [("daemon-stopped", WARNING), ("socket-restart", ERROR)]


def test_what_is_made_in_the_same_play_need_not_be_there_in_check_mode(check, make_state, tls):
    ask = Ask("listen", {**tls, "tlscert": "/no/cert.pem"})
    for check_mode, severity in ((False, ERROR), (True, WARNING)):
        assert ids(check(make_state(engine_version="26.1.5"), ask, check_mode=check_mode)) == [("tls-file", severity)]


def test_a_taken_address_is_found_before_dockerd_fails_on_it(make_state, make_unit, check):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        ask = Ask("listen", {"hosts": ["fd://", address]})
        assert ids(check(make_state(unit=make_unit(BARE)), ask)) == [("address-in-use", ERROR), ("plain-loopback", WARNING)]
    assert ids(check(make_state(unit=make_unit(BARE)), ask)) == [("plain-loopback", WARNING)]


def test_a_port_of_a_container_is_told_with_its_name(make_state, make_unit, make_container, check):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        state = make_state(unit=make_unit(BARE))
        there = dataclasses.replace(state.inventory, containers={"web": make_container("web", ports=(f"tcp/{port}",))})
        state = dataclasses.replace(state, inventory=there)
        (found,) = [one for one in check(state, Ask("listen", {"hosts": ["fd://", f"tcp://127.0.0.1:{port}"]})) if one.id == "address-in-use"]
    assert found.sentence == f"tcp://127.0.0.1:{port} is taken: container web publishes port {port}."


@pytest.mark.parametrize(
    ("before", "after", "free"),
    [("tcp://0.0.0.0:{}", "tcp://127.0.0.1:{}", True), ("tcp://127.0.0.1:{}", "tcp://0.0.0.0:{}", True), ("tcp://127.0.0.2:{}", "tcp://127.0.0.1:{}", False)],
)
def test_an_address_that_the_daemon_has_itself_is_not_taken(make_state, make_unit, check, before, after, free):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        state = make_state({"hosts": ["fd://", before.format(port)]}, unit=make_unit(BARE), owners={"listen": Ask("listen", {"hosts": []})})
        found = ids(check(state, Ask("listen", {"hosts": ["fd://", after.format(port)]}, allow_insecure=True)))
    assert (("address-in-use", ERROR) not in found) is free


def test_a_plugin_of_somebody_else_that_is_not_in_force(make_state, check):
    state = make_state({"authorization-plugins": ["gate"]})
    assert ids(check(state, Ask("options", {"debug": True}))) == [("plugin-pending", ERROR)]
    assert ids(check(state)) == []
    in_force = {**state.info, "Plugins": {"Authorization": ["gate"]}}
    assert ids(check(make_state({"authorization-plugins": ["gate"]}, info=in_force), Ask("options", {"debug": True}))) == []


HIDING = [
    ({"storage-driver": "vfs"}, True),
    ({"storage-driver": "overlay2"}, False),
    ({"userns-remap": "default"}, True),
    ({"features": {"containerd-snapshotter": True}}, True),
    ({"features": {"containerd-snapshotter": False, "buildkit": True}}, False),
]


@pytest.mark.parametrize(("settings", "hides"), HIDING)
def test_data_are_not_hidden(make_state, check, settings, hides):
    """A host that has no data yet has none to hide."""
    for images, found in (({"sha256:1": ()}, [("hides-data", ERROR)] if hides else []), ({}, [])):
        assert ids(check(make_state(inventory=Inventory({}, images, (), {}), engine_version="28.5.2"), Ask("options", settings))) == found


def test_another_image_store_is_told_with_what_comes_back_and_what_has_to_be_pulled(make_state, check):
    images = {"sha256:1": ("lab:app", "lab:same"), "sha256:2": ()}
    state = make_state(inventory=Inventory({}, images, (), {}), engine_version="28.5.2")
    (finding,) = check(state, Ask("options", {"features": {"containerd-snapshotter": True}}))
    assert finding.sentence == "A start with containerd's image store would hide the images and containers that this host has."
    assert "They come back with features.containerd-snapshotter: false. The other store needs its own: pull or load lab:app, lab:same there" in finding.hint


FAULTY_STORES = [
    ("28.5.2", {"storage-driver": "overlay2", "features": {"containerd-snapshotter": True}}, "storage-driver overlay2 is none of containerd's store"),
    ("28.5.2", {"storage-driver": "overlayfs"}, "storage-driver overlayfs is one of containerd's store only"),
    ("29.7.2", {"userns-remap": "default", "features": {"containerd-snapshotter": True}}, "is no more possible with userns-remap"),
]


@pytest.mark.parametrize(("version", "settings", "words"), FAULTY_STORES, ids=str)
def test_a_store_with_which_nothing_runs_is_refused_on_an_empty_host_too(make_state, check, version, settings, words):
    (finding,) = check(make_state(engine_version=version), Ask("options", settings))
    assert (finding.id, finding.severity) == ("image-store", ERROR)
    assert words in finding.sentence


HIDING_IN_CONTAINERD = [
    ({"containerd-namespace": "other"}, {}, True),
    ({"containerd-namespace": "moby"}, {}, False),
    ({"features": {"embedded-containerd": True}}, {}, True),
    ({"containerd-namespace": "other"}, {"DriverStatus": []}, False),
]


@pytest.mark.parametrize(("settings", "info", "hides"), HIDING_IN_CONTAINERD, ids=str)
def test_another_namespace_hides_what_is_in_containerds_store(make_state, check, settings, info, hides):
    there = {"DockerRootDir": "/var/lib/docker", "Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]], **info}
    used = frozenset({"overlay2"}) if info else frozenset()
    state = make_state(info={**there, **({"Driver": "overlay2"} if info else {})}, engine_version="29.7.2", used_drivers=used)
    state = dataclasses.replace(state, inventory=Inventory({}, {"sha256:1": ()}, (), {}))
    assert ids(check(state, Ask("options", settings))) == ([("hides-data", ERROR)] if hides else [])


def test_hidden_data_may_be_wanted_but_not_beside_a_move(make_state, check):
    state = make_state(inventory=Inventory({}, {"sha256:1": ()}, (), {}))
    ask = Ask("options", {"userns-remap": "default"})
    assert ids(check(state, ask, allow_hidden_data=True)) == [("hides-data", WARNING)]
    assert ("hides-data", ERROR) in ids(check(state, ask, allow_hidden_data=True, path="/mnt/data/docker"))


def test_a_forbidden_restart_is_told(make_state, check):
    findings = check(make_state(), Ask("options", {"log-driver": "local"}), restart="never")
    assert ids(findings) == [("restart-pending", WARNING)]
    assert "log-driver" in findings[0].sentence


# dockerd's own word ----------------------------------------------------------------------------------------------

VALIDATE = "/usr/sbin/dockerd --validate --config-file /dev/stdin -H fd://"


def test_dockerd_judges_what_will_be_written(host, make_state, check):
    host.execute.answers[VALIDATE] = (1, "unable to configure the Docker daemon with file /dev/stdin: no such network: x")
    findings = check(make_state(engine_version="26.1.5"), Ask("options", {"mtu": 1400}))
    assert [str(one) for one in findings] == ["dockerd rejects the new configuration: no such network: x. Correct what is asked for. [validate]"]
    assert (host.execute.commands[-1], host.execute.inputs[-1]) == (VALIDATE, b'{\n    "mtu": 1400\n}\n')


def test_the_old_engine_is_not_asked_what_the_new_one_would_take(host, make_state):
    state = make_state(engine_version="26.1.5")
    plan, _problems = planned(host, state, Request(asks=(Ask("options", {"mtu": 1400}),)))
    host.execute.answers[VALIDATE] = (125, "unknown flag: --validate")
    assert [one.id for one in configuration.validate(host, state, plan, False)] == ["validate"]
    upgrade = Upgrade({"docker.io": "1"}, {"docker.io": "2"}, True)
    assert list(configuration.validate(host, state, dataclasses.replace(plan, packages=upgrade), False)) == []


@pytest.mark.parametrize(
    ("version", "settings", "check_mode"),
    [("20.10.24", {"debug": True}, False), ("26.1.5", {}, False), ("26.1.5", {"userns-remap": "default"}, True)],
    ids=["an engine that cannot", "nothing to write", "a user that validating would create"],
)
def test_dockerd_is_not_asked(host, make_state, check, version, settings, check_mode):
    assert check(make_state(engine_version=version), Ask("options", settings), check_mode=check_mode) == []
    assert not [one for one in host.execute.commands if "--validate" in one]


def test_dockerd_is_not_asked_about_what_is_refused_anyway(host, make_state, check):
    assert ids(check(make_state({"debug": False}, engine_version="26.1.5"), Ask("options", {"debug": True}))) == [("conflict", ERROR)]
    assert host.execute.commands == []


# The place of a data root ----------------------------------------------------------------------------------------

PATHS = [
    ("/mnt/data/docker", []),
    ("/mnt/data/docker/", []),
    ("/var/lib/docker", []),
    ("/srv/a_b.c+d@e=f-g", []),
    ("data/docker", ["path-relative"]),
    ("/mnt/my data", ["path-characters"]),
    ("/mnt/data:x", ["path-characters"]),
    ("/mnt/$HOME", ["path-characters"]),
    ("/mnt/%i", ["path-characters"]),
    ("/mnt/a\nb", ["path-characters"]),
    ("/mnt/data\n", ["path-characters"]),
    ("/", ["path-system"]),
    ("/var/lib/", ["path-system"]),
    ("/mnt/../etc", ["path-system"]),
    ("/run/docker-data", ["path-volatile"]),
    ("/tmp/x", ["path-volatile"]),
    ("/dev/shm/docker", ["path-volatile"]),
    ("/srv/../tmp/x", ["path-volatile"]),
]


@pytest.mark.parametrize(("path", "found"), PATHS)
def test_path(host, make_state, monkeypatch, path, found):
    monkeypatch.setattr(configuration, "DEFAULT_DATA_ROOT", path)
    state = make_state(info={"DockerRootDir": path, "Driver": "overlay2"})
    request = Request(path=path)
    plan, problems = planned(host, state, Request())
    findings, _forecast = preflight(host, state, plan, request, problems, False)
    assert [one.id for one in findings] == found


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An old root with an image's worth of files, and a target with room for it."""
    (tmp_path / "root" / "overlay2").mkdir(parents=True)
    (tmp_path / "root" / "overlay2" / "layer").write_bytes(b"x" * 10_000)
    room = types.SimpleNamespace(f_bavail=1 << 20, f_bfree=1 << 20, f_frsize=4096, f_files=1000, f_favail=1000)
    monkeypatch.setattr(os, "statvfs", lambda path: room)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    return types.SimpleNamespace(path=str(tmp_path / "root"), target=str(tmp_path / "disk" / "docker"), room=room)


@pytest.fixture
def on_root(make_state, root, monkeypatch):
    """A daemon on the old root, which is the default one, and a disk that fstab mounts."""
    monkeypatch.setattr(configuration, "DEFAULT_DATA_ROOT", root.path)

    def make(mount=None, info=None, **changes):
        disk = os.path.dirname(root.target)
        mounts = [Mount("/", "ext4", "/dev/vda1", frozenset({"rw"})), Mount(disk, "ext4", "/dev/mapper/d", frozenset({"rw"}))]
        if mount:
            mounts[1] = dataclasses.replace(mounts[1], **mount)
        fields = {"info": {"DockerRootDir": root.path, "Driver": "overlay2", **(info or {})}, "mounts": mounts, "fstab": f"/dev/mapper/d {disk} ext4"}
        return make_state(**{**fields, **changes})

    return make


def test_an_ordinary_move_is_fine(on_root, root, check):
    assert check(on_root(), path=root.target) == []


def test_a_move_has_a_forecast(host, on_root, root):
    state, request = on_root(), Request(path=root.target)
    plan, _problems = planned(host, state, request)
    _findings, forecast = preflight(host, state, plan, dataclasses.replace(request, path=None), [], True)
    assert forecast.files == 3
    assert forecast.bytes >= 10_000


@pytest.mark.parametrize(("timeout", "longest"), [(30, 30), (-1, None)])
def test_a_forecast_has_what_containers_may_take_to_stop(host, on_root, root, make_container, timeout, longest):
    state, request = on_root(inventory=Inventory({"web": make_container(stop_timeout=timeout)}, {}, (), {})), Request(path=root.target)
    plan, _problems = planned(host, state, request)
    _findings, forecast = preflight(host, state, plan, dataclasses.replace(request, path=None), [], True)
    assert (forecast.outage_seconds, forecast.longest_outage_seconds) == (0, longest)


@pytest.mark.parametrize(
    ("timeout", "live_restore", "words"),
    [(30, False, "Containers may take up to 30 s to stop."), (30, True, ""), (-1, False, "Containers may take as long as they like to stop: ")],
)
def test_what_stops_containers_says_how_long_they_may_take(host, make_state, make_container, timeout, live_restore, words):
    state = make_state(inventory=Inventory({"web": make_container(stop_timeout=timeout)}, {}, (), {}), info={"LiveRestoreEnabled": live_restore})
    plan, _problems = planned(host, state, Request(restart="always"))
    said = containers.stop_words(state, plan)
    assert said.startswith(words)
    assert bool(said) == bool(words)


def test_the_forecast_of_a_prepared_move_leaves_out_what_its_copy_has(host, on_root, root):
    os.makedirs(root.target)
    pathlib.Path(root.target, COPY_MARK).touch()
    there = list_tree(root.path)
    trust_index.save(root.path, root.target, {path: one for path, one in there.items() if path != b"."}, {}, Moment(0.0, 0.0))
    state, request = on_root(), Request(path=root.target)
    plan, _problems = planned(host, state, request)
    _findings, forecast = preflight(host, state, plan, dataclasses.replace(request, path=None), [], True)
    assert (forecast.files, forecast.changed_files) == (3, 1)


MOVES = {
    "without a restart": ({}, {"restart": "never"}, ["restart-never"]),
    "a driver that keeps no files": ({"info": {"Driver": "btrfs"}}, {}, ["storage-driver"]),
    "a swarm manager": ({"info": {"Swarm": {"ControlAvailable": True}}}, {}, ["swarm-manager"]),
    "a swarm manager, allowed": ({"info": {"Swarm": {"ControlAvailable": True}}}, {"allow_swarm_manager": True}, []),
    "a swarm worker": ({"info": {"Swarm": {"ControlAvailable": False}}}, {}, []),
    "to a disk in memory": ({"mount": {"fstype": "tmpfs"}}, {}, ["file-system"]),
    "to a share": ({"mount": {"fstype": "nfs4"}}, {}, ["file-system"]),
    "to fuse": ({"mount": {"fstype": "fuse.sshfs"}}, {}, ["file-system"]),
    "to a disk that is read-only": ({"mount": {"options": frozenset({"ro"})}}, {}, ["read-only"]),
    "to a disk that is mounted by hand": ({"fstab": ""}, {}, ["not-persistent"]),
    "to a disk that is mounted by hand, allowed": ({"fstab": ""}, {"require_persistent_mount": False}, ["not-persistent"]),
    "to nowhere": ({"mounts": []}, {}, ["not-mounted", "no-mount"]),
}


@pytest.mark.parametrize(("changes", "request_", "found"), MOVES.values(), ids=MOVES)
def test_move(on_root, root, check, changes, request_, found):
    findings = check(on_root(**changes), path=root.target, **request_)
    assert [one.id for one in findings] == found
    allowed = request_.get("require_persistent_mount") is False
    assert {one.severity for one in findings} <= {WARNING if allowed else ERROR}


def test_a_move_of_a_daemon_that_is_down_is_refused(on_root, root, check):
    assert ids(check(on_root(pid=0), path=root.target)) == [("daemon-down", ERROR)]


def test_a_move_needs_rsync(on_root, root, check, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert ids(check(on_root(), path=root.target)) == [("no-rsync", ERROR)]


def test_live_restore_as_a_flag_cannot_be_switched_off(on_root, make_unit, root, check):
    unit = make_unit("[Service]\nExecStart=/usr/sbin/dockerd -H fd:// --live-restore\n")
    assert ids(check(on_root(unit=unit), path=root.target)) == [("flag", ERROR)]


def test_a_mount_unit_is_as_good_as_fstab(host, on_root, root, check):
    name = mount_unit(os.path.dirname(root.target))
    host.execute.answers = {f"systemctl show {name}": (0, f"FragmentPath=/etc/systemd/system/{name}\n")}
    assert check(on_root(fstab=""), path=root.target) == []


def test_a_systemd_that_does_not_answer_has_not_said_that_there_is_no_mount_unit(host, on_root, root, check):
    host.execute.answers = {f"systemctl show {mount_unit(os.path.dirname(root.target))} ": (1, "Connection timed out")}
    with pytest.raises(CommandFailed, match="Connection timed out"):
        check(on_root(fstab=""), path=root.target)


def test_xfs_needs_d_type(host, on_root, root, check):
    answers = {(0, "naming =version 2 ftype=1"): [], (0, "naming =version 2 ftype=0"): [("no-d-type", ERROR)], (127, "not found"): [("xfs-unknown", WARNING)]}
    for answer, found in answers.items():
        host.execute.answers["xfs_info"] = answer
        assert ids(check(on_root(mount={"fstype": "xfs"}), path=root.target)) == found


@pytest.mark.parametrize(("device", "found"), [("/dev/sdb1", [("device-name", WARNING)]), ("UUID=1", []), ("/dev/mapper/d", [])])
def test_a_device_name_that_may_change_is_told(on_root, root, check, device, found):
    assert ids(check(on_root(fstab=f"{device} {os.path.dirname(root.target)} ext4"), path=root.target)) == found


@pytest.mark.parametrize(("tail", "found"), [("/inside", "path-inside"), ("/..", "path-around")])
def test_old_and_new_root_must_not_contain_each_other(on_root, root, check, tail, found):
    assert ids(check(on_root(), path=root.path + tail)) == [(found, ERROR)]


TARGETS = {
    "empty": ([], []),
    "a new file system": (["lost+found/"], []),
    "an interrupted copy": ([COPY_MARK, "overlay2/"], []),
    "a copy that was interrupted before it had its mark": (["..drydock-copy.drydock-new", "lost+found/"], []),
    "somebody's data beside that": (["..drydock-copy.drydock-new", "precious"], ["not-empty"]),
    "somebody's data": (["precious", "lost+found/"], ["not-empty"]),
}


@pytest.mark.parametrize(("names", "found"), TARGETS.values(), ids=TARGETS)
def test_what_lies_in_the_target(on_root, root, check, names, found):
    os.makedirs(root.target)
    for name in names:
        path = os.path.join(root.target, name)
        os.mkdir(path) if name.endswith("/") else open(path, "x").close()
    assert [one.id for one in check(on_root(), path=root.target)] == found


def test_a_target_that_is_a_file_is_refused(on_root, root, check):
    os.makedirs(os.path.dirname(root.target))
    open(root.target, "x").close()
    assert ids(check(on_root(), path=root.target)) == [("not-a-directory", ERROR)]


MOUNTS_BELOW = [
    ("overlay2/0123/merged", []),
    ("containers/0123/mounts/shm", []),
    ("volumes/device/_data", []),
    ("volumes/plain/_data", ["mount-below"]),
    ("volumes", ["mount-below"]),
    ("overlay2", ["mount-below"]),
    ("mine", ["mount-below"]),
]


@pytest.mark.parametrize(("point", "found"), MOUNTS_BELOW)
def test_mounts_below_the_old_root(on_root, root, check, point, found):
    state = on_root(device_volumes=frozenset({"device"}))
    state.mounts.append(Mount(f"{root.path}/{point}", "ext4", "/dev/x", frozenset({"rw"})))
    assert [one.id for one in check(state, path=root.target)] == found


def test_old_data_are_not_removed_with_something_mounted_below(on_root, root, check):
    marker, kept = ".drydock-root-1", f"{root.path}-kept"
    os.mkdir(kept)
    open(os.path.join(root.path, marker), "x").close()
    past = PastMove("/origin", root.path, kept, inode_of(kept), False)
    state = on_root(marker=marker, history=(past,))
    assert check(state, state="cleaned") == []
    state.mounts.append(Mount(f"{kept}/volumes/share", "ext4", "/dev/mapper/e", frozenset({"rw"})))
    assert ids(check(state, state="cleaned")) == [("mount-in-old", ERROR)]


def test_containers_that_a_move_harms_are_told(on_root, make_container, root, check):
    containers = [
        make_container("job", auto_remove=True),
        make_container("ended", auto_remove=True, state="exited"),
        make_container("bound", binds=("/srv", f"{root.path}/volumes/v/_data")),
        make_container("near", binds=(f"{root.path}-backup",)),
    ]
    findings = check(on_root(inventory=Inventory({one.id: one for one in containers}, {}, (), {})), path=root.target)
    assert ids(findings) == [("auto-remove", WARNING), ("bind-below", WARNING)]
    assert "Container job " in findings[0].sentence
    assert "Container bound " in findings[1].sentence


def test_a_paused_container_is_told_to_start_anew(on_root, make_container, root, check):
    findings = check(on_root(inventory=Inventory({"p": make_container("held", state="paused")}, {}, (), {})), path=root.target)
    assert ids(findings) == [("paused", WARNING)]
    assert "Container held is paused" in findings[0].sentence


def test_a_process_with_open_files_in_the_old_root_is_told(on_root, root, check):
    log = pathlib.Path(root.path, "containers", "x.log")
    log.parent.mkdir(exist_ok=True)
    log.touch()
    with log.open():
        findings = check(on_root(pid=1), path=root.target)
    assert ids(findings) == [("open-files", WARNING)]
    assert f"Process {os.getpid()} " in findings[0].sentence
    assert str(log) in findings[0].sentence


def test_images_that_containerd_keeps_elsewhere_are_told_with_their_size(on_root, root, check, containerd):
    pathlib.Path(containerd.root, "layer").write_bytes(bytes(3 << 20))
    info = {"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    findings = check(on_root(info=info, containerd=containerd, engine_version="29.7.2"), path=root.target)
    assert ids(findings) == [("containerd-stays", WARNING)]
    assert findings[0].sentence.startswith("3.0 MiB stay behind in ")


def test_a_containerd_that_serves_others_stays_where_it_is(on_root, root, check, containerd):
    others = dataclasses.replace(containerd, others={"k8s.io": 2, "default": 1})
    findings = check(on_root(containerd=others), containerd_path=f"{root.target}-c")
    assert ids(findings) == [("containerd-shared", ERROR)] * 2
    assert findings[0].sentence == "containerd runs 1 task in namespace 'default', which are not Docker's and would stop."
    assert check(on_root(containerd=others), path=root.target) == []


def test_a_containerd_that_is_down_is_told(on_root, root, check, containerd):
    findings = check(on_root(containerd=dataclasses.replace(containerd, pid=0)), containerd_path=f"{root.target}-c")
    assert ids(findings) == [("containerd-down", ERROR)]


def test_one_new_root_inside_the_other_is_refused(on_root, root, check, containerd):
    findings = check(on_root(containerd=containerd), path=root.target, containerd_path=f"{root.target}/containerd")
    assert ids(findings) == [("paths-nested", ERROR)]


def test_an_empty_directory_of_containerds_own_is_no_foreign_target(on_root, root, check, containerd):
    os.makedirs(f"{root.target}-c/opt/bin")
    assert check(on_root(containerd=containerd), containerd_path=f"{root.target}-c") == []
    pathlib.Path(f"{root.target}-c/opt/bin/theirs").touch()
    assert ids(check(on_root(containerd=containerd), containerd_path=f"{root.target}-c")) == [("not-empty", ERROR)]


def test_two_roots_on_one_disk_need_room_for_both(on_root, root, check, containerd):
    """Each alone fits: 64 MiB of margin each, and 100 MiB are free."""
    root.room.f_bavail = 100 << 20 >> 12
    assert check(on_root(containerd=containerd), path=root.target) == []
    assert check(on_root(containerd=containerd), containerd_path=f"{root.target}-c") == []
    findings = check(on_root(containerd=containerd), path=root.target, containerd_path=f"{root.target}-c")
    assert ids(findings) == [("no-space", ERROR)]
    assert f"{root.target} and {root.target}-c has 100.0 MiB free" in findings[0].sentence


def test_a_target_without_room_is_told_with_what_is_missing(on_root, root, check):
    root.room.f_bavail, root.room.f_favail = 10, 2
    findings = check(on_root(), path=root.target)
    assert ids(findings) == [("no-inodes", ERROR), ("no-space", ERROR)]
    assert "40.0 KiB free" in findings[0].sentence
    assert "are missing" in findings[0].sentence


def test_a_disk_without_room_for_the_journal_is_told(host, make_state, check, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda path: types.SimpleNamespace(f_bavail=0, f_bfree=1000, f_frsize=1024, f_files=0, f_favail=0))
    state = make_state({})
    assert [one.id for one in preflight(host, state, planned(host, state, Request((Ask("a", {"debug": True}),)))[0], Request(), [], True)[0]] == [
        "no-journal-space"
    ]


def test_what_an_interrupted_copy_brought_needs_no_room_again(on_root, root, check):
    shutil.copytree(root.path, root.target)
    open(os.path.join(root.target, COPY_MARK), "x").close()
    root.room.f_favail = 1
    assert check(on_root(), path=root.target) == []


def test_what_an_interrupted_move_back_has_at_both_places_needs_no_room_again(on_root, root, check):
    """On a mount point: a part lies at the old place, the rest in the directory in which it was set aside."""
    kept = os.path.join(root.target, ".drydock-kept-1")
    for path in (root.path, root.target):
        pathlib.Path(path, "containers").mkdir(parents=True)
        pathlib.Path(path, "containers", "one").touch()
    shutil.copytree(os.path.join(root.path, "overlay2"), os.path.join(kept, "overlay2"))
    for path, mark in ((root.target, COPY_MARK), (root.path, ".drydock-root-1")):
        pathlib.Path(path, mark).touch()
    root.room.f_favail = 1
    past = PastMove(root.target, root.path, kept, (5, 6), False, run="then", record={MARKED: True})
    write_mark(kept, past.kept_id)
    assert check(on_root(marker=".drydock-root-1", history=(past,)), state="restored") == []


def test_a_file_system_without_a_fixed_number_of_inodes_has_enough(on_root, root, check):
    root.room.f_files = root.room.f_favail = 0
    assert check(on_root(), path=root.target) == []


def test_a_finding_is_a_sentence_and_data():
    finding = Finding("x", ERROR, "It is so.", "Do that.")
    assert (str(finding), str(dataclasses.replace(finding, hint=""))) == ("It is so. Do that. [x]", "It is so. [x]")
    assert finding.to_data() == {"id": "x", "severity": "error", "sentence": "It is so.", "hint": "Do that."}


def test_problems_keep_their_id_and_their_way_out(host, make_state):
    state = make_state()
    plan, _problems = planned(host, state, Request())
    findings, forecast = preflight(host, state, plan, Request(), [DrydockError("x-y", "It is so.", "Do that.")], False)
    assert ([(one.id, str(one)) for one in findings], forecast) == ([("x-y", "It is so. Do that. [x-y]")], None)


@pytest.fixture
def first(make_state, check, tmp_path):
    """Findings of a first start with its data in a directory."""
    place = tmp_path / "first"
    mounts = [Mount("/", "ext4", "/dev/x", frozenset())]
    state = make_state(None, pid=0, info={}, running_flags={}, socket=None, mounts=mounts, default_root_unused=True)

    def run(**changes):
        return ids(check(dataclasses.replace(state, **changes), path=str(place)))

    run.place = place
    return run


def test_a_first_data_root_may_be_new_or_an_old_one(first):
    assert first() == []
    (first.place / "containers").mkdir(parents=True)
    (first.place / "image").mkdir()
    assert first() == []


def test_a_first_data_root_holds_nothing_of_others(first):
    (first.place / "photos").mkdir(parents=True)
    assert first() == [("not-empty", ERROR)]


def test_a_first_data_root_is_on_a_disk_that_comes_back(first):
    assert first(mounts=[Mount(str(first.place.parent), "ext4", "/dev/x", frozenset())]) == [("not-persistent", ERROR)]
    assert first(mounts=[Mount("/", "nfs4", "x:/y", frozenset())]) == [("file-system", ERROR)]


@pytest.mark.parametrize(
    ("in_file", "in_force", "words"),
    [
        ({"data-root": "/mnt/data/docker"}, "/var/lib/docker", "and /etc/docker/daemon.json says data-root /mnt/data/docker: a restart would start it there"),
        ({}, "/mnt/data/docker", "and no file says so, which means /var/lib/docker: a restart would start it there"),
    ],
    ids=["written and not in force", "taken out and in force"],
)
def test_a_data_root_that_waits_in_the_files_is_never_put_into_force_by_chance(host, make_state, in_file, in_force, words):
    """Somebody wrote it, and did not restart: the daemon would come up without anything that it has."""
    state = make_state(in_file, info={"DockerRootDir": in_force, "Driver": "overlay2"})
    request = Request(asks=(Ask("options", {"mtu": 1400}),))
    plan, problems = planned(host, state, request)
    (found,) = [one for one in preflight(host, state, plan, request, problems, True)[0] if one.id == "root-pending"]
    assert (found.severity, words in found.sentence, in_force in found.hint) == (ERROR, True, True)
    # What needs no restart is done without one.
    request = Request(asks=(Ask("options", {"debug": True}),))
    plan, problems = planned(host, state, request)
    (found,) = [one for one in preflight(host, state, plan, request, problems, True)[0] if one.id == "root-pending"]
    assert (plan.effect, found.severity) == ("reload", WARNING)


# IP forwarding ---------------------------------------------------------------------------------------------------

NFTABLES = {"firewall-backend": "nftables"}
# What is in force, what is asked for, the kernel's value, the files of sysctl.d, and what is found.
FORWARDING = {
    "it does not": ({}, NFTABLES, "0", {}, [("ip-forward", ERROR, "is 0")]),
    "it does, until a boot": ({}, NFTABLES, "1", {}, [("ip-forward", ERROR, "at a boot")]),
    "it does": ({}, NFTABLES, "1", {"50-docker.conf": "net.ipv4.ip_forward = 1"}, []),
    "it does, by another name": ({}, NFTABLES, "1", {"a.conf": "# x\n-net/ipv4/conf/all/forwarding=1\n"}, []),
    "a later file takes it back": (
        {},
        NFTABLES,
        "1",
        {"50.conf": "net.ipv4.ip_forward=1", "90.conf": "net.ipv4.ip_forward=0"},
        [("ip-forward", ERROR, "boot")],
    ),
    "no file of sysctl.d": ({}, NFTABLES, "1", {"50.txt": "net.ipv4.ip_forward=1"}, [("ip-forward", ERROR, "boot")]),
    "dockerd is not to look": ({}, {**NFTABLES, "ip-forward": False}, "0", {}, []),
    "it sees to it": ({}, {"firewall-backend": "iptables"}, "0", {}, []),
    "it was so before, and nothing starts": (NFTABLES, {**NFTABLES, "debug": True}, "1", {}, [("ip-forward", WARNING, "boot")]),
}


@pytest.mark.parametrize(("before", "asked", "value", "files", "found"), FORWARDING.values(), ids=FORWARDING)
def test_nftables_needs_a_kernel_that_forwards(host, make_state, check, monkeypatch, before, asked, value, files, found):
    monkeypatch.setattr(forwarding, "_VENDORS", ())
    pathlib.Path(host.places.ip_forward).write_text(f"{value}\n")
    pathlib.Path(host.places.sysctl).mkdir()
    for name, text in files.items():
        pathlib.Path(host.places.sysctl, name).write_text(text)
    state = make_state(before, engine_version="29.7.2", owners={"options": Ask("options", before)}, used_drivers=frozenset({"overlay2"}))
    told = check(state, Ask("options", asked))
    assert [(one.id, one.severity) for one in told] == [one[:2] for one in found]
    assert all(words in one.sentence for one, (_id, _severity, words) in zip(told, found))
