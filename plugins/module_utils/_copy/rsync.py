# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""rsync, with its reading side locked into the tree that it reads.

What containers own they change while it is read: a directory that becomes a link to / between rsync's look and its opening would bring files of the host
into the copy. So the reading side runs as rsync's own daemon does, at the other end of a pipe, with the tree for its root (rsyncd.conf(5), use chroot):
whatever a link says, it leads to nothing outside.
"""

from __future__ import annotations

import shutil
import typing as t

from .._host.host import Host, Result
from .listing import OWN_ATTRIBUTES

NICE = 10
IDLE = ("ionice", "-c", "3")
_OPTIONS = (
    "-aHAXS", "--numeric-ids", "--no-inc-recursive", "--modify-window=-1", "--one-file-system", "--whole-file", "--ignore-times",
    "--ignore-missing-args", "--timeout=600",
)  # fmt: skip
# rsync puts the variable's value there, whatever characters it has.
_ROOT = "DRYDOCK_SOURCE"
_READER = f"""rsync --server --daemon --config=/dev/fd/3 . 3<<END
log file = /dev/null
use chroot = yes
munge symlinks = no
uid = 0
gid = 0
numeric ids = yes
read only = yes
[root]
path = %{_ROOT}%
END
"""


def send(host: Host, source: str, target: str, paths: t.Iterable[bytes], limit: int = 0, idle: bool = False) -> Result:
    """Copy paths of one tree into another.

    :param paths: relative to the source; of a directory itself, and nothing in it.
    :param limit: KiB a second, 0 for none.
    :param idle: let others go first.
    """
    leave_out = [f"--filter=-x {name}*" for name in OWN_ATTRIBUTES]
    first = (*IDLE, "nice", "-n", str(NICE)) if idle and shutil.which("ionice") else ()
    options = [f"--bwlimit={limit}"] if limit else []
    # A bare name that begins with # or ; is a comment to some versions of rsync.
    names = b"\0".join(b"./" + path for path in paths)
    return host.run(
        "env", f"{_ROOT}={source}", *first, "rsync", *_OPTIONS, *leave_out, *options, f"--rsh=sh -c '{_READER}'", "--dirs", "--from0", "--files-from=-",
        "source::root/", target + "/", timeout=None, stdin=names,
    )  # fmt: skip


__all__ = ("IDLE", "NICE", "send")
