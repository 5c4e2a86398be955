# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Options and attributes that the modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments drydock.dockerd.common, drydock.dockerd.common.change, drydock.dockerd.common.connection and drydock.dockerd.common.info."""

    DOCUMENTATION = r"""
options:
  owner:
    description:
      - Whose settings these are, for example V(listen), V(data-root), V(options), or the name of a team or of a play.
      - A key that its owner no longer asks for is removed; keys of others stay.
    type: str
  settings:
    description:
      - Keys of daemon.json in dockerd's own terms.
      - Not given, all that the owner asked for before stays. Of a dictionary, what it had before and lacks now goes away, so that an empty one
        removes all of the owner's keys.
    type: dict
  settings_template:
    description:
      - A Jinja2 template on the controller that renders to a JSON object, merged over O(settings).
    type: path
  drop_ins:
    description:
      - Drop-ins of docker.service. Not given, those that the owner asked for before stay; one that is no longer in the list is removed.
      - The variable C(dockerd_command) in a template or a text C(@dockerd_command@) stands for the unit's own command without the flags
        that are now keys of daemon.json.
    type: list
    elements: dict
    suboptions:
      name:
        description: File name, ending in C(.conf).
        type: str
        required: true
      template:
        description: A Jinja2 template on the controller.
        type: path
      content:
        description: The text itself.
        type: str
  allow_insecure:
    description:
      - Accept tcp addresses beyond loopback without TLS client verification. Whoever reaches one is root on the host.
    type: bool
    default: false
  take_over:
    description:
      - Keys that may be taken over from somebody else, another owner or whoever wrote them into daemon.json. A list of names, or V(true) for any.
      - Without it a key that somebody else has with another value is refused. To close addresses it is never needed.
    type: raw
  requests:
    description:
      - The same for several owners at once, applied in one transaction with at most one restart.
    type: list
    elements: dict
    suboptions:
      owner:
        description: As above.
        type: str
        required: true
      settings:
        description: As above.
        type: dict
      settings_template:
        description: As above.
        type: path
      drop_ins:
        description: As above.
        type: list
        elements: dict
        suboptions:
          name:
            description: File name, ending in C(.conf).
            type: str
            required: true
          template:
            description: A Jinja2 template on the controller.
            type: path
          content:
            description: The text itself.
            type: str
      allow_insecure:
        description: As above.
        type: bool
        default: false
      take_over:
        description: As above.
        type: raw
  restart:
    description:
      - V(auto) reloads the daemon where that brings the change into force, and restarts it only where it must.
      - V(never) leaves what needs a restart pending and says so.
      - V(always) restarts for every change.
    type: str
    choices: [auto, never, always]
    default: auto
  confirm_timeout:
    description:
      - When tcp addresses, TLS or certificates change, the controller has this many seconds to reach each tcp address over a new connection,
        before anything is stopped. Until then something of ours stands in for the daemon there. Otherwise nothing is changed.
      - With V(0) only the host itself proves them.
    type: int
    default: 0
  allow_hidden_data:
    description:
      - Accept a change of C(storage-driver), C(userns-remap), C(features.containerd-snapshotter) or C(containerd-namespace) that hides the images and
        containers there are. They stay on the disk and come back with the old value.
    type: bool
    default: false
attributes:
  diff_mode:
    description: Shows the files and the steps of a change.
    support: full
"""

    # What a module that changes something says; behind the one above, where that is used.
    CHANGE = r"""
options:
  ready_timeout:
    description: Seconds that the daemon may take to answer after a start.
    type: int
    default: 120
attributes:
  action_group:
    description: Use C(group/drydock.dockerd.all) in C(module_defaults) to set defaults for this module.
    support: full
    membership: [drydock.dockerd.all]
  check_mode:
    description: Can run in check mode without changing anything.
    support: full
  diff_mode:
    description: Shows the steps of a change.
    support: full
  idempotent:
    description: A second run changes nothing and restarts nothing.
    support: full
"""

    # How long an answer may take is said by each module.
    CONNECTION = r"""
options:
  docker_host:
    description:
      - The daemon's address, V(unix:///path) or V(tcp://host:port).
    type: str
    default: unix:///var/run/docker.sock
    aliases: [docker_url]
  tls:
    description:
      - Use TLS, and believe any server.
    type: bool
    default: false
  validate_certs:
    description:
      - Use TLS, and believe only a server whose certificate is signed by O(ca_path) and has its name.
    type: bool
    default: false
    aliases: [tls_verify]
  ca_path:
    description:
      - The certificate of the CA that signed the server's. Without it those that the host trusts.
    type: path
    aliases: [ca_cert, tls_ca_cert, cacert_path]
  client_cert:
    description:
      - The client's certificate. Needs O(client_key).
    type: path
    aliases: [tls_client_cert, cert_path]
  client_key:
    description:
      - The client's private key, without a password.
    type: path
    aliases: [tls_client_key, key_path]
  tls_hostname:
    description:
      - The name that the server's certificate has to have. Without it the one in O(docker_host).
    type: str
"""

    INFO = r"""
attributes:
  check_mode:
    description: Can run in check mode without changing anything.
    support: full
  diff_mode:
    description: Shows what would be different.
    support: N/A
    details: Changes nothing.
  idempotent:
    description: A second run changes nothing.
    support: full
"""
