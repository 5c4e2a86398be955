# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Links at the place of an old root that lead to the new one: containers mount what is below a root by its path, and so do people's own links."""

from __future__ import annotations

import contextlib
import os
import typing as t

from .._host import files
from .._host.mounts import is_below


def is_link_to(path: str, root: str) -> bool:
    """Whether a path is a link that leads to a root."""
    return os.path.islink(path) and os.path.realpath(path) == os.path.realpath(root)


def links_to(root: str, paths: t.Iterable[str]) -> list[str]:
    """Links that are another name of a root: those among some paths, or on the way to them."""
    found = set()
    for path in paths:
        at = os.path.normpath(path)
        while at not in ("/", ""):
            if is_link_to(at, root):
                found.add(at)
            at = os.path.dirname(at)
    return sorted(found)


def links_into(top: str, root: str) -> dict[str, str]:
    """A path that is a link to a root, or the links in it that lead below the root; with where each leads."""
    if os.path.islink(top):
        return {top: os.readlink(top)} if is_link_to(top, root) else {}
    names = os.listdir(top) if os.path.isdir(top) else []
    links = [path for path in (os.path.join(top, name) for name in names) if os.path.islink(path)]
    return {path: os.readlink(path) for path in links if is_below(os.path.realpath(path), os.path.realpath(root))}


def is_led_below(path: str, root: str) -> bool:
    """Whether a path lies in a root, be it by links."""
    return is_below(path, root) or is_below(os.path.realpath(path), os.path.realpath(root))


def lead(path: str, root: str) -> None:
    """Let a path be a link to a root, in one step where it is one already.

    :raises OSError: something else is there.
    """
    if os.path.lexists(path) and not os.path.islink(path):
        os.rmdir(path)
    beside = files.unfinished(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside)
    os.symlink(root, beside)
    os.rename(beside, path)
    files.sync_directory(os.path.dirname(path))


def lead_all(old: str, new: str, paths: t.Iterable[str]) -> None:
    """Let an old root, which is set aside, lead to the new one: the path itself or, of a mount point, the names in it that are asked for.

    :param paths: those below it that have to be found.
    """
    if not os.path.isdir(old) or os.path.islink(old):
        return lead(old, new)
    for name in {os.path.relpath(path, old).partition("/")[0] for path in paths} - {"."}:
        if os.path.lexists(os.path.join(new, name)):
            lead(os.path.join(old, name), os.path.join(new, name))
    return None


__all__ = ("is_led_below", "is_link_to", "lead", "lead_all", "links_into", "links_to")
