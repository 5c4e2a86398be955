# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Whether the kernel forwards: with nftables dockerd does not see to it, as it does with iptables, and does not start where it does not."""

from __future__ import annotations

import os
import re
import typing as t

from .._host import files
from .._host.host import Host
from .._plan.plan import Plan
from .finding import ERROR, WARNING, Finding

_KEY = "firewall-backend"
# By either of which it is set; a path is taken, too.
_NAMES = ("net.ipv4.ip_forward", "net.ipv4.conf.all.forwarding")
# Those of packages, and of whoever has installed something by hand. What lies in /run is gone at a boot.
_VENDORS = ("/usr/lib/sysctl.d", "/usr/local/lib/sysctl.d")


def forwarding_findings(host: Host, plan: Plan) -> t.Iterator[Finding]:
    """The kernel does not forward now, or nothing lets it at the next boot."""
    settings = plan.after.settings
    if settings.get(_KEY) != "nftables" or settings.get("ip-forward") is False:
        return
    starts = plan.effect in ("start", "restart") or plan.packages is not None
    is_new = plan.before.settings.get(_KEY) != "nftables"
    path = os.path.join(host.places.sysctl, "50-docker.conf")
    hint = f"Write net.ipv4.ip_forward = 1 into {path}, then: sysctl --load={path}. Or set ip-forward: false, and see to it yourself."
    why = "with firewall-backend nftables dockerd does not start without IP forwarding, and does not switch it on"
    if (files.read(host.places.ip_forward) or "").strip() == "0":
        yield Finding("ip-forward", ERROR if starts else WARNING, f"net.ipv4.ip_forward is 0, and {why}.", hint)
    elif not _is_kept((*_VENDORS, host.places.sysctl)):
        yield Finding("ip-forward", ERROR if starts and is_new else WARNING, f"Nothing sets net.ipv4.ip_forward to 1 at a boot, and {why}.", hint)


def _is_kept(directories: t.Iterable[str]) -> bool:
    """Whether a boot lets the kernel forward.

    The last file by its name has the last word, and one of a later directory is in the place of one that has the same name (sysctl.d(5)).
    """
    by_name = {name: os.path.join(top, name) for top in directories if os.path.isdir(top) for name in os.listdir(top) if name.endswith(".conf")}
    kept = ""
    for _name, path in sorted(by_name.items()):
        for line in (files.read(path) or "").splitlines() if os.path.isfile(path) else ():
            found = re.fullmatch(r"\s*-?([a-z0-9_./]+)\s*=\s*(\S+)\s*", line)
            if found and found[1].replace("/", ".") in _NAMES:
                kept = found[2]
    return kept == "1"


__all__ = ("forwarding_findings",)
