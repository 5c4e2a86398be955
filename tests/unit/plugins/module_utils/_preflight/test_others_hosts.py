# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Hosts that others have laid out: what a change would break there, or could not do, is known before it begins."""

from __future__ import annotations

import dataclasses
import os
import socket

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import listing, renaming, root_links
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import entry_of, subvolumes
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.inventory import Inventory
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import Mount, is_mount_point
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import down as down_module
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.down import Down, load_down, note_down, still_down
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.plan import Move
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.planner import make_plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request
from ansible_collections.drydock.dockerd.plugins.module_utils._preflight import file_system, writable
from ansible_collections.drydock.dockerd.plugins.module_utils._preflight.checks import preflight
from ansible_collections.drydock.dockerd.plugins.module_utils._preflight.file_system import file_system_findings
from ansible_collections.drydock.dockerd.plugins.module_utils._preflight.finding import ERROR, WARNING
from ansible_collections.drydock.dockerd.plugins.module_utils._preflight.writable import keeper_findings
from ansible_collections.drydock.dockerd.plugins.module_utils._service.launched import Launched
from made_up_mounts import look_at_made_up_paths

RESTART = Ask("options", {"mtu": 1400})


@pytest.fixture
def check(host):
    """Findings about options, by id."""

    def run(state, *asks, **request):
        wanted = Request(asks=asks or (RESTART,), **request)
        plan, problems = make_plan(state, wanted, look_at_made_up_paths(state), host.places.units, host.places.daemon_json)
        findings, _forecast = preflight(host, state, plan, wanted, problems, False)
        return {one.id: one for one in findings}

    return run


def test_a_daemon_that_cannot_be_held_back_is_not_restarted(check, make_state, make_unit):
    problem = DrydockError("unit-command", "docker.service starts the daemon by /bin/sh.", "Let it.")
    unit = dataclasses.replace(make_unit(), launched=Launched("/usr/sbin/dockerd", ("-H", "fd://"), problem=problem))
    found = check(make_state(unit=unit))["unit-command"]
    assert (found.severity, found.sentence, found.hint) == (ERROR, problem.sentence, problem.hint)
    assert "unit-command" not in check(make_state(unit=unit), restart="never")


# On the left what the daemon has, on the right what others have written.
PENDING = {
    "written": ({"verified": {"data-root": "x"}}, {"ip": "127.0.0.1"}, "Key 'ip' is its default in the running daemon and \"127.0.0.1\" in"),
    "changed": ({"verified": {"ip": "10.0.0.1"}}, {"ip": "127.0.0.1"}, 'Key \'ip\' is "10.0.0.1" in the running daemon and "127.0.0.1" in'),
    "taken out": ({"verified": {"ip": "10.0.0.1"}}, {}, "Key 'ip' is \"10.0.0.1\" in the running daemon and its default in"),
    "of a daemon that nobody has proved": ({"log-driver": "json-file"}, {"log-driver": "local"}, "Key 'log-driver' is \"json-file\" in"),
}


@pytest.mark.parametrize(("in_force", "in_file", "words"), PENDING.values(), ids=PENDING)
def test_what_others_wrote_is_not_put_into_force_by_chance(check, make_state, in_force, in_file, words):
    state = make_state(in_file, info={"DockerRootDir": "/var/lib/docker", "Driver": "overlay2", "LoggingDriver": in_force.get("log-driver")})
    if "verified" in in_force:
        proved = {key: value for key, value in in_force["verified"].items() if key != "data-root"}
        state = dataclasses.replace(state, verified={"process": state.process, "settings": proved})
    found = check(state)["key-pending"]
    assert (found.severity, words in found.sentence) == (ERROR, True)
    assert "daemon_state: restarted" in found.hint
    assert "key-pending" not in check(dataclasses.replace(state, left_by_us=True))
    # Whoever wants just that, or asks for the key himself; what needs no restart is done without one.
    assert "key-pending" not in check(state, restart="always")
    assert check(state, Ask("options", {"debug": True}))["key-pending"].severity == WARNING
    if in_file:
        assert "key-pending" not in check(state, Ask("options", {"mtu": 1400, **in_file}))


def test_what_a_reload_brings_is_no_reason_to_refuse_a_restart(check, make_state):
    state = make_state({"max-concurrent-uploads": 3})
    state = dataclasses.replace(state, verified={"process": state.process, "settings": {}})
    assert "key-pending" not in check(state)


def test_a_storage_driver_that_waits_in_the_file_is_known_to_hide_data(check, make_state, make_container):
    inventory = Inventory({"id-web": make_container()}, {}, (), {})
    found = check(make_state({"storage-driver": "vfs"}, inventory=inventory))["hides-data"]
    assert found.severity == ERROR


def test_whom_else_the_outage_concerns_is_told(host, check, make_state):
    host.execute.answers.update(
        {
            "systemctl show docker.socket --property LoadState": (0, "LoadState=loaded\n"),
            "systemctl show docker.service --property RequiredBy": (0, "RequiredBy=a.service b.service\n"),
            "systemctl show": (0, "ActiveState=active\n"),
        }
    )
    assert check(make_state())["dependents"].sentence == "a.service and b.service depend on the daemon: stopped before it, and started again behind it."
    assert "dependents" not in check(make_state(), Ask("options", {"debug": True}))


SOCKETS = [
    (["[::]:2375"], "open-api", ERROR),
    (["127.0.0.1:2375"], "plain-loopback", WARNING),
    (["/run/other.sock"], None, None),
]


@pytest.mark.parametrize(("listens", "id", "severity"), SOCKETS)
def test_other_sockets_that_open_the_api_are_found(check, make_state, listens, id, severity):
    found = check(make_state(other_sockets={"docker-tcp.socket": listens}))
    assert {one: found[one].severity for one in found if one in ("open-api", "plain-loopback")} == ({id: severity} if id else {})
    if id:
        assert "systemctl disable --now docker-tcp.socket, then systemctl restart docker" in found[id].hint
    assert "open-api" not in check(make_state(other_sockets={"docker-tcp.socket": listens}), dataclasses.replace(RESTART, allow_insecure=True))


def test_containers_that_could_not_start_again_are_told(check, make_state, make_container, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        there = [
            make_container("torrent", needs=("gone",)),
            make_container("app", requires=(str(tmp_path / "no"), str(tmp_path))),
            make_container("web", ports=(f"tcp/{port}", "tcp/1")),
            make_container("well", needs=("id-app",), requires=(str(tmp_path),)),
            make_container("down", state="exited", needs=("gone",)),
        ]
        state = make_state(inventory=Inventory({one.id: one for one in there}, {}, (), {}))
        wanted = Request(asks=(RESTART,))
        found = [one for one in _all(state, wanted, tmp_path) if one.id == "cannot-restart"]
    told = sorted(one.sentence.split("restart: ")[1] for one in found)
    assert [one.severity for one in found] == [WARNING] * 3
    assert told[0] == f"{tmp_path}/no on the host, which it was given, is gone."
    assert told[1] == "it uses the network, or another namespace, of container gone, which is gone."
    assert told[2].startswith(f"port tcp/{port} is taken by process {os.getpid()} (")
    assert not [one for one in _all(state, Request(asks=(Ask("options", {"debug": True}),)), tmp_path) if one.id == "cannot-restart"]


def _all(state, wanted, tmp_path):
    from ansible_collections.drydock.dockerd.plugins.module_utils._preflight.containers import container_findings

    plan, _problems = make_plan(state, wanted, look_at_made_up_paths(state), str(tmp_path), str(tmp_path / "daemon.json"))
    return list(container_findings(state, plan))


def test_a_container_that_a_change_left_down_is_told_until_somebody_minds_it(host, check, make_state, make_container):
    ran, other = make_container("web", started_at="1"), make_container("db", started_at="2")
    note_down(host, [ran, other], {"id-web": "Container web does not run again: no network."})
    note_down(host, [other], {})
    assert [one.name for one in load_down(host)] == ["web"]
    (noted,) = load_down(host)
    assert noted == Down("id-web", "web", "Container web does not run again: no network.", int(host.now()), "1")

    def seen(*containers):
        return still_down([noted], Inventory({one.id: one for one in containers}, {}, (), {}))

    assert seen(dataclasses.replace(ran, state="exited")) == (noted,)
    assert seen(ran) == seen() == seen(dataclasses.replace(ran, state="exited", started_at="3")) == ()
    found = check(make_state(down=(noted,)))["left-down"]
    assert (found.severity, "docker start web" in found.hint) == (WARNING, True)
    assert "Container web is down since a change of 2023-11-14 22:13 UTC: Container web does not run again: no network." in found.sentence


def test_what_was_left_down_does_not_pile_up(host, make_container, monkeypatch):
    monkeypatch.setattr(down_module, "_MOST", 2)
    for name in ("a", "b", "c"):
        note_down(host, [make_container(name)], {f"id-{name}": "why"})
    assert [one.name for one in load_down(host)] == ["b", "c"]


THINGS = {
    "a log driver": ({"log-driver": "nope"}, "Log driver 'nope'"),
    "a runtime by default": ({"default-runtime": "kata"}, "Default runtime 'kata'"),
    "a runtime's program": ({"runtimes": {"kata": {"path": "/no/kata"}}}, "Runtime 'kata'"),
    "an authorization plugin": ({"authorization-plugins": ["nobody-knows"]}, "Authorization plugin 'nobody-knows'"),
}
INFO = {
    "DockerRootDir": "/var/lib/docker", "Driver": "overlay2", "Runtimes": {"runc": {}}, "Plugins": {"Log": ["json-file", "local"], "Authorization": ["opa"]},
}  # fmt: skip


@pytest.mark.parametrize(("settings", "words"), THINGS.values(), ids=THINGS)
def test_what_is_asked_for_and_not_there_is_refused(check, make_state, settings, words):
    found = check(make_state(info=INFO), Ask("options", settings))["not-there"]
    assert (found.severity, words in found.sentence) == (ERROR, True)


def test_what_is_there_is_let_pass(check, make_state):
    settings = {"log-driver": "local", "default-runtime": "mine", "runtimes": {"mine": {"path": "/bin/sh"}}, "authorization-plugins": ["opa"]}
    assert "not-there" not in check(make_state(info=INFO), Ask("options", settings))
    assert "not-there" not in check(make_state(info=INFO), Ask("options", {"log-driver": "grafana/loki:latest", "default-runtime": "io.containerd.kata.v2"}))


def test_a_file_that_cannot_be_replaced_is_refused(host, check, make_state, monkeypatch):
    os.makedirs(os.path.dirname(host.places.daemon_json), exist_ok=True)
    open(host.places.daemon_json, "w", encoding="ascii").close()
    assert "unwritable" not in check(make_state())
    for flags, words in ((0x10, "it is immutable (chattr +i)"), (0x20, "it can only be appended to (chattr +a)")):
        monkeypatch.setattr(writable, "flags_of", lambda path, flags=flags: flags if path == host.places.daemon_json else 0)
        found = check(make_state())["unwritable"]
        assert (found.severity, words in found.sentence, found.hint) == (ERROR, True, f"chattr -i -a {host.places.daemon_json}, then run again.")
    above = os.path.dirname(host.places.daemon_json)
    monkeypatch.setattr(writable, "flags_of", lambda path: 0x10 if path == above else 0)
    assert f"its directory {above} is immutable" in check(make_state())["unwritable"].sentence
    monkeypatch.setattr(writable, "flags_of", lambda path: 0)
    mounted = make_state(mounts=[Mount("/", "ext4", "x", frozenset({"rw"})), Mount(host.places.daemon_json, "ext4", "x", frozenset({"rw"}))])
    assert "a file is mounted on it" in check(mounted)["unwritable"].sentence
    assert "mounted read-only" in check(make_state(mounts=[Mount("/", "ext4", "x", frozenset({"ro"}))]))["unwritable"].sentence


def test_who_can_swap_a_root_is_told(tmp_path, monkeypatch):
    owner, mode = {}, {}
    real = os.stat

    def stat(path, *arguments, **named):
        found = list(real(path, *arguments, **named))
        found[4], found[5] = owner.get(path, 0), 50
        found[0] = found[0] & ~0o7777 | mode.get(path, 0o755)
        return os.stat_result(found)

    monkeypatch.setattr(writable.os, "stat", stat)
    path, place = str(tmp_path / "place" / "docker"), str(tmp_path / "place")
    os.mkdir(place)
    assert list(keeper_findings(path)) == []
    for change, words, severity in (
        (lambda: owner.update({place: 12345}), "belongs to user 12345", ERROR),
        (lambda: mode.update({place: 0o777}), "Every user can write to", ERROR),
        (lambda: mode.update({place: 0o775}), "The group of", WARNING),
        (lambda: mode.update({place: 0o1777}), "", ""),
    ):
        owner.clear()
        mode.clear()
        change()
        assert [(words in one.sentence, one.severity) for one in keeper_findings(path)] == ([(True, severity)] if words else [])


def test_drop_in_lines_that_systemd_would_pass_over_are_refused(host, check, make_state, make_unit, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    text = '[Service]\nEnvironment="HTTP_PROXY=http://svc:p%40ss@proxy"\n'
    said = "/x/docker.service.d/zz-proxy.conf:2: Failed to resolve specifiers, ignoring: Invalid slot\n/x/docker.service.d/other.conf:1: ignoring\n"
    recorder = host.execute
    host.execute = lambda argv, *more: dataclasses.replace(recorder(argv, *more), err=said if "verify" in argv else "")
    state = make_state()
    found = check(state, Ask("options", {}, {"zz-proxy.conf": text}))["drop-in-line"]
    assert (found.severity, "line 2 of drop-in zz-proxy.conf" in found.sentence) == (ERROR, True)
    assert found.hint.endswith("Write %% for a percent sign.")


# Links and names ---------------------------------------------------------------------------------------------------


def test_links_lead_to_the_new_root(tmp_path):
    old, new, link = tmp_path / "old", tmp_path / "new", tmp_path / "a" / "link"
    for path in (old, new / "volumes", link.parent):
        path.mkdir(parents=True)
    link.symlink_to(old)
    assert root_links.links_to(str(old), [f"{link}/volumes", str(new)]) == [str(link)]
    assert root_links.is_led_below(f"{link}/volumes", str(old))
    root_links.lead(str(link), str(new))
    assert os.readlink(link) == str(new)
    old.rmdir()
    root_links.lead_all(str(old), str(new), [f"{old}/volumes"])
    assert (os.readlink(old), root_links.links_into(str(old), str(new))) == (str(new), {str(old): str(new)})
    root_links.lead_all(str(old), str(new), [f"{old}/volumes"])
    assert root_links.links_into(str(link.parent), str(new)) == {str(link): str(new)}


def test_in_a_mount_point_the_names_lead_to_the_new_root(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for path in (old, new / "volumes", new / "containers"):
        path.mkdir(parents=True)
    (old / "lost+found").mkdir()
    root_links.lead_all(str(old), str(new), [f"{old}/volumes/x/_data", str(old), f"{old}/nothing"])
    assert root_links.links_into(str(old), str(new)) == {f"{old}/volumes": f"{new}/volumes"}
    (old / "containers").mkdir()
    (old / "containers" / "theirs").touch()
    with pytest.raises(OSError, match="not empty"):
        root_links.lead_all(str(old), str(new), [f"{old}/containers"])


def test_what_the_kernel_can_rename(tmp_path):
    (tmp_path / "old").mkdir()
    assert renaming.can_rename(str(tmp_path / "old"), str(tmp_path / "deep" / "down" / "new"))
    assert not renaming.can_rename(str(tmp_path / "old"), "/proc/new")
    assert not renaming.can_rename("/proc", str(tmp_path / "new"))
    assert not renaming.can_rename(str(tmp_path / "none"), str(tmp_path / "new"))
    assert is_mount_point("/proc")
    assert not is_mount_point(str(tmp_path))


def test_a_project_s_quota_keeps_a_directory_where_it_is(tmp_path, monkeypatch):
    (tmp_path / "old").mkdir()
    projects = {str(tmp_path): (True, 7), str(tmp_path / "old"): (True, 7)}
    monkeypatch.setattr(renaming, "_project", lambda path: projects[path])
    assert renaming.can_rename(str(tmp_path / "old"), str(tmp_path / "new"))
    projects[str(tmp_path / "old")] = (False, 0)
    assert not renaming.can_rename(str(tmp_path / "old"), str(tmp_path / "new"))


def test_a_directory_with_a_word_of_its_administrator_is_special(tmp_path, monkeypatch):
    (tmp_path / "plain").mkdir()
    assert not renaming.is_special(str(tmp_path / "plain"))
    assert not renaming.is_special(str(tmp_path / "none"))
    assert renaming.is_special("/proc")
    monkeypatch.setattr(renaming.os, "listxattr", lambda path: ["user.backup"])
    assert renaming.is_special(str(tmp_path / "plain"))
    monkeypatch.setattr(renaming.os, "listxattr", lambda path: ["security.selinux"])
    assert not renaming.is_special(str(tmp_path / "plain"))


def test_one_place_by_two_names_is_no_other_root(check, make_state, tmp_path, monkeypatch):
    """As a bind mount makes it: only the kernel knows."""
    for name in ("root", "bound"):
        (tmp_path / name).mkdir()
    state = make_state({"data-root": str(tmp_path / "bound")}, info={"DockerRootDir": str(tmp_path / "root"), "Driver": "overlay2"})
    assert check(state)["root-pending"].severity == ERROR
    monkeypatch.setattr(os.path, "samefile", lambda one, other: {one, other} == {str(tmp_path / "root"), str(tmp_path / "bound")})
    assert "root-pending" not in check(state)


OPEN = "tcp://10.0.0.5:2376"
VERIFIED = {"hosts": [OPEN], "tlsverify": True, "tlscacert": "/certs/ca.pem"}


@pytest.fixture
def listening(make_state, make_unit):
    """A daemon that listens where daemon.json says."""

    def make(settings, **answers):
        return make_state(settings, unit=make_unit("[Service]\nExecStart=/usr/sbin/dockerd\n"), running_flags={}, **answers)

    return make


def test_what_a_socket_has_said_goes_before_what_is_written(check, listening):
    """Both ways: an address that everybody takes for safe and is not, and one that looks open and turns strangers away."""
    assert check(listening(VERIFIED, lets_in={OPEN: True}))["open-api"].severity == ERROR
    assert "open-api" not in check(listening({"hosts": [OPEN]}, lets_in={OPEN: False}))
    assert check(listening({"hosts": [OPEN]}))["open-api"].severity == ERROR


def test_what_a_socket_has_said_is_no_answer_for_what_will_be(check, listening):
    """A change of what decides it is judged by what is asked for."""
    change = Ask("listen", {"hosts": [OPEN], "tls": False})
    state = listening({"hosts": [OPEN], "tls": True}, lets_in={OPEN: False})
    assert check(dataclasses.replace(state, owners={"listen": Ask("listen", {"hosts": [OPEN], "tls": True})}), change)["open-api"].severity == ERROR


def test_a_ca_of_anybody_is_no_protection(check, listening):
    found = check(listening({"hosts": [OPEN], "tls": True, "tlscert": os.devnull, "tlskey": os.devnull}, lets_in={OPEN: False}))
    assert "any CA that the system of this host trusts" in found["open-api"].sentence


def test_certificates_that_dockerd_takes_by_itself_close_an_address(check, make_state, make_unit):
    unit = make_unit(f"[Service]\nExecStart=/usr/sbin/dockerd -H {OPEN} --tlsverify\n", environment={"DOCKER_CERT_PATH": "/certs"})
    state = make_state(unit=unit, running_flags={"hosts": [OPEN], "tlsverify": True}, environment={"DOCKER_CERT_PATH": "/certs"})
    assert state.in_force["tlscacert"] == "/certs/ca.pem"
    assert "open-api" not in check(state)
    assert state.in_force == state.effective(state.daemon_json, state.unit.ours)


HERE = entry_of(b"/usr/share")


@pytest.fixture
def moved(host, make_state):
    """Findings about what the file system of a target takes, by id."""

    def run(now=None, fstype="ext4", options=("rw",), source="xfs", settings=None, **state):
        mounts = [Mount("/", source, "/dev/one", frozenset({"rw"})), Mount("/tmp", fstype, "/dev/two", frozenset(options))]
        made = make_state(settings or {}, mounts=mounts, **state)
        plan, _problems = make_plan(made, Request(asks=(RESTART,)), look_at_made_up_paths(made), host.places.units, host.places.daemon_json)
        move = Move("/usr/share", "/tmp/docker", ".mark", True, "attributes", 0)
        return {one.id: one for one in file_system_findings(host, made, plan, move, {b".": HERE, **(now or {})})}

    return run


def test_a_path_that_gets_too_long_is_told_before(moved):
    assert moved({b"x" * 4070: HERE}) == {}
    assert moved({b"x" * 4080: HERE})["path-too-long"].severity == ERROR


def test_a_subvolume_is_told_before(moved, monkeypatch):
    """It looks as a mount does, and nobody has mounted it."""
    assert subvolumes("/", {b".": entry_of(b"/"), b"proc": entry_of(b"/proc"), b"usr": HERE}) == []
    monkeypatch.setattr(listing, "_mounted_below", lambda root: set())
    assert subvolumes("/", {b".": entry_of(b"/"), b"proc": entry_of(b"/proc"), b"usr": HERE}) == [b"proc"]
    # Meanwhile it is none any more.
    assert subvolumes("/", {b".": entry_of(b"/"), b"nowhere": entry_of(b"/proc")}) == []
    monkeypatch.setattr(file_system, "subvolumes", lambda root, tree: [b"volumes/it's", b"volumes/two"])
    found = moved()["subvolume-below"]
    assert found.sentence.startswith("/usr/share/volumes/it's, one of 2, is a btrfs subvolume")
    assert "cp -a '/usr/share/volumes/it'\"'\"'s' '/usr/share/volumes/it'\"'\"'s'.plain && btrfs subvolume delete" in found.hint
    # The engine's own are told with its driver.
    assert moved(info={"DockerRootDir": "/var/lib/docker", "Driver": "btrfs"}) == {}


@pytest.fixture
def with_attribute(monkeypatch):
    """Each file has an extended attribute of so many bytes."""

    def make(size):
        monkeypatch.setattr(os, "listxattr", lambda path, follow_symlinks: ["user.big"])
        monkeypatch.setattr(os, "getxattr", lambda path, name, follow_symlinks: bytes(size))

    return make


def test_an_attribute_that_is_too_big_is_told_before(moved, host, with_attribute):
    block = os.statvfs("/tmp").f_frsize
    with_attribute(block)
    assert moved() == {}
    with_attribute(block + 1)
    found = moved()["attribute-too-big"]
    assert (found.severity, f"has {block + 1:,} bytes" in found.sentence) == (ERROR, True)
    # xfs takes as much as the kernel does, and so does an ext4 that was made for it; from an ext4 that was not, nothing larger can come.
    assert moved(fstype="xfs") == {}
    assert moved(source="ext4") == {}
    host.execute.answers["dumpe2fs -h /dev/two"] = (0, "Filesystem features: has_journal ea_inode")
    assert moved() == {}
    assert moved(fstype="btrfs") == {}
    with_attribute((16 << 10) + 1)
    assert moved(fstype="btrfs")["attribute-too-big"].severity == ERROR


def test_limits_that_do_not_arrive_are_told(moved, make_container):
    there = Inventory({"a": make_container("a", size_limit="1G"), "b": make_container("b")}, {}, ("v",), {})
    found = moved(inventory=there, sized_volumes=frozenset({"v"}))["quota-lost"]
    assert found.severity == WARNING
    assert "container a, volume v does not arrive" in found.sentence
    assert moved(inventory=Inventory({"b": make_container("b")}, {}, ("v",), {})) == {}


def test_a_driver_s_limit_needs_a_file_system_that_has_them(moved):
    asked = {"storage-opts": ["overlay2.size=10G"]}
    assert moved(settings=asked)["quota-unsupported"].severity == ERROR
    assert moved(settings=asked, fstype="xfs")["quota-unsupported"].severity == ERROR
    assert moved(settings=asked, fstype="xfs", options=("rw", "prjquota")) == {}


def test_nothing_asked_and_all_given_up_are_said(check, make_state):
    state = make_state({"mtu": 1400}, owners={"options": Ask("options", {"mtu": 1400})})
    untouched = frozenset({("options", "settings"), ("options", "drop_ins")})
    assert check(state, Ask("options"), untouched=untouched)["nothing-asked"].severity == WARNING
    found = check(state, Ask("options"))["gives-up"]
    assert (found.severity, "(mtu)" in found.sentence) == (WARNING, True)
    assert {"nothing-asked", "gives-up"}.isdisjoint(check(state, Ask("options", {"mtu": 1400})))


def test_addresses_of_somebody_else_are_left_out_where_they_are_open_or_taken_over(check, make_state, make_unit):
    """By a drop-in, which is never edited."""
    theirs = {"/etc/systemd/system/docker.service.d/theirs.conf": f"[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// -H {OPEN}\n"}
    state = make_state({}, unit=make_unit(foreign=theirs), running_flags={"hosts": ["fd://", OPEN]})
    ask = Ask("listen", {"hosts": ["fd://"]}, {"zz-drydock-listen.conf": "[Service]\nExecStart=\nExecStart=@dockerd_command@\n"})
    assert "docker_listen" not in check(state, ask)["foreign-address"].hint
    assert "foreign-address" not in check(state, ask, take_over={"listen": frozenset({"hosts"})})
    assert "foreign-address" not in check(dataclasses.replace(state, lets_in={OPEN: True}), ask)
    assert "foreign-address" in check(dataclasses.replace(state, lets_in={OPEN: False}), ask)


# What a container was made with, and whether a change from json-file to local with 10m leaves it behind.
LOGS = {
    "made with the default": ("json-file", {}, True),
    "made so with options of its own": ("json-file", {"tag": "x"}, True),
    "made with something else": ("syslog", {}, True),
    "made as asked for": ("local", {"max-size": "10m"}, False),
}


@pytest.mark.parametrize(("driver", "options", "kept"), LOGS.values(), ids=LOGS)
def test_who_keeps_the_old_log_settings_is_named(check, make_state, make_container, driver, options, kept):
    there = Inventory({"web": make_container("web", log_driver=driver, log_opts=options)}, {}, (), {})
    found = check(make_state(inventory=there), Ask("options", {"log-driver": "local", "log-opts": {"max-size": "10m"}}))
    assert ("log-settings" in found) is kept
    if kept:
        assert found["log-settings"].sentence == "1 container keeps the log settings that it was made with: web."
    assert "log-settings" not in check(make_state(inventory=there), Ask("options", {"mtu": 1400}))


def test_a_daemon_that_is_down_is_told_and_stays_so(check, make_state):
    found = check(make_state(pid=0))["daemon-stopped"]
    assert found.severity == WARNING
    assert found.hint.startswith("Start it: ")
    assert "daemon-stopped" not in check(make_state())
    # Nor is it well where there is nothing to write.
    state = make_state({"mtu": 1400}, pid=0, owners={"options": RESTART})
    assert check(state)["daemon-stopped"].sentence == "The daemon does not run, and is not started."
