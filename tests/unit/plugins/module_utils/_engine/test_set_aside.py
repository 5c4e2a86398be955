# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""An old container makes way and comes back, wherever it was interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine import set_aside
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, EngineError

NEVER = "0001-01-01T00:00:00Z"


class Killed(BaseException):
    """The process is gone; nothing that is caught."""


def container(id: str, status: str = "running", policy: str = "always", **state: t.Any) -> dict[str, t.Any]:
    started = NEVER if status == "created" else "2026-11-30T00:00:00Z"
    words = {"Running": status in ("running", "paused"), "Paused": status == "paused", "Restarting": False, "StartedAt": started, "ExitCode": 0}
    return {"Id": id, "State": {**words, **state}, "HostConfig": {"RestartPolicy": {"Name": policy, "MaximumRetryCount": 0}}, "Config": {}}


@dataclasses.dataclass
class Daemon:
    """An engine with containers by name, whose client dies before its call of this number."""

    containers: dict[str, dict[str, t.Any]]
    dies: int = 99
    timeout: float = 60
    calls: list[str] = dataclasses.field(default_factory=list)

    def _key(self, word: str) -> str:
        found = [name for name, one in self.containers.items() if word in (name, one["Id"])]
        if not found:
            raise EngineError("api-error", f"No such container: {word}", status=404)
        return found[0]

    def get(self, path: str, **_query: t.Any) -> t.Any:
        word = path.split("/")[2]
        return [{"Names": [f"/{name}"]} for name in self.containers] if word == "json" else self.containers[self._key(word)]

    def _change(self, path: str) -> tuple[str, dict[str, t.Any], str]:
        if len(self.calls) >= self.dies:
            raise Killed
        self.calls.append(path)
        _empty, _containers, word, *verb = path.split("/")
        key = self._key(word)
        return key, self.containers[key], "".join(verb)

    def post(self, path: str, **query: t.Any) -> None:
        key, one, verb = self._change(path)
        if verb == "rename":
            self.containers[query["name"]] = self.containers.pop(key)
        elif verb == "start" and one.get("broken"):
            raise EngineError("api-error", "port is already allocated", status=500)
        else:
            one["State"].update({"start": {"Running": True}, "stop": {"Running": False}, "pause": {"Paused": True}, "unpause": {"Paused": False}}[verb])

    def post_json(self, path: str, body: t.Mapping[str, t.Any]) -> None:
        _key, one, _verb = self._change(path)
        one["HostConfig"]["RestartPolicy"] = {"MaximumRetryCount": 0, **body["RestartPolicy"]}

    def delete(self, path: str, **query: t.Any) -> None:
        key, one, _verb = self._change(path)
        one["volumes_too"] = bool(query["v"])
        del self.containers[key]


@pytest.fixture(autouse=True)
def replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_aside.dataclasses, "replace", lambda engine, **_changes: engine)


def make_way(daemon: Daemon) -> None:
    set_aside.set_aside(daemon, "web")
    daemon.containers["web"] = container("new", "created")
    set_aside.stop(daemon, "web", None)


@pytest.mark.parametrize("status", ["running", "paused", "exited"])
@pytest.mark.parametrize("policy", ["no", "", "always", "unless-stopped", "on-failure"])
def test_the_old_one_comes_back_as_it_was(status: str, policy: str) -> None:
    was = container("old", status, policy)
    daemon = Daemon({"web": container("old", status, policy)})
    make_way(daemon)
    (aside,) = (one for name, one in daemon.containers.items() if set_aside.is_set_aside(name))
    assert not aside["State"]["Running"]
    # A boot would start both.
    assert aside["HostConfig"]["RestartPolicy"]["Name"] == "no"
    set_aside.bring_back(daemon, "web")
    back = daemon.containers["web"]
    was["HostConfig"]["RestartPolicy"]["Name"] = policy or "no"
    assert (list(daemon.containers), back) == (["web"], was)


@pytest.mark.parametrize("dies", range(9))
def test_wherever_it_is_killed_the_next_run_has_the_old_one_back(dies: int) -> None:
    daemon = Daemon({"web": container("old")}, dies)
    with contextlib.suppress(Killed):
        make_way(daemon)
        set_aside.bring_back(daemon, "web")
    daemon.dies = 99
    for name, is_good in set_aside.left_behind(daemon).items():
        assert not is_good
        set_aside.bring_back(daemon, name)
    old = daemon.containers.pop("web")
    assert (old, daemon.containers) == (container("old"), {})


@pytest.mark.parametrize(
    ("new", "is_good"),
    [
        (container("new"), True),
        (container("new", Health={"Status": "healthy"}), True),
        (container("new", Health={"Status": "starting"}), False),
        (container("new", Restarting=True), False),
        (container("new", "created"), False),
        (container("new", "exited"), True),
        (container("new", "exited", ExitCode=1), False),
    ],
)
def test_a_new_one_is_kept_when_it_has_shown_that_it_is_good(new: dict[str, t.Any], is_good: bool) -> None:
    assert set_aside.left_behind(Daemon({"web.set-aside.always.0.running": container("old", "exited"), "web": new})) == {"web": is_good}


@pytest.mark.parametrize(("status", "goes"), [("created", True), ("running", False)])
def test_volumes_of_a_new_one_go_only_when_it_never_ran(status: str, goes: bool) -> None:
    new = container("new", status)
    set_aside.bring_back(Daemon({"web.set-aside.always.0.running": container("old", "exited"), "web": new}), "web")
    assert new["volumes_too"] is goes


def test_an_old_one_that_does_not_start_has_its_name_again() -> None:
    daemon = Daemon({"web.set-aside.always.0.running": {**container("old", "exited"), "broken": True}})
    with pytest.raises(EngineError, match="port is already allocated"):
        set_aside.bring_back(daemon, "web")
    assert list(daemon.containers) == ["web"]


def test_without_an_old_one_the_new_one_stays() -> None:
    daemon = Daemon({"web": container("new")})
    with pytest.raises(DrydockError, match="The old container web waits no more"):
        set_aside.bring_back(daemon, "web")
    assert list(daemon.containers) == ["web"]
    set_aside.remove(daemon, "web", True)
    assert list(daemon.containers) == ["web"]
