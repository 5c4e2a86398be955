# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""An index is believed where it holds, and nowhere else."""

from __future__ import annotations

import os
import pathlib
import time

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._copy import trust_index
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.copier import Copier
from ansible_collections.drydock.dockerd.plugins.module_utils._copy.listing import Entry, Moment
from ansible_collections.drydock.dockerd.plugins.module_utils._host import host, processes

TRUSTED = {b".": Entry(*range(11)), b"a/b": Entry(*range(-11, 0)), b"not UTF-8: \xff\n": Entry(*range(1 << 40, (1 << 40) + 11))}
FLAGS = {b"a/b": 0x10}
LOOKED = Moment(1_700_000_000.25, 12.5)


@pytest.fixture
def boot(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The file that has the number of this boot."""
    path = tmp_path / "boot_id"
    path.write_text("first\n")
    monkeypatch.setattr(processes, "_BOOT_ID", str(path))
    return path


@pytest.fixture
def target(tmp_path: pathlib.Path, boot: pathlib.Path) -> str:
    """A target with the index of a copy of /source."""
    (tmp_path / "target").mkdir()
    trust_index.save("/source", str(tmp_path / "target"), TRUSTED, FLAGS, LOOKED)
    return str(tmp_path / "target")


def test_an_index_comes_back(target: str) -> None:
    assert trust_index.load("/source", target) == (LOOKED, TRUSTED, FLAGS)
    assert os.listdir(target) == [trust_index.NAME]
    trust_index.remove(target)
    assert trust_index.load("/source", target) is None


def test_an_index_holds_in_its_own_boot_and_for_its_own_copy_only(target: str, boot: pathlib.Path) -> None:
    assert trust_index.load("/other", target) is None
    os.rename(target, f"{target}-moved")
    assert trust_index.load("/source", f"{target}-moved") is None
    os.rename(f"{target}-moved", target)
    assert trust_index.load("/source", target) is not None
    boot.write_text("second\n")
    assert trust_index.load("/source", target) is None


def test_an_index_without_its_end_is_none(target: str) -> None:
    path = pathlib.Path(target, trust_index.NAME)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert trust_index.load("/source", target) is None


@pytest.mark.runs_commands
def test_there_is_no_index_while_a_pass_changes_the_copy(tmp_path: pathlib.Path) -> None:
    source, target, found = tmp_path / "source", tmp_path / "target", []
    for one in (source, target):
        one.mkdir()

    def execute(argv, timeout, stdin):
        if "rsync" in argv:
            found.append(os.path.exists(target / trust_index.NAME))
        return host._run(argv, timeout, stdin)

    copier = Copier(host.Host(execute=execute, now=lambda: time.time() + 60), str(source), str(target))
    for number, work in enumerate((copier.warm_pass, copier.warm_pass, copier.final_pass)):
        (source / str(number)).touch()
        work()
        found.append((target / trust_index.NAME).exists())
    # The first pass is tar's.
    assert found == [True, False, True, False, False]
