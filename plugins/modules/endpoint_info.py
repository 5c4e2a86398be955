# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: endpoint_info
short_description: Whether a daemon can be reached at an address, whether its certificate is good, and whether it turns strangers away
version_added: 0.1.0
author:
  - drydock.dockerd contributors (@drydock)
description:
  - Connects to one endpoint from where the module runs, and tells in one word what is the matter. Changes nothing.
  - Run it where the clients are, for example with C(delegate_to). What a host says of its own addresses proves nothing about the network in between.
  - Over tcp it connects a second time without a client's certificate, since a daemon that answers then makes anybody root on its host.
  - Does not fail when something is the matter with the endpoint, only when the options make no sense or a file cannot be used.
  - Needs nothing but Python on the host where it runs. How to connect is said in the terms of community.docker's modules.
extends_documentation_fragment:
  - drydock.dockerd.common.connection
  - drydock.dockerd.common.info
options:
  timeout:
    description:
      - Seconds that connecting, agreeing on TLS, and the answer may take, each. There are up to four connections.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Ask each daemon from the machine that will use it
  drydock.dockerd.endpoint_info:
    docker_host: tcp://{{ inventory_hostname }}:2376
    validate_certs: true
    ca_path: /root/.docker/ca.pem
    client_cert: /root/.docker/cert.pem
    client_key: /root/.docker/key.pem
    timeout: 10
  delegate_to: build.example.com
  register: endpoint

- name: Stop when it does not answer, when anybody may use it, or when its certificate ends soon
  ansible.builtin.assert:
    that:
      - endpoint.status == 'ok'
      - endpoint.turned_away_without_certificate
      - endpoint.certificate.days_left > 14
    fail_msg: "{{ endpoint.msg }}"
"""

RETURN = r"""
status:
  description:
    - V(ok) when a Docker API answered as it was asked.
    - V(unreachable) when the connection is refused, when there is no answer in time, or when the name does not resolve.
    - V(plain_http) when the answer came in plain HTTP though TLS was asked for, V(tls_required) the other way round.
    - V(wrong_ca) when the server's certificate is not signed by O(ca_path), V(expired), V(not_yet_valid), and V(name_mismatch) when it has
      other names than the one that was asked for. Of several of these it is one.
    - V(client_certificate_refused) when the server turned the client's certificate away, or misses one, and V(client_certificate_expired) when
      that is why.
    - V(tls_error) when TLS fails for another reason, such as a certificate that is made for clients only, or no version in common.
    - V(not_docker) when something else answers, V(api_error) when a Docker API answers with an error, such as that of an authorization plugin.
  returned: success
  type: str
  sample: ok
msg:
  description: The same for people, and whether the endpoint is protected.
  returned: success
  type: str
  sample: >-
    tcp://host1:2376 is Docker Engine 26.1.5 (API 1.45) over TLS, its certificate is verified and ends in 364 days.
    Who has no certificate is turned away.
reachable:
  description: Whether something answers there, be it what it may. It is everything but V(unreachable).
  returned: success
  type: bool
engine_version:
  description: The version of the engine, also of one that answers in plain HTTP, or null.
  returned: success
  type: str
  sample: 26.1.5
api_version:
  description: The newest version of the API that it knows, or null.
  returned: success
  type: str
  sample: "1.45"
tls:
  description: Whether it speaks TLS.
  returned: success
  type: bool
verified:
  description:
    - Whether the server's certificate was found good. It is false without O(validate_certs), and where the connection failed too early to be
      certain, as that of a client without a good certificate does until TLS 1.2.
  returned: success
  type: bool
certificate:
  description:
    - The server's certificate, good or not, or null. It cannot be seen where the server speaks nothing newer than TLS 1.2 and the connection
      fails for a certificate of either side.
  returned: success
  type: dict
  contains:
    subject:
      description: The parts of its subject by name.
      type: dict
      sample: {"commonName": "host1"}
    issuer:
      description: The parts of the name of the CA that signed it.
      type: dict
      sample: {"commonName": "docker CA"}
    names:
      description: The names and addresses that it is for.
      type: list
      elements: str
      sample: [host1.example.com, 10.0.0.5]
    not_after:
      description: When it ends, in UTC.
      type: str
      sample: "2027-11-25T04:00:00Z"
    days_left:
      description: Whole days until then, negative when it has ended.
      type: int
      sample: 364
turned_away_without_certificate:
  description:
    - V(true) when a second connection without a client's certificate was turned away.
    - V(false) when the daemon answered it. Anybody who reaches the endpoint is root on its host then.
    - Null when neither is certain, and for a unix socket.
  returned: success
  type: bool
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.drydock.dockerd.plugins.module_utils._endpoint import connection, diagnosis
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import unexpected


def main() -> None:
    module = AnsibleModule(argument_spec=connection.OPTIONS, supports_check_mode=True)
    try:
        found = diagnosis.describe_endpoint(module.params)
    except Exception as exc:
        module.fail_json(msg=str(unexpected(exc)))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
