# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import typing as t

from ansible_collections.drydock.dockerd.plugins.plugin_utils._render import RenderingActionModule
from ansible_collections.drydock.dockerd.plugins.plugin_utils._roles import OWNERS


class ActionModule(RenderingActionModule):
    """Renders the templates of data_root."""

    MODULE = "data_root"

    def _prepare(self, args: dict[str, t.Any]) -> None:
        """No move without the drop-ins that wait for the mount: called without requests of its own, the role's ones are used."""
        owners = [request.get("owner") for request in args.get("requests") or []] + [args.get("owner")]
        for owner, (path, drop_ins) in OWNERS.items():
            if owner in owners or not (args.get(path) or args.get("state") == "restored"):
                continue
            request = {"owner": owner, "drop_ins": [{"name": name, "template": template} for name, template in drop_ins.items()]}
            args["requests"] = [*(args.get("requests") or []), request]
