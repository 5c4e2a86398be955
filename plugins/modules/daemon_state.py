# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_state
short_description: Stop, start, reload, restart or recover the Docker daemon and keep what runs
version_added: 0.1.0
author:
  - drydock.dockerd contributors (@drydock)
description:
  - A restart notes which containers run, and starts exactly those again, whatever their restart policy.
  - Configuration that would open the API to everybody is not put into force.
extends_documentation_fragment:
  - drydock.dockerd.common.change
options:
  state:
    description:
      - V(restarted) and V(reloaded) act only when a change is pending, or with O(force).
      - V(stopped) stops the socket as well, so that no client starts the daemon again.
      - V(started) after V(stopped) brings back what the restart policies say, as any start does.
      - V(recovered) is the way out of whatever an interrupted change has left. It waits for one that is under way, then undoes or finishes what is open, as
        any run does. What cannot be recovered, such as that of another release, or with a broken journal, is given up. Then the daemon is let go and started
        as its files say now, what ran before is started, and the journal is kept as evidence. The message says where, and what happened.
    type: str
    choices: [started, stopped, reloaded, restarted, recovered]
    required: true
  force:
    description: Restart or reload although nothing is pending.
    type: bool
    default: false
attributes:
  idempotent:
    support: partial
    details: With O(force) every run restarts or reloads.
"""

EXAMPLES = r"""
- name: Put into force what lies in the files, if anything does
  drydock.dockerd.daemon_state:
    state: restarted

- name: Let no interrupted change stand in the daemon's way
  drydock.dockerd.daemon_state:
    state: recovered
"""

RETURN = r"""
msg:
  description: What happened, or in check mode what would, in a sentence.
  returned: always
  type: str
plan:
  description: The steps in order.
  returned: success
  type: list
  elements: str
findings:
  description: What preflight found.
  returned: success
  type: list
  elements: dict
applied:
  description: V(none), V(reload) or V(restart).
  returned: success
  type: str
downtime_seconds:
  description: Seconds from the stop of the daemon until the containers were started again.
  returned: when the daemon was restarted
  type: float
phases:
  description: Seconds that each step took.
  returned: when something was changed
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.daemon_state import StateChange
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.recovery import Recovery
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.argument_spec import CHANGE


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped", "reloaded", "restarted", "recovered"], "required": True},
            "force": {"type": "bool", "default": False},
            **CHANGE,
        },
        supports_check_mode=True,
    )
    params = module.params
    host, check_mode, run_id, ready_timeout = Host(), module.check_mode, params["_run"] or "", params["ready_timeout"]
    try:
        if params["state"] == "recovered":
            result = Recovery(host, check_mode, run_id, ready_timeout).run()
        else:
            result = StateChange(host, check_mode, run_id, params["state"], params["force"], ready_timeout).run()
    except DrydockError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
