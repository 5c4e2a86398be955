# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Prove what is in force: by what the daemon says, not by what its files say."""

from __future__ import annotations

import functools
import os
import typing as t

from ..._endpoint.stranger import lets_in
from ..._engine import options
from ..._engine.addresses import Address, verifies_clients
from ..._engine.api import Engine
from ..._engine.certificates import certificate_shown, certificate_to_show
from ..._engine.events import events_between, taken
from ..._engine.image_store import Store
from ..._engine.inventory import take_inventory
from ..._engine.on_disk import is_on_disk, is_on_root, uses_containerd_store
from ..._errors import DrydockError, wrapping
from ..._host.processes import command_line
from ..._plan.order import PROVE, PROVE_VALUES, RELOAD
from ..._plan.plan import DaemonConfig
from ..._service.api_gate import connect_through
from ..._service.containerd import containerd_root
from ..._service.service import CONTAINERD
from .base import Context, Step

# How much of what is missing is told by name.
_TOLD = 5


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
            try:
                self.context.wait("not-proved", answers, 10, f"after the reload {key} is not {wanted} in force")
            except DrydockError as exc:
                raise self._with_reason(exc) from exc

    def _with_reason(self, error: DrydockError) -> DrydockError:
        """An error with what dockerd says of the reload in its log."""
        since = next((line["at"] for line in self.context.begun() if line["step"] == RELOAD), self.host.now())
        words = self.context.service.last_words(since)
        return wrapping(error, error.id, f"{error.sentence.rstrip('.')}; dockerd says: {words}.", error.hint) if words else error


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
    if not is_on_root(info, root):
        raise DrydockError("not-proved", f"The daemon uses the data root {info['DockerRootDir']}, not {root}.")
    store, wanted = Store(uses_containerd_store(info)).name, (context.noted("stores") or {}).get(context.side_name(side))
    if wanted and store != wanted:
        raise DrydockError("not-proved", f"The daemon uses {store} image store, not {wanted}.")
    in_view = side is plan.before or not plan.hides
    if in_view and plan.driver and info["Driver"] != plan.driver:
        raise DrydockError("not-proved", f"The daemon uses the storage driver {info['Driver']}, not {plan.driver}.")
    if compare and in_view:
        _compare(context, side, engine, uses_containerd_store(info))
    for address in side.addresses:
        if address.scheme == "tcp":
            _check_tcp(address, certificate_to_show(side.settings))
            if side is plan.after and verifies_clients(side.settings) and lets_in(address):
                raise DrydockError("not-proved", f"The daemon runs, but lets in on {address.text} whoever has no certificate.")


def _compare(context: Context, side: DaemonConfig, engine: Engine, in_containerd: bool) -> None:
    """The daemon has all that it had; what others have removed meanwhile is told, and not held against the change.

    :param in_containerd: images lie in containerd's store, where the disk does not show them.
    :raises DrydockError: it does not have something that nobody has removed.
    """
    before, now = context.inventory(), take_inventory(engine)
    since, noted = context.noted("since"), context.noted("taken") or ()
    removed = {(str(kind), str(id)) for kind, id in noted} | (taken(events_between(engine, since, context.host.now())) if since else set())
    roots = {side.data_root, context.plan.before.data_root}
    lost: list[str] = []
    gone: list[str] = []
    for one in before.missing(now):
        there = [None if in_containerd and one.kind == "image" else is_on_disk(root, one.kind, one.id) for root in roots]
        # Without a sight of the disk only the daemon's own word counts.
        explained = not any(there) if None not in there else (one.kind, one.id) in removed
        (gone if explained else lost).append(str(one))
    lost = [f"{one} is missing" for one in lost]
    lost += [words for id, words in before.renamed_images(now).items() if ("image", id) not in removed]
    if lost:
        raise DrydockError("not-proved", f"The daemon does not have what it had before: {'; '.join(lost[:_TOLD])}.")
    if gone:
        rest = f" and {len(gone) - _TOLD} more" if len(gone) > _TOLD else ""
        context.outcome.remarks.append(f"Others have removed {', '.join(gone[:_TOLD])}{rest} meanwhile.")


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
    try:
        with connect_through(address.host_from_here, address.port, timeout=10) as connection:
            shown = certificate_shown(connection) if certificate else ""
    except (OSError, UnicodeError) as exc:
        raise DrydockError("address-silent", f"The daemon runs, but nothing accepts connections on {address.text}: {exc}.") from exc
    if shown not in ("", certificate):
        raise DrydockError("not-proved", f"The daemon runs, but shows another certificate on {address.text} than the one that it was given.")


__all__ = ("Prove", "ProveValues", "prove")
