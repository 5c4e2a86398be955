# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Flags of files arrive with them; those that the target does not take are named."""

from __future__ import annotations

import errno
import os
import pathlib
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import copier as copier_module
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import file_flags, kept_roots
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import COPY_MARK
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host

IMMUTABLE, APPEND, NODUMP, NOATIME = 0x10, 0x20, 0x40, 0x80

pytestmark = pytest.mark.runs_commands


def give(path: pathlib.Path, flags: int) -> None:
    assert file_flags.give(os.fsencode(path), flags) == 0


@pytest.fixture
def roots(tmp_path: pathlib.Path) -> t.Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """A source with flags in it, and an empty target; pytest could not remove what is immutable."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "d").mkdir(parents=True)
    target.mkdir()
    for name in ("plain", "immutable", "d/log", "d/quiet"):
        (source / name).write_text(name)
    give(source / "immutable", IMMUTABLE | NODUMP)
    give(source / "d" / "log", APPEND)
    give(source / "d" / "quiet", NOATIME)
    give(source / "d", APPEND)
    yield source, target
    for root in (source, target):
        file_flags.let_change(str(root))


def copier(source: pathlib.Path, target: pathlib.Path, **more: t.Any) -> copier_module.Copier:
    clock = os.stat(source).st_ctime + 3600
    return copier_module.Copier(Host(now=lambda: clock), str(source), str(target), **more)


def moved(source: pathlib.Path, target: pathlib.Path) -> copier_module.Copier:
    """Both passes are through; the flags are not given yet."""
    moving = copier(source, target)
    moving.warm_pass()
    moving.final_pass()
    return moving


def flags(root: pathlib.Path) -> dict[str, str]:
    found = {name: file_flags.letters(file_flags.carried(os.fsencode(root / name))) for name in ("plain", "immutable", "d", "d/log", "d/quiet")}
    return {name: letters for name, letters in found.items() if letters}


ALL = {"immutable": "id", "d": "a", "d/log": "a", "d/quiet": "A"}


@pytest.mark.parametrize("prepared", [False, True])
def test_flags_arrive_behind_the_last_pass(roots: tuple[pathlib.Path, pathlib.Path], prepared: bool) -> None:
    """Whether our own first pass or rsync's brought the file, and whether this run or an earlier one looked at it."""
    source, target = roots
    moving = copier(source, target)
    moving.warm_pass()
    if prepared:
        moving = copier(source, target)
        moving.resume()
        assert moving.trusted
    (source / "later").write_text("new")
    give(source / "later", NODUMP)
    moving.warm_pass()
    assert flags(target) == {}
    moving.final_pass()
    assert moving.give_flags() == {}
    assert flags(target) == ALL
    assert file_flags.carried(os.fsencode(target / "later")) == NODUMP


def test_a_flag_that_is_taken_away_meanwhile_does_not_arrive(roots: tuple[pathlib.Path, pathlib.Path]) -> None:
    source, target = roots
    moving = copier(source, target)
    moving.warm_pass()
    file_flags.let_change(str(source))
    moving.final_pass()
    moving.give_flags()
    assert flags(target) == {"immutable": "d", "d/quiet": "A"}


def test_a_copy_that_has_its_flags_already_is_resumed(roots: tuple[pathlib.Path, pathlib.Path]) -> None:
    """An undo leaves it so."""
    source, target = roots
    moved(source, target).give_flags()
    file_flags.let_change(str(source))
    (source / "d" / "log").unlink()
    (source / "immutable").write_text("changed")
    again = copier(source, target)
    again.resume()
    again.warm_pass()
    again.final_pass()
    assert again.give_flags() == {}
    assert (target / "immutable").read_text() == "changed"
    assert not (target / "d" / "log").exists()


def test_what_a_file_system_does_not_take_is_told_and_keeps_nothing_else_away(
    roots: tuple[pathlib.Path, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = roots
    real = files.set_flags

    def without_nodump(fd: int, flags: int) -> None:
        if flags & NODUMP:
            raise OSError(errno.EOPNOTSUPP, "not here")
        real(fd, flags)

    moving = moved(source, target)
    with monkeypatch.context() as patch:
        patch.setattr(file_flags, "set_flags", without_nodump)
        assert moving.give_flags() == {str(target / "immutable"): "d"}
    assert flags(target) == {**ALL, "immutable": "i"}


def test_a_copy_that_is_given_up_goes_with_its_flags_and_old_data_do_not(roots: tuple[pathlib.Path, pathlib.Path]) -> None:
    source, target = roots
    moved(source, target).give_flags()
    (target / COPY_MARK).touch()
    kept_roots.remove(str(target), files.inode_of(str(target)), "")
    assert not target.exists()
    with pytest.raises(PermissionError):
        kept_roots.remove(str(source), files.inode_of(str(source)), "")
    assert (source / "immutable").exists()
    target.mkdir()
