# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Whole roots: there is one at each moment, and only what is ours is removed."""

from __future__ import annotations

import itertools
import os
import pathlib
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import kept_roots, trust_index
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.kept_mark import KEPT_MARK
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import COPY_MARK
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
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
    monkeypatch.setattr(kept_roots, "is_mount_point", lambda path: True)
    kept_roots.remove(str(old), inode_of(str(old)), "")
    assert sorted(os.listdir(old)) == [f"{kept_roots.KEPT}1", "lost+found"]


@pytest.mark.parametrize("mark", [COPY_MARK, KEPT_MARK])
def test_what_an_interrupted_removal_leaves_is_still_known_as_ours(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    copy = tmp_path / "copy"
    for name in (mark, "a", "z"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).touch()
    unlink, left = os.unlink, []
    monkeypatch.setattr(os, "unlink", lambda *args, **options: (left.append(sorted(os.listdir(copy))), unlink(*args, **options)))
    kept_roots.remove(str(copy), inode_of(str(copy)), "")
    assert not copy.exists()
    assert len(left) == 3
    assert all(mark in names for names in left)


# Old data, taken back and set aside again ------------------------------------------------------------------------


class Cut(BaseException):
    """Nothing is done from here on."""


def cut_at(moment: int, work: t.Callable[[], object]) -> bool:
    """Do something as far as the change of the disk of this number; says whether it came to its end."""
    left = itertools.count(1)

    def change(real: t.Callable[..., object]) -> t.Callable[..., object]:
        def call(*arguments: t.Any, **options: t.Any) -> object:
            if next(left) == moment:
                raise Cut
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace", "unlink", "rmdir", "mkdir"):
            patch.setattr(os, name, change(getattr(os, name)))
        try:
            work()
        except Cut:
            return False
    return True


def tree(top: pathlib.Path) -> dict[str, str]:
    return {str(one.relative_to(top)): one.read_text() for one in top.rglob("*") if one.is_file() and one.name not in (COPY_MARK, files.unfinished(COPY_MARK))}


ASIDE = {"beside": "origin.drydock-kept-1", "within a mount point": "origin/.drydock-kept-1"}
OLD = {KEPT_MARK: "data-root run\n", "containers/one": "1", "image/two": "2", "volumes/three": "3"}


@pytest.fixture(params=ASIDE.values(), ids=ASIDE)
def aside(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> t.Callable[[], tuple[pathlib.Path, pathlib.Path]]:
    """Set data aside anew: the place that they had, and where they are kept."""
    numbers = itertools.count()

    def make() -> tuple[pathlib.Path, pathlib.Path]:
        top = tmp_path / str(next(numbers))
        for path, text in OLD.items():
            (top / request.param / path).parent.mkdir(parents=True, exist_ok=True)
            (top / request.param / path).write_text(text)
        return top / "origin", top / request.param

    return make


def test_old_data_that_are_taken_back_lie_at_their_old_place(aside: t.Callable[[], tuple[pathlib.Path, pathlib.Path]]) -> None:
    origin, kept = aside()
    kept_roots.take_back(str(kept), str(origin))
    assert (origin / COPY_MARK).exists()
    assert {path: text for path, text in tree(origin).items() if KEPT_MARK not in path} == {path: text for path, text in OLD.items() if path != KEPT_MARK}
    kept_roots.forget_kept(str(kept), str(origin))
    assert not kept.exists()
    assert not (origin / KEPT_MARK).exists()


def test_old_data_are_known_at_each_moment_on_their_way_back_and_forth(aside: t.Callable[[], tuple[pathlib.Path, pathlib.Path]]) -> None:
    """Taking them back is cut at each moment, and so is setting them aside again; what is left after that is what was there, with its mark."""
    for first in itertools.count(1):
        origin, kept = aside()
        arrived = cut_at(first, lambda: kept_roots.take_back(str(kept), str(origin)))  # noqa: B023
        for second in range(1, 12):
            cut_at(second, lambda: kept_roots.set_aside_again(str(origin), str(kept)))  # noqa: B023
        kept_roots.set_aside_again(str(origin), str(kept))
        assert tree(kept) == OLD
        assert not (kept / COPY_MARK).exists()
        assert not origin.exists() or kept_roots.left_there(str(origin)) in ([], [files.unfinished(COPY_MARK)])
        # And so it can begin anew.
        kept_roots.take_back(str(kept), str(origin))
        assert len(tree(origin)) == len(OLD)
        if arrived:
            break
    assert first > 2


def test_within_a_mount_point_old_data_keep_their_directory_and_its_mark(tmp_path: pathlib.Path) -> None:
    """The disk may be full when they have to be set aside again; and a boot without the disk leaves them where they are."""
    kept = tmp_path / "origin" / ".drydock-kept-1"
    (kept / "containers").mkdir(parents=True)
    (kept / KEPT_MARK).write_text("data-root run\n")
    inode = inode_of(str(kept))
    kept_roots.take_back(str(kept), str(tmp_path / "origin"))
    assert os.listdir(kept) == [KEPT_MARK]
    kept_roots.set_aside_again(str(tmp_path / "origin"), str(kept))
    assert (inode_of(str(kept)), sorted(os.listdir(kept))) == (inode, [KEPT_MARK, "containers"])


def test_the_beginning_of_a_mark_is_not_in_the_way(tmp_path: pathlib.Path) -> None:
    origin, kept = tmp_path / "origin", tmp_path / "origin.drydock-kept-1"
    for top in (origin, kept):
        top.mkdir()
    pathlib.Path(files.unfinished(str(origin / COPY_MARK))).touch()
    kept_roots.take_back(str(kept), str(origin))
    assert os.listdir(origin) == [COPY_MARK]


def test_on_a_disk_that_is_not_there_nothing_is_set_aside_again(tmp_path: pathlib.Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    (origin / "theirs").touch()
    for kept in (origin / ".drydock-kept-1", tmp_path / "origin.drydock-kept-1"):
        kept_roots.set_aside_again(str(origin), str(kept))
    assert sorted(os.listdir(tmp_path)) == ["origin"]
    assert os.listdir(origin) == ["theirs"]


def test_what_both_sides_have_is_never_overwritten(tmp_path: pathlib.Path) -> None:
    """A copy that was begun at the old place, on a mount point, has some of the names, too."""
    origin, kept = tmp_path / "origin", tmp_path / "origin" / ".drydock-kept-1"
    for top, text in ((origin, "new"), (kept, "old")):
        (top / "containers").mkdir(parents=True)
        (top / "containers" / "one").write_text(text)
    (kept / KEPT_MARK).write_text("data-root run\n")
    before = tree(origin)
    kept_roots.take_back(str(kept), str(origin))
    assert tree(origin) == before
    kept_roots.forget_kept(str(kept), str(origin))
    assert tree(origin) == before
    kept_roots.set_aside_again(str(origin), str(kept))
    assert tree(origin) == before
    assert (origin / COPY_MARK).exists()


# Copies that are kept --------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["a directory", "a mount point"])
def copy(request: pytest.FixtureRequest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[[], tuple[pathlib.Path, pathlib.Path]]:
    """Make a copy of ours anew: where it lies, and where it will be kept."""
    numbers = itertools.count()
    if request.param:
        monkeypatch.setattr(kept_roots, "is_mount_point", lambda path: os.path.basename(path) == "target")

    def make() -> tuple[pathlib.Path, pathlib.Path]:
        target = tmp_path / str(next(numbers)) / "target"
        for name in (COPY_MARK, KEPT_MARK, trust_index.NAME, "containers/precious", "lost+found/x" if request.param else "image/x"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(name)
        return target, target / ".drydock-kept-now" if request.param else target.parent / "target.drydock-kept-now"

    return make


def test_a_copy_that_is_kept_is_no_unfinished_copy_any_more(copy: t.Callable[[], tuple[pathlib.Path, pathlib.Path]]) -> None:
    target, kept = copy()
    assert kept_roots.keep_copy(str(target), "now") == str(kept)
    assert (kept / "containers" / "precious").read_text() == "containers/precious"
    assert not {COPY_MARK, KEPT_MARK, trust_index.NAME} & set(os.listdir(kept))
    assert kept_roots.left_there(str(target)) == []
    assert not any(kept_roots.is_unfinished_copy(str(one)) for one in (target, kept))


def test_a_copy_is_kept_whole_wherever_that_is_cut(copy: t.Callable[[], tuple[pathlib.Path, pathlib.Path]]) -> None:
    for moment in itertools.count(1):
        target, kept = copy()
        if cut_at(moment, lambda: kept_roots.keep_copy(str(target), "now")):  # noqa: B023
            break
        assert kept_roots.keep_copy(str(target), "now") == str(kept)
        assert (kept / "containers" / "precious").exists()
        assert not (kept / COPY_MARK).exists()
        assert kept_roots.left_there(str(target)) == []
    assert moment > 3


def test_what_is_no_copy_of_ours_is_left_alone(copy: t.Callable[[], tuple[pathlib.Path, pathlib.Path]], tmp_path: pathlib.Path) -> None:
    target, _kept = copy()
    (target / COPY_MARK).unlink()
    before = tree(target)
    assert kept_roots.keep_copy(str(target), "now") == kept_roots.keep_copy(str(tmp_path / "nowhere"), "now") == ""
    assert tree(target) == before


def test_what_the_engine_writes_to_its_usual_root_is_in_nobody_s_way(tmp_path):
    """Files of a swarm's load balancers, wherever its root is."""
    origin, kept = tmp_path / "docker", tmp_path / "docker.drydock-kept-20260101T000000"
    scratch = origin / "network" / "files" / "lb_x1"
    scratch.mkdir(parents=True)
    for name in ("hosts", "resolv.conf", "resolv.conf.hash"):
        (scratch / name).write_text("made anew")
    (kept / "network" / "files").mkdir(parents=True)
    (kept / "network" / "files" / "local-kv.db").write_text("data")
    assert kept_roots.empty_ones(str(origin)) == {"network"}
    assert kept_roots.empty_ones(str(kept)) == set()
    kept_roots.take_back(str(kept), str(origin))
    assert (origin / "network" / "files" / "local-kv.db").read_text() == "data"
    assert not scratch.exists()
    (scratch.parent / "lb_x2").mkdir()
    (scratch.parent / "lb_x2" / "other").write_text("somebody's")
    (origin / "network" / "files" / "local-kv.db").unlink()
    assert kept_roots.empty_ones(str(origin)) == set()
