# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""States have mounts that are made up: what the kernel could rename on them is, too."""

from __future__ import annotations

import dataclasses

from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import mount_of
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.paths import Paths, look_at_paths
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.state import State


def look_at_made_up_paths(state: State, path: str | None = None, containerd_path: str | None = None, wanted: str = "relocated") -> Paths:
    """What lies at the paths, on the mounts that the state has."""
    paths = look_at_paths(state, path, containerd_path, wanted)
    mounts = {path: mount_of(facts.real, state.mounts) for path, facts in paths.at.items()}

    def is_rename(old: str, new: str) -> bool:
        mount = mounts[old]
        return mount is mounts[new] and (mount.point != paths.at[old].real if mount else old != state.data_root)

    pairs = {(old, new) for old in paths.at for new in paths.at if is_rename(old, new)}
    return dataclasses.replace(paths, renames=frozenset(pairs))
