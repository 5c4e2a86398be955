# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""All steps, a row a class."""

from __future__ import annotations

from ..._host.formats import unknown
from .base import Context, Step
from .commit import Commit
from .confirm import Confirm
from .copy import FinalCopy, WarmCopy
from .daemon import Hold, LiveRestoreOff, Release, Reload, Reloading, ReloadUnits, Start, Stop
from .files import Remove, Write
from .packages import DownloadPackages, InstallPackages
from .prove import Prove, ProveValues
from .roots import Discard, Finish, Rename, TakeBack

STEPS: dict[str, type[Step]] = {
    step.name: step
    for step in (
        Confirm,
        TakeBack,
        DownloadPackages,
        WarmCopy,
        Discard,
        Reloading,
        Hold,
        LiveRestoreOff,
        Stop,
        FinalCopy,
        Rename,
        InstallPackages,
        Write,
        Remove,
        ReloadUnits,
        Reload,
        ProveValues,
        Commit,
        Start,
        Prove,
        Release,
        Finish,
    )
}


def step_of(context: Context, text: str) -> Step:
    """The step that a plan or a journal calls so.

    :raises DrydockError: there is none; another release wrote that journal.
    """
    name = text.partition(" /")[0]
    if name not in STEPS:
        raise unknown(context.journal.directory, f"the step '{name}'")
    return STEPS[name](context, text)


__all__ = ("STEPS", "step_of")
