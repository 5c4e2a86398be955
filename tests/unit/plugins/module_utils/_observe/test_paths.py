# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What is seen at the paths that a plan is about, and at which ones nobody looks."""

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import kept_roots
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.kept_mark import write_mark
from ansible_collections.drydock.dockerd.plugins.module_utils._host.files import inode_of
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.paths import look_at_paths
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import PastMove


@pytest.fixture
def root(tmp_path):
    """The data root in use."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def on_root(make_state, root):
    """A daemon there, which we look after."""
    return make_state(info={"DockerRootDir": str(root)}, marker=".drydock-root-1")


def test_a_path_is_told_with_its_end_its_inode_and_our_marker(on_root, root, tmp_path):
    (root / ".drydock-root-1").touch()
    (root / ".drydock-root-2").touch()
    (tmp_path / "link").symlink_to("root")
    at = look_at_paths(on_root, f"{tmp_path}//link/").at
    assert (at[str(root)].real, at[str(root)].inode, at[str(root)].is_there) == (str(root), inode_of(str(root)), True)
    link = at[f"{tmp_path}/link"]
    assert (link.real, link.inode) == (str(root), inode_of(f"{tmp_path}/link"))
    assert at[str(root)].markers == link.markers == {".drydock-root-1"}


def test_where_nothing_lies_nothing_is_told(on_root, root, tmp_path):
    (tmp_path / "file").touch()
    for path in (f"{root}-new", f"{tmp_path}/file/below"):
        there = look_at_paths(on_root, path).at[path]
        assert (there.real, there.is_there, there.markers, there.unfinished_copy) == (path, False, frozenset(), False)
        assert (there.kept_id, there.is_copy) == ("", False)


def test_kept_data_and_copies_are_told_by_their_marks(on_root, root, tmp_path):
    write_mark(str(root), "data-root run")
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / ".drydock-copy").touch()
    at = look_at_paths(on_root, str(tmp_path / "target")).at
    assert [(one.kept_id, one.is_copy) for one in (at[str(root)], at[str(tmp_path / "target")])] == [("data-root run", False), ("", True)]


def test_earlier_moves_are_looked_at_where_they_are_the_matter(on_root, root):
    """Their disks may be gone, and a look may wait for ever."""
    state = dataclasses.replace(on_root, history=(PastMove("/origin", str(root), "/kept", (5, 6), False),))
    assert {wanted: {"/origin", "/kept"} <= set(look_at_paths(state, wanted=wanted).at) for wanted in ("relocated", "prepared", "restored", "cleaned")} == {
        **{"relocated": False, "prepared": False},
        **{"restored": True, "cleaned": True},
    }


def test_a_copy_is_looked_for_only_where_one_is_to_be_given_up(on_root, root, tmp_path, monkeypatch):
    """To find one may read the whole tree."""
    asked = []
    monkeypatch.setattr(kept_roots, "is_unfinished_copy", lambda path: asked.append(path) or True)
    target = str(tmp_path / "target")
    for wanted in ("relocated", "prepared", "restored", "cleaned"):
        look_at_paths(on_root, target, wanted=wanted)
    look_at_paths(on_root, str(root), wanted="cancelled")
    assert asked == []
    assert look_at_paths(on_root, target, wanted="cancelled").at[target].unfinished_copy
    assert asked == [target]


def test_each_look_brings_names_that_nothing_has_yet(on_root):
    names = [name for _turn in range(2) for name in look_at_paths(on_root).fresh]
    assert len(set(names)) == 6
    assert all(len(name) == 12 for name in names)
