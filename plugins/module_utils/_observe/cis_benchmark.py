# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The daemon's part of the CIS Docker Benchmark (1.6.0: 1.1.1 and section 2) as data: rule, state and evidence. Pure.

It is judged what the running daemon does, not what a file says. Where the benchmark leaves a judgement to people, the state is 'manual'.
"""

from __future__ import annotations

import os
import typing as t

from .._engine.addresses import plain_tcp
from .._host.mounts import mount_of
from .state import State

PASS, FAIL, MANUAL = "pass", "fail", "manual"
Verdict = t.Tuple[str, str]


def judge(state: State) -> list[dict[str, str]]:
    """Each rule with its C(rule), C(title), C(state) and C(evidence)."""
    settings = state.in_force if state.pid else state.effective(state.daemon_json, state.unit.ours)
    return [{"rule": rule, "title": title, "state": verdict[0], "evidence": verdict[1]} for rule, title, look in _RULES for verdict in [look(state, settings)]]


def _when(good: bool, evidence: str) -> Verdict:
    return (PASS if good else FAIL), evidence


def _value(settings: t.Mapping[str, t.Any], key: str, default: t.Any) -> str:
    return f"{key} is {settings[key]!r}" if key in settings else f"{key} is not set, and {default!r} by default"


def _is(key: str, wanted: t.Any, default: t.Any) -> t.Callable[[State, t.Mapping[str, t.Any]], Verdict]:
    return lambda _state, settings: _when(settings.get(key, default) == wanted, _value(settings, key, default))


def _is_given(key: str) -> t.Callable[[State, t.Mapping[str, t.Any]], Verdict]:
    return lambda _state, settings: _when(bool(settings.get(key)), f"{key} is {settings[key]!r}" if settings.get(key) else f"{key} is not set")


def _partition(state: State, _settings: t.Mapping[str, t.Any]) -> Verdict:
    mount = mount_of(os.path.realpath(state.data_root), state.mounts)
    return _when(mount is not None and mount.point != "/", f"{state.data_root} is on {mount.point if mount else 'an unknown file system'}")


def _options(state: State) -> list[str]:
    return [str(option) for option in state.info.get("SecurityOptions") or []]


def _rootless(state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    rootless = any("name=rootless" in option for option in _options(state)) or bool(settings.get("rootless"))
    return (PASS, "dockerd runs as a user") if rootless else (MANUAL, "dockerd runs as root")


def _insecure_registries(state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    listed = list(settings.get("insecure-registries") or [])
    return _when(not listed, f"insecure-registries has {', '.join(listed)}" if listed else "insecure-registries is empty")


def _driver(state: State, _settings: t.Mapping[str, t.Any]) -> Verdict:
    return _when(state.info.get("Driver") != "aufs", f"the storage driver is {state.info.get('Driver') or 'not known while the daemon is down'}")


def _tls(state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    believed = {one.text: True for one in plain_tcp(state.addresses, settings)}
    plain = [one.text for one in state.addresses if one.scheme == "tcp" and state.lets_in.get(one.text, believed.get(one.text, False))]
    if plain:
        return FAIL, f"{', '.join(plain)} verifies no client certificates"
    return PASS, "clients are verified on each tcp address" if any(one.scheme == "tcp" for one in state.addresses) else "there is no tcp address"


def _userns(state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    return _when(any("name=userns" in option for option in _options(state)), _value(settings, "userns-remap", ""))


def _base_size(_state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    sizes = [one for one in settings.get("storage-opts") or [] if one.startswith("dm.basesize")]
    return _when(not sizes, f"storage-opts has {', '.join(sizes)}" if sizes else "no base size is set")


def _logging(state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    driver = state.info.get("LoggingDriver") or settings.get("log-driver", "json-file")
    return _when(driver not in ("json-file", "local", "none"), f"the logging driver is {driver}")


def _live_restore(state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    swarm = (state.info.get("Swarm") or {}).get("LocalNodeState") == "active"
    on = bool(state.info.get("LiveRestoreEnabled", settings.get("live-restore")))
    return (PASS, "a swarm node cannot have it") if swarm else _when(on, f"live restore is {'on' if on else 'off'}")


def _seccomp(_state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    profile = settings.get("seccomp-profile") or "builtin"
    return (FAIL if profile == "unconfined" else MANUAL), f"the seccomp profile is {profile}"


def _cgroup(_state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    parent = settings.get("cgroup-parent")
    return (MANUAL, f"cgroup-parent is {parent!r}") if parent else (PASS, "cgroup-parent is not set")


def _experimental(state: State, settings: t.Mapping[str, t.Any]) -> Verdict:
    on = bool(state.info.get("ExperimentalBuild", settings.get("experimental")))
    return _when(not on, f"experimental features are {'on' if on else 'off'}")


_RULES: tuple[tuple[str, str, t.Callable[[State, t.Mapping[str, t.Any]], Verdict]], ...] = (
    ("1.1.1", "The data root is on a partition of its own", _partition),
    ("2.1", "The daemon runs without root's rights where possible", _rootless),
    ("2.2", "Containers on the default bridge do not reach each other", _is("icc", False, True)),
    ("2.3", "The log level is info", _is("log-level", "info", "info")),
    ("2.4", "Docker may change iptables", _is("iptables", True, True)),
    ("2.5", "No insecure registries", _insecure_registries),
    ("2.6", "The storage driver is not aufs", _driver),
    ("2.7", "Clients are verified by TLS", _tls),
    ("2.8", "There are default ulimits", _is_given("default-ulimits")),
    ("2.9", "Users of containers are mapped", _userns),
    ("2.10", "The parent cgroup is the usual one, or was chosen", _cgroup),
    ("2.11", "The base device keeps its size", _base_size),
    ("2.12", "Clients are authorized", _is_given("authorization-plugins")),
    ("2.13", "Logs of containers go to another place", _logging),
    ("2.14", "Containers gain no new privileges", _is("no-new-privileges", True, False)),
    ("2.15", "Containers outlive the daemon", _live_restore),
    ("2.16", "No userland proxy", _is("userland-proxy", False, True)),
    ("2.17", "The seccomp profile is the right one", _seccomp),
    ("2.18", "No experimental features", _experimental),
)


__all__ = (
    "FAIL",
    "MANUAL",
    "PASS",
    "judge",
)
