# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A controller asks for the end of the run that it follows, and takes only its own. That connections drop and come back needs a host: scenario connection."""

from __future__ import annotations

import json
import types
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _follow
from ansible_collections.drydock.dockerd.plugins.plugin_utils._follow import PlainActionModule

CONFIRM = {"addresses": ["tcp://10.0.0.5:2376"], "certificate": ""}


class Action(PlainActionModule):
    """Meets a worker of another run, and then has one of its own; notes what it asks the host."""

    def __init__(self) -> None:
        self._task = types.SimpleNamespace(_role=None, async_val=0, check_mode=False, no_log=True)
        self._play_context = types.SimpleNamespace(remote_addr="web")
        self._starts = [{"follow": "worker", "run": "theirs", "attached": True}, {"follow": "worker", "run": "mine", "attached": False}]
        self.commands: list[str] = []
        self._waits = {"theirs", "mine"}

    def _execute_module(self, **_arguments: t.Any) -> dict[str, t.Any]:
        return self._starts.pop(0)

    def _low_level_execute_command(self, command: str, **_arguments: t.Any) -> dict[str, t.Any]:
        self.commands.append(command)
        if " news " not in command:
            return {"stdout": ""}
        run = command.split()[-1]
        news = {"offset": 0, "lines": [], "confirm": None, "active": False, "end": {"result": {"changed": True, "msg": run}}}
        if run in self._waits:
            self._waits.remove(run)
            news.update(confirm=CONFIRM, active=True, end=None)
        return {"stdout": json.dumps(news)}


def test_an_attached_controller_leaves_the_end_and_confirms_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_follow._progress_throttle, "together", lambda _variables: 1)
    monkeypatch.setattr("ansible_collections.drydock.dockerd.plugins.module_utils._endpoint.reach.reach", lambda *_: "")
    action = Action()
    assert action.run_module({}, {})["msg"] == "mine"
    assert action.commands[1:] == [
        *("worker news 0 theirs", "worker confirm theirs", "worker news 0 theirs"),
        *("worker news 0 mine", "worker confirm mine", "worker news 0 mine", "worker heard mine"),
    ]
