# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: data_root
short_description: Move the Docker daemon's data to another place and lose nothing
version_added: 0.1.0
author:
  - drydock.dockerd contributors (@drydock)
description:
  - Copies the data root while containers run, stops the daemon, copies what changed since, compares, switches, and starts the
    containers that ran only when the daemon has proved that everything is there.
  - Up to that moment any failure leads back to the old root. The old data are kept, moved aside.
  - The daemon then waits for the new place at every boot and does not start on an absent or wrong disk.
  - Within one file system the move is a rename. Nothing is copied then, and no old data are kept.
extends_documentation_fragment:
  - drydock.dockerd.common
  - drydock.dockerd.common.change
options:
  path:
    description: The data root that is wanted, an absolute path; empty leaves the data where they are.
    type: str
  containerd_path:
    description:
      - The root of containerd that is wanted, an absolute path; empty leaves it where it is. Moved in the same outage as the data root, or alone.
      - An engine with the containerd image store, as Engine 29 has it by default, keeps its images there.
      - Refused when containerd runs tasks of others than Docker, because they would stop too.
    type: str
  changing_limit:
    description:
      - Bytes that may still change when the daemon is to be stopped, for example V(500M); V(0) is no limit.
      - When containers write so fast that the copies before do not get below it, the daemon is not stopped, and the task fails and says
        what a cut-over would cost. What was copied is kept.
    type: str
    default: 1G
  state:
    description:
      - V(relocated) moves the data to O(path), copying while containers run first.
      - V(prepared) only copies to O(path) while everything runs, as often as wanted. A later move begins from there.
      - V(cancelled) removes what was prepared at O(path).
      - V(restored) takes the last move back, with what was written and deleted since; O(path) is not needed.
      - V(cleaned) removes the old data that moves have kept, once the new root is proved. It never enters another file system or a mount.
    type: str
    choices: [relocated, prepared, cancelled, restored, cleaned]
    default: relocated
  keep_source:
    description: Keep the old data, moved aside beside the old root.
    type: bool
    default: true
  verify:
    description:
      - V(attributes) compares type, owners, mode, size, times, links and extended attributes of every entry.
      - V(checksum) reads every byte of both sides as well.
    type: str
    choices: [attributes, checksum]
    default: attributes
  bandwidth_limit:
    description: Bytes a second while containers run, for example V(50M); the copy during the outage is not limited.
    type: str
  require_persistent_mount:
    description: Refuse a file system that neither /etc/fstab nor a mount unit mounts at boot.
    type: bool
    default: true
  allow_swarm_manager:
    description: Move on a swarm manager too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Move the data to the big disk
  drydock.dockerd.data_root:
    path: /mnt/data/docker

- name: Copy what can be copied today, while everything runs
  drydock.dockerd.data_root:
    path: /mnt/data/docker
    state: prepared
    bandwidth_limit: 50M

- name: Take the move back, with what was written since
  drydock.dockerd.data_root:
    state: restored
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
bytes:
  description: Bytes on disk that were moved.
  returned: when data were moved
  type: int
files:
  description: Files, directories and other entries that were moved.
  returned: when data were moved
  type: int
kept:
  description: Where the old data are kept.
  returned: when data were moved
  type: str
moves:
  description: Each tree that was moved, the data root and containerd's root.
  returned: when data were moved
  type: list
  elements: dict
  contains:
    source:
      description: Where it lay.
      type: str
    target:
      description: Where it lies now.
      type: str
    bytes:
      description: Its bytes on disk.
      type: int
    files:
      description: Its files, directories and other entries.
      type: int
    kept:
      description: Where the old data are kept; empty when they are not.
      type: str
forecast:
  description: What was known before the daemon was stopped.
  returned: when data are to be moved or prepared
  type: dict
  contains:
    bytes:
      description: Bytes on disk below the data root.
      type: int
    files:
      description: Files, directories and other entries below it.
      type: int
    changed_bytes:
      description: The part of the bytes that a prepared copy does not have.
      type: int
    changed_files:
      description: The part of the files that a prepared copy does not have.
      type: int
    changing_bytes:
      description: Bytes that the last copy found changed while containers ran; about as many have to be copied while they are down.
      type: int
    outage_seconds:
      description: Seconds that the outage is expected to take, from how long the daemon's last start and stop took and from what the last copy sent.
      type: float
    longest_outage_seconds:
      description:
        - The same where containers use their stop timeouts, ten seconds unless they were made with another one. Whether one ends earlier is not known before.
        - None where a container was made with a timeout less than 0, which has no limit.
      type: float
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host
from ansible_collections.drydock.dockerd.plugins.module_utils._operation.change import DataRootChange
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.argument_spec import COMMON, to_request


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **COMMON,
            "path": {"type": "str"},
            "containerd_path": {"type": "str"},
            "changing_limit": {"type": "str", "default": "1G"},
            "state": {"type": "str", "choices": ["relocated", "prepared", "cancelled", "restored", "cleaned"], "default": "relocated"},
            "keep_source": {"type": "bool", "default": True},
            "verify": {"type": "str", "choices": ["attributes", "checksum"], "default": "attributes"},
            "bandwidth_limit": {"type": "str"},
            "require_persistent_mount": {"type": "bool", "default": True},
            "allow_swarm_manager": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        result = DataRootChange(Host(), module.check_mode, module.params["_run"] or "", to_request(module.params)).run()
    except DrydockError as exc:
        module.fail_json(msg=str(exc))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
