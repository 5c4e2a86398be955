# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Another version of the engine, in the one transaction: what ran runs again, and what does not come up is taken back. Module engine_upgrade."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._engine.apt_packages import Upgrade, find_upgrade, upstream
from .._observe.state import State
from .._plan.plan import Plan
from .._plan.request import Request
from .._preflight.finding import WARNING, Finding, Forecast
from .operation import Operation, Result


@dataclasses.dataclass
class EngineUpgrade(Operation):
    """Another version.

    :param packages: the engine's, that of the daemon first.
    :param version: as the package manager has it, a pattern too; empty for the newest.
    :param ready_timeout: seconds that the daemon may take to answer after a start.
    """

    packages: t.Sequence[str]
    version: str
    ready_timeout: int
    name: t.ClassVar[str] = "engine_upgrade"

    @functools.cached_property
    def upgrade(self) -> Upgrade:
        """What has to change."""
        return find_upgrade(self.host, self.packages, self.version)

    @property
    def request(self) -> Request:
        return Request(ready_timeout=self.ready_timeout)

    @property
    def new_version(self) -> str:
        """The engine's own version in that of its package, empty where the daemon's package stays."""
        return upstream(self.upgrade.after.get(self.packages[0], ""))

    def is_needed(self) -> bool:
        return bool(self.upgrade.after)

    def observe(self) -> State:
        """What the new engine would take is judged, not what the old one does."""
        state = super().observe()
        return dataclasses.replace(state, engine_version=self.new_version) if self.new_version else state

    def adapt(self, state: State, plan: Plan) -> Plan:
        return dataclasses.replace(plan, packages=self.upgrade, effect="restart" if state.pid else "none")

    def more_findings(self) -> list[Finding]:
        if self.upgrade.back:
            return []
        return [Finding("no-way-back", WARNING, f"The package manager has no {' and '.join(self.upgrade.before)} of the old version any more.")]

    def refusal(self, errors: list[Finding]) -> list[str]:
        words = super().refusal(errors)
        return [f"The engine stays as it is, because {self.new_version or 'the new one'} would not do:", *words] if words else []

    def facts(self) -> Result:
        return {"before": self.upgrade.before, "after": self.upgrade.after}

    def forecast_words(self, plan: Plan, steps: list[str], forecast: Forecast | None) -> str:
        return f"Would bring {self.upgrade}{' and restart the daemon' if plan.effect == 'restart' else ''}."


__all__ = ("EngineUpgrade",)
