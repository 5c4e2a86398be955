# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_config
short_description: Configure the Docker daemon in one proved transaction
version_added: 0.1.0
author:
  - drydock.dockerd contributors (@drydock)
description:
  - Merges keys into C(daemon.json), writes drop-ins of C(docker.service) and brings them into force with the least disturbance,
    none, a reload or one restart.
  - Everything is checked before the first write. The result is proved by the running daemon, and on any failure the old configuration
    is restored and the containers run again.
extends_documentation_fragment:
  - drydock.dockerd.common
  - drydock.dockerd.common.change
"""

EXAMPLES = r"""
- name: Keep container logs small
  drydock.dockerd.daemon_config:
    owner: options
    settings:
      log-driver: local
      log-opts:
        max-size: 10m

- name: Listen on the network too, in a trusted lab
  drydock.dockerd.daemon_config:
    owner: listen
    settings:
      hosts: [fd://, tcp://10.0.0.5:2375]
      tls: false
    drop_ins:
      - name: zz-drydock-listen.conf
        content: |
          [Service]
          ExecStart=
          ExecStart=@dockerd_command@
    allow_insecure: true
"""

RETURN = r"""
msg:
  description: What happened, or in check mode what would, in a sentence.
  returned: always
  type: str
  sample: "Moved 1.6 GiB in 97,335 files from /var/lib/docker to /mnt/data/docker, down for 1.4 s, 3 containers back."
plan:
  description: The steps of the change in order; empty when nothing is to be done.
  returned: success
  type: list
  elements: str
  sample: [hold, stop, write /etc/docker/daemon.json, commit, start, prove, release]
keys:
  description: The keys of daemon.json that are C(added), C(changed) and C(removed), as lists of names.
  returned: when a key changes
  type: dict
  sample: {"added": ["mtu"], "changed": ["log-opts"], "removed": []}
findings:
  description: What preflight found; errors end the module before anything is written.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Short name of the finding.
      type: str
    severity:
      description: V(error), V(warning), or V(note) where nothing is wrong.
      type: str
    sentence:
      description: What was found.
      type: str
    hint:
      description: The way out.
      type: str
applied:
  description: How the daemon was disturbed, V(none), V(reload), V(restart), or V(start) for the first start of an engine that was just installed.
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
  contains:
    phase:
      description: The step.
      type: str
    seconds:
      description: How long it took.
      type: float
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.change import ConfigChange
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.argument_spec import COMMON, to_request


def main() -> None:
    module = AnsibleModule(argument_spec=COMMON, supports_check_mode=True)
    try:
        result = ConfigChange(Host(), module.check_mode, module.params["_run"] or "", to_request(module.params)).run()
    except DrydockError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
