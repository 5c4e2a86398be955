# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Which init system runs dockerd here: the one place that knows how many there are."""

from __future__ import annotations

import os

from .._host.host import Host
from .service import Service
from .systemd import Systemd
from .sysv import SysV


def service_of(host: Host, with_containerd: bool = False) -> Service:
    """How dockerd is run on a host: by systemd, where that is what booted it (sd_booted(3)), else by docker's init script.

    :param with_containerd: containerd is stopped and started too. Without systemd no containerd is a service of its own.
    """
    if os.path.isdir(host.places.runtime_units) or not os.path.exists(host.places.init_script):
        return Systemd(host, with_containerd)
    return SysV(host)


__all__ = ("service_of",)
