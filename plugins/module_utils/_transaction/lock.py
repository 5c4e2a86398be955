# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""One change at a time on a host."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import typing as t

from .._errors import DrydockError
from .._host.host import Host


@contextlib.contextmanager
def locked(host: Host, what: str) -> t.Iterator[None]:
    """One change at a time on a host.

    :raises DrydockError: somebody else holds the lock; says who and since when.
    """
    # Root's alone, also where an older release has made it: whoever may open a file may hold its lock, and block all changes.
    descriptor = os.open(host.places.lock, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "a+", encoding="utf-8") as stream:
        os.fchmod(descriptor, 0o600)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            stream.seek(0)
            raise DrydockError(
                "lock-held", f"Another change of this host's Docker daemon is under way: {stream.read().strip() or 'unknown'}.", "Wait until it ends."
            ) from exc
        stream.truncate(0)
        since = datetime.datetime.fromtimestamp(host.now()).astimezone().isoformat(timespec="seconds")
        stream.write(f"{what}, process {os.getpid()}, since {since}")
        stream.flush()
        yield


__all__ = ("locked",)
