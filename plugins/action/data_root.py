# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import typing as t

from ansible_collections.drydock.dockerd.plugins.plugin_utils._render import RenderingActionModule, role_template

# Each owner with the argument that makes it ask, and its drop-ins: where they lie among the role's templates, and their names.
_OWNERS = {
    "data-root": ("path", {"zz-drydock-data-root.conf": "docker.service.d/zz-drydock-data-root.conf"}),
    "containerd": (
        "containerd_path",
        {
            "zz-drydock-containerd.conf": "docker.service.d/zz-drydock-containerd.conf",
            "containerd.service.d/zz-drydock-containerd.conf": "containerd.service.d/zz-drydock-containerd.conf",
        },
    ),
}


class ActionModule(RenderingActionModule):
    """Renders the templates of data_root."""

    MODULE = "data_root"

    def _prepare(self, args: dict[str, t.Any]) -> None:
        """No move without the drop-ins that wait for the mount: called without requests of its own, the role's ones are used."""
        owners = [request.get("owner") for request in args.get("requests") or []] + [args.get("owner")]
        for owner, (path, drop_ins) in _OWNERS.items():
            if owner in owners or not (args.get(path) or args.get("state") == "restored"):
                continue
            templates = [(name, f"etc/systemd/system/{template}.j2") for name, template in drop_ins.items()]
            request: dict[str, t.Any] = {
                "owner": owner,
                "drop_ins": [{"name": name, "template": role_template("docker_data_root", template)} for name, template in templates],
            }
            if owner == "data-root":
                request["settings_template"] = role_template("docker_data_root", "etc/docker/daemon.json.j2")
            args["requests"] = [*(args.get("requests") or []), request]
