# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import typing as t

from ansible_collections.drydock.dockerd.plugins.plugin_utils._render import RenderingActionModule, role_template

OWNER = "data-root"


class ActionModule(RenderingActionModule):
    """Renders the templates of data_root."""

    MODULE = "data_root"

    def _prepare(self, args: dict[str, t.Any]) -> None:
        """No move without the drop-in that waits for the mount: called without a request of its own, the role's one is used."""
        owners = [request.get("owner") for request in args.get("requests") or []] + [args.get("owner")]
        if OWNER in owners or not (args.get("path") or args.get("state") == "restored"):
            return
        name = "zz-drydock-data-root.conf"
        request = {
            "owner": OWNER,
            "settings_template": role_template("docker_data_root", "etc/docker/daemon.json.j2"),
            "drop_ins": [{"name": name, "template": role_template("docker_data_root", f"etc/systemd/system/docker.service.d/{name}.j2")}],
        }
        args["requests"] = [*(args.get("requests") or []), request]
