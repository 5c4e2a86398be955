# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import message
from ansible_collections.drydock.dockerd.plugins.plugin_utils._follow import show

Result = dict[str, t.Any]


class ActionModule(ActionBase):  # type: ignore[misc]
    """Calls docker_container for each container, and has the host set the old one aside where that makes a new one."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        self._variables = task_vars
        self._connection_options = dict(self._task.args)
        wanted = self._connection_options.pop("containers", None)
        self._may_stay_ended = self._connection_options.pop("may_stay_ended", None) or []
        if wanted is None:
            return {**result, **self._step("make_good")}
        foreseen = [self._foresee(one) for one in wanted]
        if self._task.check_mode or any(one.get("failed") for one in foreseen):
            return {**result, **_joined(wanted, foreseen)}
        done: list[Result] = []
        for one, seen in zip(wanted, foreseen):
            # What was done to those before may concern it, when it uses their network.
            done.append(self._make(one, self._foresee(one) if any(past.get("changed") for past in done) else seen))
        joined = _joined(wanted, done)
        if joined["msg"] and not joined["failed"]:
            show(self._display, f"{(task_vars or {}).get('inventory_hostname', '')}: {joined['msg']}")
        return {**result, **joined}

    def _make(self, one: dict[str, t.Any], foreseen: Result) -> Result:
        if not _is_made_anew(foreseen):
            waits = one.get("state") == "healthy"
            return self._docker(self._as_it_may_end(one)) if foreseen.get("changed") or foreseen.get("failed") or waits else foreseen
        name = one["name"]
        done = self._step("set_aside", _name=name)
        if done.get("failed"):
            return done
        done = self._docker({**one, "state": "present"})
        if not done.get("failed"):
            at_once = boolean(one.get("force_kill") or one.get("forcekill") or False, strict=False)
            done = self._step("stop", _name=name, _stop_timeout=0 if at_once else one.get("stop_timeout"))
        if not done.get("failed"):
            done = self._docker({**one, "recreate": False})
        if done.get("failed"):
            return {**done, "msg": self._taken_back(name, str(done.get("msg", "")))}
        removed = self._step("remove", _name=name, _with_volumes=not boolean(one.get("keep_volumes", True), strict=False))
        return {**done, "changed": True, "diff": foreseen.get("diff") or {}, **({"failed": True, "msg": removed["msg"]} if removed.get("failed") else {})}

    def _taken_back(self, name: str, words: str) -> str:
        back = self._step("bring_back", _name=name)
        if back.get("failed"):
            sentence = f"Container {name} could not be made anew as it is listed, nor the old one be brought back: {back['msg']} Why it was not made: {words}"
            return message("container-not-made", sentence)
        sentence = f"Container {name} could not be made anew as it is listed, so the old one is back and runs as it did: {words}"
        return message("container-not-made", sentence, "Mend its entry in the list.")

    def _foresee(self, one: dict[str, t.Any]) -> Result:
        """What docker_container would do, or refuse."""
        check, self._task.check_mode = self._task.check_mode, True
        try:
            return self._docker(self._as_it_may_end(one))
        finally:
            self._task.check_mode = check

    def _as_it_may_end(self, one: dict[str, t.Any]) -> dict[str, t.Any]:
        return {**one, "state": "present"} if one.get("name") in self._may_stay_ended else one

    def _docker(self, arguments: dict[str, t.Any]) -> Result:
        arguments = {**self._connection_options, **arguments}
        result: Result = self._execute_module(module_name="community.docker.docker_container", module_args=arguments, task_vars=self._variables)
        return result

    def _step(self, step: str, **arguments: t.Any) -> Result:
        arguments = {**self._connection_options, "_step": step, **arguments}
        result: Result = self._execute_module(module_name="drydock.dockerd.containers", module_args=arguments, task_vars=self._variables)
        return result


def _is_made_anew(foreseen: Result) -> bool:
    actions = foreseen.get("actions") or []
    return any("removed" in one for one in actions) and any("created" in one for one in actions)


def _with_name(name: str, words: str) -> str:
    return words if f"ontainer {name} " in words else f"Container {name}: {words}"


def _joined(wanted: t.Sequence[dict[str, t.Any]], results: t.Sequence[Result]) -> Result:
    """One result of those of all containers; what docker_container tells of each would have its environment in it."""
    pairs = [(str(one.get("name")), result) for one, result in zip(wanted, results)]
    changed = [name for name, result in pairs if result.get("changed")]
    failures = [_with_name(name, str(result.get("msg", ""))) for name, result in pairs if result.get("failed")]
    return {
        "changed": bool(changed),
        "failed": bool(failures),
        "names": [name for name, _result in pairs],
        "msg": " ".join(failures) or (f"Changed: {', '.join(changed)}." if changed else ""),
        "diff": [{"before_header": name, "after_header": name, **result["diff"]} for name, result in pairs if result.get("diff")],
        "warnings": [words for result in results for words in result.get("warnings") or []],
    }
