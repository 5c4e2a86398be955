#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A container's process that changes its volume all the time, in ways that size and time do not show.

lab-writer DIRECTORY          change DIRECTORY/tree until SIGTERM, then note in DIRECTORY/left what was left; idle when that exists
lab-writer DIRECTORY check    print as JSON what of DIRECTORY/tree is not as it was left
"""

from __future__ import annotations

import json
import mmap
import os
import pathlib
import random
import shutil
import signal
import sys
import time
import typing as t

sys.path.insert(0, "/usr/local/bin")
import compare

SIZE, DIRECTORIES, FILES, MAPPED = 600, 30, 1500, 12


def left_in(top: pathlib.Path) -> dict[str, t.Any]:
    """Facts by path; owners aside, whose numbers a user namespace shows otherwise inside than outside."""
    keep = ("type", "mode", "mtime", "size", "links", "content", "group")
    return {path.hex(): [facts.get(one) for one in keep] for path, facts in compare.tree(str(top)).items()}


class Writer:
    """Does one random thing at a time."""

    def __init__(self, top: pathlib.Path) -> None:
        self.top = top
        self.count = 0
        for number in range(DIRECTORIES):
            (top / f"d{number}").mkdir(parents=True)
        for number in range(FILES):
            (top / f"d{number % DIRECTORIES}" / f"f{number}").write_bytes(random.randbytes(SIZE))
        self.mappings = [self.map(top / f"mapped-{number}") for number in range(MAPPED)]

    def map(self, path: pathlib.Path) -> mmap.mmap:
        path.write_bytes(bytes(1 << 16))
        with open(path, "r+b") as stream:
            return mmap.mmap(stream.fileno(), 1 << 16)

    def directory(self) -> pathlib.Path:
        return random.choice([path for path in self.top.iterdir() if path.is_dir()])

    def file(self) -> pathlib.Path:
        while True:
            files = [path for path in self.directory().iterdir() if path.is_file()]
            if files:
                return random.choice(files)

    def fresh(self, where: pathlib.Path) -> pathlib.Path:
        self.count += 1
        return where / f"n{self.count}"

    def rewrite(self) -> None:
        """The same size, and the old time set back."""
        path = self.file()
        status = path.stat()
        with open(path, "r+b") as stream:
            stream.write(random.randbytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def store(self) -> None:
        """Through a mapping that nobody ever syncs."""
        start = random.randrange(0, 1 << 16, 8)
        random.choice(self.mappings)[start : start + 8] = random.randbytes(8)

    def replace_file(self) -> None:
        path = self.file()
        path.unlink()
        self.fresh(path.parent).write_bytes(random.randbytes(SIZE))

    def rename_file(self) -> None:
        self.file().rename(self.fresh(self.directory()))

    def rename_over(self) -> None:
        self.file().replace(self.file())
        self.fresh(self.directory()).write_bytes(random.randbytes(SIZE))

    def rename_directory(self) -> None:
        self.directory().rename(self.fresh(self.top))

    def exchange_directories(self) -> None:
        one, other = self.directory(), self.directory()
        if one != other:
            aside = self.fresh(self.top)
            one.rename(aside)
            other.rename(one)
            aside.rename(other)

    def new_directory(self) -> None:
        path = self.fresh(self.top)
        path.mkdir()
        for _number in range(3):
            self.fresh(path).write_bytes(random.randbytes(SIZE))

    def remove_directory(self) -> None:
        """A small one, so that enough is left to play with."""
        path = min((self.directory() for _number in range(10)), key=lambda one: len(list(one.iterdir())))
        if len(list(path.iterdir())) < 10:
            shutil.rmtree(path)

    def link(self) -> None:
        os.link(self.file(), self.fresh(self.directory()))

    def link_over(self) -> None:
        aside = self.fresh(self.top)
        os.link(self.file(), aside)
        aside.replace(self.file())
        # Two names of one file: rename did nothing.
        aside.unlink(missing_ok=True)

    def change_mode(self) -> None:
        self.file().chmod(random.choice((0o600, 0o644, 0o755)))

    def change_type(self) -> None:
        path = self.file()
        path.unlink()
        path.mkdir()
        (path / "inside").write_bytes(random.randbytes(SIZE))

    def change_symlink(self) -> None:
        """Another target of the same length."""
        aside = self.fresh(self.top)
        aside.symlink_to(f"target-{random.randrange(10)}")
        aside.replace(self.top / f"symlink-{random.randrange(5)}")

    def act(self) -> None:
        often = [self.rewrite, self.rewrite, self.rewrite, self.store, self.store]
        seldom = [
            self.replace_file, self.rename_file, self.rename_over, self.rename_directory, self.exchange_directories, self.new_directory,
            self.remove_directory, self.link, self.link_over, self.change_mode, self.change_type, self.change_symlink,
        ]  # fmt: skip
        random.choice(often + seldom)()


def write_until_told(base: pathlib.Path) -> None:
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    left = base / "left"
    if not left.exists():
        writer = Writer(base / "tree")
        actions = 0
        while not told:
            writer.act()
            actions += 1
            last = time.time()
            time.sleep(0.01)
        left.write_text(json.dumps({"actions": actions, "last": last, "tree": left_in(base / "tree")}))
    while not told:
        time.sleep(0.1)


def check(base: pathlib.Path) -> None:
    left = json.loads((base / "left").read_text())
    now = left_in(base / "tree")
    then = left.pop("tree")
    wrong = {bytes.fromhex(path).decode(): [then.get(path), now.get(path)] for path in then.keys() | now.keys() if then.get(path) != now.get(path)}
    print(json.dumps({**left, "entries": len(then), "wrong": wrong}))


if __name__ == "__main__":
    (check if sys.argv[2:] == ["check"] else write_until_told)(pathlib.Path(sys.argv[1]))
