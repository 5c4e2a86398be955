# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Another source's packages bring another docker.service; an older engine may not read what a newer one wrote."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.apt_packages import Upgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.state import State
from ansible_collections.drydock.dockerd.plugins.module_utils._operation import operation, upgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.upgrade import EngineUpgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._service.unit import Unit

CONTAINERD = "--containerd=/run/containerd/containerd.sock"
DEBIANS = f"[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/sbin/dockerd -H fd:// {CONTAINERD} $DOCKER_OPTS\n"
DOCKERS = f"[Service]\nExecStart=/usr/bin/dockerd -H fd:// {CONTAINERD}\n"
LISTEN = "zz-drydock-listen.conf"


# As role docker_listen leaves it: the unit's own command without its addresses.
OLD, NEW = f"/usr/sbin/dockerd {CONTAINERD} $DOCKER_OPTS", f"/usr/bin/dockerd {CONTAINERD}"


def ours(command: str) -> str:
    return f"# Where it listens is in daemon.json.\n[Service]\nExecStart=\nExecStart={command}\n"


@pytest.fixture
def exchanged(
    host: Host, make_state: t.Callable[..., State], make_unit: t.Callable[..., Unit], monkeypatch: pytest.MonkeyPatch
) -> t.Callable[..., EngineUpgrade]:
    """Docker's packages for Debian's, with drop-ins of ours and of others and with variables."""

    def make(own: str = "", foreign: dict[str, str] | None = None, version: str = "5:28.0-1", **state: t.Any) -> EngineUpgrade:
        options = state.pop("options", "")
        unit = make_unit(DEBIANS, {LISTEN: own} if own else {}, foreign, {"DOCKER_OPTS": options})
        owners = {"listen": Ask("listen", {}, {LISTEN: own})} if own else {}
        flags = {"containerd": CONTAINERD.partition("=")[2], **({} if own else {"hosts": ["fd://"]}), **({"mtu": "1400"} if options else {})}
        now = make_state(None, unit=unit, owners=owners, running_flags=flags, **state)
        monkeypatch.setattr(operation, "observe", lambda _host: now)
        monkeypatch.setattr(
            upgrade, "find_upgrade", lambda *_: Upgrade({"docker-ce": "", "docker.io": "26.1"}, {"docker-ce": version, "docker.io": ""}, back=True)
        )
        monkeypatch.setattr(upgrade, "packaged_unit", lambda *_: DOCKERS)
        return EngineUpgrade(host, True, "", ["docker-ce"], "", ["docker.io"], 120)

    return make


def test_the_old_unit_counts_until_the_stop_and_the_new_one_from_then_on(exchanged: t.Callable[..., EngineUpgrade]) -> None:
    asked = exchanged(ours(OLD))
    _state, plan, _steps, result = asked._planned()
    assert plan is not None
    assert plan.lines["before"] == OLD
    assert plan.lines["after"] == NEW
    assert (plan.before.command[0], plan.after.command[0]) == ("/usr/sbin/dockerd", "/usr/bin/dockerd")
    assert [(one.before, one.after) for one in plan.files if one.path.endswith(LISTEN)] == [(ours(OLD), ours(NEW))]
    assert plan.owners["listen"].drop_ins[LISTEN] == ours(NEW)
    assert result["msg"].startswith("Would bring docker-ce from none to 5:28.0-1 in place of docker.io 26.1 and restart the daemon.")


def test_a_drop_in_without_a_command_stays(exchanged: t.Callable[..., EngineUpgrade]) -> None:
    _state, plan, _steps, _result = exchanged("[Service]\nLimitNOFILE=9\n")._planned()
    assert plan is not None
    assert not plan.files
    assert plan.lines["after"] == f"/usr/bin/dockerd -H fd:// {CONTAINERD}"


def test_a_flag_that_the_new_unit_does_not_pass_on_is_told(exchanged: t.Callable[..., EngineUpgrade]) -> None:
    with pytest.raises(DrydockError, match=r"^With the unit of docker-ce the daemon would no longer have mtu '1400'\. Have it in daemon\.json first\."):
        exchanged(options="--mtu=1400").run()


def test_a_drop_in_of_others_that_names_the_old_program_is_told(exchanged: t.Callable[..., EngineUpgrade]) -> None:
    foreign = {"/etc/systemd/system/docker.service.d/override.conf": f"[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// {CONTAINERD}\n"}
    words = r"^\S+override\.conf starts /usr/sbin/dockerd, and the packages that are asked for bring /usr/bin/dockerd\. Let it start /usr/bin/dockerd\."
    with pytest.raises(DrydockError, match=words):
        exchanged(foreign=foreign).run()


def test_a_command_that_somebody_has_written_by_our_hand_is_told_likewise(exchanged: t.Callable[..., EngineUpgrade]) -> None:
    with pytest.raises(DrydockError, match=r"^zz-drydock-listen\.conf starts /usr/sbin/dockerd, and the packages that are asked for bring /usr/bin/dockerd\."):
        exchanged(ours(f"{OLD} --debug")).run()


STORE = {"DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
SWARM = {"Swarm": {"LocalNodeState": "active"}}


@pytest.mark.parametrize(
    ("version", "info", "words"),
    [
        ("5:28.0-1", {}, ""),
        ("5:26.0-1", {}, ""),
        ("5:28.9-1", STORE, ""),
        ("5:26.0-1", STORE, "images of containerd's store"),
        ("5:27.5-1", SWARM, "the state of a swarm"),
        ("5:29.0-1", SWARM, ""),
    ],
)
def test_an_older_engine_reads_no_more_than_was_tried(exchanged: t.Callable[..., EngineUpgrade], version: str, info: dict[str, t.Any], words: str) -> None:
    asked = exchanged(version=version, engine_version="28.5.2", info={"ServerVersion": "28.5.2", "Driver": "overlayfs", **info})
    try:
        told = str(asked.run()["findings"])
    except DrydockError as exc:
        told = str(exc)
    assert ("engine-backwards" in told) is bool(words)
    assert words in told
