# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A file is the old one or the new one, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files

TEXTS = ["", "text\n", "Köln\n", "not UTF-8: \udcff\udc80\n", "\ufeff{}\n", "no end of line"]


@pytest.mark.parametrize("text", TEXTS)
def test_what_was_written_is_read_back(tmp_path, text):
    path = tmp_path / "new" / "directory" / "file"
    files.write(str(path), text)
    assert files.read(str(path)) == text
    assert path.read_bytes() == text.encode(errors="surrogateescape")
    assert os.listdir(path.parent) == ["file"]


def test_read_tells_no_file_from_an_empty_one(tmp_path):
    (tmp_path / "empty").touch()
    assert files.read(str(tmp_path / "empty")) == ""
    assert files.read(str(tmp_path / "none")) is None


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_new_file_has_the_mode_that_was_asked_for(tmp_path, mode):
    files.write(str(tmp_path / "file"), "", mode)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_replaced_file_keeps_mode_owner_and_attributes(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    os.chown(path, 1234, 2345)
    path.chmod(0o4640)
    os.setxattr(path, "user.label", b"kept")
    os.utime(path, ns=(0, 0))
    files.write(str(path), "new", 0o600)
    now = path.stat()
    assert (stat.S_IMODE(now.st_mode), now.st_uid, now.st_gid, os.getxattr(path, "user.label")) == (0o4640, 1234, 2345, b"kept")
    assert now.st_mtime > 1_000_000
    assert path.read_text() == "new"


def test_a_symlink_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("old")
    (tmp_path / "link").symlink_to("real/file")
    files.write(str(tmp_path / "link"), "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"


def test_other_names_of_a_file_keep_the_old_text(tmp_path):
    """A replaced file is a new inode: whoever has the old one open reads all of the old text."""
    (tmp_path / "file").write_text("old")
    os.link(tmp_path / "file", tmp_path / "other")
    files.write(str(tmp_path / "file"), "new")
    assert (tmp_path / "other").read_text() == "old"


@pytest.mark.parametrize("name", ["replace", "fsync", "fchown"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    def fail(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "file").write_text("old")
    monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError, match="No space left"):
        files.write(str(tmp_path / "file"), "new")
    monkeypatch.undo()
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_room_is_made_in_its_scope_only_and_as_long_as_there_is_some():
    inner, outer, tries = [True, True, False], [True], []

    def write():
        tries.append(len(inner))
        raise OSError(errno.ENOSPC, "No space left on device")

    with files.making_room(lambda: bool(outer) and outer.pop()):
        with files.making_room(lambda: inner.pop(0)), pytest.raises(OSError, match="No space left"):
            files.retry_when_full(write)
        assert (tries, inner, outer) == ([3, 2, 1], [], [True])
        with pytest.raises(OSError, match="No space left"):
            files.retry_when_full(write)
        assert (len(tries), outer) == (5, [])
    with pytest.raises(OSError, match="No space left"):
        files.retry_when_full(write)
    assert len(tries) == 6


def test_a_rest_of_a_crash_does_not_stand_in_the_way(tmp_path):
    (tmp_path / ".file.drydock-new").write_text("a longer rest of an interrupted write")
    files.write(str(tmp_path / "file"), "new")
    assert (tmp_path / "file").read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]


def test_text_is_on_the_disk_before_its_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "text"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("name"), replace(*paths)))
    files.write(str(tmp_path / "file"), "new")
    assert events == ["text", "name", "directory"]


@pytest.mark.parametrize("exists", [False, True])
def test_nobody_else_reads_a_file_before_it_has_its_mode(tmp_path, monkeypatch, exists):
    if exists:
        (tmp_path / "file").write_text("old")
    modes = []
    for name in ("fchmod", "fchown"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda fd, *more, real=real: (modes.append(stat.S_IMODE(os.fstat(fd).st_mode)), real(fd, *more)))
    before = os.umask(0)
    try:
        files.write(str(tmp_path / "file"), "new", 0o640)
    finally:
        os.umask(before)
    assert modes == [0o600]


def test_a_staged_file_needs_no_room_in_either_direction(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "file").write_text("old")
    files.stage(str(tmp_path / "file"), "new")
    monkeypatch.setattr(files, "_prepare", full)
    for text in ("new", "old"):
        files.put(str(tmp_path / "file"), text)
        assert (tmp_path / "file").read_text() == text
    files.unstage(str(tmp_path / "file"))
    assert os.listdir(tmp_path) == ["file"]


def test_a_staged_file_is_put_durably(tmp_path, synced):
    files.stage(str(tmp_path / "file"), "new")
    synced.clear()
    files.put(str(tmp_path / "file"), "new")
    assert synced == [str(tmp_path)]


def test_new_directories_and_removals_are_on_the_disk(tmp_path, synced):
    files.make_directories(str(tmp_path / "a" / "b"))
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    (tmp_path / "a" / "file").touch()
    files.remove(str(tmp_path / "a" / "file"))
    assert synced[2:] == [str(tmp_path / "a")]


def test_make_directories_returns_the_new_ones_outermost_first(tmp_path):
    (tmp_path / "a").mkdir(0o700)
    new = [str(tmp_path / "a" / "b"), str(tmp_path / "a" / "b" / "c")]
    assert files.make_directories(new[-1], 0o711) == new
    assert [stat.S_IMODE(os.stat(one).st_mode) for one in (tmp_path / "a", *new)] == [0o700, 0o711, 0o711]
    assert files.make_directories(new[-1]) == []


def test_remove_is_content_when_there_is_nothing(tmp_path):
    (tmp_path / "file").touch()
    for _turn in range(2):
        files.remove(str(tmp_path / "file"))
        assert os.listdir(tmp_path) == []


@pytest.fixture
def tree(tmp_path):
    """A tree with a link that leads out of it."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").touch()
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a" / "b" / "file").touch()
    (tmp_path / "tree" / "lost+found").mkdir()
    (tmp_path / "tree" / "link").symlink_to("../outside")
    return tmp_path / "tree"


def test_remove_tree_does_not_follow_links(tree):
    files.remove_tree(str(tree))
    assert not tree.exists()
    assert (tree.parent / "outside" / "precious").exists()


def test_remove_tree_keeps_what_it_is_told(tree):
    files.remove_tree(str(tree), keep=("lost+found",))
    assert os.listdir(tree) == ["lost+found"]


def test_remove_tree_removes_nothing_when_something_is_mounted_below(tree, monkeypatch):
    real = os.lstat

    def on_another_device(path, **options):
        found = real(path, **options)
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:10])) if path == str(tree) else found

    listdir = os.listdir
    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", on_another_device)
        # What can be removed would be removed first.
        patch.setattr(os, "listdir", lambda where: sorted(listdir(where), key=lambda name: name != "link"))
        with pytest.raises(OSError, match="another file system"):
            files.remove_tree(str(tree))
    assert sorted(os.listdir(tree)) == ["a", "link", "lost+found"]
    assert (tree / "a" / "b" / "file").exists()


def test_remove_tree_does_not_enter_what_was_mounted_meanwhile(tree):
    """Between the look at the tree and the removal."""
    fd = os.open(tree, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="another file system"):
            files._empty(str(tree), fd, os.fstat(fd).st_dev + 1)
    finally:
        os.close(fd)
    assert (tree / "a" / "b" / "file").exists()


def test_line_ends_survive_reading_and_writing(tmp_path):
    path = tmp_path / "daemon.json"
    path.write_bytes(b"{\r\n}\r\n")
    files.write(str(path), files.read(str(path)) or "")
    assert path.read_bytes() == b"{\r\n}\r\n"


@pytest.fixture
def small(tmp_path):
    """A small ext4 of its own."""
    image, top = tmp_path / "image", tmp_path / "small"
    top.mkdir()
    with open(image, "wb") as stream:
        stream.truncate(2 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, top], check=True)
    yield top
    subprocess.run(["umount", top], check=True)


def fill(top):
    """Take all that is free."""
    with open(top / "filler", "ab", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(bytes(512)):
            pass


@pytest.mark.runs_commands
@pytest.mark.parametrize("reserved", [True, False])
def test_what_was_reserved_is_written_on_a_disk_that_is_kept_full(small, monkeypatch, reserved):
    path = str(small / "file")
    files.write(path, "old")
    if reserved:
        files.reserve(path, 64 << 10)
    fill(small)
    real = os.open

    def open_and_fill(name, *arguments, **options):
        fd = real(name, *arguments, **options)
        fill(small)
        return fd

    monkeypatch.setattr(os, "open", open_and_fill)
    if not reserved:
        with pytest.raises(OSError, match="No space left"):
            files.write(path, "new" * 8192)
        return
    files.write(path, "new" * 8192)
    assert files.read(path) == "new" * 8192
    assert os.stat(path).st_blocks * 512 < 32 << 10, "what was not needed is given back"


def test_room_that_was_not_needed_is_given_back(tmp_path):
    files.reserve(str(tmp_path / "file"), 4096)
    assert os.listdir(tmp_path) != []
    files.unstage(str(tmp_path / "file"))
    assert os.listdir(tmp_path) == []


def test_a_shorter_text_over_what_a_crash_left_has_nothing_of_it(tmp_path):
    (tmp_path / ".file.drydock-new").write_text("left by a crash")
    files.write(str(tmp_path / "file"), "text")
    assert (tmp_path / "file").read_text() == "text"
