# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What is kept between runs comes back as it was."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

from ansible_collections.drydock.dockerd.plugins.module_utils._copy.kept_mark import read_mark, write_mark
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._host import files
from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import boot_id
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import records
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.records import BOOT, MARKED, PastMove, Records


def test_notes_come_back_from_their_file(host):
    assert records.load(host) == Records({}, {}, "")
    known = Records(
        {"a": Ask("a", {"debug": True}, {"zz.conf": "[Service]\n"}, True)},
        {"process": "1:2", "settings": {"debug": True}},
        ".drydock-root-1",
        (PastMove("/var/lib/docker", "/mnt/docker", "/var/lib/docker.drydock-kept-1", (5, 6), False),),
        files={"/etc/docker/daemon.json": "1a2b"},
    )
    os.makedirs(host.places.state_dir)
    pathlib.Path(host.places.state_dir, "owners.json").write_text(known.text())
    assert records.load(host) == known
    # Other releases read this, too.
    fields = {"origin", "root", "kept", "inode", "restored", "tree", "run", "record"}
    assert [set(one) for one in json.loads(known.text())["history"]] == [fields]


def test_what_was_proved_of_a_process_holds_in_its_boot(host, monkeypatch):
    """After another one a process may have its id and have started in the same tick. Release 0.1.0 has noted no boot."""
    os.makedirs(host.places.state_dir)
    for noted, holds in (({BOOT: boot_id()}, True), ({BOOT: "another"}, False), ({}, True)):
        pathlib.Path(records.path_of(host)).write_text(Records({}, {"process": "1:2", **noted}, "m").text())
        assert (bool(records.load(host).verified), records.load(host).marker) == (holds, "m")


def test_notes_of_before_moves_were_noted_are_read():
    assert records.parse('{"owners": {}, "settled": {}, "marker": "m"}') == Records({}, {}, "m")


def is_there(past):
    return past.is_there(files.inode_of(past.kept), read_mark(past.kept))


def test_a_kept_directory_is_known_by_its_mark(tmp_path):
    """A boot may give its disk another number, and another directory may get its inode."""
    (tmp_path / "kept").mkdir()
    past = PastMove("/a", "/b", str(tmp_path / "kept"), files.inode_of(str(tmp_path / "kept")), False, "data-root", "run", {MARKED: True})
    assert not is_there(past)
    write_mark(past.kept, "data-root other")
    assert not is_there(past)
    assert not is_there(dataclasses.replace(past, record={}))
    write_mark(past.kept, past.kept_id)
    for one in (past, dataclasses.replace(past, inode=(5, 6)), dataclasses.replace(past, inode=(5, 6), record={})):
        assert is_there(one)
    assert not is_there(dataclasses.replace(past, tree="containerd"))


def test_a_kept_directory_without_a_mark_is_known_by_its_inode(tmp_path):
    """As release 0.1.0 has left it, or a full disk."""
    past = PastMove("/a", "/b", str(tmp_path / "kept"), (5, 6), False)
    assert not is_there(past)
    assert not is_there(dataclasses.replace(past, inode=(0, 0)))
    (tmp_path / "kept").mkdir()
    past = dataclasses.replace(past, inode=files.inode_of(past.kept))
    assert is_there(past)
    (tmp_path / "kept").rename(tmp_path / "other")
    (tmp_path / "kept").mkdir()
    assert not is_there(past)
