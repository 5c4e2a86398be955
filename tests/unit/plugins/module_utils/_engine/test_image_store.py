# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Which image store a daemon will use, by its release, its keys and what lies in its data root."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.image_store import driver_directories, has_layers, next_store, used_drivers

OLD, WITH_SWITCH, FIRST, NEW = (20, 10, 24), (28, 5, 2), (29, 0, 4), (29, 7, 2)
DOCKERS, CONTAINERDS = "Docker's own", "containerd's"

# containerd-snapshotter, storage-driver, directories with something in them: the store and its driver on 28 and on 29, each measured; a '!' is one
# with which no container runs.
TABLE = [
    (None, "", (), "Docker's own ", "containerd's "),
    (None, "", ("overlay2",), "Docker's own overlay2", "Docker's own overlay2"),
    (None, "", ("vfs",), "Docker's own ", "containerd's "),
    (None, "", ("overlay2", "vfs"), "Docker's own overlay2", "Docker's own overlay2"),
    (None, "", ("btrfs", "overlay2"), "Docker's own !", "Docker's own !"),
    (None, "overlay2", (), "Docker's own overlay2", "Docker's own overlay2"),
    (None, "overlay2", ("btrfs", "overlay2"), "Docker's own overlay2", "Docker's own overlay2"),
    (None, "vfs", (), "Docker's own vfs", "Docker's own vfs"),
    (None, "vfs", ("overlay2",), "Docker's own vfs", "Docker's own vfs"),
    (None, "overlayfs", (), "Docker's own overlayfs!", "containerd's overlayfs"),
    (None, "overlayfs", ("overlay2",), "Docker's own overlayfs!", "Docker's own overlayfs!"),
    (True, "", (), "containerd's ", "containerd's "),
    (True, "", ("overlay2",), "containerd's ", "containerd's "),
    (True, "overlay2", (), "containerd's overlay2!", "containerd's overlay2!"),
    (True, "overlay2", ("overlay2",), "containerd's overlay2!", "containerd's overlay2!"),
    (True, "vfs", (), "containerd's vfs!", "containerd's vfs!"),
    (True, "overlayfs", (), "containerd's overlayfs", "containerd's overlayfs"),
    (True, "native", (), "containerd's native", "containerd's native"),
    (False, "", (), "Docker's own ", "Docker's own "),
    (False, "", ("overlay2",), "Docker's own overlay2", "Docker's own overlay2"),
    (False, "overlay2", (), "Docker's own overlay2", "Docker's own overlay2"),
    (False, "vfs", ("overlay2",), "Docker's own vfs", "Docker's own vfs"),
    (False, "overlayfs", (), "Docker's own overlayfs!", "Docker's own overlayfs!"),
]


def shown(switch, driver, used, engine, **more):
    settings = {**({} if switch is None else {"features": {"containerd-snapshotter": switch}}), **({"storage-driver": driver} if driver else {}), **more}
    found = next_store(settings, engine, used)
    return f"{found.name} {found.driver}{'!' if found.fault else ''}"


@pytest.mark.parametrize(("switch", "driver", "used", "on_28", "on_29"), TABLE, ids=map(str, TABLE))
def test_the_store(switch, driver, used, on_28, on_29):
    assert (shown(switch, driver, used, WITH_SWITCH), shown(switch, driver, used, NEW)) == (on_28, on_29)


@pytest.mark.parametrize(("switch", "engine", "store"), [(None, OLD, DOCKERS), (True, OLD, DOCKERS), (None, (30,), CONTAINERDS), (None, (), DOCKERS)])
def test_the_store_of_other_releases(switch, engine, store):
    assert shown(switch, "", (), engine).startswith(store)


@pytest.mark.parametrize(
    ("driver", "used", "store"),
    [("overlayfs", ("overlay2",), CONTAINERDS), ("", ("zfs",), CONTAINERDS), ("", ("overlay2",), DOCKERS), ("overlay2", (), DOCKERS), ("", (), CONTAINERDS)],
)
def test_the_first_release_with_another_default_knew_fewer_drivers_and_looked_at_the_name_first(driver, used, store):
    assert shown(None, driver, used, FIRST).startswith(store)


@pytest.mark.parametrize(
    ("switch", "on_28", "on_29"),
    [(None, "Docker's own ", "Docker's own "), (False, "Docker's own ", "Docker's own "), (True, "containerd's ", "containerd's !")],
)
def test_with_mapped_users(switch, on_28, on_29):
    assert (shown(switch, "", (), WITH_SWITCH, **{"userns-remap": "lab"}), shown(switch, "", (), NEW, **{"userns-remap": "lab"})) == (on_28, on_29)


@pytest.mark.parametrize(("engine", "found"), [(OLD, "Docker's own !"), ((24,), "Docker's own overlay2"), (WITH_SWITCH, "Docker's own overlay2")])
def test_a_directory_of_a_driver_that_the_release_does_not_have_is_nothing_to_it(engine, found):
    assert shown(None, "", ("aufs", "overlay2"), engine) == found


def test_a_directory_counts_with_something_in_it(tmp_path):
    (tmp_path / "overlay2" / "l").mkdir(parents=True)
    (tmp_path / "vfs").mkdir()
    (tmp_path / "containers").mkdir()
    (tmp_path / "zfs").touch()
    assert used_drivers(str(tmp_path)) == {"overlay2"}
    assert used_drivers(str(tmp_path / "nowhere")) == set()


def test_what_a_start_makes_of_a_driver_has_no_layers(tmp_path):
    for path in ("overlay2/l", "100000.100000/vfs", "7.8/overlay2/layer/diff", "containers/vfs"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "100000.100000/vfs/backingFsBlockDev").touch()
    found = driver_directories(str(tmp_path))
    assert found == [str(tmp_path / one) for one in ("100000.100000/vfs", "7.8/overlay2", "overlay2")]
    assert [has_layers(one) for one in found] == [False, True, False]
