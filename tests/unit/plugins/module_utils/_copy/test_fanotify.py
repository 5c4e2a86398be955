# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Changes that the kernel reports, on the file system that the tests run on; they need root and say so without it."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import hashlib
import mmap
import os
import pathlib
import stat
import subprocess
import sys
import time
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import fanotify, fanotify_selftest, writable_inodes
from ansible_collections.drydock.dockerd.plugins.module_utils._host.libc import call

MUTATOR = pathlib.Path(__file__).parent / "mutator.py"


@pytest.fixture(autouse=True)
def only_processes_that_may_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may hide processes of its own even from root; there every result would be in doubt."""

    def allowed(task: str) -> bool:
        try:
            with open(f"{task}/maps", "rb"):
                return True
        except PermissionError:
            return False
        except OSError:
            return True

    tasks = writable_inodes._tasks
    monkeypatch.setattr(writable_inodes, "_tasks", lambda: [task for task in tasks() if allowed(task)])


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def track() -> t.Iterator[t.Callable[[pathlib.Path], fanotify.Tracker]]:
    started = []

    def start(path: pathlib.Path) -> fanotify.Tracker:
        started.append(fanotify.Tracker.start(str(path)))
        return started[-1]

    yield start
    for tracker in started:
        tracker.close()


Track = t.Callable[[pathlib.Path], fanotify.Tracker]


def picture(root: pathlib.Path) -> dict[bytes, tuple[t.Any, ...]]:
    """Everything that lstat tells of each entry but the access time, with contents and extended attributes."""
    os.sync()
    found = {}
    pending = [os.fsencode(root)]
    while pending:
        path = pending.pop()
        s = os.lstat(path)
        content = b""
        if stat.S_ISREG(s.st_mode):
            with open(path, "rb") as stream:
                content = hashlib.sha256(stream.read()).digest()
        elif stat.S_ISLNK(s.st_mode):
            content = os.readlink(path)
        elif stat.S_ISDIR(s.st_mode):
            pending += [os.path.join(path, name) for name in os.listdir(path)]
        attributes = {name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)}
        entry = (s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_rdev, s.st_size, s.st_mtime_ns, s.st_ctime_ns, content, attributes)
        found[os.path.relpath(path, os.fsencode(root))] = entry
    return found


def unreported(before: dict[bytes, tuple[t.Any, ...]], after: dict[bytes, tuple[t.Any, ...]], changes: fanotify.Changes) -> list[bytes]:
    """Entries that differ and that nobody would look at who goes by the changes."""

    def looked_at(path: bytes) -> bool:
        inodes = {picture[path][0] for picture in (before, after) if path in picture}
        if path in changes.paths or path in changes.directories or inodes & changes.inodes:
            return True
        while path := os.path.dirname(path):
            if path in changes.paths:
                return True
        return False

    return sorted(path for path in {*before, *after} if before.get(path) != after.get(path) and not looked_at(path))


@pytest.mark.runs_commands
@pytest.mark.parametrize("seed", range(4))
def test_everything_that_changes_is_reported(root: pathlib.Path, tmp_path: pathlib.Path, track: Track, seed: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, str(MUTATOR), str(root), str(outside), str(seed), "1000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as mutator:
        assert mutator.stdout.readline() == b"ready\n"
        tracker = track(root)
        before = picture(root)
        mutator.communicate(b"go\n")
    assert mutator.returncode == 0
    changes = tracker.finish()
    after = picture(root)
    assert changes.doubt == ""
    assert len([path for path in after if before.get(path) != after[path]]) > 100
    assert unreported(before, after, changes) == []


def test_nothing_is_reported_when_nothing_changes(root: pathlib.Path, track: Track) -> None:
    (root / "d").mkdir()
    (root / "d/f").write_text("before")
    tracker = track(root)
    (root / "d/f").read_text()
    (root.parent / "elsewhere").write_text("not below the root")
    changes = tracker.finish()
    assert (changes.paths, changes.directories, changes.doubt) == (set(), set(), "")
    assert (root / "d/f").stat().st_ino not in changes.inodes
    assert os.listdir(root) == ["d"]


def test_paths_and_directories_are_told_apart(root: pathlib.Path, track: Track) -> None:
    for name in ("changed", "relisted", "removed"):
        (root / name).mkdir()
    (root / "relisted/f").touch()
    tracker = track(root)
    (root / "changed").chmod(0o700)
    (root / "relisted/f").rename(root / "g")
    (root / "removed").rmdir()
    (root / ".drydock-copy").touch()
    tracker.collect()
    (root / "relisted/after").touch()
    changes = tracker.finish()
    assert changes.paths == {b"g", b"relisted/f", b"relisted/after", b"removed"}
    assert changes.directories == {b".", b"changed", b"relisted"}
    assert changes.doubt == ""


def test_what_was_forgotten_is_not_reported_and_what_comes_later_is(root: pathlib.Path, tmp_path: pathlib.Path, track: Track) -> None:
    (tmp_path / "outside").mkdir()
    tracker = track(root)
    (root / "before").touch()
    (tmp_path / "outside/f").touch()
    tracker.collect()
    (tmp_path / "outside").rename(root / "inside")
    tracker.forget()
    (root / "after").touch()
    # This one was known to lie elsewhere.
    (root / "inside/g").touch()
    changes = tracker.finish()
    assert (changes.paths, changes.directories) == ({b"after", b"inside/g"}, {b".", b"inside"})


def test_names_follow_a_directory_that_is_renamed_later(root: pathlib.Path, track: Track) -> None:
    (root / "old/sub").mkdir(parents=True)
    tracker = track(root)
    (root / "old/sub/f").touch()
    tracker.collect()
    (root / "old").rename(root / "new")
    changes = tracker.finish()
    assert changes.paths == {b"old", b"new", b"new/sub/f"}


def test_a_directory_that_comes_from_outside_is_reported_whole(root: pathlib.Path, tmp_path: pathlib.Path, track: Track) -> None:
    (tmp_path / "outside/sub").mkdir(parents=True)
    tracker = track(root)
    (tmp_path / "outside/sub/f").touch()
    # Now it is known to lie outside.
    tracker.collect()
    (tmp_path / "outside").rename(root / "inside")
    (root / "inside/sub/g").touch()
    changes = tracker.finish()
    assert b"inside" in changes.paths
    assert not any(path.startswith((b"outside", b"..")) for path in changes.paths)
    assert changes.doubt == ""


def test_a_directory_that_was_away_for_a_while_is_reported_whole(root: pathlib.Path, tmp_path: pathlib.Path, track: Track) -> None:
    """Its inode is the old one, and nothing names what was created in it meanwhile."""
    (root / "d").mkdir()
    tracker = track(root)
    (root / "d").rename(tmp_path / "away")
    (tmp_path / "away/f").touch()
    tracker.collect()
    (tmp_path / "away").rename(root / "d")
    changes = tracker.finish()
    assert b"d" in changes.paths
    assert b"d/f" not in changes.paths


def test_an_inode_is_reported_whatever_name_was_used(root: pathlib.Path, tmp_path: pathlib.Path, track: Track) -> None:
    for name in ("a", "b", "c"):
        (root / name).write_text("before")
    os.link(root / "a", tmp_path / "outside")
    os.link(root / "c", root / "c2")
    tracker = track(root)
    (tmp_path / "outside").write_text("through a name elsewhere")
    os.link(root / "b", root / "passing")
    (root / "passing").write_text("through a name that goes")
    (root / "passing").unlink()
    (root / "c2").rename(root / "c3")
    changes = tracker.finish()
    assert {(root / name).stat().st_ino for name in ("a", "b", "c")} <= changes.inodes
    assert changes.paths == {b"passing", b"c2", b"c3"}


def test_removed_trees_are_no_doubt(root: pathlib.Path, track: Track) -> None:
    tracker = track(root)
    for n in range(50):
        (root / f"d{n}/e").mkdir(parents=True)
        (root / f"d{n}/e/f").touch()
        (root / f"d{n}/e/f").unlink()
        (root / f"d{n}/e").rmdir()
        (root / f"d{n}").rmdir()
    kept = os.open(root, os.O_RDONLY)
    (root / "open").mkdir()
    (root / "open/f").touch()
    held = os.open(root / "open", os.O_RDONLY)
    (root / "open/f").unlink()
    (root / "open").rmdir()
    changes = tracker.finish()
    os.close(held)
    os.close(kept)
    assert changes.doubt == ""
    assert changes.paths == {b"open", *(b"d%d" % n for n in range(50))}


def test_a_directory_that_is_stale_without_having_been_removed_is_a_doubt(root: pathlib.Path, track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "d").mkdir()
    tracker = track(root)
    (root / "d/f").touch()
    tracker.collect()
    monkeypatch.setattr(tracker, "_place", lambda handle: fanotify._GONE)
    assert "cannot be found although nobody removed them" in tracker.finish().doubt


@pytest.mark.runs_commands
def test_a_root_that_is_reached_through_a_bind_mount(root: pathlib.Path, tmp_path: pathlib.Path, track: Track) -> None:
    """Of a part of the file system, with changes on both mounts and outside of that part."""
    (root / "part/docker/d").mkdir(parents=True)
    (tmp_path / "mount").mkdir()

    def with_mount() -> fanotify.Changes:
        # The mount exists in this thread only.
        call("unshare", fanotify_selftest.CLONE_NEWNS)
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "--bind", root / "part", tmp_path / "mount"], check=True)
        tracker = track(tmp_path / "mount/docker")
        (root / "part/docker/d/direct").touch()
        (tmp_path / "mount/docker/bound").touch()
        (root / "beside").touch()
        (root / "part/above").touch()
        return tracker.finish()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        changes = pool.submit(with_mount).result()
    assert changes == fanotify.Changes({b"bound", b"d/direct"}, {b".", b"d"}, changes.inodes, "")


@pytest.mark.parametrize("how", ["descriptor", "mapping"])
def test_what_is_still_held_is_reported(root: pathlib.Path, track: Track, how: str) -> None:
    with open(root / "f", "w+b") as stream:
        stream.write(bytes(4096))
    tracker = track(root)
    inode = (root / "f").stat().st_ino
    with contextlib.ExitStack() as held:
        stream = held.enter_context(open(root / "f", "r+b"))
        if how == "mapping":
            # Not Python's, which keeps a descriptor.
            libc = ctypes.CDLL(None)
            libc.mmap.restype = ctypes.c_void_p
            address = libc.mmap(None, 4096, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, stream.fileno(), ctypes.c_long(0))
            held.callback(libc.munmap, ctypes.c_void_p(address), 4096)
            stream.close()
            # The close was an event.
            tracker.forget()
            ctypes.memset(address, 1, 1)
        assert inode in tracker.finish().inodes


@pytest.mark.runs_commands
def test_the_file_of_an_attached_loop_device_is_reported(root: pathlib.Path, track: Track) -> None:
    (root / "image").write_bytes(bytes(1 << 20))
    device = subprocess.run(["losetup", "--find", "--show", root / "image"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        tracker = track(root)
        with open(device, "r+b", buffering=0) as stream:
            stream.write(b"x" * 4096)
            os.fsync(stream)
        changes = tracker.finish()
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
    assert b"image" not in changes.paths
    assert (root / "image").stat().st_ino in changes.inodes


@pytest.mark.runs_commands
def test_the_file_of_a_loop_device_that_was_detached_is_reported(root: pathlib.Path, track: Track) -> None:
    (root / "image").write_bytes(bytes(1 << 20))
    device = subprocess.run(["losetup", "--find", "--show", root / "image"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        tracker = track(root)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
    assert b"image" in tracker.finish().paths


def test_processes_that_may_not_be_looked_at_are_a_doubt(root: pathlib.Path, track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(task: str, device: int) -> t.NoReturn:
        raise PermissionError(13, "Permission denied", f"{task}/fd")

    monkeypatch.setattr(writable_inodes, "_open_by_task", refuse)
    assert "What is still being written cannot be told" in track(root).finish().doubt


def test_a_look_at_processes_that_takes_long_is_a_doubt(root: pathlib.Path, track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writable_inodes, "_PATIENCE", 0.05)
    monkeypatch.setattr(writable_inodes, "_tasks", lambda: time.sleep(0.5) or [])
    assert track(root).finish().doubt == "What is still being written could not be told within 0.05 seconds."


@pytest.mark.parametrize(("threads", "doubt"), [("0\n", ""), ("8\n", "An NFS server runs on this host.")])
def test_an_nfs_server_is_a_doubt(root: pathlib.Path, tmp_path: pathlib.Path, track: Track, monkeypatch: pytest.MonkeyPatch, threads: str, doubt: str) -> None:
    (tmp_path / "threads").write_text(threads)
    monkeypatch.setattr(writable_inodes, "_NFSD", str(tmp_path / "threads"))
    assert track(root).finish().doubt == doubt


def test_too_many_changes_are_a_doubt_and_end_the_tracking(root: pathlib.Path, track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = track(root)
    monkeypatch.setattr(fanotify, "LIMIT", 10)
    for n in range(20):
        (root / f"f{n}").touch()
    tracker.collect()
    assert (tracker._queue, tracker._names) == (-1, {})
    assert "More than 10 entries changed" in tracker.finish().doubt


@pytest.mark.parametrize(
    ("event", "doubt"),
    [
        (fanotify._EVENT.pack(24, 24, fanotify._OVERFLOW), "The kernel lost events."),
        (fanotify._EVENT.pack(44, 24, fanotify._MODIFY) + fanotify._INFO.pack(9, 20, 0, 1), "The kernel described a change in an unknown way"),
        (fanotify._EVENT.pack(44, 24, fanotify._MODIFY) + fanotify._INFO.pack(fanotify._FID, 20, 0, 77), "The kernel described a change in an unknown way"),
    ],
    ids=["overflow", "unknown record", "unknown handle"],
)
def test_events_that_say_too_little_are_a_doubt(root: pathlib.Path, track: Track, event: bytes, doubt: str) -> None:
    tracker = track(root)
    tracker._digest(event)
    assert doubt in tracker.finish().doubt


def test_events_that_get_lost_on_the_way_are_a_doubt(root: pathlib.Path, track: Track, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = track(root)

    def no_memory(data: bytes) -> t.NoReturn:
        raise MemoryError

    monkeypatch.setattr(tracker, "_digest", no_memory)
    (root / "f").touch()
    assert "cannot be told" in tracker.finish().doubt


def test_another_directory_in_place_of_the_root_is_a_doubt(root: pathlib.Path, track: Track) -> None:
    tracker = track(root)
    root.rename(root.parent / "away")
    root.mkdir()
    assert tracker.finish().doubt == f"{root} is not the directory that it was."


def test_a_kernel_that_hides_a_change_is_refused(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = os.listdir("/proc/self/fd")
    monkeypatch.setattr(fanotify, "_EVENTS", fanotify._EVENTS & ~fanotify._ATTRIB)
    with pytest.raises(fanotify.Unavailable, match=r"This kernel does not report every change: chmod\.$"):
        fanotify.Tracker.start(str(root))
    assert os.listdir(root) == []
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)


def test_a_kernel_that_hides_what_is_below_an_overlay_is_refused(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanotify_selftest, "_exercise_overlay", lambda probe: ["overlay/write"])
    with pytest.raises(fanotify.Unavailable, match=r"This kernel does not report every change: overlay/write\.$"):
        fanotify.Tracker.start(str(root))


def test_a_kernel_without_these_events_is_refused(root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanotify, "_INIT", 1 << 30)
    with pytest.raises(fanotify.Unavailable, match="cannot be tracked: fanotify_init: Invalid argument"):
        fanotify.Tracker.start(str(root))
    assert os.listdir(root) == []


def test_other_file_systems_are_refused() -> None:
    with pytest.raises(fanotify.Unavailable, match="not tracked on a file system of type proc"):
        fanotify.Tracker.start("/proc")


def test_close_twice(root: pathlib.Path, track: Track) -> None:
    tracker = track(root)
    tracker.close()
    tracker.close()
