# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Whether what has to be written can be, and whether only root can put something else in its place."""

from __future__ import annotations

import os
import pwd
import stat
import typing as t

from .._host.files import flags_of
from .._host.mounts import mount_of, nearest_directory
from .._observe.state import State
from .._plan.plan import Plan
from .finding import ERROR, WARNING, Finding

# The flags that no user may override.
_IMMUTABLE, _APPEND = 0x10, 0x20


def file_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """Files that a change would write, and cannot."""
    paths = {one.path for one in plan.files}
    if plan.live_restore and (plan.moves or plan.hides):
        # The hold switches it off there.
        paths.add(state.config_file)
    points = {one.point for one in state.mounts}
    for path in sorted(paths):
        real = os.path.realpath(path)
        directory = nearest_directory(os.path.dirname(real))
        flags, above = flags_of(real), flags_of(directory)
        if flags & (_IMMUTABLE | _APPEND):
            yield _finding(path, "it is immutable (chattr +i)" if flags & _IMMUTABLE else "it can only be appended to (chattr +a)", f"chattr -i -a {real}")
        elif above & (_IMMUTABLE | _APPEND):
            yield _finding(path, f"its directory {directory} is immutable (chattr +i)", f"chattr -i -a {directory}")
        elif "ro" in getattr(mount_of(directory, state.mounts), "options", ()):
            yield _finding(path, f"the file system of {directory} is mounted read-only", f"Mount it read-write: mount -o remount,rw {directory}")
        elif real in points:
            yield _finding(path, "a file is mounted on it, so that it cannot be replaced", f"umount {real}")


def _finding(path: str, why: str, hint: str) -> Finding:
    return Finding("unwritable", ERROR, f"{path} cannot be written: {why}.", f"{hint}, then run again.")


def keeper_findings(path: str) -> t.Iterator[Finding]:
    """Directories above a root that somebody else than root can change: whoever can rename what lies there decides what Docker runs."""
    at = os.path.realpath(path)
    while True:
        if os.path.isdir(at):
            status = os.stat(at)
            hint = f"Let it be root's: chown root:root {at} && chmod go-w {at}. Or choose another path."
            if status.st_uid:
                sentence = f"{at} belongs to user {_name(status.st_uid)}, who can put another directory in the place of {path}."
                yield Finding("path-owned", ERROR, sentence, hint)
            elif status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
                yield Finding("path-owned", ERROR, f"Every user can write to {at}, and put another directory in the place of {path}.", hint)
            elif status.st_mode & stat.S_IWGRP and status.st_gid and not status.st_mode & stat.S_ISVTX:
                sentence = f"The group of {at} can write to it, and put another directory in the place of {path}."
                yield Finding("path-owned", WARNING, sentence, hint)
        if at == "/":
            return
        at = os.path.dirname(at)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


__all__ = ("file_findings", "keeper_findings")
