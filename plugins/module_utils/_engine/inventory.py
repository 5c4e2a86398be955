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


class Missing(t.NamedTuple):
    """What a daemon had and has no more.

    :param kind: container, image, volume or network.
    :param id: of a volume its name.
    """

    kind: str
    id: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclasses.dataclass(frozen=True)
class Inventory:
    """What a daemon has: it must be the same after a restart or a move.

    :param swarm_networks: ids of networks that a swarm makes and takes away as its tasks need them.
    """

    containers: t.Dict[str, Container]
    images: t.Dict[str, t.Tuple[str, ...]]
    volumes: t.Tuple[str, ...]
    networks: t.Dict[str, str]
    swarm_networks: t.Tuple[str, ...] = ()

    def to_data(self) -> dict[str, t.Any]:
        """The form that the journal keeps; release 0.1.0 takes a container with the fields that it knows, and no others."""
        data = dataclasses.asdict(self)
        data["swarm_tasks"] = [key for key, one in data["containers"].items() if one.pop("swarm_task")]
        for one in data["containers"].values():
            # What they need, and what is theirs, is looked at before the stop only.
            for key in ("requires", "ports", "size_limit", "log_driver", "log_opts", "stop_timeout"):
                del one[key]
        return data

    @classmethod
    def from_data(cls, data: dict[str, t.Any]) -> Inventory:
        """Back from the journal's form."""
        return cls(
            containers={key: _container_from_data({**one, "swarm_task": key in data.get("swarm_tasks", ())}) for key, one in data["containers"].items()},
            images={key: tuple(tags) for key, tags in data["images"].items()},
            volumes=tuple(data["volumes"]),
            networks=data["networks"],
            swarm_networks=tuple(data.get("swarm_networks", ())),
        )

    def running_set(self) -> list[Container]:
        """The containers that have to run again after a stop; a swarm starts its tasks itself."""
        return [one for one in self.containers.values() if one.alive and not one.is_transient]

    def missing(self, after: Inventory) -> list[Missing]:
        """What another inventory lacks, but for containers that go away by themselves."""
        mine = {one.id: one.name for one in self.containers.values() if not one.is_transient}
        return [
            Missing(kind, key, before[key] or key)
            for kind, before, now in (
                ("container", mine, after.containers),
                ("image", {key: ", ".join(tags) for key, tags in self.images.items()}, after.images),
                ("volume", dict.fromkeys(self.volumes, ""), after.volumes),
                ("network", {key: name for key, name in self.networks.items() if key not in self.swarm_networks}, after.networks),
            )
            for key in before
            if key not in now
        ]

    def renamed_images(self, after: Inventory) -> dict[str, str]:
        """Images that have other names in another inventory: by id, words about them."""
        return {key: f"image {key} has the tags {after.images[key]}, not {tags}" for key, tags in self.images.items() if after.images.get(key, tags) != tags}


def _container_from_data(data: dict[str, t.Any]) -> Container:
    return read_as(Container, {**data, "needs": tuple(data["needs"]), "binds": tuple(data["binds"])}, "A container in the journal")


def take_inventory(engine: Engine) -> Inventory:
    """Ask the daemon for all it has."""
    networks = engine.get("/networks")
    return Inventory(
        containers={one.id: one for one in map(to_container, inspect_containers(engine))},
        images={one["Id"]: tuple(sorted(one.get("RepoTags") or ())) for one in engine.get("/images/json")},
        volumes=tuple(sorted(one["Name"] for one in engine.get("/volumes").get("Volumes") or [])),
        # The engine makes its own bridge anew at each start, with another id.
        networks={one["Id"] if one["Name"] != "bridge" else "bridge": one["Name"] for one in networks},
        swarm_networks=tuple(one["Id"] for one in networks if one.get("Scope") == "swarm"),
    )


__all__ = (
    "Container",
    "Inventory",
    "Missing",
    "take_inventory",
)
