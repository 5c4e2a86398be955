# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Which image store a start uses, held against the dockerd of each engine: each combination of switch, driver and what lies in the data root."""

from __future__ import annotations

import itertools
import json
import typing as t

from ansible_collections.drydock.dockerd.plugins.module_utils._engine import options
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.image_store import next_store

# What depends on the release is told by the one that has both stores.
SHORT_HOSTS = ("forky",)
SWITCHES: list[dict[str, t.Any]] = [{}, {"features": {"containerd-snapshotter": True}}, {"features": {"containerd-snapshotter": False}}]
DRIVERS: list[dict[str, t.Any]] = [{}, {"storage-driver": "overlay2"}, {"storage-driver": "vfs"}, {"storage-driver": "overlayfs"}]
DIRECTORIES: list[list[str]] = [[], ["overlay2/l"], ["overlay2/l", "vfs/dir"]]


def test_the_store_of_each_combination_is_known(host: t.Any) -> None:
    engine = options.parse_version(host.check_output("docker version --format '{{.Server.Version}}'"))
    cases = [({**switch, **driver}, there) for switch, driver, there in itertools.product(SWITCHES, DRIVERS, DIRECTORIES)]
    host.check_output("printf %s >/root/cases.json", json.dumps(cases))
    found = json.loads(host.check_output("lab-stores </root/cases.json"))
    wrong = []
    for (settings, there), seen in zip(cases, found):
        store = next_store(settings, engine, {one.partition("/")[0] for one in there})
        kind, _space, driver = seen.partition(" ")
        # With a driver that containerd does not have an engine before 29 starts, and runs no container.
        right = kind == ("containerd" if store.in_containerd else "docker") and (not store.driver or driver == store.driver) if seen else bool(store.fault)
        if not right or (seen and store.fault and not store.in_containerd):
            wrong.append((settings, there, seen, store))
    assert not wrong
