# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""A container in the engine's own words, as far as a restart of the daemon concerns it."""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import EngineError
from .api import NEVER, STOP_TIMEOUT, Engine

# dockerd's own default.
_LOG_DRIVER = "json-file"
# The label that a swarm gives to the container of each of its tasks.
_TASK = "com.docker.swarm.task.id"


@dataclasses.dataclass(frozen=True)
class Container:
    """A container as far as a restart of the daemon concerns it.

    :param state: created, running, paused, restarting, exited, removing or dead.
    :param policy: restart policy; an empty one is 'no'.
    :param needs: names or ids of containers that have to run first.
    :param binds: host paths that it mounts.
    :param health: starting, healthy or unhealthy; empty without a health check.
    :param started_at: when it was last started, in the engine's own words; empty when it never was.
    :param tty: its output is one stream, as a terminal shows it.
    :param requires: host paths without which it does not start.
    :param ports: host ports that it publishes, as tcp/8080.
    :param log_driver: where its output goes, as it was made with, and
    :param log_opts: the options of that.
    :param size_limit: how much it may write, as --storage-opt size= says it; empty for as much as there is.
    :param stop_timeout: for how many seconds it may go on when it is asked to stop, before it is killed; less than 0 for as long as it likes.
    :param swarm_task: a swarm made it, and replaces it as it likes.
    """

    id: str
    name: str
    image: str
    state: str
    policy: str
    max_retries: int
    exit_code: int
    restart_count: int
    auto_remove: bool
    needs: t.Tuple[str, ...]
    binds: t.Tuple[str, ...]
    health: str = ""
    started_at: str = ""
    tty: bool = False
    swarm_task: bool = False
    requires: t.Tuple[str, ...] = ()
    ports: t.Tuple[str, ...] = ()
    size_limit: str = ""
    stop_timeout: int = STOP_TIMEOUT
    log_driver: str = ""
    log_opts: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether it runs, or is about to."""
        return self.state in ("running", "paused", "restarting")

    def has_logs_of(self, settings: t.Mapping[str, t.Any]) -> bool:
        """Whether its output goes where a daemon with these settings lets it go: a container keeps what it was made with."""
        wanted = settings.get("log-opts") or {}
        return self.log_driver == settings.get("log-driver", _LOG_DRIVER) and all(self.log_opts.get(key) == str(value) for key, value in wanted.items())

    @property
    def is_transient(self) -> bool:
        """Whether it goes away without anybody's word: by itself at its end, or by the swarm's."""
        return self.auto_remove or self.swarm_task


def inspect_containers(engine: Engine, names: t.Container[str] | None = None) -> t.Iterator[dict[str, t.Any]]:
    """All that the engine says of each of its containers, or of those of these names."""
    for brief in engine.get("/containers/json", all=1):
        if names is not None and not any(name.lstrip("/") in names for name in brief.get("Names") or []):
            continue
        try:
            yield engine.get(f"/containers/{brief['Id']}/json")
        except EngineError as exc:
            # Removed since the list was made (--rm). One that the engine says nothing of is there all the same, and may run.
            if exc.status != 404:
                raise


def to_container(raw: t.Mapping[str, t.Any]) -> Container:
    """A container as the engine describes it."""
    config, state = raw["HostConfig"], raw["State"]
    policy = config.get("RestartPolicy") or {}
    modes = [config.get(key) or "" for key in ("NetworkMode", "IpcMode", "PidMode")]
    needs = [mode.split(":", 1)[1] for mode in modes if mode.startswith("container:")]
    needs += [link.split(":", 1)[0].lstrip("/") for link in config.get("Links") or []]
    return Container(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        image=raw["Config"].get("Image") or raw.get("Image") or "",
        state=state["Status"],
        policy=policy.get("Name") or "no",
        max_retries=policy.get("MaximumRetryCount") or 0,
        exit_code=state.get("ExitCode") or 0,
        restart_count=raw.get("RestartCount") or 0,
        auto_remove=bool(config.get("AutoRemove")),
        needs=tuple(needs),
        binds=tuple(mount["Source"] for mount in raw.get("Mounts") or [] if mount.get("Type") == "bind"),
        health=_health(state),
        started_at="" if state.get("StartedAt", NEVER) == NEVER else state["StartedAt"],
        tty=bool(raw["Config"].get("Tty")),
        swarm_task=_TASK in (raw["Config"].get("Labels") or {}),
        requires=tuple(_required(config)),
        ports=tuple(_ports(raw)),
        log_driver=(config.get("LogConfig") or {}).get("Type", ""),
        log_opts=(config.get("LogConfig") or {}).get("Config") or {},
        size_limit=(config.get("StorageOpt") or {}).get("size", ""),
        stop_timeout=raw["Config"].get("StopTimeout", STOP_TIMEOUT),
    )


def stop_seconds(containers: t.Iterable[Container]) -> int | None:
    """How long the daemon waits for its containers at most when it stops; None without an end.

    It asks all at once, and its own shutdown-timeout cuts none of their times short. Which of them would use theirs nobody knows before.
    """
    seconds = [one.stop_timeout for one in containers if one.alive]
    return max(seconds, default=0) if all(one >= 0 for one in seconds) else None


def _required(config: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Sources that the engine does not make where they are missing (it does for -v), and devices."""
    for mount in config.get("Mounts") or []:
        if mount.get("Type") == "bind" and not (mount.get("BindOptions") or {}).get("CreateMountpoint"):
            yield mount["Source"]
    yield from (one["PathOnHost"] for one in config.get("Devices") or [] if one.get("PathOnHost"))


def _ports(raw: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    for port, bindings in ((raw.get("NetworkSettings") or {}).get("Ports") or {}).items():
        yield from {f"{port.partition('/')[2] or 'tcp'}/{one['HostPort']}" for one in bindings or () if one.get("HostPort")}


def _health(state: t.Mapping[str, t.Any]) -> str:
    status = (state.get("Health") or {}).get("Status") or ""
    return "" if status == "none" else status


__all__ = (
    "Container",
    "inspect_containers",
    "stop_seconds",
    "to_container",
)
