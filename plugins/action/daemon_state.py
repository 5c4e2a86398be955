# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import typing as t

from ansible_collections.drydock.dockerd.plugins.plugin_utils._follow import FollowingActionModule


class ActionModule(FollowingActionModule):
    """Follows a restart."""

    MODULE = "daemon_state"

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        result.update(self.run_module(dict(self._task.args), task_vars))
        return result
