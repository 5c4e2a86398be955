# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: containers_info
short_description: The containers of a daemon on this host or behind a TLS endpoint, with the last lines of their output
version_added: 0.1.0
author:
  - drydock.dockerd contributors (@drydock)
description:
  - Asks a daemon over its API. Changes nothing.
  - Role P(drydock.dockerd.docker_containers#role) decides by it what has to be done, and whether the containers that it started stay up.
  - Needs nothing but Python on the host where it runs. How to connect is said in the terms of community.docker's modules.
extends_documentation_fragment:
  - drydock.dockerd.common.connection
  - drydock.dockerd.common.info
options:
  names:
    description:
      - Only the containers of these names. Without it all of them.
    type: list
    elements: str
  log_lines:
    description:
      - How many of the last lines that each container printed are told, too.
    type: int
    default: 0
  settle_time:
    description:
      - Seconds that each container should have run for. When one of them runs for a shorter time, wait for the rest and look again.
      - Does not wait in check mode.
    type: int
    default: 0
  archives:
    description:
      - Paths on this host of image archives, as C(docker save) writes them, whose contents are told, too.
    type: list
    elements: path
    default: []
  timeout:
    description:
      - Seconds that one answer of the daemon may take.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Look at the containers of another machine
  drydock.dockerd.containers_info:
    docker_host: tcp://build.example.com:2376
    validate_certs: true
    ca_path: /root/.docker/ca.pem
    client_cert: /root/.docker/cert.pem
    client_key: /root/.docker/key.pem
    log_lines: 5
  register: there

- name: Show those that are unhealthy
  ansible.builtin.debug:
    msg: "{{ there.containers | selectattr('health', 'eq', 'unhealthy') | map(attribute='name') }}"
"""

RETURN = r"""
containers:
  description:
    - Each container as M(drydock.dockerd.daemon_info) tells it, and with its C(labels), its published C(ports) and C(health_output).
    - C(exit_code) of one that runs again is that of its last end, as long as the daemon remembers it.
  returned: success
  type: list
  elements: dict
images:
  description: Each image with its C(id) and its C(names), tags and digests.
  returned: success
  type: list
  elements: dict
volumes:
  description: Names of all volumes.
  returned: success
  type: list
  elements: str
networks:
  description: Names of all networks.
  returned: success
  type: list
  elements: str
archives:
  description: For each path the C(images) in it, with the C(ids) and C(names) that a daemon may call them by, or an C(error).
  returned: success
  type: dict
python_requests:
  description: Whether this host's Python has the library requests, which community.docker's modules need.
  returned: success
  type: bool
"""

import importlib.util
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint import connection
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint.containers import describe_containers, images_of, names_of, unsettled
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.api import Engine
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.image_archive import archive_contents
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, unexpected

SPEC: dict[str, t.Any] = {
    "names": {"type": "list", "elements": "str"},
    "log_lines": {"type": "int", "default": 0},
    "settle_time": {"type": "int", "default": 0},
    "archives": {"type": "list", "elements": "path", "default": []},
    **connection.OPTIONS,
}


def settled(engine: Engine, params: t.Mapping[str, t.Any], may_wait: bool) -> list[dict[str, t.Any]]:
    """The containers, once each has run for the settle time."""
    found = describe_containers(engine, params["names"], params["log_lines"])
    rest = unsettled(found, engine.get("/info")["SystemTime"], params["settle_time"]) if may_wait else 0
    if rest <= 0:
        return found
    time.sleep(rest)
    return describe_containers(engine, params["names"], params["log_lines"])


def read_archive(path: str) -> dict[str, t.Any]:
    """An archive's contents, or why there are none."""
    try:
        return {"images": archive_contents(path)}
    except DrydockError as exc:
        return {"images": [], "error": str(exc)}


def main() -> None:
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    try:
        engine = connection.engine_of(module.params)
        found = {
            "containers": settled(engine, module.params, not module.check_mode),
            "images": images_of(engine),
            **names_of(engine),
            "archives": {path: read_archive(path) for path in module.params["archives"]},
            "python_requests": importlib.util.find_spec("requests") is not None,
        }
    except Exception as exc:
        module.fail_json(msg=str(unexpected(exc)))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
