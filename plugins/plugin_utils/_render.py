# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The action plugins' half: render the roles' templates on the controller, then let the module commit them on the host."""

from __future__ import annotations

import json
import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.validation import check_type_dict
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, message
from ansible_collections.drydock.dockerd.plugins.plugin_utils._follow import FollowingActionModule, show
from ansible_collections.drydock.dockerd.plugins.plugin_utils._roles import PATHS, is_of_a_role, main_variable, misspelt
from ansible_collections.drydock.dockerd.plugins.plugin_utils._survey import to_dict

try:
    from ansible.template import trust_as_template
except ImportError:
    # ansible-core before 2.19 trusts every text that a plugin hands to the templar.
    trust_as_template = None

# Filled in on the host, under its lock: only there the unit's own command, the data root's marker and its mount are known for certain.
_NAMES = ("dockerd_command", "data_root_marker", "data_root_mount", "containerd_command", "containerd_marker", "containerd_mount")
# Arguments that ask for something.
_ASKING = ("path", "containerd_path", "settings", "settings_template", "drop_ins", "requests")
_DICTIONARY = "a dictionary of keys of daemon.json, for example {log-driver: local}"
PLACEHOLDERS = {name: f"@{name}@" for name in _NAMES}


class RenderingActionModule(FollowingActionModule):
    """Runs the module of the same name with every template rendered and every empty answer left out."""

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        variables = dict(task_vars or {})
        args = given(without_empty(self._task.args))
        refusals = list(self._refusals(args.get("requests") or []))
        if refusals:
            return {**result, "failed": True, "msg": " ".join(refusals)}
        for option, (variable, placeholder) in PATHS.items():
            path = str(args.pop(option, None) or "").strip()
            if path:
                args[option] = path
            # Only the host knows where the data came from.
            if path or args.get("state") == "restored":
                variables[variable] = placeholder if args.get("state") == "restored" else path
        self._prepare(args)
        self._render_request(args, variables)
        if "requests" in args:
            args["requests"] = [given(request) for request in args["requests"]]
        for request in args.get("requests") or []:
            self._render_request(request, variables)
        for request in (args, *(args.get("requests") or [])):
            self._read_settings(request)
        name, told = variables.get("inventory_hostname", ""), []
        main = main_variable(self._task)
        if main and args.get("state", "relocated") == "relocated" and not any(args.get(one) for one in _ASKING):
            result["msg"] = message("nothing-asked", f"Nothing is asked for: {main} is not given.", f"Set {main}.")
            told.append(f"{name}: {result['msg']}")
        elif self._task.check_mode and variables.get("__docker_engine_is_to_come"):
            result.update(changed=True, msg="The engine is not there yet, so that check mode cannot say what else would be done.")
        else:
            result.update(self.run_module(args, task_vars))
        if is_of_a_role(self._task):
            slips = sorted(misspelt(variables).items())
            told += [message("variable-name", f"{one} is no variable of this collection.", f"Did you mean {right}?") for one, right in slips]
        if told:
            result["warnings"] = [*(result.get("warnings") or []), *told]
        self._tell(result, name)
        return result

    def _refusals(self, requests: t.Sequence[dict[str, t.Any]]) -> t.Iterator[str]:
        """What a role has against its own variables, and what it lacks on the host: these two parts of a request are for here only."""
        for request in requests:
            yield from request.pop("refusals", None) or ()
            for path, sentence in (request.pop("needs", None) or {}).items():
                if self._low_level_execute_command(f"test -e {path}")["rc"]:
                    yield sentence

    def _tell(self, result: dict[str, t.Any], name: str) -> None:
        """Say what happened in a line of its own: 'changed' alone tells nobody for how long the containers were down."""
        told: dict[str, list[str]] = {}
        for one in result.get("findings") or []:
            told.setdefault(one["severity"], []).append(f"{name}: {one['sentence']} {one['hint']}".strip())
        if "warning" in told:
            result["warnings"] = [*(result.get("warnings") or []), *told["warning"]]
        for line in told.get("note", []):
            show(self._display, line)
        if result.get("changed"):
            show(self._display, f"{name}: {result['msg']}")

    def _read_settings(self, request: dict[str, t.Any]) -> None:
        """Ansible itself would speak of an argument that no user of a role has ever seen, and take text with a slip for key=value."""
        settings = request.get("settings")
        if settings is None:
            return
        try:
            if is_of_a_role(self._task):
                request["settings"] = to_dict(settings, "docker_options_settings", _DICTIONARY)
            else:
                # Whatever the module would take, on a command line a text too.
                check_type_dict(settings)
        except DrydockError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        except TypeError as exc:
            shown = json.dumps(settings, default=str)[:60]
            raise AnsibleActionFail(message("variable-value", f"settings is {shown}.", f"Give {_DICTIONARY}.")) from exc

    def _prepare(self, args: dict[str, t.Any]) -> None:
        """What a module adds to its own arguments."""

    def _render_request(self, request: dict[str, t.Any], variables: dict[str, t.Any]) -> None:
        template = request.pop("settings_template", None)
        if template:
            rendered = self._render(template, variables)
            try:
                settings = json.loads(rendered) if isinstance(rendered, str) else dict(rendered)
            except ValueError as exc:
                raise AnsibleActionFail(message("module-call", f"Template {template} does not render to JSON: {exc}.")) from exc
            request["settings"] = {**(request.get("settings") or {}), **without_empty(settings)}
        for drop_in in request.get("drop_ins") or []:
            template = drop_in.pop("template", None)
            if template:
                drop_in["content"] = str(self._render(template, variables))

    def _render(self, template: str, variables: dict[str, t.Any]) -> t.Any:
        source = self._find_needle("templates", template)
        with open(source, encoding="utf-8") as stream:
            text = stream.read()
        available = {**variables, **PLACEHOLDERS}
        templar = self._templar.copy_with_new_env(searchpath=[os.path.dirname(source)], available_variables=available)
        if trust_as_template:
            return templar.template(trust_as_template(text), escape_backslashes=False, overrides={"trim_blocks": True})
        return templar.do_template(text, preserve_trailing_newlines=True, escape_backslashes=False, overrides={"trim_blocks": True})


def without_empty(value: t.Any) -> t.Any:
    """Plain copies without what a survey sends for an optional question that nobody answered: the empty text."""
    if isinstance(value, dict):
        return {str(key): without_empty(one) for key, one in value.items() if not (isinstance(one, str) and one == "")}
    if isinstance(value, (list, tuple)):
        return [without_empty(one) for one in value if not (isinstance(one, str) and one == "")]
    return value


def given(options: dict[str, t.Any]) -> dict[str, t.Any]:
    """Options without those that are none: that is how empty text of a survey arrives from ansible-core 2.19 on."""
    return {key: value for key, value in options.items() if value is not None}


__all__ = ("RenderingActionModule", "given", "without_empty")
