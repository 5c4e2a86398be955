# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Another version of the engine, or another source's packages, in the one transaction: what ran runs again, and what does not come up is taken back.
Module engine_upgrade."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .._engine import options
from .._engine.apt_packages import Upgrade, find_upgrade, packaged_unit, upstream
from .._errors import DrydockError
from .._observe.paths import look_at_paths
from .._observe.state import State
from .._plan.plan import Plan
from .._plan.planner import make_plan
from .._plan.request import Request
from .._preflight.finding import ERROR, WARNING, Finding, Forecast
from .._service.detect import service_of
from .operation import Operation, Result


@dataclasses.dataclass
class EngineUpgrade(Operation):
    """Another version.

    :param packages: the engine's, that of the daemon first.
    :param version: as the package manager has it, a pattern too; empty for the newest.
    :param replaces: packages of another source, which go.
    :param ready_timeout: seconds that the daemon may take to answer after a start.
    """

    packages: t.Sequence[str]
    version: str
    replaces: t.Sequence[str]
    ready_timeout: int
    _now: State | None = None
    name: t.ClassVar[str] = "engine_upgrade"

    @functools.cached_property
    def upgrade(self) -> Upgrade:
        """What has to change."""
        return find_upgrade(self.host, self.packages, self.version, self.replaces)

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
        state = self._now = super().observe()
        return dataclasses.replace(state, engine_version=self.new_version) if self.new_version else state

    def adapt(self, state: State, plan: Plan) -> Plan:
        """The old unit's plan until the daemon stops, the new unit's from then on."""
        after = self._with_their_unit(state, plan) if self.packages[0] in self.upgrade.after and not self.upgrade.before[self.packages[0]] else plan
        return dataclasses.replace(after, packages=self.upgrade, effect="restart" if state.pid else "none")

    def _with_their_unit(self, state: State, plan: Plan) -> Plan:
        """The plan for packages that bring another docker.service.

        :raises DrydockError: the daemon would not start with it, or would lose flags that it has.
        """
        name, places = self.packages[0], self.host.places
        unit = service_of(self.host).with_text(state.unit, packaged_unit(self.host, name, self.upgrade.after[name]))
        owners = {
            owner: dataclasses.replace(ask, drop_ins={one: unit.with_command_of(state.unit, one, text) for one, text in ask.drop_ins.items()})
            for owner, ask in state.owners.items()
        }
        then = dataclasses.replace(state, unit=unit, owners=owners)
        after, _problems = make_plan(then, self.request, look_at_paths(then, None, None, "relocated"), places.units, places.daemon_json)
        lost = sorted(key for key, value in plan.before.settings.items() if state.pid and after.after.settings.get(key) != value)
        if lost:
            raise DrydockError(
                "unit-command",
                f"With the unit of {name} the daemon would no longer have {', '.join(f'{key} {plan.before.settings[key]!r}' for key in lost)}.",
                "Have it in daemon.json first.",
            )
        return dataclasses.replace(after, before=plan.before, seen=plan.seen, lines={**after.lines, "before": plan.lines["before"]})

    def more_findings(self) -> list[Finding]:
        found = []
        if not self.upgrade.back:
            found.append(Finding("no-way-back", WARNING, f"The package manager has no {' and '.join(self.upgrade.before)} of the old version any more."))
        return [*found, *self._backwards()]

    def _backwards(self) -> t.Iterator[Finding]:
        """What an older engine cannot read. It reads the data of overlay2, as far as from 28.5 back to 20.10 (measured)."""
        now = self._now
        if now is None or not self.new_version or options.parse_version(self.new_version)[:1] >= now.version[:1]:
            return
        swarm = (now.info.get("Swarm") or {}).get("LocalNodeState", "inactive") != "inactive"
        written = [what for what, there in (("images of containerd's store", now.snapshotter), ("the state of a swarm", swarm)) if there]
        if written:
            sentence = f"Engine {self.new_version} is older than {now.engine_version}, and may not read {' and '.join(written)} that this one wrote."
            yield Finding("engine-backwards", ERROR, sentence, f"Ask for version {now.version[0]} or newer.")

    def refusal(self, errors: list[Finding]) -> list[str]:
        words = super().refusal(errors)
        return [f"The engine stays as it is, because {self.new_version or 'the new one'} would not do:", *words] if words else []

    def facts(self) -> Result:
        return {"before": self.upgrade.before, "after": self.upgrade.after}

    def forecast_words(self, plan: Plan, steps: list[str], forecast: Forecast | None) -> str:
        return f"Would bring {self.upgrade}{' and restart the daemon' if plan.effect == 'restart' else ''}."


__all__ = ("EngineUpgrade",)
