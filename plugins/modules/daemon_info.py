# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: daemon_info
short_description: What the Docker daemon of a host really does
version_added: 0.1.0
author:
  - drydock.dockerd contributors (@drydock)
description:
  - Asks the running daemon, its process and the init system, not only the files. Changes nothing and starts nothing.
extends_documentation_fragment:
  - drydock.dockerd.common.info
options:
  log_lines:
    description:
      - How many of the last lines that each container printed are told, too.
    type: int
    default: 0
  measure:
    description:
      - Count what the data root takes, and containerd's root where images lie there. Reads the whole tree's directories with C(du), with the lowest
        priority and for a minute at most.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Look
  drydock.dockerd.daemon_info:
  register: docker

- name: Show where it listens and where its data are
  ansible.builtin.debug:
    msg: "{{ docker.dockerd.addresses }} {{ docker.dockerd.data_root }}"

- name: Look at the containers, too
  drydock.dockerd.daemon_info:
    log_lines: 20
  register: docker

- name: Show what those printed that restart again and again
  ansible.builtin.debug:
    msg: "{{ item.name }} ended with {{ item.exit_code }}, restarted {{ item.restart_count }} times: {{ item.log | join(' | ') }}"
  loop: "{{ docker.dockerd.containers | selectattr('state', 'eq', 'restarting') }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
dockerd:
  description: The observed state.
  returned: success
  type: dict
  contains:
    running:
      description: Whether dockerd runs.
      type: bool
    pid:
      description: Its process id, 0 when it is down.
      type: int
    engine_version:
      description: Its version.
      type: str
    addresses:
      description: Where it was told to listen; when it is down, where it would.
      type: list
      elements: str
    listening:
      description:
        - Where its process really listens, as the kernel says it; none when it is down. C(address) and C(purpose).
        - C(purpose) is V(api), V(metrics), V(swarm), or V(unknown) for a tcp address that is in no configuration of now, such as one from before an edit.
        - A tcp address has C(open), whether it lets in whoever reaches it, without a certificate, as its socket answers; V(null) where it was not asked or
          gives no answer.
        - C([::]) stands for all addresses, of IPv4 too. Unix sockets that are not the API's are left out.
      type: list
      elements: dict
    certificates:
      description:
        - The certificates that it was told to use, by their keys V(tlscacert) and V(tlscert), as the files are now.
        - Each has C(key), C(path), C(subject), C(issuer), C(names), C(not_after) and C(days_left) as in module M(drydock.dockerd.endpoint_info), and
          C(read), whether the running daemon has read the file as it is now. One that cannot be read has C(key), C(path) and C(read) only.
      type: list
      elements: dict
    data_root:
      description: The data root in use.
      type: str
    data_root_mount:
      description: The file system that holds it, as C(point), C(fstype) and C(source).
      type: dict
    data_root_bytes:
      description: What it takes on its file system, or null without O(measure) and where counting took longer than a minute.
      type: int
    containerd_root:
      description: The root of containerd, empty where dockerd runs it itself.
      type: str
    containerd_root_bytes:
      description: What that takes, or null as above, and where images do not lie there.
      type: int
    file_systems:
      description:
        - The writable local file systems, and those that hold the data root or containerd's root, as C(point), C(fstype), C(source), C(size_bytes),
          C(used_bytes), C(free_bytes) and C(holds).
        - C(holds) has V(data-root) or V(containerd), or both, or none.
      type: list
      elements: dict
    out_of_sight:
      description:
        - How many C(containers) and C(images) the data root holds that the daemon does not list, because it has another storage driver, image store
          or mapping of users than they were made with. Null when the daemon is down.
        - Images of containerd's store are not counted while Docker's own is in use.
      type: dict
    image_store:
      description: Who keeps images and layers, V(containerd) in its root or V(docker) below the data root; empty when the daemon is down.
      type: str
    time:
      description: The engine's clock in its own words, empty when the daemon is down.
      type: str
    storage_driver:
      description: The storage driver in use.
      type: str
    live_restore:
      description: Whether containers outlive the daemon.
      type: bool
    command:
      description: The unit's own command without the collection's drop-ins, variables unexpanded.
      type: list
      elements: str
    unit:
      description: The file of docker.service, or docker's init script.
      type: str
    drop_ins:
      description: File names of the collection's drop-ins (C(ours)) and paths of all others (C(foreign)).
      type: dict
    config:
      description:
        - For each key its C(value) with what files say now, its C(source) and the C(owner) that asked for it.
        - And C(asked), C(in_file) and C(in_force), each V(null) where there is none. They differ when somebody edited the file, or a restart is pending.
      type: dict
    owners:
      description: What each owner asked for.
      type: dict
    restart_pending:
      description: Whether files say something else than the running daemon does, or were changed after it was started.
      type: bool
    pending:
      description: What that is, a sentence each.
      type: list
      elements: str
    interrupted:
      description:
        - A change that is under way, or what one has left behind; null where there is nothing of that.
        - C(since) is when its journal was opened, null for a hold without a journal, and C(step) the last step that it began. C(held) is whether the daemon is
          held, so that nobody else can start it, C(under_way) whether the change's worker lives, and C(what) all of it in a sentence.
        - Where nothing is under way, the next run of a changing module recovers it, and M(drydock.dockerd.daemon_state) with C(state=recovered) does.
      type: dict
    down:
      description:
        - Containers that ran before a change and did not run again behind it, and nobody has started since, as C(name), C(why) (a sentence), and C(at) (seconds
          since the epoch).
      type: list
      elements: dict
    rewritten:
      description: Which of daemon.json, the unit and the drop-ins of others are not as the last run of a module of this collection left them.
      type: list
      elements: str
    cis:
      description:
        - The daemon's part of the CIS Docker Benchmark, rules 1.1.1 and 2.1 to 2.18, as C(rule), C(title), C(state) and C(evidence).
        - C(state) is V(pass), V(fail), or V(manual) where people have to judge.
      type: list
      elements: dict
    moves:
      description:
        - The moves of the data root and of containerd's root that were made, the newest last. C(tree) is V(data-root) or V(containerd), with C(source),
          C(target), C(kept) (where the old data are now, empty where they are not), C(restored) (whether it took back the move before it), and C(run), the
          same for what moved in one outage.
        - C(ended) in seconds since the epoch, C(bytes) and C(files), C(downtime_seconds), C(forecast_seconds) of that, and C(phases), a list of C(phase)
          and C(seconds). Null, and no phases, for what nobody measured, as in a move that a recovery finished.
      type: list
      elements: dict
    containers:
      description:
        - All containers with C(id), C(name), C(image), C(state), C(policy), C(max_retries), C(restart_count) and C(exit_code).
        - C(health) is V(starting), V(healthy) or V(unhealthy), and empty without a health check.
        - C(started_at) is when the container was last started, in the daemon's own words, and empty when it never was.
        - C(log) has the last O(log_lines) lines that it printed.
      type: list
      elements: dict
    other_log_settings:
      description:
        - Names of containers whose output does not go as the daemon would let that of a new one go. They were made before, or with settings of their own.
      type: list
      elements: str
    images:
      description: How many images there are.
      type: int
    volumes:
      description: Names of all volumes.
      type: list
      elements: str
    networks:
      description: Names of all networks.
      type: list
      elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.api import Engine
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.container_logs import last_lines
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import unexpected, wrapping
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.info import describe, look_around
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.state import observe
from ansible_collections.drydock.dockerd.plugins.module_utils._transaction.interruption import find_interruption


def main() -> None:
    spec = {"log_lines": {"type": "int", "default": 0}, "measure": {"type": "bool", "default": False}}
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    interrupted = None
    try:
        host = Host()
        host.needs_root()
        interrupted = find_interruption(host)
        state = observe(host)
        output = last_lines(Engine(state.socket), state.inventory.containers.values(), module.params["log_lines"]) if state.socket else {}
        dockerd = {**describe(state, output), **look_around(host, state, measure=module.params["measure"]), "interrupted": interrupted}
    except Exception as exc:
        error = unexpected(exc)
        # A daemon in the middle of a change does not answer, and that is why.
        before = f"{interrupted['what']} " if interrupted else ""
        module.fail_json(msg=str(wrapping(error, error.id, before + error.sentence, error.hint)))
    module.exit_json(changed=False, dockerd=dockerd)


if __name__ == "__main__":
    main()
