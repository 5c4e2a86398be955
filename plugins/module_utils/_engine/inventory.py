# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What a daemon has: containers, images, volumes and networks. It must be the same after a restart or a move."""

from __future__ import annotations

import dataclasses
import typing as t

from .._host.formats import read_as
from .api import Engine
from .container import Container, inspect_containers, to_container


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What a daemon has: it must be the same after a restart or a move."""

    containers: t.Dict[str, Container]
    images: t.Dict[str, t.Tuple[str, ...]]
    volumes: t.Tuple[str, ...]
    networks: t.Dict[str, str]

    def to_data(self) -> dict[str, t.Any]:
        """The form that the journal keeps."""
        return dataclasses.asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, t.Any]) -> Inventory:
        """Back from the journal's form."""
        return cls(
            containers={key: _container_from_data(one) for key, one in data["containers"].items()},
            images={key: tuple(tags) for key, tags in data["images"].items()},
            volumes=tuple(data["volumes"]),
            networks=data["networks"],
        )

    def running_set(self) -> list[Container]:
        """The containers that have to run again after a stop."""
        return [one for one in self.containers.values() if one.alive and not one.auto_remove]

    def differences(self, after: Inventory) -> list[str]:
        """What another inventory lacks, a sentence each; containers that remove themselves at a stop are left out."""
        found = []
        mine = {one.id: one.name for one in self.containers.values() if not one.auto_remove}
        theirs = {one.id: one.name for one in after.containers.values()}
        for kind, before, now in (
            ("container", mine, theirs),
            ("image", self.images, after.images),
            ("volume", dict.fromkeys(self.volumes), dict.fromkeys(after.volumes)),
            ("network", self.networks, after.networks),
        ):
            found += [f"{kind} {before[key] or key} is missing" for key in before if key not in now]
        found += [f"image {key} has the tags {after.images[key]}, not {tags}" for key, tags in self.images.items() if after.images.get(key, tags) != tags]
        return found


def _container_from_data(data: dict[str, t.Any]) -> Container:
    return read_as(Container, {**data, "needs": tuple(data["needs"]), "binds": tuple(data["binds"])}, "A container in the journal")


def take_inventory(engine: Engine) -> Inventory:
    """Ask the daemon for all it has."""
    return Inventory(
        containers={one.id: one for one in map(to_container, inspect_containers(engine))},
        images={one["Id"]: tuple(sorted(one.get("RepoTags") or ())) for one in engine.get("/images/json")},
        volumes=tuple(sorted(one["Name"] for one in engine.get("/volumes").get("Volumes") or [])),
        # The engine makes its own bridge anew at each start, with another id.
        networks={one["Id"] if one["Name"] != "bridge" else "bridge": one["Name"] for one in engine.get("/networks")},
    )


__all__ = (
    "Container",
    "Inventory",
    "take_inventory",
)
