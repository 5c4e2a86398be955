# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: engine_upgrade
short_description: Bring the Docker engine to another version or another source's packages, and keep what runs
version_added: 0.1.0
author:
  - drydock.dockerd contributors (@drydock)
description:
  - Used by role P(drydock.dockerd.docker_engine#role).
  - The packages are fetched and installed while everything runs, and the daemon is restarted behind that. So are the old ones fetched, for the way back.
    The containers that ran before run afterwards, whatever their restart policy.
  - The configuration is held against what the new engine takes before anything is done.
  - Where the new engine does not come up, or lacks something that the old one had, the old packages come back as far as the package manager has them.
  - Knows apt.
extends_documentation_fragment:
  - drydock.dockerd.common.change
options:
  packages:
    description: The engine's packages, that of the daemon first. They have to be installed, unless O(replaces) are.
    type: list
    elements: str
    required: true
  version:
    description:
      - The version of the first package, as the package manager has it; a pattern such as V(26.1.*) too. Packages that have no such version stay as they are.
      - Empty text means what the package manager would choose, of each package.
    type: str
    default: ""
  replaces:
    description:
      - Packages of another source, such as V(docker.io), whose place O(packages) take; they are removed in the same transaction and not purged.
        Data root, configuration and what runs stay. Those that are not installed are passed over.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Upgrade to what the package manager has
  drydock.dockerd.engine_upgrade:
    packages: [docker.io, docker-cli]

- name: Go to one version
  drydock.dockerd.engine_upgrade:
    packages: [docker-ce, docker-ce-cli, containerd.io]
    version: "5:28.5.*"

- name: Take Docker's own packages in place of Debian's
  drydock.dockerd.engine_upgrade:
    packages: [docker-ce, docker-ce-cli, containerd.io]
    replaces: [docker.io, docker-cli, containerd, runc]
"""

RETURN = r"""
msg:
  description: What happened, or in check mode what would, in a sentence.
  returned: always
  type: str
before:
  description: The versions that were there, by package, empty where there was none; of those that change only.
  returned: success
  type: dict
after:
  description: The versions that are there now, empty where a package went.
  returned: success
  type: dict
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
  description: V(none) or V(restart).
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
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.upgrade import EngineUpgrade
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.argument_spec import CHANGE


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "required": True},
            "version": {"type": "str", "default": ""},
            "replaces": {"type": "list", "elements": "str", "default": []},
            **CHANGE,
        },
        supports_check_mode=True,
    )
    params = module.params
    asked = (params["packages"], params["version"], params["replaces"], params["ready_timeout"])
    try:
        result = EngineUpgrade(Host(), module.check_mode, params["_run"] or "", *asked).run()
    except DrydockError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
