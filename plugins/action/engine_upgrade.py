# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

from ansible_collections.drydock.dockerd.plugins.plugin_utils._follow import PlainActionModule


class ActionModule(PlainActionModule):
    """Follows an upgrade."""

    MODULE = "engine_upgrade"
