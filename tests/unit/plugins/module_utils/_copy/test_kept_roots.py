# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Whole roots: there is one at each moment, and only what is ours is removed."""

from __future__ import annotations

import os
import pathlib

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import kept_roots
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.files import inode_of


@pytest.fixture
def old(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "old" / "containers").mkdir(parents=True)
    (tmp_path / "old" / "containers" / "precious").write_text("data")
    return tmp_path / "old"


@pytest.fixture
def new(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "disk" / "new"


def test_at_no_moment_of_an_exchange_is_there_no_root(old: pathlib.Path, new: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A boot may come between any two calls."""
    for name in ("rename", "replace", "symlink", "unlink", "rmdir", "mkdir", "fsync"):
        real = getattr(os, name)

        def call(*arguments, real=real, **options):
            real(*arguments, **options)
            assert (old / "containers" / "precious").read_text() == "data"

        monkeypatch.setattr(os, name, call)
    kept_roots.exchange(str(old), str(new))
    assert (old.is_symlink(), new.is_symlink(), new.is_dir()) == (True, False, True)
    kept_roots.exchange_back(str(old), str(new))
    assert (old.is_symlink(), os.path.lexists(new)) == (False, False)


def test_an_exchange_is_on_the_disk(old: pathlib.Path, new: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append((os.readlink(f"/proc/self/fd/{fd}"), old.is_symlink())))
    kept_roots.exchange(str(old), str(new))
    assert {(str(old.parent), True), (str(new.parent), True)} <= set(synced)


def test_what_was_set_aside_is_so_on_the_disk(old: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append((os.readlink(f"/proc/self/fd/{fd}"), old.exists())))
    kept = kept_roots.kept_name(str(old), "now")
    kept_roots.set_aside(str(old), kept)
    assert pathlib.Path(kept, "containers", "precious").read_text() == "data"
    assert synced == [(str(old.parent), False)]


def test_another_directory_in_the_place_of_ours_is_not_removed(old: pathlib.Path) -> None:
    inode = inode_of(str(old))
    old.rename(old.parent / "ours")
    (old / "theirs").mkdir(parents=True)
    with pytest.raises(DrydockError, match="is not the directory that it was"):
        kept_roots.remove(str(old), inode, "")
    assert (old / "theirs").exists()


def test_nothing_is_removed_when_something_of_the_same_device_is_mounted_below(old: pathlib.Path) -> None:
    mountinfo = f"1 2 8:1 / / rw - ext4 /dev/x rw\n2 1 8:1 /elsewhere {old}/containers rw - ext4 /dev/x rw\n"
    with pytest.raises(DrydockError, match=f"{old}/containers is mounted below {old}"):
        kept_roots.remove(str(old), inode_of(str(old)), mountinfo)
    assert (old / "containers" / "precious").exists()


def test_kept_data_on_a_mount_point_survive_the_removal_of_the_rest(old: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (f"{kept_roots.KEPT}1", "lost+found"):
        (old / name).mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    kept_roots.remove(str(old), inode_of(str(old)), "")
    assert sorted(os.listdir(old)) == [f"{kept_roots.KEPT}1", "lost+found"]


def test_what_an_interrupted_removal_leaves_is_still_known_as_ours(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    for name in (".drydock-copy", "a", "z"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).touch()
    unlink, left = os.unlink, []
    monkeypatch.setattr(os, "unlink", lambda *args, **options: (left.append(sorted(os.listdir(copy))), unlink(*args, **options)))
    kept_roots.remove(str(copy), inode_of(str(copy)), "")
    assert not copy.exists()
    assert len(left) == 3
    assert all(".drydock-copy" in names for names in left)
