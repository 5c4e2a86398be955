# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What may happen while a warm pass runs, at the very moment where it would hurt."""

from __future__ import annotations

import mmap
import os
import pathlib
import typing as t

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import copier as copier_module
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import first_pass
from ansible_collections.drydock.dockerd.plugins.module_utils._host import host

OLD = 10**18


class Meddler:
    """Runs commands for real, and something else before and after each: name of the command to what is done."""

    def __init__(self) -> None:
        self.before: dict[str, t.Callable[[], object]] = {}
        self.after: dict[str, t.Callable[[], object]] = {}

    def __call__(self, argv: t.Sequence[str], timeout: float | None, stdin: bytes | None) -> host.Result:
        name = "rsync" if "rsync" in argv else argv[0]
        self.before.pop(name, lambda: None)()
        result = host._run(argv, timeout, stdin)
        self.after.pop(name, lambda: None)()
        return result

    def fill(self, *arguments: t.Any) -> set[bytes]:
        self.before.pop("fill", lambda: None)()
        missed = first_pass.fill(*arguments)
        self.after.pop("fill", lambda: None)()
        return missed


@pytest.fixture
def meddler() -> Meddler:
    return Meddler()


@pytest.fixture
def copier(tmp_path: pathlib.Path, meddler: Meddler) -> copier_module.Copier:
    """Time stands still an hour ahead, so that everything written here is old enough to be trusted."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "d").mkdir(parents=True)
    target.mkdir()
    clock = os.stat(source).st_ctime + 3600
    return copier_module.Copier(host.Host(execute=meddler, now=lambda: clock), str(source), str(target), fill=meddler.fill)


def write(path: pathlib.Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(OLD, OLD))


@pytest.mark.runs_commands
def test_directory_that_is_away_while_rsync_starts_leaves_no_stale_copy(copier: copier_module.Copier, meddler: Meddler, tmp_path: pathlib.Path) -> None:
    home, away = tmp_path / "source" / "d", tmp_path / "away"
    write(home / "f", "AAAA")
    copier.warm_pass()
    write(home / "f", "BBBB")
    meddler.before["rsync"] = lambda: home.rename(away)
    meddler.after["rsync"] = lambda: away.rename(home)
    copier.warm_pass()
    copier.final_pass()

    assert (tmp_path / "target" / "d" / "f").read_text() == "BBBB"


@pytest.mark.runs_commands
@pytest.mark.parametrize("leads", ["/", "../../../../../../../../.."])
def test_a_directory_that_becomes_a_link_brings_no_file_of_the_host(copier: copier_module.Copier, meddler: Meddler, tmp_path: pathlib.Path, leads: str) -> None:
    """rsync opens by names what it has seen before: the link has to lead it to nothing but the tree itself."""
    home, away, secret = tmp_path / "source" / "d", tmp_path / "away", tmp_path / "host"
    inside = str(secret).lstrip("/")
    write(home / "f", "AAAA")
    copier.warm_pass()
    (home / inside).mkdir(parents=True)
    secret.mkdir()
    for path in (home / inside / "key", secret / "key"):
        path.write_text(str(path))
    arrived: list[pathlib.Path] = []

    def swap() -> None:
        home.rename(away)
        home.symlink_to(leads)

    def look() -> None:
        arrived.extend(one for one in (tmp_path / "target").rglob("key") if one.read_text() == str(secret / "key"))
        home.unlink()
        away.rename(home)

    meddler.before["rsync"], meddler.after["rsync"] = swap, look
    copier.warm_pass()
    assert arrived == []
    copier.final_pass()
    assert (tmp_path / "target" / "d" / inside / "key").read_text() == str(home / inside / "key")


@pytest.mark.runs_commands
def test_store_through_a_mapping_during_a_long_sync_arrives(copier: copier_module.Copier, meddler: Meddler, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "source" / "d" / "f"
    path.write_bytes(bytes(4096))
    clock = [os.stat(path).st_ctime + 3600]
    copier.host.now = lambda: clock[0]
    with open(path, "r+b") as stream, mmap.mmap(stream.fileno(), 4096) as memory:

        def store_and_let_the_sync_take_an_hour() -> None:
            memory[0:2] = b"v1"
            clock[0] = os.stat(path).st_ctime + 3600

        clock[0] = os.stat(path).st_ctime + 1
        meddler.after["sync"] = store_and_let_the_sync_take_an_hour
        # Into a page that is dirty already: no time stamp moves.
        meddler.after["fill"] = lambda: memory.__setitem__(slice(0, 2), b"v2")
        copier.warm_pass()
        copier.final_pass()

        assert (tmp_path / "target" / "d" / "f").read_bytes()[:2] == b"v2"


@pytest.mark.runs_commands
def test_what_is_stored_during_a_long_sync_is_not_trusted(copier: copier_module.Copier, meddler: Meddler, tmp_path: pathlib.Path) -> None:
    """It is younger than the pass, however late the sync ends."""
    path = tmp_path / "source" / "d" / "f"
    path.touch()
    clock = [os.stat(path).st_ctime + 1]
    copier.host.now = lambda: clock[0]
    meddler.after["sync"] = lambda: clock.__setitem__(0, clock[0] + 3600)
    copier.warm_pass()

    assert b"d/f" not in copier.trusted
