# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What a request changes, how much it disturbs, and that asking for what is there disturbs nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.kept_mark import KEPT_MARK, write_mark
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import COPY_MARK
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._host.files import inode_of
from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import Mount
from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import process_identity
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import paths as paths_module
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import state as state_module
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import MARKED, PastMove
from ansible_collections.drydock.dockerd.plugins.module_utils._plan import planner
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.order import steps_of
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.plan import MARKER_PREFIX, Plan, step_diff
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.planner import make_plan
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request
from made_up_mounts import look_at_made_up_paths

POOLS = [{"base": "10.1.0.0/16", "size": 24}, {"base": "10.2.0.0/16", "size": 24}]
UNITS, JSON = "/etc/systemd/system", "/etc/docker/daemon.json"
WRITE_JSON = f"write {JSON}"
RESTART = ["commit", "start", "prove", "release"]
COMMAND_DROP_IN = "[Service]\nExecStart=\nExecStart=@dockerd_command@\n"


def plan_of(state, *asks, **request):
    plan, problems = planned(state, Request(asks=tuple(asks), **request))
    assert problems == []
    return plan


def planned(state, request):
    """Plan as an operation does, with what lies at the paths at this moment."""
    return make_plan(state, request, look_at_made_up_paths(state, request.path, request.containerd_path, request.state), UNITS, JSON)


def options(**settings):
    return Ask("options", {key.replace("_", "-"): value for key, value in settings.items()})


# What is in the file (all of it asked for by the owner before), what the owner asks now, effect.
EFFECTS = {
    "nothing new": ({"debug": True}, {"debug": True}, {}, "none"),
    "a key that reloads": ({}, {"debug": True}, {}, "reload"),
    "a key that does not": ({}, {"log-driver": "local"}, {}, "restart"),
    "both": ({}, {"debug": True, "log-driver": "local"}, {}, "restart"),
    "a reloaded key goes": ({"debug": True}, {}, {}, "restart"),
    "a reloaded key that a reload takes back goes": ({"max-concurrent-uploads": 2}, {}, {}, "reload"),
    "a reload may be made a restart": ({}, {"debug": True}, {"restart": "always"}, "restart"),
    "a restart may be forbidden": ({}, {"log-driver": "local"}, {"restart": "never"}, "none"),
    "always, but nothing new": ({"debug": True}, {"debug": True}, {"restart": "always"}, "none"),
    "a feature that a build looks at": ({}, {"features": {"buildkit": True}}, {}, "reload"),
    "a feature that only a start reads": ({}, {"features": {"buildkit": True, "cdi": True}}, {}, "restart"),
    "the image store that is in force": ({}, {"features": {"containerd-snapshotter": False}}, {}, "none"),
    "another one": ({}, {"features": {"containerd-snapshotter": True}}, {}, "restart"),
    "no features at all": ({}, {"features": {}}, {}, "none"),
    "pools, which are no text": ({"default-address-pools": POOLS}, {"default-address-pools": POOLS[:1]}, {}, "restart"),
    "the order of a list": ({"dns": ["9.9.9.9", "1.1.1.1"]}, {"dns": ["1.1.1.1", "9.9.9.9"]}, {}, "none"),
    "a default written out": ({}, {"tls": False, "labels": []}, {}, "none"),
}


@pytest.mark.parametrize(("current", "asked", "request_", "effect"), EFFECTS.values(), ids=EFFECTS)
def test_effect(make_state, current, asked, request_, effect):
    state = make_state(current, owners={"options": Ask("options", current)})
    plan = plan_of(state, Ask("options", asked), **request_)
    assert plan.effect == effect
    assert [change.path for change in plan.files] == ([JSON] if current != asked else [])


def test_a_reload_needs_an_engine_that_knows_it(make_state):
    """insecure-registries is reloaded since 1.13."""
    effects = [plan_of(make_state(engine_version=version), options(insecure_registries=["r"])).effect for version in ("1.12.6", "1.13.0")]
    assert effects == ["restart", "reload"]


def test_a_plugin_that_is_not_in_force_never_reaches_a_reload(make_state):
    """It may not be there, and a reload that meets it ends dockerd."""
    asked = {"authorization-plugins": ["gate"]}
    info = {"DockerRootDir": "/var/lib/docker", "Driver": "overlay2"}
    in_force = {**info, "Plugins": {"Authorization": ["gate"]}}
    assert plan_of(make_state(asked, info=info), options(debug=True)).effect == "restart"
    assert plan_of(make_state(asked, info=in_force), options(debug=True)).effect == "reload"
    assert plan_of(make_state({}, info=info), Ask("options", asked)).effect == "restart"


def test_steps_of_a_reload(make_state):
    assert steps_of(plan_of(make_state(), options(debug=True))) == ["reloading", WRITE_JSON, "reload", "prove values", "commit"]


def test_steps_of_a_restart(make_state):
    assert steps_of(plan_of(make_state(), options(log_driver="local"))) == ["hold", "stop", WRITE_JSON, *RESTART]


def test_nothing_asked_is_nothing_to_do(make_state):
    assert steps_of(plan_of(make_state({"debug": True}))) == []
    assert step_diff(steps_of(plan_of(make_state())))["after"] == ""


def test_a_forbidden_restart_is_written_and_told(make_state):
    plan = plan_of(make_state(), options(log_driver="local"), restart="never")
    assert (steps_of(plan), plan.why) == ([WRITE_JSON, "commit"], ('log-driver: null -> "local"',))


def test_a_daemon_that_is_down_is_left_down(make_state):
    plan = plan_of(make_state(pid=0, running_flags={}), options(log_driver="local"))
    assert (plan.effect, steps_of(plan)) == ("none", [WRITE_JSON, "commit"])


def test_what_an_earlier_run_left_pending_is_brought_into_force(make_state):
    verified = {"process": process_identity(os.getpid()), "settings": {}}
    state = make_state({"log-driver": "local"}, verified=verified, left_by_us=True)
    assert steps_of(plan_of(state)) == ["hold", "stop", *RESTART]
    # And what others have left is not, until somebody asks for that.
    theirs = dataclasses.replace(state, left_by_us=False)
    assert steps_of(plan_of(theirs)) == []
    assert steps_of(plan_of(theirs, restart="always")) == ["hold", "stop", *RESTART]


def test_a_certificate_that_changed_since_the_daemon_read_it_needs_a_restart(make_state, tmp_path):
    pem = tmp_path / "cert.pem"
    pem.write_text("new")
    settings = {"tlscert": str(pem)}
    state = make_state(settings, owners={"listen": Ask("listen", settings)}, certificates={str(pem): "another"})
    plan = plan_of(state)
    assert (steps_of(plan), plan.why) == (["hold", "stop", *RESTART], (f"{pem} was changed",))
    assert plan_of(state, restart="never").why == (f"{pem} was changed",)
    assert state.pending

    state = dataclasses.replace(state, certificates={str(pem): files.digest(str(pem))})
    assert steps_of(plan_of(state)) == []
    assert not state.pending
    assert not dataclasses.replace(state, certificates={}, pid=0).pending


LISTEN = {"hosts": ["fd://", "tcp://10.0.0.5:2376", "tcp://127.0.0.1:2375"]}


@pytest.mark.parametrize(
    ("before", "after", "timeout", "confirm"),
    [
        ({}, LISTEN, 30, ("tcp://10.0.0.5:2376",)),
        ({}, LISTEN, 0, ()),
        (LISTEN, LISTEN, 30, ()),
        (LISTEN, {**LISTEN, "tlscert": "/new.pem"}, 30, ("tcp://10.0.0.5:2376",)),
        ({**LISTEN, "mtu": 1400}, LISTEN, 30, ()),
        ({}, {"hosts": ["fd://"]}, 30, ()),
    ],
    ids=["new", "not wanted", "as it was", "other certificate", "another key", "local only"],
)
def test_changed_addresses_are_confirmed_before_anything_is_done(make_state, make_unit, before, after, timeout, confirm):
    unit = make_unit("[Service]\nExecStart=dockerd\n")
    plan = plan_of(make_state(before, unit=unit, owners={"listen": Ask("listen", before)}), Ask("listen", after), confirm_timeout=timeout)
    assert plan.confirm == confirm
    if confirm:
        assert steps_of(plan)[:2] == ["confirm", "hold"]


def test_a_renewed_certificate_is_confirmed(make_state, make_unit, tmp_path):
    unit = make_unit("[Service]\nExecStart=dockerd\n")
    settings = {**LISTEN, "tlscert": str(tmp_path / "cert.pem")}
    plan = plan_of(make_state(settings, unit=unit, certificates={settings["tlscert"]: "another"}), confirm_timeout=30)
    assert plan.confirm == ("tcp://10.0.0.5:2376",)


SOCKET_DROP_IN = {"docker.socket.d/zz.conf": "[Socket]\nListenStream=\nListenStream=/run/root.sock\n"}


@pytest.mark.parametrize(
    ("with_unit", "hosts", "settings"),
    [
        (True, ["@local_socket@", "tcp://[::1]:2376"], {"hosts": ["fd://", "tcp://[::1]:2376"]}),
        (True, ["@root_socket@"], {"hosts": ["fd://"]}),
        (False, ["@local_socket@"], {"hosts": ["unix:///var/run/docker.sock"]}),
        (False, ["@root_socket@"], {"hosts": ["unix:///run/drydock-docker.sock"], "group": "root"}),
    ],
)
def test_the_local_socket_is_what_the_host_has(make_state, with_unit, hosts, settings):
    state = make_state(**({} if with_unit else {"systemd_socket": None, "socket_unit": None}))
    plan = plan_of(state, Ask("listen", {"hosts": hosts}, SOCKET_DROP_IN))
    assert plan.file_settings == settings
    assert bool(plan.owners["listen"].drop_ins) == with_unit


def test_a_local_socket_that_is_given_up_and_comes_back(make_state):
    """Of a host that has no other address than its socket, nothing but that changes."""
    plan = plan_of(make_state(), Ask("listen", {}, SOCKET_DROP_IN), confirm_timeout=30)
    assert (plan.effect, plan.before.socket, plan.after.socket) == ("restart", "/run/docker.sock", "/run/root.sock")
    assert (plan.before.systemd_socket, plan.after.systemd_socket) == ("/run/docker.sock", "/run/root.sock")
    assert [step for step in steps_of(plan) if "socket" in step or "units" in step] == ["write /etc/systemd/system/docker.socket.d/zz.conf", "reload units"]

    unit = dataclasses.replace(make_state().socket_unit, ours={"zz.conf": SOCKET_DROP_IN["docker.socket.d/zz.conf"]})
    state = make_state(owners=plan.owners, socket="/run/root.sock", systemd_socket="/run/root.sock", socket_unit=unit)
    assert steps_of(plan_of(state)) == []
    back = plan_of(state, Ask("listen", {}, {}))
    assert (back.effect, back.after.socket) == ("restart", "/run/docker.sock")
    assert "remove /etc/systemd/system/docker.socket.d/zz.conf" in steps_of(back)


def test_a_local_socket_is_given_up_when_others_are_known_to_get_in(make_state, make_unit):
    hosts = {"hosts": ["fd://", "tcp://10.0.0.5:2376"]}
    state = make_state(hosts, unit=make_unit("[Service]\nExecStart=/usr/sbin/dockerd\n"), owners={"listen": Ask("listen", hosts)})
    assert plan_of(state, Ask("listen", hosts, SOCKET_DROP_IN), confirm_timeout=30).confirm == ("tcp://10.0.0.5:2376",)


def test_a_value_that_a_flag_holds_is_no_matter_of_a_reload(make_state, make_unit):
    state = make_state(unit=make_unit("[Service]\nExecStart=dockerd --debug=false\n"))
    drop_in = {"zz.conf": "[Service]\nExecStart=\nExecStart=@dockerd_command@\n"}
    plan = plan_of(state, Ask("options", {"debug": True}, drop_in))
    assert plan.after.command == ("dockerd",)
    assert plan.effect == "restart"


def test_a_drop_in_gets_the_unit_s_command_without_what_became_a_key(make_state):
    hosts = ["fd://", "tcp://10.0.0.5:2375"]
    plan = plan_of(make_state(), Ask("listen", {"hosts": hosts}, {"zz.conf": COMMAND_DROP_IN}))
    written = {change.path: change.after for change in plan.files}
    assert written[f"{UNITS}/docker.service.d/zz.conf"] == "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd $DOCKER_OPTS\n"
    assert (plan.after.command, plan.after.settings) == (("/usr/sbin/dockerd",), {"hosts": hosts})
    # The hold brings the new command with it.
    assert steps_of(plan) == ["hold", "stop", f"write {UNITS}/docker.service.d/zz.conf", WRITE_JSON, *RESTART]


def test_what_guards_an_address_is_read_before_that_opens(make_state):
    guard = {"zz.conf": COMMAND_DROP_IN + "ExecStartPre=/usr/sbin/nft x\n"}
    plan = plan_of(make_state(), Ask("listen", {"hosts": ["fd://", "tcp://10.0.0.5:2375"]}, guard))
    assert steps_of(plan)[-5:] == ["reload units", *RESTART]
    plan = plan_of(make_state(), Ask("options", {"mtu": 1400}, {"zz.conf": "[Service]\nExecStartPre=/usr/sbin/nft x\n"}))
    assert "reload units" not in steps_of(plan)


def test_a_drop_in_with_limits_is_read_before_the_start(make_state):
    plan = plan_of(make_state(), Ask("options", {}, {"zz.conf": "[Service]\nLimitNOFILE=9\n"}))
    assert steps_of(plan) == ["hold", "stop", f"write {UNITS}/docker.service.d/zz.conf", "reload units", *RESTART]
    assert plan.why == ("drop-in zz.conf",)


def test_a_drop_in_that_guards_the_start_disturbs_nobody(make_state):
    plan = plan_of(make_state(), Ask("options", {}, {"zz.conf": "[Unit]\nRequiresMountsFor=/mnt/data\n"}))
    assert steps_of(plan) == [f"write {UNITS}/docker.service.d/zz.conf", "reload units", "commit"]


def test_a_drop_in_that_its_owner_dropped_is_removed(make_state, make_unit):
    ours = {"zz.conf": "[Unit]\nAfter=x.service\n", "yy.conf": "[Unit]\nAfter=y.service\n"}
    owners = {"options": Ask("options", {}, {"zz.conf": ours["zz.conf"]}), "listen": Ask("listen", {}, {"yy.conf": ours["yy.conf"]})}
    plan = plan_of(make_state(unit=make_unit(ours=ours), owners=owners), Ask("options"))
    assert steps_of(plan) == [f"remove {UNITS}/docker.service.d/zz.conf", "reload units", "commit"]
    assert list(plan.owners) == ["listen"]


def test_a_conflict_is_told(make_state):
    _, problems = planned(make_state({"debug": False}), Request(asks=(options(debug=True),)))
    assert [problem.sentence for problem in problems] == ["daemon.json key 'debug' is false by somebody else, and owner 'options' asks for true."]


# Moves -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path):
    """The data root in use."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def on_root(make_state, root):
    def make(**info):
        return make_state(info={"DockerRootDir": str(root), "Driver": "overlay2", **info})

    return make


def test_steps_of_a_move(on_root, root):
    plan = plan_of(on_root(), path=f"{root}-new/")
    assert steps_of(plan) == ["warm copy", "hold", "stop", "final copy", WRITE_JSON, *RESTART, "finish"]
    assert (plan.move.source, plan.move.target, plan.after.data_root) == (str(root), f"{root}-new", f"{root}-new")
    assert plan.file_settings == {"data-root": f"{root}-new", "storage-driver": "overlay2"}
    assert plan.move.marker == plan.marker


def test_a_move_and_other_settings_need_one_restart(on_root, root):
    plan = plan_of(on_root(), options(debug=True), path=f"{root}-new")
    assert steps_of(plan).count("stop") == 1
    assert plan.file_settings["debug"] is True


def test_a_move_takes_a_marker_that_no_other_disk_has(on_root, root):
    first, second = (plan_of(dataclasses.replace(on_root(), marker=".drydock-root-old"), path=f"{root}-new").marker for _turn in range(2))
    assert len({first, second, ".drydock-root-old"}) == 3
    assert first.startswith(MARKER_PREFIX)


def test_the_marker_is_filled_into_the_drop_in_and_not_moved(on_root, root):
    ask = Ask("data-root", {}, {"zz.conf": f"[Unit]\nAssertPathExists={root}-new/@data_root_marker@\n"})
    plan = plan_of(on_root(), ask, path=f"{root}-new")
    assert plan.owners["data-root"].drop_ins["zz.conf"] == f"[Unit]\nAssertPathExists={root}-new/{plan.marker}\n"
    assert plan.owners["data-root"].settings["data-root"] == f"{root}-new"


DRIVERS = {
    "one that keeps files": ({"Driver": "vfs"}, {}, "vfs"),
    "the containerd store": ({"Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}, {}, None),
    "one that a flag names": ({}, {"storage-driver": "overlay2"}, None),
}


@pytest.mark.parametrize(("info", "flags", "pinned"), DRIVERS.values(), ids=DRIVERS)
def test_the_storage_driver_is_pinned_beside_the_data_root(on_root, root, info, flags, pinned):
    plan = plan_of(dataclasses.replace(on_root(**info), running_flags=flags), path=f"{root}-new")
    assert plan.file_settings.get("storage-driver") == pinned


IN_CONTAINERD = {"DockerRootDir": "/var/lib/docker", "Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
STORE = "containerd-snapshotter"
# The engine, what is in force, the directories of drivers, the keys in the file: what is said of the store behind any change.
NEXT_STARTS = {
    "a release without a choice of its own": ("28.5.2", {}, {"overlay2"}, {}, None),
    "Docker's own, by its directory": ("29.7.2", {}, {"overlay2"}, {}, None),
    "containerd's, by default": ("29.7.2", IN_CONTAINERD, set(), {}, None),
    "containerd's, and a driver was tried": ("29.7.2", IN_CONTAINERD, {"overlay2"}, {"features": {"cdi": False}}, True),
    "containerd's, and it was said": ("29.7.2", IN_CONTAINERD, {"overlay2"}, {"features": {STORE: True}}, True),
    "containerd's, and back to a release with another default": ("28.5.2", IN_CONTAINERD, set(), {}, True),
    "Docker's own, without a directory": ("29.7.2", {}, set(), {}, False),
}


@pytest.mark.parametrize(("version", "info", "used", "keys", "said"), NEXT_STARTS.values(), ids=NEXT_STARTS)
def test_the_store_in_force_is_said_where_the_next_start_would_take_the_other_one(make_state, version, info, used, keys, said):
    changes = {"info": info} if info else {}
    plan = plan_of(make_state(keys, engine_version=version, used_drivers=frozenset(used), **changes), options(debug=True))
    assert plan.file_settings.get("features", {}) == {**keys.get("features", {}), **({} if said is None else {STORE: said})}
    assert (plan.effect, plan.hides) == ("reload", ())
    pinned = said is not None and STORE not in keys.get("features", {})
    assert plan.owners.get("data-root", Ask("data-root")).settings == ({"features": {STORE: said}} if pinned else {})


def test_what_was_said_of_the_store_stays_and_belongs_to_the_data_root(on_root, root):
    keys = {"data-root": str(root), "features": {STORE: True, "cdi": False}}
    (root / ".drydock-root-1").touch()
    state = dataclasses.replace(
        on_root(**IN_CONTAINERD),
        **{"marker": ".drydock-root-1", "daemon_json": keys, "daemon_json_text": json.dumps(keys), "engine_version": "29.7.2"},
        owners={"data-root": Ask("data-root", {"data-root": str(root), "features": {STORE: True}})},
    )
    for asks, path in (((), str(root)), ((Ask("options", {"features": {"cdi": False}}),), None)):
        plan = plan_of(state, *asks, path=path)
        assert (plan.file_settings, plan.owners["data-root"]) == (keys, state.owners["data-root"])


@pytest.mark.parametrize("path", [True, False])
def test_whoever_changes_over_is_not_held_by_what_a_move_has_pinned(on_root, root, path):
    keys = {"data-root": str(root), "storage-driver": "overlay2"}
    (root / ".drydock-root-1").touch()
    state = dataclasses.replace(
        on_root(),
        **{"marker": ".drydock-root-1", "daemon_json": keys, "daemon_json_text": json.dumps(keys), "engine_version": "28.5.2"},
        owners={"data-root": Ask("data-root", keys)},
    )
    plan = plan_of(state, Ask("options", {"features": {STORE: True}}), path=str(root) if path else None)
    assert plan.file_settings == {"data-root": str(root), "features": {STORE: True}}
    assert (plan.effect, plan.hides) == ("restart", (("image store", "containerd's"),))
    same = plan_of(state, Ask("options", {"features": {STORE: False}}), path=str(root) if path else None)
    assert same.file_settings == {**keys, "features": {STORE: False}}


@pytest.mark.parametrize("pinned", [True, False])
def test_a_pinned_driver_stays(on_root, root, pinned):
    """And a run that finds the data where they should be pins none: that would be a change of nothing."""
    keys = {"data-root": str(root), **({"storage-driver": "overlay2"} if pinned else {})}
    (root / ".drydock-root-1").touch()
    state = dataclasses.replace(
        on_root(), marker=".drydock-root-1", daemon_json=keys, daemon_json_text=json.dumps(keys), owners={"data-root": Ask("data-root", keys)}
    )
    plan = plan_of(state, path=str(root))
    assert plan.file_settings == keys
    assert steps_of(plan) == []


def test_the_root_in_use_is_adopted_without_a_restart(on_root, root):
    plan = plan_of(on_root(), path=str(root))
    assert plan.move is None
    assert steps_of(plan) == [WRITE_JSON, f"write {root}/{plan.marker}", "commit"]


def test_no_marker_is_written_while_the_daemon_is_down(root, make_state):
    """What lies there may be an empty mount point, and with a marker the daemon would start on it."""
    state = make_state({"data-root": str(root)}, pid=0, info={}, marker=".drydock-root-1")
    plan, problems = planned(state, Request(path=str(root)))
    assert not [change for change in plan.files if change.path.startswith(str(root))]
    assert [problem.sentence for problem in problems] == [f"The data root {root} is not there: its daemon is down, and .drydock-root-1 is missing in it."]


def test_a_root_that_we_do_not_know_is_not_guarded_while_the_daemon_is_down(root, make_state):
    """Without a marker in it, a unit that looks for one would never start again."""
    down = make_state({"data-root": str(root)}, pid=0, info={})
    _plan, problems = planned(down, Request(path=str(root)))
    assert [one.id for one in problems] == ["daemon-down"]


def test_a_link_to_the_root_in_use_is_no_other_root(on_root, root):
    (root.parent / "link").symlink_to("root")
    assert plan_of(on_root(), path=str(root.parent / "link")).move is None


def test_what_was_adopted_is_not_changed_again(on_root, root, make_state):
    first = plan_of(on_root(), path=str(root))
    (root / first.marker).touch()
    state = make_state(first.file_settings, info=on_root().info, owners=first.owners, marker=first.marker)
    again = plan_of(state, path=str(root))
    assert (steps_of(again), again.marker, again.owners) == ([], first.marker, first.owners)


def test_a_host_whose_root_is_not_asked_for_keeps_it(on_root, root, make_state):
    moved = plan_of(on_root(), path=f"{root}-new")
    state = make_state(moved.file_settings, info={**on_root().info, "DockerRootDir": f"{root}-new"}, owners=moved.owners, marker=moved.marker)
    plan = plan_of(state, options(debug=True))
    assert plan.file_settings == {**moved.file_settings, "debug": True}
    assert (plan.move, plan.marker, plan.effect) == (None, moved.marker, "reload")


# containerd's root ----------------------------------------------------------------------------------------------


def of_containerd(root="@containerd_root@"):
    return Ask(
        "containerd",
        {},
        {
            "containerd.service.d/zz.conf": f"[Service]\nExecStart=\nExecStart=@containerd_command@ --root {root}\n",
            "zz.conf": "[Unit]\nAfter=@containerd_mount@\n",
        },
    )


def test_both_roots_move_in_one_outage(on_root, root, containerd):
    state = dataclasses.replace(on_root(), containerd=containerd)
    plan = plan_of(state, of_containerd(), path=f"{root}-new", containerd_path=f"{containerd.root}-new")
    assert steps_of(plan).count("stop") == 1
    assert [(move.tree, move.source, move.target) for move in plan.moves] == [
        ("data-root", str(root), f"{root}-new"),
        ("containerd", containerd.root, f"{containerd.root}-new"),
    ]
    assert plan.moves[0].run == plan.moves[1].run != ""
    assert plan.marker != plan.containerd_marker
    assert Plan.from_data(json.loads(json.dumps(plan.to_data()))) == without_surroundings(plan)


def test_containerd_gets_its_new_root_and_docker_keeps_its_command(on_root, root, containerd):
    state = dataclasses.replace(on_root(), containerd=containerd)
    plan = plan_of(state, of_containerd(), containerd_path="/mnt/c")
    assert (plan.before.containerd, plan.after.containerd) == (("/usr/bin/containerd",), ("/usr/bin/containerd", "--root", "/mnt/c"))
    assert plan.before.command == plan.after.command
    assert [change.path for change in plan.files] == [f"{UNITS}/containerd.service.d/zz.conf", f"{UNITS}/docker.service.d/zz.conf"]
    assert (plan.move, plan.effect, plan.file_settings) == (None, "restart", {})
    # The hold brings the command, and the guards need no restart.
    assert "reload units" not in steps_of(plan)


def test_a_containerd_that_is_there_already_is_left_alone(on_root, containerd):
    unit = dataclasses.replace(containerd.unit, ours={"zz.conf": f"[Service]\nExecStart=\nExecStart=/usr/bin/containerd --root {containerd.root}\n"})
    pathlib.Path(containerd.root, ".drydock-root-1").touch()
    ask = Ask("containerd", {}, {"containerd.service.d/zz.conf": "[Service]\nExecStart=\nExecStart=@containerd_command@ --root @containerd_root@\n"})
    state = dataclasses.replace(on_root(), containerd=dataclasses.replace(containerd, unit=unit), containerd_marker=".drydock-root-1")
    assert steps_of(plan_of(state, ask, containerd_path=containerd.root)) == []


def test_a_containerd_that_is_not_asked_for_keeps_what_was_asked_before(on_root, containerd):
    before = of_containerd("/mnt/c")
    state = dataclasses.replace(on_root(), containerd=containerd, owners={"containerd": before}, containerd_marker=".drydock-root-1")
    for state_ in ("relocated", "prepared", "cancelled"):
        plan, _problems = planned(state, Request(asks=(of_containerd("/else"),), path="/mnt/d", state=state_))
        assert (plan.owners["containerd"], plan.containerd_marker, plan.containerd) == (before, ".drydock-root-1", None)


def test_a_containerd_that_dockerd_runs_itself_cannot_move(on_root):
    plan, problems = planned(on_root(), Request(asks=(of_containerd(),), containerd_path="/mnt/c"))
    assert steps_of(plan) == []
    assert [problem.sentence for problem in problems] == [
        "containerd's root cannot move to /mnt/c: this host has no containerd.service, its dockerd runs containerd itself."
    ]


@pytest.mark.parametrize("both", [True, False])
def test_what_moved_in_the_last_outage_comes_back(on_root, root, containerd, both):
    roots = {"data-root": str(root), "containerd": containerd.root}
    history = (PastMove("/old/data-root", roots["data-root"], "", (0, 0), False, "data-root", "1"),)
    history += (PastMove("/old/containerd", roots["containerd"], "", (0, 0), False, "containerd", "1" if both else "2"),)
    state = dataclasses.replace(on_root(), containerd=containerd, history=history)
    plan, problems = planned(state, Request(asks=(of_containerd(),), state="restored"))
    assert problems == []
    assert [move.target for move in plan.moves] == (["/old/data-root"] if both else []) + ["/old/containerd"]
    assert plan.after.containerd[-1] == "/old/containerd"


# Earlier moves ---------------------------------------------------------------------------------------------------


@pytest.fixture
def moved(on_root, root):
    """A daemon on the root that an earlier move brought it to, with old data that were set aside."""
    kept = root.parent / "kept"
    kept.mkdir()
    (root / ".drydock-root-1").touch()
    past = PastMove(str(root.parent / "origin"), str(root), str(kept), inode_of(str(kept)), False)
    return dataclasses.replace(on_root(), marker=".drydock-root-1", history=(past,))


def clean(state):
    return planned(state, Request(state="cleaned"))


def test_old_data_are_removed_when_the_new_root_is_proved(moved):
    plan, problems = clean(moved)
    assert ([one.path for one in plan.doomed], problems) == ([moved.history[0].kept], [])


def test_old_data_stay_where_the_new_root_is_not_proved(moved, root):
    (root / ".drydock-root-1").unlink()
    for state in (moved, dataclasses.replace(moved, pid=0), dataclasses.replace(moved, marker="")):
        _, problems = clean(state)
        assert [problem.sentence for problem in problems] == [f"The data root {root} is not proved: its daemon is down, or its marker is missing."]


def test_what_took_the_place_of_old_data_is_not_removed(moved):
    kept = pathlib.Path(moved.history[0].kept)
    kept.rename(kept.parent / "away")
    kept.mkdir()
    _, problems = clean(moved)
    assert [problem.sentence for problem in problems] == [f"{kept} is not the directory that the move set aside."]


def test_old_data_with_their_mark_are_known_whatever_number_their_disk_has(moved):
    """And a directory that took their place, their very inode, is not: it may have got what they gave back."""
    past = dataclasses.replace(moved.history[0], run="then", record={MARKED: True})
    write_mark(past.kept, past.kept_id)
    for one in (past, dataclasses.replace(past, inode=(5, 6))):
        plan, problems = clean(dataclasses.replace(moved, history=(one,)))
        assert ([(one.path, one.inode) for one in plan.doomed], problems) == ([(past.kept, inode_of(past.kept))], [])
    write_mark(past.kept, "data-root other")
    assert [one.id for one in clean(dataclasses.replace(moved, history=(past,)))[1]] == ["old-data-changed"]
    os.unlink(os.path.join(past.kept, KEPT_MARK))
    assert [one.id for one in clean(dataclasses.replace(moved, history=(past,)))[1]] == ["old-data-changed"]


def test_old_data_whose_disk_is_away_are_not_forgotten(moved):
    away = dataclasses.replace(moved.history[0], kept="/mnt/away/docker.drydock-kept-1")
    plan, problems = clean(dataclasses.replace(moved, history=(away, *moved.history)))
    assert ([one.kept for one in plan.history], problems) == ([away.kept, ""], [])


def test_a_copy_at_the_old_place_is_gone_on_with(moved):
    """As a move there that failed leaves it: old data cannot be laid where it lies. Within a mount point it is a part of them."""
    (past,) = moved.history
    os.mkdir(past.origin)
    pathlib.Path(past.origin, COPY_MARK).touch()
    back, problems = planned(moved, Request(state="restored"))
    assert (back.move.target, back.move.base, problems) == (past.origin, "", [])
    inside = os.path.join(past.origin, ".drydock-kept-1")
    os.rename(past.kept, inside)
    back, problems = planned(dataclasses.replace(moved, history=(dataclasses.replace(past, kept=inside),)), Request(state="restored"))
    assert (back.move.base, problems) == (inside, [])


def test_old_data_are_not_taken_back_onto_another_disk(moved):
    """It was mounted at the old place since."""
    (past,) = moved.history
    mounts = [Mount("/", "ext4", "/dev/a", frozenset()), Mount(past.origin, "ext4", "/dev/b", frozenset())]
    back, problems = planned(dataclasses.replace(moved, mounts=mounts), Request(state="restored"))
    assert (back.move.target, back.move.base, problems) == (past.origin, "", [])


UNFINISHED = {
    "a copy": ([".drydock-copy", "overlay2"], True),
    "the beginning of its mark": (["..drydock-copy.drydock-new"], True),
    "somebody's data beside that": (["..drydock-copy.drydock-new", "precious"], False),
    "somebody's data": (["precious"], False),
    "nothing": ([], False),
}


@pytest.mark.parametrize(("names", "ours"), UNFINISHED.values(), ids=UNFINISHED)
def test_only_a_copy_of_ours_is_given_up(on_root, root, names, ours):
    target = root.parent / "target"
    target.mkdir()
    for name in names:
        (target / name).touch()
    plan, problems = planned(on_root(), Request(path=str(target), state="cancelled"))
    assert ([one.path for one in plan.doomed], problems) == ([str(target)] if ours else [], [])


def test_only_old_data_that_are_still_the_same_begin_the_move_back(moved):
    back, _problems = planned(moved, Request(state="restored"))
    assert (back.move.target, back.move.base) == (moved.history[0].origin, moved.history[0].kept)
    kept = pathlib.Path(moved.history[0].kept)
    kept.rename(kept.parent / "away")
    kept.mkdir()
    back, _problems = planned(moved, Request(state="restored"))
    assert (back.move.target, back.move.base) == (moved.history[0].origin, "")


def test_a_move_after_which_somebody_else_moved_on_is_not_taken_back(moved):
    past = dataclasses.replace(moved.history[0], root="/mnt/other")
    back, problems = planned(dataclasses.replace(moved, history=(past,)), Request(state="restored"))
    assert (back.moves, [one.id for one in problems]) == ([], ["nothing-to-restore"])


# Plain data ------------------------------------------------------------------------------------------------------


FLAG = "[Service]\nExecStart=/usr/sbin/dockerd -H fd:// --data-root {0} --label 'a b'\n"


def test_a_data_root_that_is_a_flag_is_left_out_of_the_command(on_root, make_unit, root):
    unit = make_unit(FLAG.format(root))
    plan = plan_of(dataclasses.replace(on_root(), unit=unit), path=f"{root}-new")
    (command,) = [one.after for one in plan.files if one.path.endswith("/docker.service.d/zzz-drydock-command.conf")]
    assert command.endswith("ExecStart=/usr/sbin/dockerd -H fd:// --label 'a b'\n")
    assert "--data-root" not in plan.after.command
    assert plan.lines["after"] == "/usr/sbin/dockerd -H fd:// --label 'a b'"
    # It comes along with whoever plans next, and goes with the flag.
    ours = {"zzz-drydock-command.conf": command}
    owners = {"data-root": Ask("data-root", {"data-root": f"{root}-new"}, ours)}
    settings = {"data-root": f"{root}-new"}
    there = dataclasses.replace(on_root(), daemon_json=settings, owners=owners)
    again = plan_of(dataclasses.replace(there, unit=make_unit(FLAG.format(root), ours=ours)), Ask("options", {"debug": True}))
    assert not [one for one in again.files if "command" in one.path]
    gone = plan_of(dataclasses.replace(there, unit=make_unit(ours=ours)), Ask("options", {"debug": True}))
    assert [one.after for one in gone.files if "command" in one.path] == [None]


def test_the_old_name_of_the_data_root_goes(on_root, root):
    there = dataclasses.replace(on_root(), daemon_json={"graph": str(root)})
    assert "graph" not in plan_of(there, path=f"{root}-new").file_settings
    assert plan_of(there, Ask("options", {"debug": True})).file_settings["graph"] == str(root)


def test_one_directory_by_two_names_is_a_change_of_names(on_root, root, monkeypatch):
    os.mkdir(f"{root}-other")
    monkeypatch.setattr(paths_module, "_directory", lambda path: (1, 2))
    plan = plan_of(on_root(), path=f"{root}-other")
    assert (plan.move.rename, plan.move.target) == (True, f"{root}-other")
    assert "warm copy" not in steps_of(plan)


def test_the_link_that_a_move_has_left_is_no_place_to_move_to(moved, root):
    link = moved.history[0].origin
    os.symlink(root, link)
    plan, problems = planned(moved, Request(path=link))
    assert (plan.moves, [one.id for one in problems]) == ([], ["path-link"])


def without_surroundings(plan):
    """The part of a plan that the journal keeps in its own form."""
    assert set(plan.surroundings) == {"seen", "swarm_manager", "lines", "config_file", "stores"}
    return dataclasses.replace(plan, lines={}, config_file="", stores={})


def test_a_plan_comes_back_from_the_journal(on_root, root):
    ask = Ask("listen", {"hosts": ["fd://"]}, {"zz.conf": COMMAND_DROP_IN}, True)
    for plan in (plan_of(on_root(), ask, path=f"{root}-new"), plan_of(on_root(), ask), plan_of(on_root())):
        back = Plan.from_data(json.loads(json.dumps(plan.to_data())))
        assert (back, steps_of(back)) == (without_surroundings(plan), steps_of(plan))


def test_describe_is_a_step_a_line(make_state):
    assert step_diff(steps_of(plan_of(make_state(), options(debug=True), restart="never")))["after"] == f"{WRITE_JSON}\ncommit\n"


DIFFERING = [
    ({}, {}, []),
    ({"debug": True}, {"debug": False, "tls": True}, ["debug", "tls"]),
    ({"data-root": "/var/lib/docker"}, {}, []),
    ({}, {"storage-driver": "overlay2"}, []),
    ({}, {"storage-driver": "vfs"}, ["storage-driver"]),
    ({}, {"hosts": ["unix:///var/run/docker.sock"]}, []),
    ({"hosts": ["a", "b"]}, {"hosts": ["b", "a"]}, []),
    ({"runtimes": {}}, {"runtimes": {"x": {}}}, ["runtimes"]),
]


@pytest.mark.parametrize(("before", "after", "keys"), DIFFERING)
def test_differing_keys(make_state, before, after, keys):
    assert state_module.differing_keys(make_state(), before, after) == keys


NAMES = [
    ("zz-limits.conf", []),
    ("a@b.c.conf", []),
    ("../zz.conf", ["not a plain file name"]),
    ("zz.txt", ["not a plain file name"]),
    ("z z.conf", ["not a plain file name"]),
    ("50-theirs.conf", ["/lib/x/50-theirs.conf is somebody else's"]),
]


@pytest.mark.parametrize(("name", "complaints"), NAMES)
def test_drop_in_problems(make_state, make_unit, name, complaints):
    state = make_state(unit=make_unit(foreign={"/lib/x/50-theirs.conf": ""}))
    problems = planner.drop_in_problems(state, {"a": Ask("a", {}, {name: ""})})
    assert len(problems) == len(complaints)
    assert all(complaint in problem.sentence for complaint, problem in zip(complaints, problems))


# The first start -------------------------------------------------------------------------------------------------


@pytest.fixture
def unused(make_state):
    """An engine that has just been installed."""
    return make_state(None, pid=0, info={}, running_flags={}, socket=None, default_root_unused=True)


def test_an_engine_that_was_not_used_yet_is_started_with_all_in_place(unused, tmp_path):
    plan = plan_of(unused, options(mtu=1400), path=str(tmp_path / "docker"))
    assert plan.effect == "start"
    assert plan.moves == []
    assert plan.after.data_root == str(tmp_path / "docker")
    marker = f"write {tmp_path}/docker/{plan.marker}"
    assert steps_of(plan) == ["hold", WRITE_JSON, marker, "commit", "start", "prove", "release"]


@pytest.mark.parametrize(
    "changes",
    [{"marker": ".drydock-root-1"}, {"daemon_json": {"data-root": "/mnt/x"}}, {"restart": "never"}, {"state": "prepared", "path": "/mnt/x"}],
    ids=str,
)
def test_a_daemon_that_is_down_is_not_started(unused, changes):
    fields = {key: value for key, value in changes.items() if key in ("marker", "daemon_json")}
    request = {key: value for key, value in changes.items() if key not in fields}
    plan, _problems = planned(dataclasses.replace(unused, **fields), Request(asks=(options(mtu=1400),), **request))
    assert plan.effect == "none"


def test_a_daemon_that_is_down_with_data_is_not_started(unused):
    assert plan_of(dataclasses.replace(unused, default_root_unused=False), options(mtu=1400)).effect == "none"


@pytest.mark.parametrize(
    ("paths", "nothing"),
    [
        ([], True),
        (["containers", "volumes/metadata.db", "image/overlay2/imagedb/content/sha256", "buildkit/x", "swarm"], True),
        (["containers/1234"], False),
        (["volumes/data/_data"], False),
        (["image/overlay2/imagedb/content/sha256/12"], False),
        (["100000.100000"], False),
    ],
)
def test_what_counts_as_data(tmp_path, paths, nothing):
    for path in paths:
        (tmp_path / "root" / path).mkdir(parents=True)
    assert state_module.holds_no_data(str(tmp_path / "root")) == nothing


LIMITS = {"zz-limits.conf": "[Service]\nLimitNOFILE=4096\n"}


def test_what_is_not_given_stays_as_it_was_asked_for(make_state, make_unit):
    """Of settings and drop-ins, each for itself; and nothing was asked for by an owner that nobody knows."""
    state = make_state({"mtu": 1400}, unit=make_unit(ours=LIMITS), owners={"options": Ask("options", {"mtu": 1400}, LIMITS)})
    untouched = frozenset({("options", "settings"), ("options", "drop_ins")})
    assert plan_of(state, Ask("options"), untouched=untouched).files == ()
    assert [one.path for one in plan_of(state, Ask("options"), untouched=frozenset({("options", "settings")})).files] == [
        f"{UNITS}/docker.service.d/zz-limits.conf"
    ]
    assert [one.path for one in plan_of(state, Ask("options"), untouched=frozenset({("options", "drop_ins")})).files] == [JSON]
    assert "stranger" not in plan_of(state, Ask("stranger"), untouched=frozenset({("stranger", "settings")})).owners


def test_three_teams_keep_what_is_theirs(make_state):
    state = make_state({"mtu": 1400, "debug": True}, owners={"net": Ask("net", {"mtu": 1400}), "logs": Ask("logs", {"debug": True})})
    plan = plan_of(state, Ask("third", {"ipv6": False}))
    assert plan.file_settings == {"mtu": 1400, "debug": True, "ipv6": False}
    assert set(plan.owners) == {"net", "logs", "third"}
    assert plan_of(state, Ask("logs", {})).file_settings == {"mtu": 1400}
    _plan, problems = planned(state, Request(asks=(Ask("third", {"mtu": 1500}),)))
    assert "is 1400 by owner 'net', and owner 'third' asks for 1500" in problems[0].sentence
    taken = plan_of(state, Ask("third", {"mtu": 1500}), take_over={"third": frozenset({"mtu"})})
    assert (taken.file_settings["mtu"], "net" in taken.owners) == (1500, False)


def test_a_drop_in_of_two_owners_is_refused(make_state, make_unit):
    state = make_state(unit=make_unit(ours=LIMITS), owners={"net": Ask("net", {}, LIMITS)})
    _plan, problems = planned(state, Request(asks=(Ask("third", {}, {"zz-limits.conf": "[Service]\nLimitNOFILE=1\n"}),)))
    assert [one.id for one in problems] == ["drop-in-name"]
    assert planned(state, Request(asks=(Ask("third", {}, LIMITS),)))[1] == []


def test_a_plan_names_the_keys_that_change(make_state):
    state = make_state({"mtu": 1400, "debug": True}, owners={"options": Ask("options", {"mtu": 1400, "debug": True})})
    plan = plan_of(state, options(mtu=1500, ipv6=False))
    assert plan.key_changes == {"added": ["ipv6"], "changed": ["mtu"], "removed": ["debug"]}
    assert plan.key_words == "added ipv6, changed mtu, removed debug"
    # The worker has it from the journal.
    assert Plan.from_data(json.loads(json.dumps(plan.to_data()))).key_words == plan.key_words
    assert plan_of(state, options(mtu=1400, debug=True)).key_words == ""
