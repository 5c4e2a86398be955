# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Prove what is in force: by what the daemon says, not by what its files say."""

from __future__ import annotations

import functools
import os
import typing as t

from ..._engine import options
from ..._engine.addresses import Address
from ..._engine.api import Engine
from ..._engine.certificates import certificate_shown, certificate_to_show
from ..._engine.inventory import take_inventory
from ..._errors import DrydockError
from ..._host.processes import command_line
from ..._plan.order import PROVE, PROVE_VALUES
from ..._plan.plan import DaemonConfig
from ..._service.api_gate import connect_through
from ..._service.containerd import containerd_root
from ..._service.service import CONTAINERD
from .base import Context, Step


class Prove(Step):
    """The daemon is on its new side, and has all that it had."""

    name = PROVE

    def apply(self) -> None:
        prove(self.context, self.plan.after)


class ProveValues(Step):
    """What was reloaded is in force."""

    name = PROVE_VALUES

    def apply(self) -> None:
        engine = self.context.engine(self.plan.after)
        for key, look in options.IN_FORCE.items():
            wanted = self.plan.after.settings.get(key)
            if wanted is None or wanted == self.plan.before.settings.get(key):
                continue
            wanted = [one.rstrip("/") for one in wanted] if key == "registry-mirrors" else wanted
            answers = functools.partial(_is_in_force, engine, look, wanted)
            self.context.wait("not-proved", answers, 10, f"after the reload {key} is not {wanted} in force")


def prove(context: Context, side: DaemonConfig, compare: bool = True) -> None:
    """The daemon answers, on its root and its addresses, and has all that it had.

    :param compare: whether it must have all that it had; after a boot, what was removed since is the users' business.
    :raises DrydockError: it does not.
    """
    plan = context.plan
    if side.containerd:
        _prove_containerd(context, side)
    engine = context.engine(side)
    context.wait("api-silent", lambda: engine.get("/info"), plan.ready_timeout, "the daemon does not answer")
    info = engine.get("/info")
    root = os.path.realpath(side.data_root)
    if info["DockerRootDir"] != root and os.path.dirname(info["DockerRootDir"]) != root:
        raise DrydockError("not-proved", f"The daemon uses the data root {info['DockerRootDir']}, not {root}.")
    in_view = side is plan.before or not plan.hides
    if in_view and plan.driver and info["Driver"] != plan.driver:
        raise DrydockError("not-proved", f"The daemon uses the storage driver {info['Driver']}, not {plan.driver}.")
    differences = context.inventory().differences(take_inventory(engine)) if compare and in_view else []
    if differences:
        raise DrydockError("not-proved", f"The daemon does not have what it had before: {'; '.join(differences[:5])}.")
    for address in side.addresses:
        if address.scheme == "tcp":
            _check_tcp(address, certificate_to_show(side.settings))


def _prove_containerd(context: Context, side: DaemonConfig) -> None:
    """It runs on the root that its command names."""
    command = command_line(context.service.main_pid(CONTAINERD))
    roots = [containerd_root(context.host, words) if words else "nowhere" for words in (command, side.containerd)]
    if roots[0] != roots[1]:
        raise DrydockError("not-proved", f"containerd uses the root {roots[0]}, not {roots[1]}.")


def _is_in_force(engine: Engine, look: t.Callable[[dict[str, t.Any]], t.Any], wanted: t.Any) -> bool:
    return bool(look(engine.get("/info")) == wanted)


def _check_tcp(address: Address, certificate: str = "") -> None:
    """Somebody listens there, and shows a certificate where one is given.

    :raises DrydockError: nobody does, or it is another one.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    try:
        with connect_through(host, address.port, timeout=10) as connection:
            shown = certificate_shown(connection) if certificate else ""
    except (OSError, UnicodeError) as exc:
        raise DrydockError("address-silent", f"The daemon runs, but nothing accepts connections on {address.text}: {exc}.") from exc
    if shown not in ("", certificate):
        raise DrydockError("not-proved", f"The daemon runs, but shows another certificate on {address.text} than the one that it was given.")


__all__ = ("Prove", "ProveValues", "prove")
