# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Trees as lstat sees them: listings, what differs between two of them, and their size. Pure, but for the listing."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import stat
import typing as t

from .._errors import DrydockError
from .._host.files import read
from .._host.mounts import parse_mountinfo, points_below

_MOUNTINFO = "/proc/self/mountinfo"
# Entries of ours directly below a data root: never copied, never deleted as strangers.
OUR_PREFIX = b".drydock-"
COPY_MARK = ".drydock-copy"
# xfs shows an ACL a second time in its own form, and properties of btrfs are flags by another name.
OWN_ATTRIBUTES = ("trusted.SGI_ACL_", "btrfs.")
# linux/limits.h, the byte behind the end counted.
_PATH_MAX = 4096
# What rsync adds to a name while it writes: a dot in front, and a dot and six letters behind.
_RSYNCS_OWN = 8
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOATIME | os.O_CLOEXEC


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

    @property
    def inode(self) -> tuple[int, int]:
        """What no other file has."""
        return self.dev, self.ino

    @property
    def has_links(self) -> bool:
        """Whether it is a file of several names."""
        return self.nlink > 1 and not stat.S_ISDIR(self.mode)

    def is_a(self, other: Entry) -> bool:
        """Whether both are of one type."""
        return stat.S_IFMT(self.mode) == stat.S_IFMT(other.mode)

    def looks_like(self, copy: Entry) -> bool:
        """Whether the other one is a faithful copy as far as lstat can tell."""
        kind = stat.S_IFMT(self.mode)
        return (
            (self.mode, self.uid, self.gid, self.mtime) == (copy.mode, copy.uid, copy.gid, copy.mtime)
            and (kind not in (stat.S_IFREG, stat.S_IFLNK) or self.size == copy.size)
            and (kind not in (stat.S_IFCHR, stat.S_IFBLK) or self.rdev == copy.rdev)
        )


class Moment(t.NamedTuple):
    """Seconds of the wall clock, which somebody may set, and since the boot."""

    wall: float
    boot: float

    def earliest_since(self, other: Moment) -> float:
        """The earliest that the wall clock can have shown since then, if it was set but once."""
        return other.wall - max(0.0, other.wall + self.boot - other.boot - self.wall)


Listing = t.Dict[bytes, Entry]
"""Entries by path relative to the root; the root itself is b"."."""


@dataclasses.dataclass(frozen=True)
class Totals:
    """Size of a tree: bytes on disk, entries."""

    bytes: int
    files: int

    def __add__(self, other: Totals) -> Totals:
        return Totals(self.bytes + other.bytes, self.files + other.files)


def as_entry(s: os.stat_result) -> Entry:
    """What the kernel said of something."""
    return Entry(s.st_dev, s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_rdev, s.st_size, s.st_blocks, s.st_mtime_ns, s.st_ctime_ns)


def entry_of(path: bytes) -> Entry:
    """One path's entry.

    :raises FileNotFoundError: there is nothing.
    """
    return as_entry(os.lstat(path))


def lstat_entry(path: bytes) -> Entry | None:
    """One path's entry, None where there is nothing."""
    try:
        return entry_of(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def list_tree(root: str) -> Listing:
    """List a tree without crossing into other mounts, be they of its own file system (a volume that is bound to a place there); a mount point is
    listed as the directory it covers appears.

    Entries that vanish meanwhile are left out.
    """
    top = os.fsencode(root)
    found: Listing = {b".": entry_of(top)}
    device = found[b"."].dev
    mounted = _mounted_below(root)
    pending = [b""]
    while pending:
        above = pending.pop()
        prefix = above + b"/" if above else b""
        with _directory(top, above, found.get(above)) as descriptor:
            if descriptor is None:
                continue
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    path = prefix + os.fsencode(entry.name)
                    if path.startswith(OUR_PREFIX):
                        continue
                    try:
                        s = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    found[path] = as_entry(s)
                    if stat.S_ISDIR(s.st_mode) and s.st_dev == device and path not in mounted:
                        pending.append(path)
    return found


def subvolumes(root: str, tree: Listing) -> list[bytes]:
    """The directories of another device that nobody has mounted, as btrfs has them: no listing enters them.

    :param tree: what was listed at the root.
    """
    device, mounted = tree[b"."].dev, _mounted_below(root)
    found = (path for path, entry in tree.items() if entry.dev != device and stat.S_ISDIR(entry.mode) and path not in mounted)
    # What was mounted when it was listed need not be so by now.
    return sorted(path for path in found if (lstat_entry(os.path.join(os.fsencode(root), path)) or tree[b"."]).dev != device)


@contextlib.contextmanager
def _directory(top: bytes, path: bytes, listed: Entry | None) -> t.Iterator[int | None]:
    """A directory of a tree, opened; None where it is not the one that was listed any more: a link that has taken its place, or the place of one
    above it, leads out of the tree.

    :param listed: how it was listed; None of the top, which may be reached by a link.
    :raises DrydockError: its path is longer than the kernel takes one.
    """
    where = os.path.join(top, path) if path else top
    try:
        descriptor = os.open(where, _DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            raise too_long(where) from exc
        if exc.errno != errno.ELOOP:
            raise
        # A link that leads in circles.
        yield None
        return
    try:
        yield descriptor if listed is None or as_entry(os.fstat(descriptor)).inode == listed.inode else None
    finally:
        os.close(descriptor)


def too_long(path: bytes) -> DrydockError:
    """What to say of a path that no copying command can take."""
    shown = os.fsdecode(path)
    return DrydockError(
        "path-too-long",
        f"{shown[:80]}... has a path of {len(path):,} bytes, and {_PATH_MAX - 1:,} are all that the kernel takes at once.",
        "Shorten a name in it from within the container that made it (cd there step by step, and mv), or remove what is there, then run again.",
    )


def _mounted_below(root: str) -> set[bytes]:
    """What is mounted below a root, by its path in it."""
    top = os.path.realpath(root)
    return {os.fsencode(point[len(top.rstrip("/")) + 1 :]) for point in points_below(top, parse_mountinfo(read(_MOUNTINFO) or ""))}


def attributes(of: int | bytes, follow: bool = False) -> dict[str, bytes]:
    """Extended attributes, ACLs among them, of a path or of what is open; without those that are the file system's own."""
    found = {}
    for name in os.listxattr(of, follow_symlinks=follow):
        if name.startswith(OWN_ATTRIBUTES):
            continue
        try:
            found[name] = os.getxattr(of, name, follow_symlinks=follow)
        except OSError as exc:
            if exc.errno not in (errno.ENODATA, errno.EOPNOTSUPP):
                raise
    return found


def longest(tree: Listing, root: str) -> bytes | None:
    """The longest path of a tree below a root, where it is longer than a copying command can take; else None."""
    path = max(tree, key=len)
    whole = os.path.join(os.fsencode(root), path)
    return whole if len(whole) + _RSYNCS_OWN >= _PATH_MAX else None


def totals(tree: Listing) -> Totals:
    """Bytes on disk, each hard-linked file once, and the number of entries."""
    blocks = {(entry.dev, entry.ino): entry.blocks for entry in tree.values()}
    return Totals(sum(blocks.values()) * 512, len(tree))


def changed_paths(now: Listing, trusted: t.Mapping[bytes, Entry]) -> list[bytes]:
    """Paths to copy: not trusted, or different from when they were; all names of a changed inode travel together."""
    paths = {path for path, entry in now.items() if trusted.get(path) != entry}
    inodes = {now[path].inode for path in paths if now[path].has_links}
    if inodes:
        paths.update(path for path, entry in now.items() if entry.has_links and entry.inode in inodes)
    return sorted(paths)


def surplus_paths(now: Listing, copy: Listing) -> list[bytes]:
    """Paths of the copy that the source does not have, or has as another type; the deepest first."""
    doomed = [path for path, entry in copy.items() if path not in now or not now[path].is_a(entry)]
    return sorted(doomed, reverse=True)


def parse_limit(text: str, option: str = "bandwidth_limit") -> int:
    """A number of bytes such as '50M' (units of 1024) in KiB, as rsync takes a bandwidth; '' and '0' are none.

    :param option: its name, for whoever typed it.
    :raises DrydockError: not a number with an optional unit K, M or G.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)", text.strip(), re.IGNORECASE) if text.strip() else None
    if not text.strip():
        return 0
    if match is None:
        raise DrydockError("variable-value", f"{option} '{text}' is not a number of bytes.", "Write it as 50M, for example.")
    factor = {"": 1 / 1024, "K": 1, "M": 1024, "G": 1024 * 1024}[match[2].upper()]
    return max(1, round(float(match[1]) * factor)) if float(match[1]) else 0


__all__ = (
    "COPY_MARK",
    "OUR_PREFIX",
    "OWN_ATTRIBUTES",
    "Entry",
    "Listing",
    "Moment",
    "Totals",
    "as_entry",
    "attributes",
    "changed_paths",
    "entry_of",
    "list_tree",
    "longest",
    "lstat_entry",
    "parse_limit",
    "subvolumes",
    "surplus_paths",
    "too_long",
    "totals",
)
