# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Which image store a daemon will use: Docker's own, with a storage driver below the data root, or containerd's, with a snapshotter. Pure.

Source: moby's daemon/image_store_choice.go and daemon/graphdriver, from 23.0 to 29.7. `--validate` sees nothing of it.
"""

from __future__ import annotations

import dataclasses
import glob
import os
import typing as t

from .daemon_json import SNAPSHOTTER, flat
from .options import Version

# Storage drivers by their directories below the data root. In vfs's no engine sees the work of an earlier start.
DRIVERS = frozenset({"aufs", "btrfs", "devicemapper", "fuse-overlayfs", "overlay", "overlay2", "vfs", "zfs"})
# Storage drivers by whose names no containerd has a snapshotter.
_NO_SNAPSHOTTERS = frozenset({"aufs", "devicemapper", "overlay", "overlay2", "vfs"})
# Snapshotters by whose names no engine has a storage driver.
_NO_DRIVERS = frozenset({"blockfile", "devmapper", "erofs", "native", "overlayfs", "stargz"})


@dataclasses.dataclass(frozen=True)
class Rules:
    """What an engine goes by.

    :param since: the first release.
    :param drivers: the storage drivers that it has; directories of others are nothing to it.
    :param known: whether it has containerd's store.
    :param default: whether it takes that one where nothing says otherwise.
    :param pins: the storage drivers whose name, or whose directory with something in it, makes it take Docker's own.
    :param named_first: of a driver that is named, the directories do not matter.
    :param mapped: whether it can have containerd's store with mapped users.
    """

    since: Version
    drivers: t.FrozenSet[str]
    known: bool = True
    default: bool = False
    pins: t.FrozenSet[str] = frozenset()
    named_first: bool = False
    mapped: bool = True


_LEFT = frozenset({"btrfs", "fuse-overlayfs", "overlay2", "vfs", "zfs"})
RULES = (
    Rules((), DRIVERS, known=False),
    Rules((24,), _LEFT | {"devicemapper"}),
    Rules((25,), _LEFT),
    Rules((29,), _LEFT, default=True, pins=frozenset({"btrfs", "overlay2", "vfs"}), named_first=True, mapped=False),
    Rules((29, 1), _LEFT, default=True, pins=_LEFT, mapped=False),
)


@dataclasses.dataclass(frozen=True)
class Store:
    """Where a daemon keeps its images.

    :param in_containerd: in containerd's store, and not below the data root.
    :param driver: the storage driver or the snapshotter; empty where dockerd takes the first that works.
    :param fault: why dockerd does not start with that, or runs no container; empty where it does.
    """

    in_containerd: bool
    driver: str = ""
    fault: str = ""

    @property
    def name(self) -> str:
        """Its name for people."""
        return "containerd's" if self.in_containerd else "Docker's own"


def next_store(settings: t.Mapping[str, t.Any], engine: Version, used: t.Collection[str]) -> Store:
    """The store of a daemon that starts.

    :param settings: its flags and daemon.json together, with the driver that its variable names.
    :param used: the storage drivers whose directories below the data root have something in them.
    """
    rules = next(one for one in reversed(RULES) if engine >= one.since)
    wanted, driver = flat(settings).get(SNAPSHOTTER), str(settings.get("storage-driver") or "")
    mapped = bool(settings.get("userns-remap"))
    earlier = sorted(set(used) & rules.drivers - {"vfs"})
    if not rules.known:
        in_containerd = False
    elif mapped and not rules.mapped:
        if wanted:
            return Store(True, driver, f"{SNAPSHOTTER} is no more possible with userns-remap")
        in_containerd = False
    elif wanted is not None:
        in_containerd = bool(wanted)
    elif driver and (driver in rules.pins or rules.named_first):
        in_containerd = driver not in rules.pins
    else:
        in_containerd = rules.default and not set(earlier) & rules.pins
    return _with_driver(in_containerd, driver, earlier)


def _with_driver(in_containerd: bool, driver: str, earlier: t.Sequence[str]) -> Store:
    if in_containerd:
        fault = f"storage-driver {driver} is none of containerd's store" if driver in _NO_SNAPSHOTTERS else ""
        return Store(True, driver, fault)
    if driver:
        return Store(False, driver, f"storage-driver {driver} is one of containerd's store only" if driver in _NO_DRIVERS else "")
    if len(earlier) > 1:
        return Store(False, "", f"the data root has the directories of {' and '.join(earlier)}, and no storage-driver says which counts")
    return Store(False, earlier[0] if earlier else "")


def used_drivers(root: str) -> frozenset[str]:
    """The storage drivers whose directories below a data root have something in them. (This one looks.)

    :param root: with mapped users the directory UID.GID below it.
    """
    return frozenset(name for name in DRIVERS if _has_something(os.path.join(root, name)))


def driver_directories(root: str) -> list[str]:
    """The directories of storage drivers below a data root, with mapped users one deeper. (This one looks.)"""
    places = (glob.escape(root), os.path.join(glob.escape(root), "[0-9]*.[0-9]*"))
    return sorted(path for place in places for name in DRIVERS for path in glob.glob(os.path.join(place, name)))


def has_layers(path: str) -> bool:
    """Whether the directory of a storage driver has more in it than what a start makes. (This one looks.)"""
    return any(one.is_dir(follow_symlinks=False) and _has_something(one.path) for one in os.scandir(path))


def _has_something(path: str) -> bool:
    try:
        with os.scandir(path) as entries:
            return any(True for _entry in entries)
    except OSError:
        return False


__all__ = (
    "DRIVERS",
    "RULES",
    "Rules",
    "Store",
    "driver_directories",
    "has_layers",
    "next_store",
    "used_drivers",
)
