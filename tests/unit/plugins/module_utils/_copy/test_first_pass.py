# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The first copy has what was listed, tells what it has not, and ends when the target takes no more."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
import signal
import socket
import stat
import struct
import subprocess
import threading
import time
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import copier, first_pass
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import attributes, list_tree
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host import host

# linux/posix_acl_xattr.h: version; then tag, permissions and id of each entry: owner, user 7, group, mask, others.
ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 4, 7, 4, 4, 2**32 - 1, 16, 5, 2**32 - 1, 32, 0, 2**32 - 1)
# linux/capability.h: version 2, effective; cap_net_raw.
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    top = tmp_path / "source"
    (top / "dir").mkdir(parents=True)
    for number in range(20):
        (top / "dir" / f"f{number}").write_text(f"content {number}")
    return top


@pytest.fixture
def target(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def fill(source: pathlib.Path, target: pathlib.Path, limit: int = 0, between: t.Callable[[], object] = lambda: None) -> set[bytes]:
    """Fill the target; something may be done between the listing and the copy."""
    now = list_tree(str(source))
    between()
    return first_pass.fill(str(source), str(target), now, limit, lambda done: None)


def arrived(target: pathlib.Path) -> list[str]:
    return sorted(path.name for path in target.rglob("*") if not path.is_dir())


def test_what_the_kernel_takes_away_arrives(source: pathlib.Path, target: pathlib.Path) -> None:
    """A change of owner takes capabilities and setuid away, a default ACL goes to what is made below it, a new ACL changes the mode."""
    for name, mode in (("f0", 0o6755), ("f1", 0o640), ("f2", 0o755)):
        os.chown(source / "dir" / name, 12, 34)
        (source / "dir" / name).chmod(mode)
    os.setxattr(source / "dir" / "f1", "system.posix_acl_access", ACL)
    os.setxattr(source / "dir" / "f2", "security.capability", CAPABILITY)
    for place in (source / "dir", target):
        os.setxattr(place, "system.posix_acl_default", ACL)
    os.symlink("nowhere", source / "link")
    os.setxattr(source / "link", "trusted.drydock", b"of a link", follow_symlinks=False)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(source / "socket"))
    os.utime(source / "socket", ns=(5, 5))

    assert fill(source, target) == set()
    ours, theirs = list_tree(str(source)), list_tree(str(target))
    assert [path for path in ours if path not in theirs or not ours[path].looks_like(theirs[path])] == []
    for path in ours:
        one, other = (os.path.join(os.fsencode(top), path) for top in (source, target))
        assert attributes(one) == attributes(other), path
    assert stat.S_ISSOCK(theirs[b"socket"].mode)


def test_all_names_are_one_inode_whichever_of_them_is_left(source: pathlib.Path, target: pathlib.Path) -> None:
    os.mkfifo(source / "fifo")
    for name in ("fifo", "dir/f3"):
        for number in range(3):
            os.link(source / name, source / f"{name}-{number}")
    first = {inode[0] for inode in first_pass._Filling(b"", b"", list_tree(str(source)), 0, print, print, {})._inodes() if len(inode) > 1}
    assert len(first) == 2
    missed = fill(source, target, between=lambda: [os.unlink(os.path.join(os.fsencode(source), path)) for path in first])
    links = {path for path in list_tree(str(source)).keys() | first if b"fifo" in path or b"f3" in path}
    # Its other names tell that it changed: none of them is as it was listed.
    assert missed == {b".", b"dir"} | links
    assert {(target / os.fsdecode(path)).lstat().st_nlink for path in links - first} == {3}
    assert not [path for path in first if (target / os.fsdecode(path)).exists()]


BETWEEN = {
    "gone": (os.unlink, False),
    "changed": (lambda path: path.write_text("CONTENT 7"), True),
    "shorter": (lambda path: os.truncate(path, 3), True),
    "longer": (lambda path: path.write_text("content 7 and more"), True),
    "a fifo": (lambda path: (path.unlink(), os.mkfifo(path)), False),
    "a link": (lambda path: (path.unlink(), path.symlink_to("f6")), False),
    "another file": (lambda path: (path.rename(path.with_name("f6")), path.write_text("content 7")), False),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), False),
}


@pytest.mark.parametrize(("change", "is_there"), BETWEEN.values(), ids=BETWEEN)
def test_what_is_not_as_it_was_listed_is_missed(source: pathlib.Path, target: pathlib.Path, change: t.Callable[[pathlib.Path], object], is_there: bool) -> None:
    path = source / "dir" / "f7"
    missed = fill(source, target, between=lambda: change(path))
    assert b"dir/f7" in missed
    assert missed <= {b"dir", b"dir/f6", b"dir/f7"}
    assert (target / "dir" / "f7").exists() == is_there
    if is_there:
        assert (target / "dir" / "f7").stat().st_size <= len("content 7")


def test_what_lies_behind_a_link_that_took_a_directorys_place_stays_there(source: pathlib.Path, target: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Moved back afterwards, it would look as it was listed."""
    secret = shutil.copytree(source / "dir", tmp_path / "elsewhere")
    missed = fill(source, target, between=lambda: ((source / "dir").rename(tmp_path / "away"), (source / "dir").symlink_to(secret)))
    assert missed >= list_tree(str(source)).keys() - {b"."}
    assert arrived(target) == []


def test_what_cannot_be_read_is_missed_and_costs_nothing_else(source: pathlib.Path, target: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("f5", "f8"):
        os.truncate(source / "dir" / name, 1 << 20)
    bad = {os.stat(source / "dir" / name).st_ino for name in ("f4", "f5", "f8")}
    read, seek = os.read, os.lseek

    def refuse(descriptor: int) -> None:
        if os.fstat(descriptor).st_ino in bad:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", lambda descriptor, count: (refuse(descriptor), read(descriptor, count))[1])
    monkeypatch.setattr(os, "lseek", lambda descriptor, *where: (refuse(descriptor), seek(descriptor, *where))[1])
    assert fill(source, target) == {b"dir/f4", b"dir/f5", b"dir/f8"}
    monkeypatch.undo()
    for number in set(range(20)) - {4, 5, 8}:
        assert (target / "dir" / f"f{number}").read_text() == f"content {number}"


def test_what_is_in_the_target_is_not_overwritten(source: pathlib.Path, target: pathlib.Path) -> None:
    def meddle() -> None:
        (target / "f").symlink_to(source / "dir" / "f1")

    (source / "f").write_text("x")
    with pytest.raises(FileExistsError):
        fill(source, target, between=meddle)
    assert (source / "dir" / "f1").read_text() == "content 1"


@pytest.mark.runs_commands
def test_a_target_that_fills_up_is_told_and_nothing_goes_on(source: pathlib.Path, target: pathlib.Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", target], check=True)
    try:
        (source / "big").write_bytes(b"x" * (2 << 20))
        with pytest.raises(DrydockError, match=f"The file system of {target} is full: about .* are missing"):
            copier.Copier(host.Host(), str(source), str(target)).warm_pass()
        assert [one.name for one in threading.enumerate() if one.name.startswith("drydock-fill")] == []
    finally:
        subprocess.run(["umount", target], check=True)


def test_an_interrupted_copy_ends_at_once(source: pathlib.Path, target: pathlib.Path) -> None:
    """Threads that still wrote would fill what is being removed."""

    class Interrupted(BaseException):
        pass

    def interrupt(*_arguments: t.Any) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    began = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        # Each file takes its time, twenty seconds in all.
        with pytest.raises(Interrupted):
            fill(source, target, limit=10)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 5
    assert [one.name for one in threading.enumerate() if one.name.startswith("drydock-fill")] == []
    assert len(arrived(target)) < 20


def test_a_limit_is_kept(source: pathlib.Path, target: pathlib.Path) -> None:
    for number in range(20):
        (source / "dir" / f"f{number}").write_bytes(b"x" * 10_000)
    began = time.monotonic()
    fill(source, target, limit=200_000)
    assert time.monotonic() - began >= 0.99


@pytest.mark.runs_commands
def test_the_first_copy_lets_others_go_first_and_tells_of_itself(source: pathlib.Path, target: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, said = set(), []
    ours = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def look(done: int) -> None:
        thread = threading.get_native_id()
        seen.add((os.getpriority(os.PRIO_PROCESS, thread), host.Host().run("ionice", "-p", str(thread)).out.strip()))

    def looking(*arguments: t.Any) -> set[bytes]:
        arguments[4](1)
        return first_pass.fill(*arguments[:4], look, *arguments[5:])

    monkeypatch.setattr(copier, "_TELL_SECONDS", 0)
    copier.Copier(host.Host(say=said.append), str(source), str(target), fill=looking).warm_pass()
    assert seen == {(10, "idle")}
    assert [line for line in said if line.startswith("warm copy: ")]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == ours
