#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Compare two directory trees entry by entry: the tests' own judge of a copy. It shares nothing with the collection, nor with rsync.

compare.py OLD NEW    print the differences as JSON: path (bytes that are not UTF-8 as surrogates) to the facts that differ
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import typing as t

# What a copy may take more than its original, for blocks that hold attributes or extents.
SLACK = 64 << 10

Facts = t.Dict[str, t.Any]


def attributes(path: bytes) -> dict[str, str]:
    """All extended attributes in hexadecimal: user, trusted (overlay's), security (capabilities), system (ACLs)."""
    names = sorted(os.listxattr(path, follow_symlinks=False))
    # (xfs shows an ACL twice.)
    return {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names if not name.startswith("trusted.SGI_ACL_")}


def content(path: bytes, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return os.readlink(path).hex()
    if not stat.S_ISREG(mode):
        return ""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def facts(path: bytes) -> Facts:
    """Everything about one entry that a copy has to keep; only times of access and of change of inode are left out."""
    s = os.lstat(path)
    is_device = stat.S_ISCHR(s.st_mode) or stat.S_ISBLK(s.st_mode)
    return {
        "type": stat.S_IFMT(s.st_mode),
        "mode": stat.S_IMODE(s.st_mode),
        "owner": (s.st_uid, s.st_gid),
        "mtime": s.st_mtime_ns,
        # A directory's size and number of links depend on the file system.
        "size": 0 if stat.S_ISDIR(s.st_mode) else s.st_size,
        "links": 0 if stat.S_ISDIR(s.st_mode) else s.st_nlink,
        "device": s.st_rdev if is_device else 0,
        "attributes": attributes(path),
        "content": content(path, s.st_mode),
    }


def tree(top: str) -> dict[bytes, Facts]:
    """Facts by path relative to the top. What is mounted on a directory of it is not looked at, and neither is that directory."""
    found: dict[bytes, Facts] = {}
    names: dict[int, list[bytes]] = {}
    root = os.fsencode(top)
    device = os.lstat(root).st_dev
    pending = [b""]
    while pending:
        path = pending.pop()
        where = os.path.join(root, path) if path else root
        status = os.lstat(where)
        if status.st_dev != device:
            continue
        found[path or b"."] = facts(where)
        if stat.S_ISDIR(status.st_mode):
            pending += [os.path.join(path, name) for name in os.listdir(where)]
        else:
            names.setdefault(status.st_ino, []).append(path)
    for same in names.values():
        for path in same:
            # A group of hard links is known by the first of its names.
            found[path]["group"] = min(same).hex() if len(same) > 1 else ""
    return found


def grew(old: bytes, new: bytes) -> bool:
    """Whether holes were filled: the copy takes more blocks."""
    return os.lstat(new).st_blocks * 512 > os.lstat(old).st_blocks * 512 + SLACK


def compare(old: str, new: str) -> dict[bytes, list[str]]:
    """Paths that differ, and in what: 'missing' (in the new tree), 'new', 'blocks', or names of facts."""
    ours, theirs = tree(old), tree(new)
    differences = {}
    for path in ours.keys() | theirs.keys():
        if path not in theirs:
            what = ["missing"]
        elif path not in ours:
            what = ["new"]
        else:
            what = [fact for fact, value in ours[path].items() if theirs[path].get(fact) != value]
            if ours[path]["type"] == stat.S_IFREG and grew(os.path.join(os.fsencode(old), path), os.path.join(os.fsencode(new), path)):
                what.append("blocks")
        if what:
            differences[path] = what
    return differences


def digest(top: str) -> str:
    """One checksum of a whole tree."""
    return hashlib.sha256(repr(sorted(tree(top).items())).encode()).hexdigest()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(json.dumps({os.fsdecode(path): what for path, what in sorted(compare(sys.argv[1], sys.argv[2]).items())}, indent=1))
