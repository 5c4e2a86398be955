# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What nobody expected ends an info module with a sentence, as it does the changing ones."""

from __future__ import annotations

import errno
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import EngineError
from ansible_collections.drydock.dockerd.plugins.modules import containers_info, daemon_info, endpoint_info

OPEN = {"since": "2026-11-25T13:40:00Z", "step": "start", "held": True, "under_way": True, "what": "A change is under way at 'start'."}


class Ended(BaseException):
    """A module has ended; nothing that it catches."""


class FakeModule:
    """A module with these parameters, which ends by an exception."""

    check_mode = False
    params: t.ClassVar[dict[str, t.Any]] = {"log_lines": 0, "measure": False, "names": None, "settle_time": 0, "archives": ["/srv/a.tar"]}

    def __init__(self, **_specification: t.Any) -> None:
        pass

    def fail_json(self, msg: str) -> t.NoReturn:
        raise Ended(msg)

    def exit_json(self, **result: t.Any) -> t.NoReturn:
        raise Ended(result)


def refuse(*_arguments: t.Any, **_options: t.Any) -> t.NoReturn:
    raise PermissionError(errno.EACCES, "Permission denied", "/proc/1/cmdline")


@pytest.fixture
def end(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[t.Any], t.Any]:
    """How a module ends."""

    def run(module: t.Any) -> t.Any:
        monkeypatch.setattr(module, "AnsibleModule", FakeModule)
        with pytest.raises(Ended) as caught:
            module.main()
        return caught.value.args[0]

    return run


@pytest.mark.parametrize(
    ("module", "name"),
    [(daemon_info, "observe"), (daemon_info, "find_interruption"), (containers_info.connection, "engine_of"), (endpoint_info.diagnosis, "describe_endpoint")],
    ids=["daemon_info", "daemon_info, what is open", "containers_info", "endpoint_info"],
)
def test_what_nobody_expected_is_a_sentence_with_its_path(end: t.Any, monkeypatch: pytest.MonkeyPatch, module: t.Any, name: str) -> None:
    monkeypatch.setattr(daemon_info, "find_interruption", lambda host: None)
    monkeypatch.setattr(module, name, refuse)
    run = {containers_info.connection: containers_info, endpoint_info.diagnosis: endpoint_info}.get(module, module)
    assert end(run).startswith("/proc/1/cmdline: Permission denied. Mend what it names, then run again")


def test_an_archive_that_may_not_be_read_is_a_sentence(end: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers_info.connection, "engine_of", lambda params: None)
    for name in ("settled", "images_of"):
        monkeypatch.setattr(containers_info, name, lambda *_: [])
    monkeypatch.setattr(containers_info, "names_of", lambda engine: {})
    monkeypatch.setattr(containers_info, "archive_contents", refuse)
    assert end(containers_info).endswith("[unexpected]")


def test_a_daemon_that_does_not_answer_in_a_change_is_told_with_that(end: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_host: t.Any) -> t.NoReturn:
        raise EngineError("api-silent", "The daemon does not answer.", "Look at its log.")

    monkeypatch.setattr(daemon_info, "find_interruption", lambda host: OPEN)
    monkeypatch.setattr(daemon_info, "observe", silent)
    assert end(daemon_info) == "A change is under way at 'start'. The daemon does not answer. Look at its log. [api-silent]"


@pytest.mark.parametrize("interrupted", [None, OPEN], ids=["nothing is open", "a change is open"])
def test_what_is_open_is_told_beside_the_state(end: t.Any, monkeypatch: pytest.MonkeyPatch, interrupted: t.Any) -> None:
    class Daemon:
        socket = None

    monkeypatch.setattr(daemon_info, "find_interruption", lambda host: interrupted)
    monkeypatch.setattr(daemon_info, "observe", lambda host: Daemon())
    monkeypatch.setattr(daemon_info, "describe", lambda state, output: {"running": False})
    monkeypatch.setattr(daemon_info, "look_around", lambda host, state, measure: {})
    assert end(daemon_info) == {"changed": False, "dockerd": {"running": False, "interrupted": interrupted}}
