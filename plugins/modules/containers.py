# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: containers
short_description: Run containers as M(community.docker.docker_container) does, and have the old one back where a new one does not start
version_added: 0.1.0
author:
  - drydock.dockerd contributors (@drydock)
description:
  - Calls M(community.docker.docker_container) for each container, in check mode for all of them first. So what it refuses is told before anything is touched.
  - One that has to be made anew is renamed first. It is stopped when the new one is there, and removed when that has started. Where one of it fails, the
    old one is back as the same container, with all it has.
  - One that was set aside by a run that was killed is made good before anything else. The new one is kept if it runs and is not unhealthy, or has ended with 0.
    Otherwise the old one is back.
  - Role P(drydock.dockerd.docker_containers#role) uses it, and judges the list before.
extends_documentation_fragment:
  - drydock.dockerd.common.connection
  - drydock.dockerd.common.info
options:
  containers:
    description:
      - Options of M(community.docker.docker_container), for each container.
      - Without it, only what a killed run has left is made good.
    type: list
    elements: dict
  may_stay_ended:
    description:
      - Names of those that have ended, and that are started only when they have to be made anew.
    type: list
    elements: str
    default: []
  _step:
    description:
      - Private. What the action plugin asks of the host.
    type: str
    choices: [make_good, set_aside, stop, bring_back, remove]
    default: make_good
  _name:
    description:
      - Private. The container that O(_step) is about.
    type: str
  _stop_timeout:
    description:
      - Private. Seconds that it has to stop.
    type: int
  _with_volumes:
    description:
      - Private. Whether its volumes without a name are removed with it.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that one answer of the daemon may take.
    type: int
    default: 60
attributes:
  diff_mode:
    description: Shows what is different, as M(community.docker.docker_container) does.
    support: full
  action:
    description: Runs on the controller and on the host.
    support: full
"""

EXAMPLES = r"""
- name: Run a registry
  drydock.dockerd.containers:
    containers:
      - name: registry
        image: registry:3
        restart_policy: always

- name: Bring back what a killed run has set aside
  drydock.dockerd.containers:
"""

RETURN = r"""
msg:
  description: What happened, or in check mode what would, in a sentence.
  returned: always
  type: str
taken:
  description: The tcp addresses on which processes of this host listen, and which process it is, where the daemon is on it.
  returned: without O(containers)
  type: dict
names:
  description: Names of O(containers).
  returned: when they are given
  type: list
  elements: str
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint import connection
from ansible_collections.drydock.dockerd.plugins.module_utils._engine import set_aside
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.api import Engine
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import unexpected
from ansible_collections.drydock.dockerd.plugins.module_utils._host.tcp_listeners import holders

SPEC: dict[str, t.Any] = {
    "containers": {"type": "list", "elements": "dict"},
    "may_stay_ended": {"type": "list", "elements": "str", "default": []},
    # What the action plugin asks of the host, for the container of this name.
    "_step": {"type": "str", "choices": ["make_good", "set_aside", "stop", "bring_back", "remove"], "default": "make_good"},
    "_name": {"type": "str"},
    "_stop_timeout": {"type": "int"},
    "_with_volumes": {"type": "bool", "default": False},
    **connection.OPTIONS,
}


def make_good(engine: Engine, check: bool) -> list[str]:
    """End what a killed run has begun, one way or the other, and say so."""
    told = []
    for name, is_good in set_aside.left_behind(engine).items():
        told.append(f"A run that was killed left two containers {name}: the {'new' if is_good else 'old'} one is kept.")
        if check:
            continue
        if is_good:
            set_aside.remove(engine, name, False)
        else:
            set_aside.bring_back(engine, name)
    return told


def take_step(engine: Engine, params: t.Mapping[str, t.Any]) -> None:
    name = params["_name"]
    if params["_step"] == "set_aside":
        set_aside.set_aside(engine, name)
    elif params["_step"] == "stop":
        set_aside.stop(engine, name, params["_stop_timeout"])
    elif params["_step"] == "bring_back":
        set_aside.bring_back(engine, name)
    else:
        set_aside.remove(engine, name, params["_with_volumes"])


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    told: list[str] = []
    taken: dict[str, str] = {}
    try:
        engine = connection.engine_of(module.params)
        if module.params["_step"] == "make_good":
            told = make_good(engine, module.check_mode)
            # Of another machine nobody here can tell.
            taken = holders() if module.params["docker_host"].startswith("unix:") else {}
        else:
            take_step(engine, module.params)
    except Exception as exc:
        module.fail_json(msg=str(unexpected(exc)))
    module.exit_json(changed=bool(told), msg=" ".join(told), taken=taken)


if __name__ == "__main__":
    main()
