# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Record what was proved to be in force in this process of dockerd, so that the next plan knows what it still lacks; and the moves."""

from __future__ import annotations

import typing as t

from .._copy.kept_mark import read_mark
from .._engine.certificates import certificates_in_force
from .._host import files
from .._host.host import Host
from .._host.processes import boot_id, process_identity
from .._observe import records
from .._observe.records import PastMove, Records
from .._plan.plan import Plan
from .._service.detect import service_of
from .outcome import Outcome, record


def record_verified(host: Host, plan: Plan, outcome: Outcome | None = None) -> None:
    """Write the records of a plan that is in force.

    :param outcome: what was done for it; None where nothing had to be done.
    """
    digests = {path: files.digest(path) for path in (host.places.daemon_json, *plan.unit_files)}
    text = Records(plan.owners, _verified(host, plan), plan.marker, _history(host, plan, outcome), plan.containerd_marker, digests).text()
    path = records.path_of(host)
    if text != files.read(path):
        files.write(path, text, 0o600)


def _verified(host: Host, plan: Plan) -> dict[str, t.Any]:
    pid = service_of(host).main_pid()
    if not pid:
        return {}
    pending = plan.effect == "none" and plan.why
    certificates = certificates_in_force(pid, records.load(host).verified, (plan.before if pending else plan.after).settings)
    settings = plan.before.settings if pending else plan.file_settings
    return {"process": process_identity(pid), records.BOOT: boot_id(), "settings": settings, "certificates": certificates}


def _history(host: Host, plan: Plan, outcome: Outcome | None) -> tuple[PastMove, ...]:
    history = plan.history
    for moved in outcome.moved if outcome else ():
        move, kept = moved.move, moved.kept
        inode = files.inode_of(kept) if kept else (0, 0)
        told = record(outcome, moved, host.now()) if outcome else {}
        if kept and read_mark(kept) == records.kept_id(move.tree, move.run):
            told[records.MARKED] = True
        history = (*history, PastMove(move.source, move.target, kept, inode, move.restores, move.tree, move.run, told))
    return history


__all__ = ("record_verified",)
