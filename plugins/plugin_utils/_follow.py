# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The action plugins' other half: start a worker on the host, follow it over as many connections as it takes, bring back its end.

Neither a lost connection nor the end of this process ends the worker. A later run that meets one under way follows it as well.
"""

from __future__ import annotations

import contextlib
import json
import time
import typing as t
import uuid

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import message
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _progress_throttle, _roles

# How long nobody may be reached before the task gives up (the worker does not), and how long to wait between attempts, in seconds.
_PATIENCE, _PAUSE = 600, 2
# How long one attempt to reach a changed address may take, in seconds.
_REACH_SECONDS = 5
# Errors on a connection that works until they are believed.
_FAILURES = 3
# How Ansible words a module's answer that a dropped connection cut short (no exception then), and how we word a lock that is taken.
_CUT_SHORT = ("deserializ", "MODULE FAILURE", "Module result", "closed by remote host")
_LOCKED = "is under way"


# Ansible ships no types, so its base class is Any.
class FollowingActionModule(ActionBase):  # type: ignore[misc]
    """Runs a module of the collection; where that leaves a worker behind, follows it and shows what it says."""

    MODULE = ""
    _name = "host"
    _pace = _progress_throttle.Pace(1)
    _supports_check_mode = True
    _supports_diff = True
    _supports_async = True
    _requires_connection = True

    def run_module(self, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """Run the module to its end and its worker's; what it says to the user of a role is in the role's words."""
        return _roles.retold(self._run_to_its_end(args, task_vars), self._words)

    def _words(self, text: str) -> str:
        return _roles.in_role_words(text) if _roles.is_of_a_role(self._task) else text

    def _run_to_its_end(self, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        # A task with async is polled by Ansible itself: the module then waits for its worker.
        if self._task.async_val or self._task.check_mode:
            return self._call_module(args, task_vars, wrap_async=self._task.async_val)
        self._name = str((task_vars or {}).get("inventory_hostname", "host"))
        self._pace = _progress_throttle.Pace(_progress_throttle.together(task_vars or {}))
        # A host that cannot be reached at all is Ansible's to tell.
        self._low_level_execute_command("true", sudoable=False)
        run = {"_run": uuid.uuid4().hex}
        while True:
            result = self._start({**args, **run}, task_vars)
            if "follow" not in result:
                return result
            if result["attached"]:
                self._say("another run's change is under way; this is what it says")
            end = self._follow(result["follow"], result["run"])
            if not result["attached"]:
                return self._end(result["follow"], result["run"], end)

    def _call_module(self, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None, **options: t.Any) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=f"drydock.dockerd.{self.MODULE}", module_args=args, task_vars=task_vars, **options)
        return result

    def _start(self, args: dict[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """Run the module; over a connection that drops, again: the module knows its run, and begins nothing twice."""
        patience, failures = _Patience(), 0
        while True:
            try:
                result = self._call_module(args, task_vars)
                words = str(result.get("msg")) if result.get("failed") else ""
                if failures and _LOCKED in words:
                    # By the module of the attempt before. This answer came through whole, so the connection drops again and again.
                    failures = 1
                    patience.lost(words)
                    time.sleep(_PAUSE)
                    continue
                if _is_traceback(result) or not any(one in words for one in _CUT_SHORT) or failures == _FAILURES:
                    return result
            except AnsibleError as exc:
                words = str(exc)
                # Not every error is a dropped connection: one that comes again on a connection that works is told.
                if failures == _FAILURES:
                    raise
            failures += 1
            patience.lost(words)
            self._reconnect(patience)

    def _follow(self, command: str, run: str) -> dict[str, t.Any]:
        """Show what a run's worker says until it has ended; returns how."""
        offset, patience = 0, _Patience()
        while True:
            try:
                answer = self._low_level_execute_command(f"{command} news {offset} {run}")
                news: dict[str, t.Any] = json.loads(answer["stdout"].strip().splitlines()[-1])
            except (AnsibleError, ValueError, IndexError) as exc:
                patience.lost(str(exc))
                self._reconnect(patience)
                continue
            patience = _Patience()
            offset = news["offset"]
            for line in filter(self._pace.lets, news["lines"]):
                self._say(line)
            if news["confirm"]:
                self._confirm(command, run, **news["confirm"])
            if not news["active"]:
                end: dict[str, t.Any] = news["end"]
                return end

    def _confirm(self, command: str, run: str, addresses: list[str], certificate: str, ways: t.Sequence[str] = ()) -> None:
        """Reach the changed addresses from here; what cannot be reached is tried again with the next news, as long as the worker waits."""
        # Here, because few plays need it: Ansible compiles what it loads from a collection anew in each of them.
        from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint.reach import reach

        host = self._play_context.remote_addr or self._name
        for address in (*addresses, *ways):
            words = reach(address, None if address in ways else certificate, host, _REACH_SECONDS)
            if words:
                self._say(f"{address} is not reached from here: {words}")
                time.sleep(_PAUSE)
                return
        with contextlib.suppress(AnsibleError):
            self._low_level_execute_command(f"{command} confirm {run}")

    def _end(self, command: str, run: str, end: dict[str, t.Any]) -> dict[str, t.Any]:
        # Unheard is untold: without this the next run would tell it again.
        with contextlib.suppress(AnsibleError):
            self._low_level_execute_command(f"{command} heard {run}")
        if "error" in end:
            return {"failed": True, "changed": False, "msg": message(end.get("id", ""), end["error"], end["hint"])}
        return {"failed": False, **end["result"]}

    def _reconnect(self, patience: _Patience) -> None:
        """Come back only with a connection that works."""
        while True:
            time.sleep(_PAUSE)
            try:
                self._connection.reset()
                self._low_level_execute_command("true", sudoable=False)
                return
            except AnsibleError as exc:
                patience.lost(str(exc))

    def _say(self, line: str) -> None:
        if not self._task.no_log:
            show(self._display, f"{self._name}: {self._words(line)}")


class PlainActionModule(FollowingActionModule):
    """Runs the module with the arguments that it was given."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        result.update(self.run_module(dict(self._task.args), task_vars))
        return result


def show(display: t.Any, line: str) -> None:
    """Say something beside the results. What a callback for machines prints must stay JSON."""
    options = {"stderr": True} if "json" in constants.DEFAULT_STDOUT_CALLBACK else {}
    display.display(line, **options)


def _is_traceback(result: dict[str, t.Any]) -> bool:
    """Whether the module itself failed, in what it wrote. From ansible-core 2.19 on a cut answer has the key 'exception', too."""
    return any(str(result.get(stream, "")).lstrip().startswith("Traceback") for stream in ("module_stderr", "module_stdout"))


class _Patience:
    """Bears a lost connection for a while."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _PATIENCE

    def lost(self, words: str) -> None:
        if time.monotonic() > self._until:
            sentence = f"The host could not be reached for {_PATIENCE} s ({words})."
            raise AnsibleError(message("unreachable", sentence, "A change that was begun goes on there; run again, and this run's end is told."))


__all__ = ("FollowingActionModule", "PlainActionModule", "show")
