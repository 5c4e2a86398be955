# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Which packages a host needs for its engine, from what is asked for and what is installed. Pure."""

from __future__ import annotations

import fnmatch
import typing as t

from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, message
from ansible_collections.drydock.dockerd.plugins.plugin_utils._survey import lines

# From this release on Debian has the client in a package of its own.
_CLIENT_SINCE = 13
# What our other roles need on a host.
_TOOLS = ("rsync", "python3-cryptography", "python3-requests")
# What the client needs for 'docker compose' and 'docker buildx', by the distribution and its first release that has it; Docker's own have it for each.
_PLUGINS = {"Debian": (13.0, ("docker-compose", "docker-buildx")), "Ubuntu": (22.04, ("docker-compose-v2", "docker-buildx"))}
_DOCKERS_PLUGINS = ("docker-compose-plugin", "docker-buildx-plugin")
# What cannot be there beside the engine's packages.
_OTHERS = {
    "distribution": ("docker-ce", "docker-ce-cli", "docker-ce-rootless-extras", "containerd.io", "podman-docker"),
    "docker": ("docker.io", "docker-cli", "moby-engine", "podman-docker", "containerd", "runc"),
}
# The daemon's own packages among them: whose are there has an engine.
_ENGINES = ("docker-ce", "docker.io", "moby-engine")
# What Docker's own repository calls the distributions; those of the RHEL family without one of their own take that of CentOS.
_REPOSITORIES = {"Debian": "debian", "Ubuntu": "ubuntu", "Fedora": "fedora", "RedHat": "rhel"}


def plan(asked: t.Mapping[str, t.Any], facts: t.Mapping[str, t.Any], installed: t.Mapping[str, str]) -> dict[str, t.Any]:
    """What has to be done, or why it cannot be.

    :param asked: the role's variables, without its name.
    :param facts: Ansible's facts of the host: distribution, distribution_release, distribution_major_version, pkg_mgr.
    :param installed: versions by package.
    """
    facts = {key.removeprefix("ansible_"): value for key, value in facts.items()}
    asked = {key: value.strip() if isinstance(value, str) else value for key, value in asked.items()}
    source, state = asked["source"] or "distribution", asked["state"] or "present"
    manager = str(facts.get("pkg_mgr")).replace("dnf5", "dnf")
    refusals = list(_refusals(asked, state, manager, facts))
    if refusals:
        return {"refusals": refusals}
    packages = lines(asked["packages"], "docker_engine_packages") or _choice(source, manager, facts)
    if not packages:
        sentence = f"{facts['distribution']} has no package of the Docker engine of its own."
        return {"refusals": [message("package-unavailable", sentence, "Set docker_engine_source: docker, or name docker_engine_packages.")]}
    # What one source calls another's may be among the packages that somebody names.
    conflicting = [name for name in _OTHERS[source] if name in installed and name not in packages]
    version, there = asked["version"], installed.get(packages[0], "")
    # An engine goes in the transaction in which the other one comes; what only stands in the way goes before.
    exchanges = asked["remove_conflicting"] and manager == "apt" and not there and any(name in _ENGINES for name in conflicting)
    return {
        "refusals": [],
        "manager": manager,
        "packages": packages,
        "install": [] if exchanges else [_spec(name, version if name == packages[0] else "", manager) for name in packages if name not in installed],
        "tools": [name for name in _TOOLS if name not in installed],
        # They come with an engine; to one that is there nothing is added.
        "plugins": [name for name in _plugins(source, facts, installed) if name not in installed] if asked["plugins"] and not there else [],
        "is_new": not (there or exchanges),
        "change": exchanges or (bool(there) and (state == "latest" or bool(version and not fnmatch.fnmatchcase(there, version)))),
        "conflicting": [] if exchanges else conflicting,
        "replaces": conflicting if exchanges else [],
        "repository": _repository(asked, facts) if source == "docker" else {},
        "users": lines(asked["users"], "docker_engine_users"),
    }


def _refusals(asked: t.Mapping[str, t.Any], state: str, manager: str, facts: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    if state == "latest" and asked["version"]:
        yield message("variables-clash", f"docker_engine_state is 'latest', and docker_engine_version is {asked['version']!r}.", "Give one of both.")
    if manager not in ("apt", "dnf"):
        yield message(
            "package-manager",
            f"This host has {facts.get('distribution')} with the package manager {manager!r}; role docker_engine knows apt and dnf.",
            "Install the engine yourself: the other roles need it only to be there.",
        )
    for name in ("packages", "users"):
        try:
            lines(asked[name], f"docker_engine_{name}")
        except DrydockError as exc:
            yield str(exc)


def _choice(source: str, manager: str, facts: t.Mapping[str, t.Any]) -> list[str]:
    if source == "docker":
        return ["docker-ce", "docker-ce-cli", "containerd.io"]
    if manager == "dnf":
        return ["moby-engine", "docker-cli"] if facts["distribution"] == "Fedora" else []
    major = str(facts.get("distribution_major_version"))
    # Debian's testing release has no number.
    own_client = facts["distribution"] == "Debian" and (not major.isdigit() or int(major) >= _CLIENT_SINCE)
    return ["docker.io", *(["docker-cli"] if own_client else [])]


def _plugins(source: str, facts: t.Mapping[str, t.Any], installed: t.Container[str]) -> t.Sequence[str]:
    since, names = _PLUGINS.get(str(facts["distribution"]), (0.0, ()))
    theirs = names if source == "docker" else _DOCKERS_PLUGINS
    if any(name in installed for name in theirs):
        # Both bring the same files.
        return ()
    if source == "docker":
        return _DOCKERS_PLUGINS
    # Debian's testing release has no number.
    version = str(facts.get("distribution_version") or facts.get("distribution_major_version") or "")
    try:
        return names if float(version) >= since else ()
    except ValueError:
        return names


def _spec(name: str, version: str, manager: str) -> str:
    return name + (f"{'=' if manager == 'apt' else '-'}{version}" if version else "")


def _repository(asked: t.Mapping[str, t.Any], facts: t.Mapping[str, t.Any]) -> dict[str, str]:
    uri = f"{asked['url'].rstrip('/')}/{_REPOSITORIES.get(facts['distribution'], 'centos')}"
    return {"uri": uri, "suite": str(facts.get("distribution_release")), "key": asked["key"] or f"{uri}/gpg"}


__all__ = ("plan",)
