# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What is kept between runs comes back as it was."""

from __future__ import annotations

import dataclasses
import os
import pathlib

from ansible_collections.drydock.dockerd.plugins.module_utils import _notes
from ansible_collections.drydock.dockerd.plugins.module_utils._daemon_json import Ask
from ansible_collections.drydock.dockerd.plugins.module_utils._notes import Notes, Past


def test_notes_come_back_from_their_file(host):
    assert _notes.load(host) == Notes({}, {}, "")
    known = Notes(
        {"a": Ask("a", {"debug": True}, {"zz.conf": "[Service]\n"}, True)},
        {"process": "1:2", "settings": {"debug": True}},
        ".drydock-root-1",
        (Past("/var/lib/docker", "/mnt/docker", "/var/lib/docker.drydock-kept-1", (5, 6), False),),
        files={"/etc/docker/daemon.json": "1a2b"},
    )
    os.makedirs(host.places.state)
    pathlib.Path(host.places.state, "owners.json").write_text(known.text())
    assert _notes.load(host) == known


def test_notes_of_before_moves_were_noted_are_read():
    assert _notes.parse('{"owners": {}, "settled": {}, "marker": "m"}') == Notes({}, {}, "m")


def test_a_kept_directory_is_known_by_its_inode(tmp_path):
    past = Past("/a", "/b", str(tmp_path / "kept"), (5, 6), False)
    assert not past.is_there
    (tmp_path / "kept").mkdir()
    past = dataclasses.replace(past, inode=_notes.inode_of(past.kept))
    assert past.is_there
    (tmp_path / "kept").rename(tmp_path / "other")
    (tmp_path / "kept").mkdir()
    assert not past.is_there
