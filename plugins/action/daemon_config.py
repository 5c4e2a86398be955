# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

from ansible_collections.drydock.dockerd.plugins.plugin_utils._render import RenderingActionModule


class ActionModule(RenderingActionModule):
    """Renders the templates of daemon_config."""

    MODULE = "daemon_config"
