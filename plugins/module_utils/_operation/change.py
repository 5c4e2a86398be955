# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Bring a host to what is requested: its configuration, and where its data lie. Modules daemon_config and data_root."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from .._errors import format_bytes
from .._observe.state import State
from .._plan.plan import Plan, step_diff
from .._plan.request import Request
from .._preflight.finding import Forecast
from .._transaction.verified import record_verified
from .operation import Operation

_EFFECTS = {"reload": "reload the daemon", "restart": "restart the daemon", "start": "start the daemon for the first time"}


@dataclasses.dataclass
class Change(Operation):
    """What is asked of daemon.json, of the drop-ins, and of the data's place."""

    wanted: Request

    @property
    def request(self) -> Request:
        return self.wanted

    def prune(self, plan: Plan, forecast: Forecast | None) -> Plan:
        if plan.prepares and forecast and not forecast.changed_files:
            return dataclasses.replace(plan, prepares=())
        return plan

    def diff(self, plan: Plan, steps: list[str]) -> list[dict[str, str]]:
        if not steps:
            return []
        files = [{"before_header": one.path, "after_header": one.path, "before": one.before or "", "after": one.after or ""} for one in plan.files]
        return [*files, step_diff(steps)]

    def keep_records(self, state: State, plan: Plan) -> None:
        """Adopting what already is so changes nothing on the host; only our records say whose it is now."""
        ours = (plan.owners, plan.marker, plan.containerd_marker, plan.history)
        if (state.owners, state.marker, state.containerd_marker, state.history) != ours or state.rewritten:
            record_verified(self.host, plan)

    def forecast_words(self, plan: Plan, steps: list[str], forecast: Forecast | None) -> str:
        if plan.moves and forecast:
            how = "rename" if all(move.rename for move in plan.moves) else "move"
            places = " and ".join(f"from {move.source} to {move.target}" for move in plan.moves)
            return f"Would {how} {format_bytes(forecast.bytes)} in {forecast.files:,} files {places} and restart the daemon."
        if plan.prepares and forecast:
            targets = " and ".join(move.target for move in plan.prepares)
            return f"Would copy {format_bytes(forecast.changed_bytes)} in {forecast.changed_files:,} files to {targets} while everything runs."
        if plan.doomed:
            return f"Would remove {', '.join(one.path for one in plan.doomed)}."
        keys = f" ({plan.key_words})" if plan.key_words else ""
        files = ", ".join(os.path.basename(one.path) + (keys if one is plan.configuration else "") for one in plan.files) or "nothing"
        return f"Would write {files} and {_EFFECTS.get(plan.effect, 'not touch the daemon')}."


@dataclasses.dataclass
class ConfigChange(Change):
    """Module daemon_config."""

    name: t.ClassVar[str] = "daemon_config"


@dataclasses.dataclass
class DataRootChange(Change):
    """Module data_root."""

    name: t.ClassVar[str] = "data_root"


__all__ = ("Change", "ConfigChange", "DataRootChange")
