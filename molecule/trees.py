# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What may differ between a data root and its copy once a daemon was started on the copy."""

from __future__ import annotations

import re
import typing as t

# What the daemon itself writes when it starts, on every new root and every old one. Everything else has to be equal.
DAEMONS_OWN = {
    r"\.|overlay2|volumes|runtimes|tmp|buildkit/executor": {"mtime"},
    # Our marker, and the mark of kept data.
    r"\.drydock-root-[0-9a-f]{12}": {"new"},
    r"\.drydock-kept": {"missing"},
    r"tmp/moby-detect-rro\d+": {"new", "missing"},
    # Databases that it opens for writing. What is in them is asked for through the API.
    r"network/files/local-kv\.db|volumes/metadata\.db|buildkit/(cache|metadata_v2|snapshots|containerdmeta)\.db": {"mtime", "size", "content", "blocks"},
    r"buildkit/executor/resolv\.conf": {"missing"},
    # A node with the number of the file system that the root lies on.
    r"volumes/backingFsBlockDev": {"mtime", "device"},
    # Paths are made anew in each container's file; the daemon writes both files again. Their content has a test of its own.
    r"containers/ID": {"mtime"},
    r"containers/ID/config\.v2\.json": {"mtime", "size", "content"},
    r"containers/ID/hostconfig\.json": {"mtime"},
    # The heartbeat goes on.
    r"volumes/beat/_data/log": {"mtime", "size", "content", "blocks"},
}
# What a container's start writes, for those that were started.
STARTED = {
    r"containers/ID/(hostname|hosts|resolv\.conf|resolv\.conf\.hash)": {"mtime", "size", "content"},
    r"overlay2/LAYER(/work(/work)?)?": {"mtime"},
}


def unexpected(differences: t.Mapping[str, list[str]], started: t.Mapping[str, str], inner: str = "", aside: str = "$^") -> dict[str, list[str]]:
    """What of the comparer's findings the daemon did not write.

    :param started: layers of the containers that were started, by container.
    :param inner: where below the roots the data lie.
    :param aside: what else the daemon may write.
    """
    found = {}
    for path, what in differences.items():
        short = ("/" + path).removeprefix(inner).lstrip("/") or "."
        if re.fullmatch(aside, short):
            continue
        allowed: set[str] = set()
        for pattern, facts in DAEMONS_OWN.items():
            if re.fullmatch(pattern.replace("ID", "[0-9a-f]{64}"), short):
                allowed |= facts
        for container, layer in started.items():
            for pattern, facts in STARTED.items():
                if re.fullmatch(pattern.replace("ID", container).replace("LAYER", layer), short):
                    allowed |= facts
        if set(what) - allowed:
            found[path] = what
    return found
