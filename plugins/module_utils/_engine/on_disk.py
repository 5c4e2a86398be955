# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What an engine keeps below its data root, as the disk tells it: whether something is there that its daemon does not list; and whose a mount is."""

from __future__ import annotations

import glob
import os
import re
import typing as t

# Where the engine has it; with userns-remap all of it lies one deeper, in UID.GID.
_PLACES = {
    "container": os.path.join("containers", "{}"),
    "volume": os.path.join("volumes", "{}"),
    "image": os.path.join("image", "*", "imagedb", "content", "sha256", "{}"),
}
_REMAPPED = "[0-9]*.[0-9]*"
# What dockerd itself mounts below its root while containers run, volumes aside; with userns-remap all of it lies in UID.GID.
_DOCKERS_OWN = re.compile(r"(\d+\.\d+/)?(overlay2|overlay|fuse-overlayfs|aufs|btrfs|zfs|vfs|rootfs|containers|plugins|buildkit|containerd)/")
_CONTAINERDS_OWN = re.compile(r"(io\.containerd\.[a-z0-9.]+|tmpmounts)/")


def is_on_disk(root: str, kind: str, id: str) -> bool | None:
    """Whether a data root holds something; None where that cannot be seen, as with networks, which lie in a database.

    :param kind: container, image, volume or network.
    """
    if kind not in _PLACES:
        return None
    place = _PLACES[kind].format(glob.escape(id.partition(":")[2] or id if kind == "image" else id))
    return any(glob.glob(os.path.join(glob.escape(root), *below, place)) for below in ((), (_REMAPPED,)))


def out_of_sight(root: str, info: t.Mapping[str, t.Any], containers: t.Container[str]) -> dict[str, int]:
    """How many containers and images a data root holds that its daemon does not list: those of another storage driver, image store or mapping of users.
    Images of a containerd's store that is not in use are not among them.

    :param info: what GET /info says.
    :param containers: ids of those that the daemon lists.
    """
    there = os.path.realpath(str(info["DockerRootDir"]))
    seen = "" if uses_containerd_store(info) else os.path.join(there, "image", str(info["Driver"]), "")
    found = {"containers": 0, "images": 0}
    for below in ((), (_REMAPPED,)):
        ids = glob.glob(os.path.join(glob.escape(os.path.realpath(root)), *below, _PLACES["container"].format("*")))
        found["containers"] += sum(os.path.basename(one) not in containers for one in ids)
        images = glob.glob(os.path.join(glob.escape(os.path.realpath(root)), *below, _PLACES["image"].format("*")))
        found["images"] += sum(not (seen and one.startswith(seen)) for one in images)
    return found


def uses_containerd_store(info: t.Mapping[str, t.Any]) -> bool:
    """Whether images lie in containerd's store and not below the data root.

    :param info: what GET /info says.
    """
    return any("io.containerd.snapshotter" in " ".join(pair) for pair in info.get("DriverStatus") or [])


def is_on_root(info: t.Mapping[str, t.Any], root: str) -> bool:
    """Whether a daemon uses a data root; with userns-remap it names the directory below it, UID.GID.

    :param info: what GET /info says.
    :param root: as the kernel has it, with all links followed.
    """
    there = str(info["DockerRootDir"])
    return root in (there, os.path.dirname(there))


def is_dockers_mount(path: str, device_volumes: t.Container[str]) -> bool:
    """Whether dockerd mounted this path below its data root: it does so for layers, and for volumes that name a device.

    :param path: relative to the root.
    :param device_volumes: names of such volumes.
    """
    volume = re.fullmatch(r"(?:\d+\.\d+/)?volumes/([^/]+)/_data", path)
    return volume[1] in device_volumes if volume else bool(_DOCKERS_OWN.match(path))


def is_containerds_mount(path: str) -> bool:
    """Whether containerd mounted this path below its root.

    :param path: relative to the root.
    """
    return bool(_CONTAINERDS_OWN.match(path))


__all__ = ("is_containerds_mount", "is_dockers_mount", "is_on_disk", "is_on_root", "out_of_sight", "uses_containerd_store")
