# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What one run wants of a host. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._engine.daemon_json import Ask


@dataclasses.dataclass(frozen=True)
class Request:
    """What one run wants of a host.

    :param path: the data root that is wanted, None to leave it alone.
    :param containerd_path: the root of containerd that is wanted, likewise.
    :param changing_limit: bytes that may still change when the daemon is to be stopped, 0 for no limit.
    :param state: relocated, prepared, cancelled, restored or cleaned.
    :param restart: auto, never or always.
    :param ready_timeout: seconds that the daemon may take to answer after a start.
    :param bandwidth_limit: KiB a second while containers run, 0 for none.
    :param confirm_timeout: seconds in which the controller has to reach changed addresses, 0 if it need not.
    :param untouched: what of an owner was not given, as pairs of owner and C(settings) or C(drop_ins): it stays as it is.
    :param take_over: keys that an owner takes over from others, by owner; ALL is any.
    :param allow_hidden_data: a change may make the images and containers that are there disappear from view.
    """

    asks: t.Tuple[Ask, ...] = ()
    path: t.Optional[str] = None
    keep_source: bool = True
    verify: str = "attributes"
    bandwidth_limit: int = 0
    require_persistent_mount: bool = True
    allow_swarm_manager: bool = False
    restart: str = "auto"
    ready_timeout: int = 120
    state: str = "relocated"
    containerd_path: t.Optional[str] = None
    changing_limit: int = 0
    confirm_timeout: int = 0
    allow_hidden_data: bool = False
    untouched: t.FrozenSet[t.Tuple[str, str]] = frozenset()
    take_over: t.Mapping[str, t.FrozenSet[str]] = dataclasses.field(default_factory=dict)


__all__ = ("Request",)
