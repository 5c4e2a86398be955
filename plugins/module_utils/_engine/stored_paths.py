# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Absolute paths that engines store below the data root and that break after a move.

Engines 17.10 to 25.0 refuse to start a container with a named volume when its stored source is gone; newer ones do not look.
The path is made anew from the volume's name, not by replacing the old root: it may be two moves old.
"""

from __future__ import annotations

import glob
import json
import os
import typing as t

from .._host import files

_CONTAINER_FILES = ("LogPath", "HostnamePath", "HostsPath", "ResolvConfPath")


def rewrite(config: dict[str, t.Any], root: str) -> bool:
    """Let the content of one config.v2.json name a new root; says whether anything changed. Pure."""
    before = json.dumps(config)
    for mount in (config.get("MountPoints") or {}).values():
        tail = f"/volumes/{mount.get('Name')}/_data"
        if mount.get("Type") == "volume" and mount.get("Driver") == "local" and (mount.get("Source") or "").endswith(tail):
            mount["Source"] = root + tail
    for key in _CONTAINER_FILES:
        _before, separator, tail = (config.get(key) or "").rpartition(f"/containers/{config.get('ID')}/")
        if separator:
            config[key] = root + separator + tail
    return json.dumps(config) != before


def rewrite_all(root: str) -> list[str]:
    """Rewrite every container's file below a root that no daemon uses now; returns the words about each that cannot be.

    It may be of a container that the daemon cannot read either, and starts without: that is no reason to fail.
    """
    words = []
    pattern = os.path.join("containers", "*", "config.v2.json")
    # With userns-remap everything lies one level deeper, in UID.GID.
    for path in glob.glob(os.path.join(glob.escape(root), pattern)) + glob.glob(os.path.join(glob.escape(root), "*.*", pattern)):
        try:
            config = json.loads(files.read(path) or "{}")
            if rewrite(config, os.path.dirname(os.path.dirname(os.path.dirname(path)))):
                files.write(path, json.dumps(config, ensure_ascii=False, separators=(",", ":")))
        except (OSError, ValueError, AttributeError, TypeError) as exc:
            words.append(f"The paths in {path} stay as they are, since it cannot be read or written: {exc}.")
    return words


__all__ = (
    "rewrite",
    "rewrite_all",
)
