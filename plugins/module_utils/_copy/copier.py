# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Copy a data root that changes while it is copied, and know at the end that nothing is missing.

How a changed file is known: each pass syncs the source, lists it with (device, inode, mode, owners, size, mtime, ctime) and copies.
The sync matters: a store through a shared mapping into a page that is already dirty moves no time stamp, one into a clean page does.
An entry is trusted once both sides were seen equal after a pass that ended well and its ctime lies safely before the pass began, by
a clock that may be set back meanwhile: what is changed then could get the very ctime that it had.
The last pass, with the daemon stopped, copies every entry that is not trusted or no longer looks as it did, and deletes what
the source no longer has. rsync's own quick check (size and mtime) is never relied on.

Where the kernel can tell what was touched since the last warm pass (fanotify.py), the last pass looks at that alone, on both sides;
on any doubt it lists and compares everything.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import errno
import hashlib
import os
import re
import shutil
import stat
import threading
import time
import typing as t

from .._errors import DrydockError, format_bytes
from .._host.host import Host, Result
from .._host.mounts import nearest_directory
from . import file_flags, rsync, trust_index
from .fanotify import Changes, Tracker, Unavailable
from .file_flags import Flags
from .first_pass import fill, too_big
from .listing import Entry, Listing, Moment, Totals, attributes, changed_paths, entry_of, list_tree, lstat_entry, surplus_paths, totals

# Time stamps are only as fine as the kernel's tick; two seconds is far more than any tick.
_TICK_NS = 2_000_000_000
# Its words about an extended attribute that the target does not take, with the reasons of setxattr(2) for one that is too big.
_NOT_TAKEN = re.compile(r'lsetxattr\("(.*)","(.*)"\) failed: .*\((?:28|7|34)\)$', re.MULTILINE)
# Ends of rsync that are normal while containers run: hard links changed under it, some entries failed, some vanished.
_LINKS_CHANGED, _SOME_FAILED, _VANISHED = 2, 23, 24
_TELL_SECONDS, _FLUSH_SECONDS = 10, 1.0


@dataclasses.dataclass
class Progress:
    """Tells of a long copy, sparsely enough for a log.

    :param whole: bytes to copy.
    """

    host: Host
    whole: int
    _began: float = dataclasses.field(default_factory=time.monotonic)
    _told: float = dataclasses.field(default_factory=time.monotonic)

    def __call__(self, done: int) -> None:
        """Take the bytes that have passed so far."""
        now = time.monotonic()
        if now - self._told < _TELL_SECONDS:
            return
        self._told = now
        rate = done / (now - self._began)
        share = min(99, done * 100 // max(1, self.whole))
        left = max(0, self.whole - done) / max(1, rate)
        self.host.say(f"warm copy: {share} %, {format_bytes(done)} of {format_bytes(self.whole)}, {format_bytes(rate)} a second, about {left:.0f} s left")


@dataclasses.dataclass
class Copier:
    """Copies one tree into another in passes.

    :param bandwidth_limit: of the passes before the last one, in KiB a second as rsync takes it; 0 is none.
    :param trusted: entries whose copy is known to be good, as they looked then.
    :param copied: the target as it was listed last.
    :param looked: the clock when it was looked at last.
    :param flags: of the source, as far as it was looked at.
    :param fill: copies a listed tree into an empty directory: first_pass.fill, or what a test has in its place.
    """

    host: Host
    source: str
    target: str
    bandwidth_limit: int = 0
    fill: t.Callable[[str, str, Listing, int, t.Callable[[int], None], t.Callable[[int], None], Flags], t.Set[bytes]] = fill
    trusted: t.Dict[bytes, Entry] = dataclasses.field(default_factory=dict)
    copied: Listing = dataclasses.field(default_factory=dict)
    looked: Moment = dataclasses.field(init=False)
    flags: Flags = dataclasses.field(default_factory=dict)
    _seen: t.Optional[_Seen] = None
    # The highest ctime of what is trusted, where that is known.
    _youngest: t.Optional[int] = None
    _tracks: bool = False
    _trackers: t.Dict[str, Tracker] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.looked = self._moment()

    def _moment(self) -> Moment:
        return Moment(self.host.now(), time.clock_gettime(time.CLOCK_BOOTTIME))

    def sync(self, path: str) -> None:
        """Write one file system's dirty pages to its disk."""
        self.host.must("sync", "--file-system", path, timeout=None)

    def resume(self) -> None:
        """Take up what an earlier run left in the target.

        With the index of that run, and in the same boot, its trust still holds. Otherwise both sides are read: what is equal byte for
        byte is trusted, and so not sent again.
        """
        self.copied = list_tree(self.target)
        if len(self.copied) == 1:
            return
        index = trust_index.load(self.source, self.target)
        if index is not None:
            self.looked, trusted, self.flags = index
            self.trusted = {path: one for path, one in trusted.items() if path in self.copied and one.looks_like(self.copied[path])}
            self._doubt_young()
            self.host.say(f"{len(self.trusted):,} files of an earlier copy are still good")
            return
        # The flags came last of all to that copy, behind its index.
        file_flags.let_change(self.target)
        self._begin()
        now = list_tree(self.source)
        self.host.say(f"comparing {len(self.copied):,} files of an earlier copy, byte by byte")
        for path, one in now.items():
            there = self.copied.get(path)
            if there and one.looks_like(there) and self._is_same(path, one):
                self.trusted[path] = one
                self._look_at_flags([path])
        self._doubt_young()
        self.host.say(f"{len(self.trusted):,} files of an earlier copy are equal")

    def _look_at_flags(self, paths: t.Iterable[bytes]) -> None:
        for path in paths:
            self.flags.pop(path, None)
            flags = file_flags.carried(self._paths(path)[0])
            if flags:
                self.flags[path] = flags

    def give_flags(self) -> dict[str, str]:
        """Give the files of the copy the flags of the originals; behind that it cannot be changed any more. Returns what was not taken: letters by path."""
        return file_flags.give_all(self.target, {path: flags for path, flags in self.flags.items() if path in self.copied})

    def track(self) -> None:
        """From the next warm pass on let the kernel tell what is touched on both sides, where it can."""
        try:
            for root in (self.source, self.target):
                Tracker.start(root).close()
        except Unavailable as exc:
            self.host.say(f"changes are found by listing everything: {exc}")
        else:
            self._tracks = True

    def untrack(self) -> None:
        """Stop that."""
        self._tracks = False
        self._stop_trackers()

    def _stop_trackers(self) -> None:
        for tracker in self._trackers.values():
            tracker.close()
        self._trackers = {}

    def _start_tracker(self, root: str) -> None:
        """Look anew: what was touched before is in the listing that follows, however much it was."""
        if not self._tracks:
            return
        try:
            self._trackers[root] = Tracker.start(root, prove=False)
        except Unavailable as exc:
            self.host.say(f"changes are found by listing everything: {exc}")
            self.untrack()

    def warm_pass(self) -> Totals:
        """Copy while everything runs; returns what was sent.

        An entry is trusted only if this pass wrote it: an older copy of something that was moved away and back meanwhile looks
        right and may be stale. After any trouble of rsync's other than vanished files, nothing of the pass is trusted.
        """
        trust_index.remove(self.target)
        self._youngest = None
        self._stop_trackers()
        self._start_tracker(self.source)
        self._begin()
        now = list_tree(self.source)
        paths = changed_paths(now, self.trusted)
        earlier = self.copied
        if len(earlier) <= 1:
            missed = self._fill(now)
        else:
            self._look_at_flags(paths)
            missed = set() if self._send(now, paths, surplus_paths(now, earlier), warm=True) else set(paths)
            self.copied = list_tree(self.target)
        for path in paths:
            entry, there = now[path], self.copied.get(path)
            if there and path not in missed and _was_written(earlier.get(path), there) and entry.looks_like(there):
                self.trusted[path] = entry
            else:
                self.trusted.pop(path, None)
        for path in [path for path in self.trusted if path not in now]:
            del self.trusted[path]
        self._doubt_young()
        self._youngest = max((entry.ctime for entry in self.trusted.values()), default=0)
        self.sync(self.target)
        trust_index.save(self.source, self.target, self.trusted, self.flags, self.looked)
        self._seen = _Seen.of(now, self.trusted, self.copied)
        # Only now: our own writes are not a stranger's.
        self._start_tracker(self.target)
        return totals({path: now[path] for path in paths})

    def _begin(self) -> None:
        """Sync the source; look at the clock before: what is stored while a long sync runs must not count as older than it."""
        self._doubt_young()
        self.sync(self.source)

    def _doubt_young(self) -> None:
        """Trust nothing whose ctime a change since the last look at the clock could have as well, to a tick."""
        before, self.looked = self.looked, self._moment()
        earliest = int(self.looked.earliest_since(before) * 1_000_000_000) - _TICK_NS
        if self._youngest is not None and self._youngest < earliest:
            # Then nothing is; in the outage nothing has to be looked through.
            return
        for path in [path for path, entry in self.trusted.items() if entry.ctime >= earliest]:
            del self.trusted[path]

    def final_pass(self) -> Totals:
        """Copy what is left with the daemon stopped, and compare both sides; returns what was sent.

        :raises DrydockError: the copy differs from the source.
        """
        trust_index.remove(self.target)
        self._doubt_young()
        touched = self._touched()
        if touched is None or self._seen is None:
            now = list_tree(self.source)
            paths, doomed = changed_paths(now, self.trusted), surplus_paths(now, self.copied)
        else:
            now, paths, doomed = self._seen.look_again(os.fsencode(self.source), touched, self.trusted, self.copied)
        self._look_at_flags(paths)
        self._send(now, paths, doomed, warm=False)
        self._set_times(now, paths, doomed)
        if touched is None:
            self.copied = list_tree(self.target)
            self._compare(now, now, self.copied)
        else:
            for path in {*paths, *doomed}:
                self.copied.pop(path, None)
            looked = {path: there for path in {*paths, *doomed} for there in [lstat_entry(self._paths(path)[1])] if there}
            self._compare({path: now[path] for path in paths}, now, looked)
            self.copied.update(looked)
        self._compare_attributes(paths)
        return totals({path: now[path] for path in paths})

    def _touched(self) -> Changes | None:
        """What was touched in the source since the last warm pass began; None where only a walk can tell."""
        if not self._trackers:
            return None
        source, target = (self._trackers.pop(root).finish() for root in (self.source, self.target))
        strangers = (target.paths | target.directories) - {b"."}
        doubt = source.doubt or target.doubt or (f"somebody wrote to {self.target}" if strangers else "")
        if doubt:
            self.host.say(f"everything is looked at: {doubt}")
            return None
        return source

    def compare_contents(self, paths: t.Iterable[bytes] | None = None) -> None:
        """Read every byte of both sides (of trusted entries, or of the given ones) and compare, extended attributes too.

        :raises DrydockError: names the first file that differs.
        """
        for path in self.trusted if paths is None else paths:
            ours, theirs = self._paths(path)
            try:
                same = _fingerprint(ours) == _fingerprint(theirs)
            except FileNotFoundError:
                continue
            if not same and entry_of(ours) == self.trusted.get(path, entry_of(ours)):
                raise DrydockError(
                    "copy-differs", f"The copy of {os.fsdecode(ours)} differs from it although its attributes are equal.", "Check the target's disk."
                )

    def _is_same(self, path: bytes, entry: Entry) -> bool:
        """Whether both sides of a path are equal, and ours did not change while it was read."""
        ours, theirs = self._paths(path)
        try:
            return _fingerprint(ours) == _fingerprint(theirs) and entry_of(ours) == entry
        except FileNotFoundError:
            return False

    def _paths(self, path: bytes) -> tuple[bytes, bytes]:
        return os.path.join(os.fsencode(self.source), path), os.path.join(os.fsencode(self.target), path)

    def _fill(self, now: Listing) -> set[bytes]:
        """Fill an empty target, which goes faster without rsync, and list it; returns the paths that did not arrive as they were listed."""
        whole = totals(now)
        try:
            with self._flushing():
                missed = self.fill(self.source, self.target, now, self.bandwidth_limit * 1024, Progress(self.host, whole.bytes), self._calm, self.flags)
                self.copied = list_tree(self.target)
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise full_disk(self.source, self.target) from exc
            raise DrydockError("copy-failed", f"Copying {self.source} to {self.target} failed at {os.fsdecode(exc.filename or '')}: {exc.strerror}.") from exc
        return missed

    def _calm(self, thread: int) -> None:
        """Let others go first: a thread has priorities of its own."""
        os.setpriority(os.PRIO_PROCESS, thread, rsync.NICE)
        if shutil.which("ionice"):
            self.host.run(*rsync.IDLE, "-p", str(thread))

    @contextlib.contextmanager
    def _flushing(self) -> t.Iterator[None]:
        """Let the target's disk work while a long copy still fills its cache, so that the sync behind it has little left."""
        done = threading.Event()

        def flush() -> None:
            while not done.wait(_FLUSH_SECONDS):
                self.host.run("sync", "--file-system", self.target, timeout=None)

        thread = threading.Thread(target=flush, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _send(self, now: Listing, paths: list[bytes], doomed: list[bytes], warm: bool) -> bool:
        """Delete what is too much, then let rsync copy the paths; returns whether what arrived can be trusted."""
        for path in doomed:
            _delete(self._paths(path)[1])
        # The root comes along as the others' parent.
        names = [path for path in paths if path != b"."]
        if not names:
            return True
        result = rsync.send(self.host, self.source, self.target, names, limit=self.bandwidth_limit if warm else 0, idle=warm)
        if result.rc == 0:
            return True
        self._fail_on_full_disk(result)
        if warm and result.rc in (_LINKS_CHANGED, _SOME_FAILED, _VANISHED):
            return result.rc == _VANISHED
        raise DrydockError("copy-failed", f"Copying {self.source} to {self.target} failed (rsync rc {result.rc}): {result.words[-500:] or 'no message'}.")

    def _fail_on_full_disk(self, result: Result) -> None:
        attribute = _NOT_TAKEN.search(result.err)
        if attribute:
            path, name = os.fsencode(attribute[1]), attribute[2]
            raise too_big(path, name, len(attributes(self._paths(os.path.relpath(path, os.fsencode(self.target)))[0]).get(name, b"")))
        if "No space left on device" in result.err or "Disk quota exceeded" in result.err:
            raise full_disk(self.source, self.target)

    def _set_times(self, now: Listing, paths: list[bytes], doomed: list[bytes]) -> None:
        """Directories last: deleting and creating below them moved their times."""
        touched = {b".", *paths, *(os.path.dirname(path) or b"." for path in (*paths, *doomed))}
        shutil.copystat(self.source, self.target)
        root = now[b"."]
        os.chown(self.target, root.uid, root.gid)
        os.chmod(self.target, stat.S_IMODE(root.mode))
        for path in sorted(touched, reverse=True):
            # One that did not arrive is named by the comparison.
            if path in now and stat.S_ISDIR(now[path].mode):
                with contextlib.suppress(FileNotFoundError):
                    os.utime(self._paths(path)[1], ns=(now[path].mtime, now[path].mtime))

    def _compare(self, asked: Listing, now: Listing, copy: Listing) -> None:
        """Compare entries that the copy has to have with what it has; what it has and the source does not is a difference, too."""
        differing = [path for path, entry in asked.items() if path not in copy or not entry.looks_like(copy[path])]
        differing += [path for path in copy if path not in now]
        differing += _links_that_differ(asked, copy)
        if differing:
            names = ", ".join(repr(os.fsdecode(path)) for path in sorted(differing)[:5])
            raise DrydockError(
                "copy-differs",
                f"The copy of {self.source} differs from it in {len(differing)} entries, among them {names}.",
                "Something else may be writing below the old or the new root; find it and run again.",
            )

    def _compare_attributes(self, paths: list[bytes]) -> None:
        for path in paths:
            ours, theirs = self._paths(path)
            if attributes(ours) != attributes(theirs):
                raise DrydockError(
                    "copy-differs", f"Extended attributes of {os.fsdecode(theirs)} differ from the original's.", "Does the target's file system support them?"
                )


def full_disk(source: str, target: str) -> DrydockError:
    """What to say when the target is full: how much is missing."""
    there = os.statvfs(nearest_directory(target))
    copy = list_tree(target) if os.path.isdir(target) else {}
    # A changed file needs its room beside its old copy.
    left = {path: entry for path, entry in list_tree(source).items() if path not in copy or not entry.looks_like(copy[path])}
    missing = totals(left).bytes - there.f_bavail * there.f_frsize
    what = f"about {format_bytes(missing)} are missing" if missing > 0 else f"its inodes are used up ({there.f_favail} free)"
    return DrydockError("no-space", f"The file system of {target} is full: {what}.", "Make room there, or choose another target, and run again.")


@dataclasses.dataclass(frozen=True)
class _Seen:
    """The source as the last warm pass saw it, prepared for a quick look at what was touched since.

    :param order: all paths, sorted, so that what lay below a directory is found at once.
    :param untrusted: paths whose copy is not known to be good.
    :param mounted: mount points, listed as what was mounted there: a container's layer, or a volume with a device.
    :param links: all names of each inode that has several.
    :param numbered: a path by the number of its inode; of several any one.
    :param surplus: what the copy has too much.
    """

    now: Listing
    order: t.List[bytes]
    untrusted: t.FrozenSet[bytes]
    mounted: t.FrozenSet[bytes]
    links: t.Dict[t.Tuple[int, int], t.List[bytes]]
    numbered: t.Dict[int, bytes]
    surplus: t.FrozenSet[bytes]

    @classmethod
    def of(cls, now: Listing, trusted: t.Mapping[bytes, Entry], copied: Listing) -> _Seen:
        links: dict[tuple[int, int], list[bytes]] = {}
        for path, entry in now.items():
            if entry.has_links:
                links.setdefault(entry.inode, []).append(path)
        return cls(
            now,
            sorted(now),
            untrusted=frozenset(path for path in now if path not in trusted),
            mounted=frozenset(path for path, entry in now.items() if entry.dev != now[b"."].dev),
            links=links,
            numbered={entry.ino: path for path, entry in now.items()},
            surplus=frozenset(surplus_paths(now, copied)),
        )

    def look_again(self, source: bytes, touched: Changes, trusted: t.Mapping[bytes, Entry], copied: Listing) -> tuple[Listing, list[bytes], list[bytes]]:
        """The source as it is now, the paths to copy, and those to delete from the copy, the deepest first."""
        now = dict(self.now)
        # What is mounted or unmounted is no event; what could not be trusted has to be seen as it is now.
        names = touched.paths | touched.directories | self.untrusted | self.mounted
        # What was created or deleted also changed the directory that holds it.
        names |= {os.path.dirname(path) or b"." for path in names} | {b"."}
        # An event tells the name that was used; what is known by its inode alone, by another name or still open, is found by that.
        unknown = touched.inodes - {self.now[path].ino for path in names if path in self.now and self.now[path].nlink == 1}
        for path in [self.numbered[number] for number in unknown if number in self.numbered]:
            # Numbers repeat on other file systems only, and of these there is nothing here but what is mounted.
            names.add(path)
            names.update(self.links.get(self.now[path].inode, ()))
        gone: set[bytes] = set()
        fresh: set[bytes] = set()
        for path in sorted(names):
            before, entry = self.now.get(path), lstat_entry(os.path.join(source, path))
            # One that was made or moved here may have its predecessor's inode, and what lies in it may be old and untouched.
            replaced = before is None or entry is None or path in touched.paths or before.inode != entry.inode
            if before and replaced:
                for one in (path, *self._below(path)):
                    gone.add(one)
                    now.pop(one, None)
            if entry is None:
                continue
            now[path] = entry
            fresh.add(path)
            if stat.S_ISDIR(entry.mode) and replaced:
                below = {os.path.join(path, one): found for one, found in list_tree(os.fsdecode(os.path.join(source, path))).items() if one != b"."}
                now.update(below)
                fresh.update(below)
        paths = {path for path in fresh if path in now and trusted.get(path) != now[path]}
        self._add_links(source, now, paths)
        doomed = [path for path in {*gone, *self.surplus, *fresh} if path in copied and (path not in now or not now[path].is_a(copied[path]))]
        return now, sorted(paths), sorted(doomed, reverse=True)

    def _below(self, path: bytes) -> list[bytes]:
        """What lay below a directory."""
        return self.order[bisect.bisect_left(self.order, path + b"/") : bisect.bisect_left(self.order, path + b"0")]

    def _add_links(self, source: bytes, now: Listing, paths: set[bytes]) -> None:
        """All names of a changed inode travel together; an event tells but the one that was used."""
        inodes = {now[path].inode for path in paths if now[path].has_links}
        if not inodes:
            return
        others = {path for inode in inodes for path in self.links.get(inode, ())}
        for path in others - paths:
            entry = lstat_entry(os.path.join(source, path)) if path in now else None
            if entry is not None and entry.inode in inodes:
                now[path] = entry
                paths.add(path)


def _was_written(earlier: Entry | None, there: Entry | None) -> bool:
    """Whether a pass wrote an entry of the copy: rsync makes a new inode of it, or touches it. A directory is its entries."""
    if earlier is None or there is None or stat.S_ISDIR(there.mode):
        return there is not None
    return (earlier.ino, earlier.ctime) != (there.ino, there.ctime)


def _links_that_differ(now: Listing, copy: Listing) -> list[bytes]:
    """Names that share an inode on one side and not on the other."""
    pairs: dict[tuple[int, int], int] = {}
    partners: dict[int, tuple[int, int]] = {}
    differing = []
    for path, entry in now.items():
        there = copy.get(path)
        if there is None or stat.S_ISDIR(entry.mode) or (entry.nlink == 1 and there.nlink == 1):
            continue
        if pairs.setdefault(entry.inode, there.ino) != there.ino or partners.setdefault(there.ino, entry.inode) != entry.inode:
            differing.append(path)
    return differing


def _fingerprint(path: bytes) -> tuple[str, dict[str, bytes]]:
    mode = os.lstat(path).st_mode
    digest = hashlib.sha256()
    if stat.S_ISREG(mode):
        with open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    elif stat.S_ISLNK(mode):
        digest.update(os.readlink(path))
    return digest.hexdigest(), attributes(path)


def _delete(path: bytes) -> None:
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


__all__ = (
    "Copier",
    "full_disk",
)
