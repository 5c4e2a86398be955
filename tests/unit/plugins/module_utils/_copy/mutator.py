# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Change a tree in every way that Linux offers, at random: python mutator.py TREE OUTSIDE SEED COUNT, in a mount namespace of its own.

Makes the tree, says "ready", and waits for a line. Then it works on the tree directly, through a bind mount, and through an overlay
whose upper directory is in the tree. What it holds open then was partly opened before.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import pathlib
import random
import shutil
import stat
import subprocess
import sys
import time
import typing as t

LIBC = ctypes.CDLL(None, use_errno=True)
PUNCH_HOLE_KEEP_SIZE = 0x3
EXCHANGE = 0x2
AT_FDCWD = -100


class Mutator:
    def __init__(self, tree: pathlib.Path, outside: pathlib.Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.outside = outside
        self.bases = [tree, outside / "bind", outside / "merged"]
        # Moving directories covers much at once, so half of the seeds do without.
        self.move_directories = bool(seed % 2)
        self.serial = 0
        self.open: list[t.Any] = []
        for n in range(30):
            (tree / f"d{n % 10}" / f"e{n}").mkdir(parents=True)
            for m in range(8):
                path = tree / f"d{n % 10}" / f"e{n}" / f"f{m}"
                path.write_bytes(self.bytes())
                os.setxattr(path, "user.note", b"from the beginning")
        os.link(tree / "d1/e1/f1", outside / "second-name")
        self.pairs = []
        for n in range(20):
            self.pairs.append((tree / f"d{n % 10}" / f"pair{n}", tree / "d0" / f"pair{n}-other"))
            self.pairs[-1][0].write_bytes(self.bytes())
            os.link(*self.pairs[-1])
        for name in ("lower/x", "upper/x"):
            (tree / "overlay" / name).mkdir(parents=True)
            for m in range(8):
                (tree / "overlay" / name / f"{name[0]}{m}").write_bytes(self.bytes())
        (tree / "overlay/work").mkdir()
        for name in ("bind", "merged", "away"):
            (outside / name).mkdir()
        subprocess.run(["mount", "--bind", tree, outside / "bind"], check=True)
        options = f"lowerdir={tree}/overlay/lower,upperdir={tree}/overlay/upper,workdir={tree}/overlay/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, outside / "merged"], check=True)
        for _ in range(10):
            self.hold_open()

    def end(self) -> None:
        for thing in self.open:
            thing.close()
        for name in ("merged", "bind"):
            subprocess.run(["umount", self.outside / name], check=True)

    def bytes(self) -> bytes:
        return self.random.randbytes(self.random.choice((1, 100, 4096, 10000)))

    def base(self) -> pathlib.Path:
        return self.random.choice(self.bases)

    def every(self, base: pathlib.Path, kind: t.Callable[[int], bool]) -> pathlib.Path:
        """Some entry below a base; of the tree itself nothing that an overlay is made of, because changing it below a mount is undefined."""
        found = []
        for top, directories, files in os.walk(base):
            if "overlay" in directories and base.name != "merged":
                directories.remove("overlay")
            found += [path for name in directories + files if kind(os.lstat(path := os.path.join(top, name)).st_mode)]
        return pathlib.Path(self.random.choice(sorted(found)))

    def file(self) -> pathlib.Path:
        return self.every(self.base(), stat.S_ISREG)

    def directory(self, base: pathlib.Path | None = None) -> pathlib.Path:
        return self.every(base or self.base(), stat.S_ISDIR)

    def new(self, base: pathlib.Path | None = None) -> pathlib.Path:
        self.serial += 1
        return self.directory(base) / f"n{self.serial}"

    def sibling(self, path: pathlib.Path) -> pathlib.Path:
        """A new name in another directory of the same mount."""
        return self.new(next(base for base in self.bases if base in path.parents))

    # What is changed.

    def create(self) -> None:
        self.new().write_bytes(self.bytes())

    def rewrite_with_old_mtime(self) -> None:
        path = self.file()
        before = path.stat()
        with open(path, "r+b") as stream:
            stream.write(self.random.randbytes(before.st_size))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def append(self) -> None:
        with open(self.file(), "ab") as stream:
            stream.write(b"more")

    def store(self) -> None:
        with open(self.file(), "r+b") as stream:
            stream.truncate(8192)
            mapping = mmap.mmap(stream.fileno(), 8192)
        mapping[self.random.randrange(8192)] = self.random.randrange(256)
        if self.random.random() < 0.5:
            mapping.flush()
        mapping.close()

    def hold_open(self) -> None:
        with open(self.file(), "r+b") as stream:
            stream.truncate(8192)
            self.open.append(mmap.mmap(stream.fileno(), 8192))
        self.open.append(self.file().open("r+b", buffering=0))

    def use_held(self) -> None:
        thing = self.random.choice(self.open)
        thing.seek(self.random.randrange(4000))
        thing.write(b"held")

    def rename_file(self) -> None:
        path = self.file()
        path.rename(self.sibling(path))

    def rename_over(self) -> None:
        base = self.base()
        self.every(base, stat.S_ISREG).rename(self.every(base, stat.S_ISREG))

    def rename_directory(self) -> None:
        if self.move_directories:
            path = self.directory()
            path.rename(self.sibling(path))

    def move_out_and_in(self) -> None:
        if self.move_directories:
            away = self.outside / "away"
            for path in list(away.iterdir()):
                (path / "changed-outside").write_bytes(self.bytes())
                path.rename(self.new(self.bases[0]))
            self.serial += 1
            self.directory(self.bases[0]).rename(away / f"n{self.serial}")

    def move_away_and_back(self) -> None:
        if self.move_directories:
            path, away = self.directory(self.bases[0]), self.outside / "away-for-a-while"
            path.rename(away)
            (away / "new").write_bytes(self.bytes())
            if self.random.random() < 0.1:
                # Long enough for the tracker to see it there.
                time.sleep(0.3)
            away.rename(path)

    def exchange(self) -> None:
        base = self.base()
        one, other = (os.fsencode(self.every(base, stat.S_ISREG)) for _ in range(2))
        LIBC.renameat2(AT_FDCWD, one, AT_FDCWD, other, EXCHANGE)

    def link(self) -> None:
        path = self.file()
        os.link(path, self.sibling(path))

    def write_through_a_name_that_goes(self) -> None:
        path = self.file()
        other = self.sibling(path)
        os.link(path, other)
        with open(other, "r+b") as stream:
            stream.write(b"passing")
        other.unlink()

    def write_through_one_name_of_two_and_remove_it(self) -> None:
        one, other = self.pairs.pop()
        if other.stat().st_size and one.stat().st_ino == other.stat().st_ino:
            with open(one, "r+b") as stream:
                stream.write(b"last words")
            one.unlink()

    def write_through_a_name_outside(self) -> None:
        with open(self.outside / "second-name", "r+b") as stream:
            stream.write(self.bytes())

    def unlink(self) -> None:
        if self.serial % 3 == 0:
            self.file().unlink()

    def rmtree(self) -> None:
        path = self.new()
        (path / "a/b").mkdir(parents=True)
        (path / "a/b/c").write_bytes(b"c")
        if self.random.random() < 0.7:
            shutil.rmtree(path)

    def truncate(self) -> None:
        os.truncate(self.file(), self.random.randrange(9000))

    def allocate(self) -> None:
        with open(self.file(), "r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, 12000)

    def punch(self) -> None:
        with open(self.file(), "r+b") as stream:
            LIBC.fallocate(stream.fileno(), PUNCH_HOLE_KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(4096))

    def copy_range(self) -> None:
        with open(self.file(), "rb") as source, open(self.file(), "r+b") as target:
            os.copy_file_range(source.fileno(), target.fileno(), 1000)

    def sendfile(self) -> None:
        with open(self.file(), "rb") as source, open(self.file(), "r+b") as target:
            os.sendfile(target.fileno(), source.fileno(), 0, 1000)

    def xattr(self) -> None:
        os.setxattr(self.every(self.base(), lambda mode: stat.S_ISREG(mode) or stat.S_ISDIR(mode)), "user.note", self.bytes()[:50])

    def remove_xattr(self) -> None:
        os.removexattr(self.file(), "user.note")

    def chmod(self) -> None:
        self.every(self.base(), lambda mode: not stat.S_ISLNK(mode)).chmod(0o700 + self.random.randrange(64))

    def chown(self) -> None:
        os.lchown(self.every(self.base(), lambda mode: True), self.random.randrange(1000), self.random.randrange(1000))

    def utime(self) -> None:
        os.utime(self.every(self.base(), lambda mode: True), ns=(0, self.random.randrange(10**18)), follow_symlinks=False)

    def symlink(self) -> None:
        self.new().symlink_to("nowhere")

    def mknod(self) -> None:
        os.mknod(self.new(), self.random.choice((stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR)) | 0o600, os.makedev(1, 3))

    def unnamed(self) -> None:
        base = self.base()
        with open(os.open(self.directory(base), os.O_TMPFILE | os.O_RDWR), "r+b", buffering=0) as stream:
            stream.write(self.bytes())
            # With a directory's descriptor, which an absolute path does not need, Python follows the link.
            os.link(f"/proc/self/fd/{stream.fileno()}", self.new(base), src_dir_fd=stream.fileno())
            stream.write(self.bytes())


def main() -> None:
    mutator = Mutator(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]))
    ways = [way for name, way in vars(Mutator).items() if name in WAYS]
    print("ready", flush=True)
    sys.stdin.readline()
    done: dict[str, int] = dict.fromkeys(sorted(WAYS), 0)
    for _ in range(int(sys.argv[4])):
        way = mutator.random.choice(ways)
        # Some cannot be done to what was chosen: a directory into itself, an attribute that is not there.
        with contextlib.suppress(OSError, shutil.Error, IndexError):
            way(mutator)
            done[way.__name__] += 1
    mutator.end()
    never = [name for name, count in done.items() if not count and (mutator.move_directories or name not in MOVING)]
    if never:
        sys.exit(f"never done: {', '.join(never)}")


MOVING = {"rename_directory", "move_out_and_in", "move_away_and_back"}
HELPERS = {"__init__", "end", "bytes", "base", "every", "file", "directory", "new", "sibling"}
WAYS = {name for name, way in vars(Mutator).items() if callable(way)} - HELPERS

if __name__ == "__main__":
    main()
