# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Copy a data root that changes while it is copied, and know at the end that nothing is missing.

How a changed file is known: each pass syncs the source, lists it with (device, inode, mode, owners, size, mtime, ctime) and copies.
The sync matters: a store through a shared mapping into a page that is already dirty moves no time stamp, one into a clean page does.
An entry is trusted once both sides were seen equal after a pass that ended well and its ctime lies safely before the pass began.
The last pass, with the daemon stopped, copies every entry that is not trusted or no longer looks as it did, and deletes what
the source no longer has. rsync's own quick check (size and mtime) is never relied on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import re
import shutil
import stat
import typing as t

from ._errors import DrydockError
from ._host import Host, Result

# Entries of ours directly below a data root: never copied, never deleted as strangers.
OUR_PREFIX = b".drydock-"
COPY_MARK = ".drydock-copy"
# Time stamps are only as fine as the kernel's tick; two seconds is far more than any tick.
_TICK_NS = 2_000_000_000
_RSYNC = (
    "rsync", "-aHAXS", "--numeric-ids", "--no-inc-recursive", "--modify-window=-1", "--one-file-system", "--whole-file", "--ignore-times",
    "--ignore-missing-args", "--timeout=600",
)  # fmt: skip
# Ends of rsync that are normal while containers run: hard links changed under it, some entries failed, some vanished.
_LINKS_CHANGED, _SOME_FAILED, _VANISHED = 2, 23, 24


class Entry(t.NamedTuple):
    """What lstat says of one path, times in nanoseconds."""

    dev: int
    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    blocks: int
    mtime: int
    ctime: int

    def looks_like(self, copy: Entry) -> bool:
        """Whether the other one is a faithful copy as far as lstat can tell."""
        kind = stat.S_IFMT(self.mode)
        return (
            (self.mode, self.uid, self.gid, self.mtime) == (copy.mode, copy.uid, copy.gid, copy.mtime)
            and (kind not in (stat.S_IFREG, stat.S_IFLNK) or self.size == copy.size)
            and (kind not in (stat.S_IFCHR, stat.S_IFBLK) or self.rdev == copy.rdev)
        )


Listing = t.Dict[bytes, Entry]
"""Entries by path relative to the root; the root itself is b"."."""


@dataclasses.dataclass(frozen=True)
class Totals:
    """Size of a tree: bytes on disk, entries."""

    bytes: int
    files: int


def _entry(path: bytes) -> Entry:
    s = os.lstat(path)
    return Entry(s.st_dev, s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_rdev, s.st_size, s.st_blocks, s.st_mtime_ns, s.st_ctime_ns)


def listing(root: str) -> Listing:
    """List a tree without crossing into other file systems; a mount point is listed as the directory it covers appears.

    Entries that vanish meanwhile are left out.
    """
    top = os.fsencode(root)
    found: Listing = {b".": _entry(top)}
    device = found[b"."].dev
    prefix = len(top.rstrip(b"/")) + 1
    pending = [top]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    try:
                        s = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    path = entry.path[prefix:]
                    if path.startswith(OUR_PREFIX):
                        continue
                    found[path] = Entry(
                        s.st_dev, s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_rdev, s.st_size, s.st_blocks, s.st_mtime_ns, s.st_ctime_ns
                    )
                    if stat.S_ISDIR(s.st_mode) and s.st_dev == device:
                        pending.append(entry.path)
        except FileNotFoundError:
            continue
    return found


def totals(tree: Listing) -> Totals:
    """Bytes on disk, each hard-linked file once, and the number of entries."""
    blocks = {(entry.dev, entry.ino): entry.blocks for entry in tree.values()}
    return Totals(sum(blocks.values()) * 512, len(tree))


def changed(now: Listing, trusted: t.Mapping[bytes, Entry]) -> list[bytes]:
    """Paths to copy: not trusted, or different from when they were; all names of a changed inode travel together."""
    paths = {path for path, entry in now.items() if trusted.get(path) != entry}
    inodes = {(now[path].dev, now[path].ino) for path in paths if now[path].nlink > 1 and not stat.S_ISDIR(now[path].mode)}
    if inodes:
        paths.update(path for path, entry in now.items() if (entry.dev, entry.ino) in inodes)
    return sorted(paths)


def surplus(now: Listing, copy: Listing) -> list[bytes]:
    """Paths of the copy that the source does not have, or has as another type; the deepest first."""
    doomed = [path for path, entry in copy.items() if path not in now or stat.S_IFMT(now[path].mode) != stat.S_IFMT(entry.mode)]
    return sorted(doomed, reverse=True)


@dataclasses.dataclass
class Copier:
    """Copies one tree into another in passes.

    :param bandwidth_limit: of the passes before the last one, in KiB a second as rsync takes it; 0 is none.
    """

    host: Host
    source: str
    target: str
    bandwidth_limit: int = 0
    trusted: t.Dict[bytes, Entry] = dataclasses.field(default_factory=dict)
    copied: Listing = dataclasses.field(default_factory=dict)

    def sync(self, path: str) -> None:
        """Write one file system's dirty pages to its disk."""
        self.host.must("sync", "--file-system", path, timeout=None)

    def warm_pass(self) -> Totals:
        """Copy while everything runs; returns what was sent.

        An entry is trusted only if this pass wrote it: an older copy of something that was moved away and back meanwhile looks
        right and may be stale. After any trouble other than vanished files, nothing of the pass is trusted.
        """
        # The moment first: what is stored while a long sync runs must not count as older than it.
        began = int(self.host.now() * 1_000_000_000) - _TICK_NS
        self.sync(self.source)
        now = listing(self.source)
        paths = changed(now, self.trusted)
        earlier = self.copied
        rc = self._send(now, paths, warm=True)
        self.copied = listing(self.target)
        for path in paths:
            entry = now[path]
            there = self.copied.get(path)
            if rc in (0, _VANISHED) and _was_written(earlier.get(path), there) and there and entry.looks_like(there) and entry.ctime < began:
                self.trusted[path] = entry
            else:
                self.trusted.pop(path, None)
        for path in [path for path in self.trusted if path not in now]:
            del self.trusted[path]
        self.sync(self.target)
        return totals({path: now[path] for path in paths})

    def final_pass(self) -> Totals:
        """Copy what is left with the daemon stopped, and compare both sides.

        :raises DrydockError: the copy differs from the source.
        """
        now = listing(self.source)
        paths = changed(now, self.trusted)
        self._send(now, paths, warm=False)
        self._set_times(now, paths)
        self.copied = listing(self.target)
        self._compare(now, paths)
        return totals({path: now[path] for path in paths})

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
            if not same and _entry(ours) == self.trusted.get(path, _entry(ours)):
                raise DrydockError(f"The copy of {os.fsdecode(ours)} differs from it although its attributes are equal.", "Check the target's disk.")

    def _paths(self, path: bytes) -> tuple[bytes, bytes]:
        return os.path.join(os.fsencode(self.source), path), os.path.join(os.fsencode(self.target), path)

    def _send(self, now: Listing, paths: list[bytes], warm: bool) -> int:
        """Delete what is too much, then let rsync copy the paths; returns how rsync ended."""
        for path in surplus(now, self.copied):
            _delete(self._paths(path)[1])
        # A bare name that begins with # or ; is a comment to some versions of rsync. The root comes along as the others' parent.
        names = [b"./" + path for path in paths if path != b"."]
        if not names:
            return 0
        options = [f"--bwlimit={self.bandwidth_limit}"] if warm and self.bandwidth_limit else []
        nice = ("ionice", "-c", "3", "nice", "-n", "10") if warm and shutil.which("ionice") else ()
        result = self.host.run(
            *nice,
            *_RSYNC,
            *options,
            "--dirs",
            "--from0",
            "--files-from=-",
            self.source + "/",
            self.target + "/",
            timeout=None,
            stdin=b"\0".join(names),
        )
        if result.rc == 0:
            return 0
        self._fail_on_full_disk(result, now)
        if warm and result.rc in (_LINKS_CHANGED, _SOME_FAILED, _VANISHED):
            return result.rc
        raise DrydockError(f"Copying {self.source} to {self.target} failed (rsync rc {result.rc}): {result.words[-500:] or 'no message'}.")

    def _fail_on_full_disk(self, result: Result, now: Listing) -> None:
        if "No space left on device" not in result.err and "Disk quota exceeded" not in result.err:
            return
        there = os.statvfs(self.target)
        missing = totals(now).bytes - totals(listing(self.target)).bytes - there.f_bavail * there.f_frsize
        what = f"about {human(missing)} are missing" if missing > 0 else f"its inodes are used up ({there.f_favail} free)"
        raise DrydockError(f"The file system of {self.target} is full: {what}.", "Make room there, or choose another target, and run again.")

    def _set_times(self, now: Listing, paths: list[bytes]) -> None:
        """Directories last: deleting and creating below them moved their times."""
        touched = {b"."} | {path for path in paths if stat.S_ISDIR(now[path].mode)}
        touched |= {os.path.dirname(path) or b"." for path in paths}
        shutil.copystat(self.source, self.target)
        root = now[b"."]
        os.chown(self.target, root.uid, root.gid)
        os.chmod(self.target, stat.S_IMODE(root.mode))
        for path in sorted(touched, reverse=True):
            # One that did not arrive is named by the comparison.
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._paths(path)[1], ns=(now[path].mtime, now[path].mtime))

    def _compare(self, now: Listing, paths: list[bytes]) -> None:
        differing = [path for path, entry in now.items() if path not in self.copied or not entry.looks_like(self.copied[path])]
        differing += [path for path in self.copied if path not in now]
        differing += _links_that_differ(now, self.copied)
        if differing:
            names = ", ".join(repr(os.fsdecode(path)) for path in sorted(differing)[:5])
            raise DrydockError(
                f"The copy of {self.source} differs from it in {len(differing)} entries, among them {names}.",
                "Something else may be writing below the old or the new root; find it and run again.",
            )
        for path in paths:
            ours, theirs = self._paths(path)
            if _attributes(ours) != _attributes(theirs):
                raise DrydockError(f"Extended attributes of {os.fsdecode(theirs)} differ from the original's.", "Does the target's file system support them?")


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
        inode = (entry.dev, entry.ino)
        if pairs.setdefault(inode, there.ino) != there.ino or partners.setdefault(there.ino, inode) != inode:
            differing.append(path)
    return differing


def _attributes(path: bytes) -> dict[str, bytes]:
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        try:
            found[name] = os.getxattr(path, name, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise
    return found


def _fingerprint(path: bytes) -> tuple[str, dict[str, bytes]]:
    mode = os.lstat(path).st_mode
    digest = hashlib.sha256()
    if stat.S_ISREG(mode):
        with open(path, "rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    elif stat.S_ISLNK(mode):
        digest.update(os.readlink(path))
    return digest.hexdigest(), _attributes(path)


def _delete(path: bytes) -> None:
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


def human(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def parse_limit(text: str) -> int:
    """A bandwidth such as '50M' (bytes a second, units of 1024) in rsync's KiB a second; '' and '0' are none.

    :raises DrydockError: not a number with an optional unit K, M or G.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)", text.strip(), re.IGNORECASE) if text.strip() else None
    if not text.strip():
        return 0
    if match is None:
        raise DrydockError(f"bandwidth_limit '{text}' is not a number of bytes a second.", "Write it as 50M, for example.")
    factor = {"": 1 / 1024, "K": 1, "M": 1024, "G": 1024 * 1024}[match[2].upper()]
    return max(1, round(float(match[1]) * factor)) if float(match[1]) else 0


__all__ = ("COPY_MARK", "Copier", "Entry", "Listing", "Totals", "changed", "human", "listing", "parse_limit", "surplus", "totals")
