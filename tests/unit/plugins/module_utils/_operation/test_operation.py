# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Every changing module says the same of an earlier run, whatever comes of its own."""

from __future__ import annotations

import errno
import json
import pathlib
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.apt_packages import Upgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, EngineError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.state import State
from ansible_collections.drydock.dockerd.plugins.module_utils._operation import operation, upgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.change import ConfigChange, DataRootChange
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.daemon_state import StateChange
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.operation import Operation
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.upgrade import EngineUpgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.request import Request
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.journal import Journal

EARLIER = "An interrupted change was undone: The old configuration was restored. Evidence: /var/lib/last."
MTU = Request(asks=(Ask("options", {"mtu": 1400}),))
OPERATIONS: dict[str, t.Callable[[Host, bool], Operation]] = {
    "daemon_config": lambda host, check_mode: ConfigChange(host, check_mode, "", MTU),
    "data_root": lambda host, check_mode: DataRootChange(host, check_mode, "", MTU),
    "daemon_state": lambda host, check_mode: StateChange(host, check_mode, "", "restarted", True, 120),
    "engine_upgrade": lambda host, check_mode: EngineUpgrade(host, check_mode, "", ["docker.io"], "", [], 120),
}
Make = t.Callable[[str], Operation]


@pytest.fixture
def made(host: Host, make_state: t.Callable[..., State], monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., Operation]:
    """An operation on a daemon with this daemon.json, behind an interrupted change."""
    monkeypatch.setattr(operation, "previous_run", lambda host: (True, EARLIER))
    monkeypatch.setattr(upgrade, "find_upgrade", lambda *_: Upgrade({"docker.io": "1"}, {"docker.io": "2"}, back=True))
    monkeypatch.setattr(operation, "perform", lambda host, plan, planned, run_id, previous: operation.with_previous(previous, planned))

    def make(name: str, daemon_json: dict[str, t.Any] | None = None, check_mode: bool = False) -> Operation:
        monkeypatch.setattr(operation, "observe", lambda host: make_state(daemon_json))
        pathlib.Path(host.places.state_dir).mkdir(exist_ok=True)
        return OPERATIONS[name](host, check_mode)

    return make


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_refusal_tells_that_an_interrupted_change_was_undone(made: t.Callable[..., Operation], name: str) -> None:
    """And where its evidence is: nobody else tells it, since the next run finds a closed journal."""
    with pytest.raises(DrydockError) as caught:
        made(name, {"restart": False}).run()
    assert str(caught.value).startswith(f"{EARLIER} ")
    assert "daemon.json has the key 'restart'" in str(caught.value)
    assert str(caught.value).endswith("[restart-key]")


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_failed_look_tells_that_an_interrupted_change_was_undone(made: t.Callable[..., Operation], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = made(name)

    def silent(host: Host) -> t.NoReturn:
        raise EngineError("api-silent", "The daemon does not answer.")

    monkeypatch.setattr(operation, "observe", silent)
    with pytest.raises(DrydockError) as caught:
        asked.run()
    assert str(caught.value) == f"{EARLIER} The daemon does not answer. [api-silent]"


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_nobody_expected_is_a_sentence_with_its_path(
    made: t.Callable[..., Operation], name: str, check_mode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made(name, check_mode=check_mode)

    def refuse(host: Host) -> t.NoReturn:
        raise IsADirectoryError(errno.EISDIR, "Is a directory", "/etc/docker/daemon.json")

    monkeypatch.setattr(operation, "observe", refuse)
    with pytest.raises(DrydockError) as caught:
        asked.run()
    assert "/etc/docker/daemon.json: Is a directory. Mend what it names, then run again" in str(caught.value)
    assert str(caught.value).endswith("[unexpected]")


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_result_tells_that_an_interrupted_change_was_undone(made: t.Callable[..., Operation], name: str) -> None:
    result = made(name).run()
    assert result["changed"]
    assert result["msg"].startswith(f"{EARLIER} ")


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("is_open", [True, False])
def test_check_mode_warns_of_an_open_journal(made: t.Callable[..., Operation], host: Host, name: str, is_open: bool) -> None:
    asked = made(name, check_mode=True)
    if is_open:
        Journal(host).create({})
    result = asked.run()
    assert ("interrupted" in [one["id"] for one in result["findings"]]) is is_open
    assert EARLIER not in json.dumps(result)
    assert result["changed"]


def test_a_stop_is_not_refused_for_what_is_wrong_with_the_configuration(made: t.Callable[..., Operation], host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    made("daemon_state", {"restart": False})
    result = StateChange(host, True, "", "stopped", False, 120).run()
    assert (result["plan"], [one["id"] for one in result["findings"]]) == (["stop"], ["restart-key"])
    with pytest.raises(DrydockError, match=r"\[restart-key\]$"):
        StateChange(host, True, "", "restarted", False, 120).run()
