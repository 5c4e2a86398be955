# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The copy is the source, whatever was done to the source while it was copied."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import os
import pathlib
import shutil
import stat
import subprocess
import time

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import fanotify, first_pass, listing, trust_index, writable_inodes
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.copier import Copier
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.kept_mark import KEPT_MARK
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import (
    COPY_MARK,
    Entry,
    Totals,
    changed_paths,
    list_tree,
    parse_limit,
    surplus_paths,
    totals,
)
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import CommandFailed, DrydockError, format_bytes
from ansible_collections.drydock.dockerd.plugins.module_utils._host import host
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host, Result

STRANGE_NAMES = [
    b"new\nline", b"not-\xff\xfe-utf8", b"-option", b"a:b", b"w*[a]?", b"back\\slash", b"...", b" blank ",
    "K\u00f6ln".encode(), b"%s", b"~tilde", b"x" * 255,
]  # fmt: skip
STRANGE_NAMES_BELOW = [b"#comment", b";comment", *STRANGE_NAMES]
OLD_NS = 1_500_000_000_123_456_789


# A comparer of our own: it shares nothing with what it judges. --------------------------------------------------


def picture(top):
    """Everything about a tree that has to arrive, by path."""
    names = collections.defaultdict(set)
    found = {}
    for path in walk(os.fsencode(top)):
        name, s = os.path.relpath(path, os.fsencode(top)), os.lstat(path)
        content = None
        if stat.S_ISREG(s.st_mode):
            content = hashlib.sha256(pathlib.Path(os.fsdecode(path)).read_bytes()).hexdigest()
        elif stat.S_ISLNK(s.st_mode):
            content = os.readlink(path)
        attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}
        size = None if stat.S_ISDIR(s.st_mode) else s.st_size
        found[name] = [oct(s.st_mode), s.st_uid, s.st_gid, s.st_rdev, size, s.st_mtime_ns, content, attributes]
        if not stat.S_ISDIR(s.st_mode):
            names[s.st_ino].add(name)
    for linked in names.values():
        for name in linked:
            found[name].append(sorted(linked))
    return found


def walk(top):
    yield top
    for name in sorted(os.listdir(top)):
        path = os.path.join(top, name)
        if name.startswith(b".drydock-"):
            continue
        if stat.S_ISDIR(os.lstat(path).st_mode):
            yield from walk(path)
        else:
            yield path


def assert_same(source, target):
    before, after = picture(source), picture(target)
    assert {name: (one, after.get(name)) for name, one in before.items() if after.get(name) != one} == {}
    assert set(after) == set(before)


# A tree with one of everything ----------------------------------------------------------------------------------


@pytest.fixture
def own_disk(tmp_path):
    """Nothing else of this machine changes anything there."""
    image = tmp_path / "disk"
    with open(image, "wb") as stream:
        stream.truncate(256 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-N", "40000", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, tmp_path], check=True)
    yield
    subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def source(tmp_path):
    top = tmp_path / "source"
    (top / "dir" / "deep" / "deeper").mkdir(parents=True)
    (top / "empty").mkdir()
    for name in ("file", "other", "dir/file", "dir/deep/file", "dir/deep/deeper/file"):
        (top / name).write_text(f"content of {name}")
    for directory, names in ((top, STRANGE_NAMES), (top / "dir" / "deep", STRANGE_NAMES_BELOW)):
        for name in names:
            (directory / os.fsdecode(name)).write_bytes(name)
    (top / "link").symlink_to("dir/file")
    (top / "dangling").symlink_to("/no/such\nplace")
    os.link(top / "file", top / "dir" / "hard link")
    os.mkfifo(top / "fifo", 0o640)
    os.mknod(top / "whiteout", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    make_sparse(top / "sparse")
    (top / "setuid").write_text("x")
    os.chown(top / "setuid", 1234, 2345)
    (top / "setuid").chmod(0o6755)
    (top / "empty").chmod(0o1777)
    os.chown(top / "link", 3456, 4567, follow_symlinks=False)
    os.setxattr(top / "other", "user.drydock", b"\0binary\xff")
    os.setxattr(top / "dir", "user.drydock", b"of a directory")
    os.utime(top / "other", ns=(OLD_NS, OLD_NS))
    os.utime(top / "link", ns=(OLD_NS, OLD_NS), follow_symlinks=False)
    os.utime(top / "dir", ns=(OLD_NS, OLD_NS))
    return top


@pytest.fixture
def target(tmp_path):
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def make_sparse(path):
    with open(path, "wb") as stream:
        stream.truncate(8 << 20)
        stream.seek(4 << 20)
        stream.write(b"in the middle of nothing")


def overwrite(path, text=None):
    """Other content of the same size in the same inode, and the old time set back."""
    before = path.stat()
    with open(path, "r+b") as stream:
        stream.write(text or bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def replace(path, make):
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    make(path)


def swap(one, other):
    one.rename(one.parent / "between")
    other.rename(one)
    (one.parent / "between").rename(other)


def exchange_links(top):
    """The same names, but another pair of them is one file."""
    (top / "dir" / "hard link").unlink()
    os.link(top / "other", top / "dir" / "hard link")


CHANGES = {
    "nothing": lambda top: None,
    "a file rewritten, size and time as before": lambda top: overwrite(top / "other"),
    "a hard-linked file rewritten, size and time as before": lambda top: overwrite(top / "file"),
    "two files of one size and time swapped": lambda top: (overwrite(top / "dir/file"), swap(top / "dir/file", top / "dir/deep/file")),
    "a file grown": lambda top: (top / "file").write_text("longer than it was before"),
    "a file emptied": lambda top: (top / "file").write_text(""),
    "a file deleted": lambda top: (top / "dir/file").unlink(),
    "a directory deleted": lambda top: shutil.rmtree(top / "dir"),
    "everything deleted": lambda top: [shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink() for one in top.iterdir()],
    "a file renamed": lambda top: (top / "other").rename(top / "dir/deep/renamed"),
    "a directory renamed": lambda top: (top / "dir").rename(top / "renamed"),
    "a directory renamed into another": lambda top: (top / "dir/deep").rename(top / "empty/deep"),
    "two directories swapped": lambda top: swap(top / "dir", top / "empty"),
    "an old file in another's place": lambda top: (top / "dir/file").replace(top / "other"),
    "a new hard link to an old file": lambda top: os.link(top / "other", top / "dir/new link"),
    "a hard link to an old symlink": lambda top: os.link(top / "link", top / "dir/new link", follow_symlinks=False),
    "a hard link removed": lambda top: (top / "dir/hard link").unlink(),
    "a hard link rewritten and removed": lambda top: (overwrite(top / "dir/hard link"), (top / "dir/hard link").unlink()),
    "a hard link made a file of its own": lambda top: replace(top / "dir/hard link", lambda path: path.write_text("content of file")),
    "hard links exchanged": exchange_links,
    "a file became a directory": lambda top: replace(top / "dir/file", lambda path: (path.mkdir(), (path / "below").write_text("x"))),
    "a directory became a file": lambda top: replace(top / "dir/deep", lambda path: path.write_text("x")),
    "a file became a symlink": lambda top: replace(top / "dir/file", lambda path: path.symlink_to("deep")),
    "a symlink became a directory": lambda top: replace(top / "link", pathlib.Path.mkdir),
    "a directory became a symlink": lambda top: replace(top / "dir", lambda path: path.symlink_to("empty")),
    "a file became a whiteout": lambda top: replace(top / "other", lambda path: os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))),
    "a whiteout became a fifo": lambda top: replace(top / "whiteout", os.mkfifo),
    "a device with another number": lambda top: replace(top / "whiteout", lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))),
    "a symlink to elsewhere": lambda top: replace(top / "link", lambda path: path.symlink_to("dir/fil2")),
    "setuid taken away": lambda top: (top / "setuid").chmod(0o755),
    "setuid given": lambda top: (top / "file").chmod(0o4755),
    "another owner": lambda top: os.chown(top / "other", 99, 98),
    "another owner of a symlink": lambda top: os.chown(top / "dangling", 99, 98, follow_symlinks=False),
    "another owner of a directory": lambda top: os.chown(top / "dir", 99, 98),
    "an attribute changed": lambda top: os.setxattr(top / "other", "user.drydock", b"\0binary\xfe"),
    "an attribute removed": lambda top: os.removexattr(top / "other", "user.drydock"),
    "an attribute of the root": lambda top: os.setxattr(top, "user.drydock", b"x"),
    "owner, mode and time of the root": lambda top: (os.chown(top, 5, 6), top.chmod(0o710), os.utime(top, ns=(OLD_NS, OLD_NS))),
    "a nanosecond": lambda top: os.utime(top / "other", ns=(OLD_NS, OLD_NS + 1)),
    "the time of a directory": lambda top: os.utime(top / "dir/deep", ns=(OLD_NS, OLD_NS + 1)),
    "strange names": lambda top: [(top / os.fsdecode(name)).rename(top / "dir" / os.fsdecode(name)) for name in STRANGE_NAMES],
    "a new tree": lambda top: shutil.copytree(top / "dir", top / "new", symlinks=True),
}  # fmt: skip


class Copying:
    """Copies in earnest, with something done before and after the n-th time; for a test disks are not synced, and nothing is kept slow."""

    def __init__(self):
        self.count = 0
        self.around = {}

    def execute(self, argv, timeout, stdin):
        if argv[0] == "sync" or "-p" in argv:
            return Result(tuple(argv), 0, "", "")
        return self.within(lambda: host._run(argv, timeout, stdin))

    def fill(self, *arguments):
        return self.within(lambda: first_pass.fill(*arguments))

    def within(self, work):
        self.count += 1
        before, after = self.around.get(self.count, (lambda: None, lambda: None))
        before()
        result = work()
        after()
        return result


@pytest.fixture
def copying():
    return Copying()


@pytest.fixture
def said():
    return []


@pytest.fixture(params=["told by listing", "told by the kernel"])
def copier(request, source, target, copying, said, monkeypatch):
    """A copier that is not kept from trusting by how young the files of a test are."""
    # A machine that runs tests may have processes that not even root may look into.
    monkeypatch.setattr(writable_inodes, "_tasks", lambda: [f"/proc/{os.getpid()}"])
    made = Copier(Host(execute=copying.execute, now=lambda: time.time() + 60, say=said.append), str(source), str(target), fill=copying.fill)
    if request.param == "told by the kernel":
        made.track()
    yield made
    made.untrack()
    assert [line for line in said if line.startswith("changes are found by listing")] == [], "these tests need root and a kernel with fanotify"
    assert [line for line in said if line.startswith("everything is looked at: ") and "somebody wrote to" not in line] == []


@pytest.mark.runs_commands
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_after_a_warm_pass_arrives(source, target, copier, change):
    copier.warm_pass()
    assert copier.trusted.keys() == list_tree(str(source)).keys()
    change(source)
    copier.final_pass()
    assert_same(source, target)


@pytest.mark.runs_commands
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_between_warm_passes_arrives(source, target, copier, change):
    copier.warm_pass()
    change(source)
    copier.warm_pass()
    copier.final_pass()
    assert_same(source, target)


@pytest.mark.runs_commands
def test_a_final_pass_alone_copies_everything(source, target, copier):
    assert copier.final_pass() == totals(list_tree(str(source)))
    assert_same(source, target)


@pytest.mark.runs_commands
def test_holes_stay_holes(source, target, copier):
    copier.warm_pass()
    make_sparse(source / "new sparse")
    copier.final_pass()
    for name in ("sparse", "new sparse"):
        assert (target / name).stat().st_blocks * 512 < (target / name).stat().st_size // 2


@pytest.mark.runs_commands
def test_a_pass_sends_only_what_changed(source, copier):
    assert copier.warm_pass() == totals(list_tree(str(source)))
    assert copier.warm_pass() == totals({})
    (source / "dir" / "file").chmod(0o600)
    assert copier.final_pass() == totals({b"dir/file": list_tree(str(source))[b"dir/file"]})


@pytest.mark.runs_commands
def test_young_entries_are_not_trusted(source, target, copying):
    """Within a tick of the clock a file may change without a trace in its times."""
    copier = Copier(Host(execute=copying.execute), str(source), str(target), fill=copying.fill)
    copier.warm_pass()
    assert copier.trusted == {}
    assert copier.final_pass() == totals(list_tree(str(source)))
    assert_same(source, target)


@pytest.mark.runs_commands
def test_a_first_pass_of_any_size_leaves_the_last_one_quick(own_disk, source, target, copier, said, monkeypatch):
    """A tracker that was overwhelmed by what a pass itself made is of no use for what follows."""
    monkeypatch.setattr(fanotify, "LIMIT", 20_000)
    (source / "many").mkdir()
    for number in range(11_000):
        (source / "many" / str(number)).touch()
    copier.warm_pass()
    overwrite(source / "other")
    copier.final_pass()
    assert_same(source, target)
    assert said == []


@pytest.mark.runs_commands
def test_what_was_mounted_while_containers_ran_arrives_as_it_is_without(source, target, copier):
    """A container's layer, or a volume with a device: nothing tells that it was unmounted, and below it may lie what nobody saw."""
    for name in ("dir", "empty"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", source / name], check=True)
    try:
        copier.warm_pass()
    finally:
        for name in ("dir", "empty"):
            subprocess.run(["umount", source / name], check=True)
    copier.final_pass()
    assert_same(source, target)


@pytest.mark.runs_commands
def test_an_interrupted_copy_is_gone_on_with(source, target, copier):
    """What another process left in the target is not believed, and marks of ours are no strangers: old data that are taken back keep theirs."""
    copier.warm_pass()
    for mark in (COPY_MARK, KEPT_MARK):
        (target / mark).touch()
    overwrite(target / "other")
    (target / "surplus").mkdir()
    second = Copier(copier.host, str(source), str(target), copied=list_tree(str(target)))
    second.final_pass()
    assert_same(source, target)
    assert {COPY_MARK, KEPT_MARK} <= set(os.listdir(target))


@pytest.mark.runs_commands
def test_what_an_earlier_run_left_is_trusted_where_it_is_equal(source, target, copier):
    """Without its index every byte of it is read."""
    copier.warm_pass()
    trust_index.remove(str(target))
    overwrite(target / "other")
    second = Copier(copier.host, str(source), str(target))
    second.resume()
    assert {b"file", b"dir/file", b"link", b"whiteout"} <= second.trusted.keys()
    assert b"other" not in second.trusted
    second.final_pass()
    assert_same(source, target)


@pytest.mark.runs_commands
def test_special_files_of_several_names_arrive(source, target, copier):
    os.link(source / "fifo", source / "dir" / "fifo link")
    os.link(source / "whiteout", source / "dir" / "whiteout link")
    copier.warm_pass()
    copier.final_pass()
    assert_same(source, target)


@pytest.mark.runs_commands
def test_nothing_of_a_pass_with_errors_is_trusted(source, target, copier):
    """It is not known which entries failed."""
    copier.warm_pass()
    execute = copier.host.execute
    copier.host.execute = lambda argv, timeout, stdin: dataclasses.replace(execute(argv, timeout, stdin), rc=23 if "rsync" in argv else 0)
    overwrite(source / "other")
    copier.warm_pass()
    assert copier.trusted.keys() == list_tree(str(source)).keys() - {b"other"}
    assert (target / "other").read_bytes() == (source / "other").read_bytes()


# What the kernel tells ------------------------------------------------------------------------------------------


@pytest.mark.runs_commands
def test_what_is_written_through_a_name_elsewhere_arrives(source, target, copier):
    elsewhere = source.parent / "elsewhere"
    os.link(source / "other", elsewhere)
    copier.warm_pass()
    overwrite(elsewhere)
    copier.final_pass()
    assert_same(source, target)


@pytest.mark.runs_commands
def test_a_directory_that_was_away_for_a_while_arrives_whole(source, target, copier):
    """Its inode is the old one, and nobody tells what was made in it meanwhile."""
    away = source.parent / "away"
    copier.warm_pass()
    (source / "dir").rename(away)
    (away / "deep" / "first").touch()
    for tracker in copier._trackers.values():
        tracker.collect()
    (away / "deep" / "second").touch()
    away.rename(source / "dir")
    copier.final_pass()
    assert_same(source, target)


@pytest.mark.runs_commands
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_doubt_makes_the_last_pass_look_at_everything(source, target, copying, said, monkeypatch, side):
    monkeypatch.setattr(writable_inodes, "_tasks", lambda: [f"/proc/{os.getpid()}"])
    copier = Copier(Host(execute=copying.execute, now=lambda: time.time() + 60, say=said.append), str(source), str(target), fill=copying.fill)
    copier.track()
    copier.warm_pass()
    copier._trackers[copier.source if side == "source" else copier.target]._give_up("The kernel lost events.")
    if side == "source":
        overwrite(source / "other")
        copier.final_pass()
        assert_same(source, target)
    else:
        (target / "stranger").touch()
        with pytest.raises(DrydockError, match="differs from it in"):
            copier.final_pass()
    assert said == ["everything is looked at: The kernel lost events."]


# While containers run -------------------------------------------------------------------------------------------


def move_away_and_back(top):
    """Children of a renamed directory keep all their times."""
    return (lambda: (top / "dir").rename(top.parent / "away"), lambda: (top.parent / "away").rename(top / "dir"))


DURING = {
    "a file vanishes": lambda top: ((top / "other").unlink, lambda: None),
    "a directory vanishes": lambda top: (lambda: shutil.rmtree(top / "dir"), lambda: None),
    "a directory is moved away and back": move_away_and_back,
    "a file is rewritten before it is read": lambda top: (lambda: overwrite(top / "other"), lambda: None),
    "a file is rewritten after it was read": lambda top: (lambda: None, lambda: overwrite(top / "other")),
    "a file becomes a directory": lambda top: (lambda: replace(top / "other", pathlib.Path.mkdir), lambda: None),
    "a directory becomes a file": lambda top: (lambda: replace(top / "dir", pathlib.Path.touch), lambda: None),
    "a hard link goes": lambda top: ((top / "dir/hard link").unlink, lambda: None),
    "a file comes": lambda top: ((top / "dir/new").touch, lambda: None),
}


@pytest.mark.runs_commands
@pytest.mark.parametrize("during", DURING.values(), ids=DURING)
@pytest.mark.parametrize("number", [1, 2])
def test_what_changes_during_a_warm_pass_arrives(source, target, copying, copier, during, number):
    """The pass begins with a listing; what is done between it and rsync, or behind rsync's back, is found later."""
    copying.around[number] = during(source)
    copier.warm_pass()
    for path in ("dir/file", "dir/deep/file", "other"):
        if (source / path).is_file():
            overwrite(source / path)
    copier.warm_pass()
    copier.final_pass()
    assert_same(source, target)


# The target -----------------------------------------------------------------------------------------------------

STRANGERS = {
    "a new file": lambda top: (top / "stranger").touch(),
    "a new file deep in it": lambda top: (top / "dir/deep/stranger").touch(),
    "a file gone": lambda top: (top / "dir/file").unlink(),
    "a file changed": lambda top: (top / "dir/file").write_text("stranger"),
    "a time changed": lambda top: os.utime(top / "dir/file", ns=(1, 1)),
    "a mode changed": lambda top: (top / "dir/file").chmod(0o777),
    "an owner changed": lambda top: os.chown(top / "link", 77, 77, follow_symlinks=False),
    "a directory replaced": lambda top: replace(top / "dir/deep", pathlib.Path.touch),
    "a hard link cut": lambda top: replace(top / "dir/hard link", lambda path: shutil.copy2(top / "file", path)),
    "a device changed": lambda top: replace(top / "whiteout", lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))),
}


@pytest.mark.runs_commands
@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_a_target_that_somebody_changed_is_found(source, target, copier, stranger):
    copier.warm_pass()
    # Not by the times of directories alone, which anybody can set back.
    times = {path: path.stat().st_mtime_ns for path in (target, *target.rglob("*")) if path.is_dir()}
    stranger(target)
    for path, when in times.items():
        if path.is_dir():
            os.utime(path, ns=(when, when))
    with pytest.raises(DrydockError, match="differs from it in"):
        copier.final_pass()


@pytest.mark.runs_commands
def test_what_a_stranger_left_before_a_warm_pass_goes_without_a_trace(source, target, copier):
    """The directory that held it is trusted, so nothing else gives it its time back."""
    copier.warm_pass()
    times = (target / "dir" / "deep").stat()
    (target / "dir" / "deep" / "stranger").touch()
    os.utime(target / "dir" / "deep", ns=(times.st_atime_ns, times.st_mtime_ns))
    copier.warm_pass()
    assert b"dir/deep" in copier.trusted
    copier.final_pass()
    assert_same(source, target)


@pytest.mark.runs_commands
def test_an_attribute_that_did_not_arrive_is_found(source, target, copying, copier):
    copying.around[1] = (lambda: None, lambda: os.removexattr(target / "other", "user.drydock"))
    with pytest.raises(DrydockError, match=r"Extended attributes of .*other differ"):
        copier.final_pass()


@pytest.mark.runs_commands
@pytest.mark.parametrize("harm", [overwrite, lambda path: os.setxattr(path, "user.drydock", b"x")], ids=["content", "attribute"])
def test_reading_every_byte_finds_what_attributes_do_not_show(target, copier, harm):
    copier.warm_pass()
    copier.compare_contents()
    harm(target / "other")
    copier.final_pass()
    with pytest.raises(DrydockError, match=r"The copy of .*other differs"):
        copier.compare_contents()


@pytest.mark.runs_commands
def test_reading_every_byte_is_no_false_alarm_while_containers_run(source, copier):
    copier.warm_pass()
    overwrite(source / "other")
    (source / "dir" / "file").unlink()
    copier.compare_contents()


# Commands -------------------------------------------------------------------------------------------------------


@pytest.fixture
def answering(tmp_path, target):
    """A copier of one file whose rsync only ends as it is told."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").touch()

    def make(rc=0, err="", failing="rsync", **options):
        commands = []

        def execute(argv, timeout, stdin):
            commands.append(list(argv))
            failed = rc and failing in argv
            return Result(tuple(argv), rc if failed else 0, "", err if failed else "")

        there = {b".": entry(1, DIRECTORY), b"old": entry(2)} if failing == "rsync" else {}
        return Copier(Host(execute=execute), str(source), str(target), copied=there, **options), commands

    return make


def test_disks_are_synced_around_a_warm_pass(answering):
    """A store through a mapping moves no time stamp while its page is dirty."""
    copier, commands = answering()
    copier.warm_pass()
    assert [commands[0], commands[-1]] == [["sync", "--file-system", copier.source], ["sync", "--file-system", copier.target]]
    assert "rsync" in commands[1]


def test_a_failed_sync_is_an_error(answering):
    copier, _commands = answering(rc=1, err="no such disk", failing="sync")
    with pytest.raises(CommandFailed, match="no such disk"):
        copier.warm_pass()


def test_only_warm_passes_are_kept_slow(answering):
    copier, commands = answering(bandwidth_limit=50)
    copier.warm_pass()
    with pytest.raises(DrydockError, match="differs"):
        copier.final_pass()
    warm, final = (command for command in commands if "rsync" in command)
    assert "--bwlimit=50" in warm
    assert "nice" in warm
    assert "nice" not in final
    assert not any(word.startswith("--bwlimit") for word in final)


@pytest.mark.parametrize(("rc", "warm"), [(2, True), (23, True), (24, True), (11, False), (12, False), (30, False), (127, False)])
def test_a_warm_pass_bears_what_running_containers_cause_and_trusts_nothing_of_it(answering, rc, warm):
    copier, _commands = answering(rc=rc, err="rsync said so")
    if warm:
        copier.warm_pass()
        assert copier.trusted == {}
    else:
        with pytest.raises(DrydockError, match=f"rc {rc}.*rsync said so"):
            copier.warm_pass()
    with pytest.raises(DrydockError, match=f"rc {rc}.*rsync said so"):
        copier.final_pass()


@pytest.mark.parametrize("err", ["write failed: No space left on device (28)", "Disk quota exceeded (122)"])
def test_a_full_target_is_told_at_once(answering, target, err):
    copier, _commands = answering(rc=23, err=err)
    with pytest.raises(DrydockError, match=f"The file system of {target} is full") as caught:
        copier.warm_pass()
    assert caught.value.hint


# Pure -----------------------------------------------------------------------------------------------------------

FILE, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755


def entry(ino, mode=FILE, nlink=1, **changes):
    return Entry(1, ino, mode, nlink, 0, 0, 0, 10, 8, 5, 5)._replace(**changes)


@pytest.mark.parametrize("field", [name for name in Entry._fields if name != "nlink"])
def test_a_change_of_anything_is_a_change(field):
    trusted = entry(1)
    assert changed_paths({b"a": trusted}, {b"a": trusted}) == []
    assert changed_paths({b"a": trusted._replace(**{field: 77})}, {b"a": trusted}) == [b"a"]


def test_all_names_of_a_changed_file_travel_together():
    now = {b"a": entry(1, nlink=2), b"b": entry(1, nlink=2), b"c": entry(2), b"d": entry(3, DIRECTORY, nlink=2)}
    assert changed_paths(now, {b"b": now[b"b"], b"c": now[b"c"]}) == [b"a", b"b", b"d"]


def test_surplus_is_what_is_gone_or_of_another_type_the_deepest_first():
    now = {b".": entry(1, DIRECTORY), b"a": entry(2), b"same": entry(3)}
    copy = {b".": entry(9, DIRECTORY), b"a": entry(8, DIRECTORY), b"a/b": entry(7), b"gone": entry(6, DIRECTORY), b"gone/x": entry(5), b"same": entry(4)}
    assert surplus_paths(now, copy) == [b"gone/x", b"gone", b"a/b", b"a"]


def test_totals_count_a_hard_linked_file_once():
    assert totals({b"a": entry(1), b"b": entry(1), b"c": entry(2)}) == Totals(2 * 8 * 512, 3)


def test_listing_leaves_out_our_own_entries_but_only_at_the_top(tmp_path):
    for name in (".drydock-copy", "a"):
        (tmp_path / name / ".drydock-copy").mkdir(parents=True)
    assert sorted(list_tree(str(tmp_path))) == sorted(list_tree(f"{tmp_path}/")) == [b".", b"a", b"a/.drydock-copy"]


HUMAN = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB"), (5 << 30, "5.0 GiB"), (3 << 40, "3.0 TiB")]
LIMITS = [("", 0), (" ", 0), ("0", 0), ("0M", 0), ("1", 1), ("2048", 2), ("50K", 50), ("50m", 50 * 1024), ("1.5M", 1536), (" 2G ", 2 << 20)]


@pytest.mark.parametrize(("count", "text"), HUMAN)
def test_human(count, text):
    assert format_bytes(count) == text


@pytest.mark.parametrize(("text", "limit"), LIMITS)
def test_parse_limit(text, limit):
    assert parse_limit(text) == limit


@pytest.mark.parametrize("text", ["fast", "-1", "50MB", "50 M", "1e3", "M", "50T", "1,5M"])
def test_parse_limit_takes_no_guess(text):
    with pytest.raises(DrydockError, match="is not a number of bytes"):
        parse_limit(text)


def test_a_directory_that_becomes_a_link_is_not_listed_by_what_it_leads_to(tmp_path, monkeypatch):
    """A container does that to its own volume, at the moment between the look and the opening."""
    source, host_files = tmp_path / "source", tmp_path / "etc"
    for path in (source / "d" / "e", host_files / "e"):
        path.mkdir(parents=True)
    (host_files / "shadow").write_text("secret")
    (host_files / "e" / "key").write_text("secret")
    real = os.open
    for swapped, within, leads in (("d", "d", host_files), ("d/e", "d", host_files), ("d", "d", "d")):

        def opening(path, *arguments, swapped=swapped, within=within, leads=leads, **more):
            if path == os.fsencode(source / swapped) and not os.path.islink(source / within):
                (source / within).rename(tmp_path / "away")
                (source / within).symlink_to(leads)
            return real(path, *arguments, **more)

        monkeypatch.setattr(os, "open", opening)
        found = listing.list_tree(str(source))
        monkeypatch.setattr(os, "open", real)
        assert sorted(found) == ([b".", b"d"] if swapped == "d" else [b".", b"d", b"d/e"])
        (source / "d").unlink()
        (tmp_path / "away").rename(source / "d")


@pytest.mark.runs_commands
def test_a_path_that_is_longer_than_the_kernel_takes_is_named(tmp_path):
    (tmp_path / "top").mkdir()
    deep = os.open(tmp_path / "top", os.O_RDONLY)
    for _level in range(20):
        os.mkdir("x" * 250, dir_fd=deep)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    with pytest.raises(DrydockError, match=r"has a path of 4,\d{3} bytes") as caught:
        list_tree(str(tmp_path / "top"))
    assert caught.value.id == "path-too-long"
    # What pytest removes, it removes by whole paths.
    subprocess.run(["rm", "-r", str(tmp_path / "top")], check=True)


def test_the_longest_path_is_judged_by_where_it_will_be():
    tree = {b".": entry(1), b"a" * 4000: entry(2)}
    assert listing.longest(tree, "/short") is None
    assert listing.longest(tree, "/" + "l" * 90) == b"/" + b"l" * 90 + b"/" + b"a" * 4000


def test_attributes_of_a_file_system_s_own_are_nobody_s_business(tmp_path, monkeypatch):
    """xfs lists an ACL twice, and what btrfs calls a property no other file system takes."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "listxattr", lambda path, follow_symlinks: ["user.word", "trusted.SGI_ACL_FILE", "btrfs.compression"])
    monkeypatch.setattr(os, "getxattr", lambda path, name, follow_symlinks: b"value")
    assert listing.attributes(os.fsencode(tmp_path / "file")) == {"user.word": b"value"}


def test_what_is_bound_below_from_its_own_file_system_is_not_listed(tmp_path, monkeypatch):
    """The kernel's device number is the same on both sides of such a mount: only its list of mounts tells."""
    volume = tmp_path / "volumes" / "a b" / "_data"
    volume.mkdir(parents=True)
    (volume / "theirs").write_text("x" * 100)
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"1 2 8:1 /srv {str(volume).replace(' ', chr(92) + '040')} rw - ext4 /dev/x rw\n")
    assert b"volumes/a b/_data/theirs" in listing.list_tree(str(tmp_path))
    monkeypatch.setattr(listing, "_MOUNTINFO", str(mountinfo))
    found = listing.list_tree(str(tmp_path))
    assert b"volumes/a b/_data" in found
    assert b"volumes/a b/_data/theirs" not in found
