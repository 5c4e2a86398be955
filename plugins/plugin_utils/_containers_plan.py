# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What role docker_containers decides: from the list that is wanted and what a daemon has, what to do, and what went wrong. Pure."""

from __future__ import annotations

import itertools
import re
import typing as t

from ansible_collections.drydock.dockerd.plugins.module_utils._engine.set_aside import is_set_aside
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import message
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _survey

Item = t.Mapping[str, t.Any]
Containers = t.Mapping[str, t.Mapping[str, t.Any]]

# Whoever has it was made by the role, and may be removed by it.
LABEL, OURS = "drydock.dockerd.role", "docker_containers"
POLICIES = ("no", "on-failure", "always", "unless-stopped")
# What the engine itself has, by name.
_OWN_NETWORKS = ("bridge", "host", "none", "default")
# The engine's own rule.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_ANY = ("", "0.0.0.0", "::")
_ALIVE = ("running", "paused", "restarting")
_ENDED = ("exited", "dead")


def to_list(value: t.Any) -> list[t.Any]:
    """The wanted list as it was typed: data, or text of a survey in YAML or JSON; empty text means not given.

    :raises DrydockError: it is no list.
    """
    return _survey.to_list(value, "docker_containers_list", "a list of containers, each with a name")


def plan(listed: t.Any, now: t.Mapping[str, t.Any], purge: bool, check: bool = False, take_over: t.Any = ()) -> dict[str, t.Any]:
    """What has to be done.

    :param listed: the wanted list as it was typed.
    :param now: what module containers_info found, with the contents of the archives, and the addresses that processes have (taken).
    :param take_over: names of containers of others that may be made anew as listed, or true for any.
    :param check: nothing will be created, so nothing may be asked for that has to be there for docker_container in check mode.
    :returns: refusals (sentences; with one nothing may be done), then, in this order, archives to load, images to pull, volumes and
        networks to create, names of containers to remove, the arguments of docker_container by name, and the names of those that have
        ended and may stay so (present), and of those to watch.
    """
    items = to_list(listed)
    # In check mode nobody has brought them back.
    containers = {one["name"]: one for one in now["containers"] if not is_set_aside(one["name"])}
    refusals = _misshapen(items)
    extra = removable(items, containers) if purge and not refusals else []
    refusals = refusals or _foreign(items, containers, take_over)
    refusals = refusals or _impossible(listed, items, now, [one for name, one in containers.items() if name not in extra], purge)
    if refusals:
        return {"refusals": refusals}
    renewed = [] if check else [item["image"] for item in items if _has_to_be_newest(item)]
    ended = [item["name"] for item in items if _may_stay_ended(item, containers.get(item["name"]))]
    return {
        "refusals": [],
        "archives": _unique(item["image_archive"] for item in items if item.get("image_archive") and _is_made(item) and not _is_loaded(item, now)),
        "images": _unique([*(item["image"] for item in items if _has_to_be_pulled(item, now)), *renewed]),
        "volumes": [name for name in _unique(name for item in items for name in _volumes(item)) if name not in now["volumes"]],
        "networks": [name for name in _unique(name for item in items for name in _networks(item)) if name not in now["networks"]],
        "remove": extra,
        "arguments": {item["name"]: _arguments(item, now["networks"] if check else None) for item in items},
        "present": ended,
        "watched": [item["name"] for item in items if _is_to_run(item)],
    }


def _foreign(items: t.Sequence[Item], containers: Containers, take_over: t.Any) -> list[str]:
    """Containers of others that have a listed name: docker_container would remove them, with what they have in volumes without a name."""
    names = take_over if isinstance(take_over, (list, tuple)) else re.split(r"[,\n]", str(take_over or ""))
    names = [str(one).strip() for one in names]
    if _is_true(take_over):
        return []
    found = []
    for name in (item["name"] for item in items if item.get("state") != "absent"):
        if name in containers and containers[name]["labels"].get(LABEL) != OURS and name not in names:
            sentence = f"Container {name} is there, and somebody else made it: it would be removed, with what it has in volumes without a name."
            hint = f"Give the new one another name, or, when nothing in it is needed any more, set docker_containers_take_over: [{name}]."
            found.append(message("container-foreign", sentence, hint))
    return found


def _impossible(listed: t.Any, items: t.Sequence[Item], now: t.Mapping[str, t.Any], stay: t.Sequence[t.Mapping[str, t.Any]], purge: bool) -> list[str]:
    """Why nothing may be done, looking at the daemon and those of its containers that stay."""
    found = []
    if purge and (listed is None or isinstance(listed, str)) and not items:
        sentence = "docker_containers_purge is set, but docker_containers_list is empty text."
        found.append(message("variables-clash", sentence, "Give [] to remove all containers that the role made."))
    if not now["python_requests"]:
        sentence = "This host's Python lacks the library requests, which community.docker needs."
        found.append(message("missing-package", sentence, "Install the package python3-requests."))
    found += [sentence for item in items for sentence in (*_policy_refusals(item), *_image_refusals(item, now))]
    return found + _port_refusals(items, stay) + _ports_of_processes(items, stay, now.get("taken") or {})


def removable(items: t.Sequence[Item], containers: Containers) -> list[str]:
    """Containers that the role made and nobody lists any more."""
    listed = {item["name"] for item in items}
    return sorted(name for name, one in containers.items() if one["labels"].get(LABEL) == OURS and name not in listed)


def trouble(listed: t.Any, before: t.Sequence[t.Mapping[str, t.Any]], after: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """A sentence for each container that is to run and does not run as its policy says.

    :param before: the containers before anything was started.
    :param after: those that were watched.
    """
    was, now = {one["id"]: one for one in before}, {one["name"]: one for one in after}
    found = []
    for item in to_list(listed):
        one = now.get(item["name"])
        if not _is_to_run(item) or (one is None and _is_true(item.get("auto_remove"))):
            continue
        if one is None:
            found.append(message("container-down", f"Container {item['name']} is gone."))
            continue
        what = _complaint(one, was.get(one["id"]))
        if what:
            found.append(_sentence(one, what))
    return found


def lets_end(policy: str, exit_code: int) -> bool:
    """Whether a restart policy is content with such an end."""
    return policy == "no" or (policy == "on-failure" and exit_code == 0)


def _complaint(one: t.Mapping[str, t.Any], was: t.Mapping[str, t.Any] | None) -> str:
    if one["state"] in _ENDED:
        return "" if lets_end(one["policy"], one["exit_code"]) else "has ended"
    # A start by hand or by the daemon counts from 0 again.
    base = was["restart_count"] if was and was["restart_count"] <= one["restart_count"] else 0
    if one["state"] == "restarting" or one["restart_count"] > base:
        return "does not stay up"
    if one["state"] not in _ALIVE:
        return "does not run"
    return "is unhealthy" if one["health"] == "unhealthy" else ""


def _sentence(one: t.Mapping[str, t.Any], what: str) -> str:
    facts = f"{one['state']}, exit code {one['exit_code']}, restarted {one['restart_count']} times, policy {one['policy']}"
    words = f"Its last lines: {' | '.join(one['log'])}" if one["log"] else "It printed nothing."
    check = f" Its health check said: {one['health_output']}" if one["health"] == "unhealthy" and one["health_output"] else ""
    return message("container-down", f"Container {one['name']} {what}: {facts}.{check} {words}")


def _misshapen(items: t.Sequence[t.Any]) -> list[str]:
    found = []
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict):
            sentence = f"Entry {number} of docker_containers_list is {item!r}."
            found.append(message("variable-value", sentence, "Give a dictionary with options of docker_container."))
        elif not isinstance(item.get("name"), str) or not item["name"]:
            sentence = f"Entry {number} of docker_containers_list has no name."
            found.append(message("variable-value", sentence, "Give it one: by its name it is known in the next run."))
        elif not _NAME.fullmatch(item["name"]):
            sentence = f"Container {item['name']} has a name that Docker does not take."
            found.append(
                message("variable-value", sentence, "Give it two characters at least, letters, digits, '_', '.' and '-', the first a letter or digit.")
            )
        elif not isinstance(item.get("labels") or {}, dict):
            sentence = f"Container {item['name']} has labels that are no dictionary: {item['labels']!r}."
            found.append(message("variable-value", sentence, "Write them as key: value."))
    names = [item["name"] for item in items if isinstance(item, dict) and isinstance(item.get("name"), str)]
    twice = sorted({name for name in names if names.count(name) > 1})
    return found + [message("variables-clash", f"Container {name} is listed twice.", "Give each its own name.") for name in twice]


def policy_of(item: Item) -> str:
    """The restart policy that is asked for; YAML reads a bare no as false."""
    policy = item.get("restart_policy")
    return "no" if policy in (None, False, "") else str(policy)


def _policy_refusals(item: Item) -> list[str]:
    policy, retries = policy_of(item), item.get("restart_retries")
    name, _colon, number = policy.partition(":")
    if name == "on-failure" and number:
        way_out = f"Give restart_policy: on-failure and restart_retries: {number}."
        return [message("variable-value", f"Container {item['name']} asks for restart_policy '{policy}'.", way_out)]
    if policy not in POLICIES:
        sentence = f"Container {item['name']} asks for restart_policy '{policy}', which Docker does not have."
        return [message("variable-value", sentence, f"Use one of {', '.join(POLICIES)}.")]
    if retries not in (None, "", 0, "0") and policy != "on-failure":
        sentence = f"Container {item['name']} has restart_retries {retries}, but policy '{policy}' counts none."
        return [message("variables-clash", sentence, "Use on-failure, or leave them out.")]
    return []


def _is_true(value: t.Any) -> bool:
    return str(value).lower() in ("true", "yes", "on", "1", "y", "t")


def _is_to_run(item: Item) -> bool:
    return (item.get("state") or "started") in ("started", "healthy")


def _may_stay_ended(item: Item, one: t.Mapping[str, t.Any] | None) -> bool:
    """It ran and ended, and its policy is content: to start it again would be a change in each run. Who wants that says state: started."""
    return not item.get("state") and one is not None and one["state"] in _ENDED and lets_end(policy_of(item), one["exit_code"])


def _arguments(item: Item, networks: t.Sequence[str] | None) -> dict[str, t.Any]:
    """The item as docker_container takes it; with networks, only those of its own that are among them."""
    mine: dict[str, t.Any] = {"labels": {**(item.get("labels") or {}), LABEL: OURS}, "state": item.get("state") or "started"}
    if _has_to_be_newest(item):
        # By then it is: what else has to be made anew would be known too late.
        mine["pull"] = "missing"
    if networks is not None and item.get("networks"):
        missing = set(_networks(item)) - set(networks)
        mine["networks"] = [one for one in item["networks"] if not (isinstance(one, dict) and one.get("name") in missing)]
    return {**{key: value for key, value in item.items() if key != "image_archive"}, **mine}


# Images ----------------------------------------------------------------------------------------------------------


def _full_name(image: str) -> str:
    return image if ":" in image.rpartition("/")[2] or "@" in image else f"{image}:latest"


def _ids(image: str, there: t.Iterable[t.Mapping[str, t.Any]]) -> set[str]:
    """The ids under which an image, given by name or id, is among these."""
    found: set[str] = set()
    for one in there:
        ids = one["ids"] if "ids" in one else [one["id"]]
        if _full_name(image) in one["names"] or image in ids:
            found.update(ids)
    return found


def _is_loaded(item: Item, now: t.Mapping[str, t.Any]) -> bool:
    """Whether the daemon has the very image of that name that the archive holds."""
    return bool(_ids(item["image"], now["images"]) & _ids(item["image"], now["archives"][item["image_archive"]]["images"]))


def _has_to_be_pulled(item: Item, now: t.Mapping[str, t.Any]) -> bool:
    return bool(item.get("image")) and not item.get("image_archive") and _is_made(item) and not _ids(item["image"], now["images"])


def _has_to_be_newest(item: Item) -> bool:
    image = str(item.get("image") or "")
    is_asked = item.get("pull") == "always" or _is_true(item.get("pull"))
    return is_asked and bool(image) and not image.startswith("sha256:") and not item.get("image_archive") and _is_made(item)


def _image_refusals(item: Item, now: t.Mapping[str, t.Any]) -> list[str]:
    path, image = item.get("image_archive"), item.get("image")
    if not _is_made(item):
        return []
    if not path:
        if _has_to_be_pulled(item, now) and str(item.get("pull")).lower() in ("never", "false", "no"):
            sentence = f"Image {image} of container {item['name']} is not there, and pull: {item['pull']} forbids to fetch it."
            return [message("image-missing", sentence, "Give its image_archive.")]
        return []
    if not image:
        return [message("variable-value", f"Container {item['name']} has an image_archive and no image.", "Name the image that is in it.")]
    archive = now["archives"][path]
    if archive.get("error"):
        # The host has said it with its id.
        return [archive["error"]]
    if not _ids(image, archive["images"]):
        names = ", ".join(name for one in archive["images"] for name in one["names"]) or "no image with a name"
        sentence = f"The archive {path} does not hold image {image} of container {item['name']}; it holds {names}."
        return [message("image-missing", sentence, "Name one of these, or give another archive.")]
    return []


# Ports, volumes, networks ----------------------------------------------------------------------------------------


def ports(item: Item) -> list[tuple[str, int, str]]:
    """Address, port of the host and protocol that an item publishes. What leaves the choice of the port to the engine is not among them."""
    given = item.get("published_ports") or item.get("ports") or []
    found = []
    for text in given if isinstance(given, (list, tuple)) else [given]:
        match = re.fullmatch(r"(?:(\[[^]]+\]|[^:]*):)?(\d+)(?:-(\d+))?:(\d+)(?:-(\d+))?(?:/(\w+))?", str(text))
        # A range for a single port is a choice, too.
        if match and bool(match[3]) == bool(match[5]):
            numbers = range(int(match[2]), int(match[3] or match[2]) + 1)
            found += [((match[1] or "").strip("[]"), number, match[6] or "tcp") for number in numbers]
    return found


def _port_refusals(items: t.Sequence[Item], containers: t.Sequence[t.Mapping[str, t.Any]]) -> list[str]:
    """Ports that two containers want. Those that other processes have only the engine can tell, when it starts the container."""
    listed = {item["name"] for item in items}
    taken = [(item["name"], port) for item in items if item.get("state") not in ("absent", "stopped") for port in ports(item)]
    foreign = [
        (one["name"], (port["ip"], int(port["port"]), port["protocol"]))
        for one in containers
        if one["name"] not in listed and one["state"] in _ALIVE
        for port in one["ports"]
        if port["port"].isdigit()
    ]
    pairs = [*itertools.combinations(taken, 2), *itertools.product(taken, foreign)]
    return [
        message("port-taken", f"Container {name} publishes port {port[1]}/{port[2]}, which container {other} has.", "Choose another port for one of them.")
        for (name, port), (other, theirs) in pairs
        if name != other and port[1:] == theirs[1:] and (port[0] == theirs[0] or port[0] in _ANY or theirs[0] in _ANY)
    ]


def _ports_of_processes(items: t.Sequence[Item], containers: t.Sequence[t.Mapping[str, t.Any]], taken: t.Mapping[str, str]) -> list[str]:
    """Ports on which a process listens for certain: whether [::] has 0.0.0.0 as well, only the engine finds out, when it starts the container."""
    # What runs has its ports, whoever holds them for it.
    has = {one["name"]: {port["port"] for port in one["ports"]} for one in containers if one["state"] in _ALIVE}
    wanted = [(item["name"], port) for item in items if _is_to_run(item) for port in ports(item) if str(port[1]) not in has.get(item["name"], ())]
    found = []
    for (name, (ip, number, protocol)), (address, who) in itertools.product(wanted, taken.items()):
        host, _colon, port = address[len("tcp://") :].rpartition(":")
        host = host.strip("[]")
        is_same = host == ip or (host == "::" and not ip) or (host == "0.0.0.0" and ":" not in ip)
        if protocol == "tcp" and port == str(number) and is_same:
            found.append(message("port-taken", f"Container {name} publishes port {number}/tcp, which {who} has.", "Choose another port, or end that process."))
    return _unique(found)


def _volumes(item: Item) -> list[str]:
    """Named volumes without any options; one with options is left to docker_container, which gets them."""
    if item.get("volume_driver") or not _is_made(item):
        return []
    binds = [str(text).partition(":") for text in item.get("volumes") or []]
    return [source for source, colon, _rest in binds if colon and re.fullmatch(r"\w[\w.-]+", source, re.ASCII)]


def _networks(item: Item) -> list[str]:
    if not _is_made(item):
        return []
    named = [one["name"] for one in item.get("networks") or [] if isinstance(one, dict) and one.get("name")]
    return [name for name in named if name not in _OWN_NETWORKS]


def _is_made(item: Item) -> bool:
    return item.get("state") != "absent"


def _unique(names: t.Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


__all__ = ("LABEL", "OURS", "POLICIES", "lets_end", "plan", "policy_of", "ports", "removable", "to_list", "trouble")
