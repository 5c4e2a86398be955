# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The mark of kept data: by its id they are known, also where a boot gave their disk another number."""

from __future__ import annotations

import os

from .._host import files

KEPT_MARK = ".drydock-kept"


def write_mark(kept: str, id: str) -> None:
    """Mark kept data durably."""
    text = f"{id}\nOld data of this host's Docker daemon, set aside by drydock.dockerd, which knows them by the line above.\n"
    files.write(os.path.join(kept, KEPT_MARK), text)


def read_mark(path: str) -> str:
    """The id of the kept data that lie at a path; empty where there is no mark."""
    mark = os.path.join(path, KEPT_MARK)
    return (files.read(mark) or "").partition("\n")[0] if os.path.isfile(mark) else ""


__all__ = ("KEPT_MARK", "read_mark", "write_mark")
