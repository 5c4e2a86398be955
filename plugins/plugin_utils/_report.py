# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What role docker_report says of a fleet, as data: from what each host answered to a judgement with its reasons. Pure.

Values of options are told only where they cannot be a secret: log-opts and proxies may hold a token or a password.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
import pathlib
import typing as t

from ansible_collections.drydock.dockerd.plugins.module_utils._engine.addresses import parse_address
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.timestamps import seconds
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError, format_bytes, message
from ansible_collections.drydock.dockerd.plugins.plugin_utils._roles import in_role_words

Tree = t.Dict[str, t.Any]

# The form of the data; another one is never compared.
SCHEMA = 1
ACT, WATCH, FINE = "act", "watch", "fine"
# A file system that is so full, in percent, and a certificate that ends within so many days. Role docker_tls renews with 30 days left.
_FULL, _FILLING = 90, 80
_ENDS, _ENDS_SOON = 14, 30
# So many points of percent are news.
_NEWS_OF_A_DISK = 2
# So many restarts, and the last one within so many seconds, are a container that does not stay up.
_RESTARTS, _RECENTLY = 3, 3600
# What a move leaves free on its target, as a part of what it brings there.
_SPARE = 0.05
# Options whose text is no secret; numbers and booleans never are.
_HARMLESS = ("data-root", "exec-root", "hosts", "log-driver", "log-level", "storage-driver", "tlscacert", "tlscert", "tlskey", "userns-remap")
_WORDS_OF_A_FAILURE = 400


def refusals(page: str, host: str) -> list[str]:
    """Why a report cannot be written there."""
    if not page:
        sentence = f"docker_report_path is not set, and on {host} there is no place for a report that would be right by itself."
        return [message("variable-value", sentence, "Name a file that ends in .html.")]
    if not page.startswith("/") or "\n" in page or not page.endswith(".html") or page.endswith("/.html"):
        way_out = "Give an absolute path of a file that ends in .html, such as /var/www/html/docker.html."
        return [message("variable-value", f"docker_report_path is '{page}'.", way_out)]
    return []


def questions(look: Tree) -> list[str]:
    """The tcp addresses to ask of a host, in the form in which it reaches them itself."""
    return [_reached(one["address"]) for one in look.get("dockerd", {}).get("listening", []) if _is_asked(one)]


def _is_asked(one: Tree) -> bool:
    return one["purpose"] in ("api", "unknown") and one["address"].startswith("tcp://")


def _reached(address: str) -> str:
    parsed = parse_address(address)
    # dockerd that listens on all addresses of IPv6 does so on those of IPv4, too.
    return f"tcp://127.0.0.1:{parsed.port}" if parsed.unspecified else address


def data(looks: t.Mapping[str, Tree], answers: t.Mapping[str, Tree], title: str, now: datetime.datetime) -> Tree:
    """The whole report.

    :param looks: what daemon_info said on each host, or how that ended.
    :param answers: what endpoint_info said there, in the results of a loop.
    """
    hosts = [describe(name, looks[name] or {}, answers.get(name) or {}) for name in sorted(looks)]
    return {
        "schema": SCHEMA,
        "title": title,
        "made_at": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "summary": summarize(hosts),
        "hosts": hosts,
    }


def newest(last: str, found: Tree) -> Tree:
    """The last report once more when nothing differs that is worth telling, else the new one.

    :param last: its JSON in base64, as it was read; empty where there was none.
    """
    try:
        before: Tree = json.loads(base64.b64decode(last))
        if before["schema"] == SCHEMA and _gist(before) == _gist(found) and _are_close(_percents(before), _percents(found)):
            return before
    except (ValueError, KeyError, TypeError):
        # It is ours to write, whatever somebody made of it.
        pass
    return found


def _percents(report: Tree) -> list[int]:
    return [disk["used_percent"] for host in report["hosts"] for disk in host.get("disks", [])]


def _are_close(before: t.Sequence[int], now: t.Sequence[int]) -> bool:
    """Whether no disk is far from what the page says of it. A step from one whole percent to the next is no news: it may go back and forth."""
    return all(abs(one - other) < _NEWS_OF_A_DISK for one, other in zip(before, now))


def _gist(report: Tree) -> Tree:
    """A report without what changes by itself: bytes, days left, counts of restarts. Of the time the day remains."""
    hosts = []
    for host in report["hosts"]:
        kept = {key: value for key, value in host.items() if key not in ("certificates", "disks", "data_root", "gain", "containers", "reasons")}
        kept["reasons"] = [(one["level"], one["about"]) for one in host["reasons"]]
        if "disks" in host:
            kept["certificates"] = [{key: value for key, value in one.items() if key != "days_left"} for one in host["certificates"]]
            kept["disks"] = [(one["point"], one["source"], one["size_bytes"], one["holds"]) for one in host["disks"]]
            kept["data_root"] = host["data_root"]["path"]
            kept["gain"] = (host["gain"] or {}).get("target")
            kept["containers"] = [host["containers"]["total"], *([one["name"], one["trouble"]] for one in host["containers"]["troubled"])]
        hosts.append(kept)
    return {"title": report["title"], "day": report["made_at"][:10], "hosts": hosts}


def summarize(hosts: t.Sequence[Tree]) -> Tree:
    """Counts, and one sentence."""
    counts = {level: sum(one["level"] == level for one in hosts) for level in (ACT, WATCH, FINE)}
    about = {
        topic: sum(any(reason["about"] == topic for reason in one["reasons"]) for one in hosts)
        for topic in ("host", "interrupted", "listen", "certificate", "disk", "restart", "drift", "containers", "hidden")
    }
    return {"hosts": len(hosts), **counts, "about": about, "sentence": _sentence(len(hosts), counts)}


def _sentence(total: int, counts: t.Mapping[str, int]) -> str:
    parts = [f"{counts[ACT]} need{'s' * (counts[ACT] == 1)} attention"] if counts[ACT] else []
    parts += [f"{counts[WATCH]} {'is' if counts[WATCH] == 1 else 'are'} worth a look"] if counts[WATCH] else []
    return f"{total} host{'s' * (total != 1)}: {', '.join(parts) if parts else 'all is well'}."


def describe(name: str, look: Tree, asked: Tree) -> Tree:
    """One host with its judgement."""
    if "dockerd" not in look:
        return {"name": name, **_without_look(look)}
    docker = look["dockerd"]
    answers = {one.get("item", ""): one for one in asked.get("results", [])}
    host: Tree = {
        "name": name,
        "state": "running" if docker["running"] else "down",
        "engine_version": docker["engine_version"],
        "image_store": docker["image_store"],
        "storage_driver": docker["storage_driver"],
        "live_restore": docker["live_restore"] if docker["running"] else None,
        "images": docker["images"] if docker["running"] else None,
        "volumes": len(docker["volumes"]) if docker["running"] else None,
        "listens": listens(docker, answers),
        "firewall": any("drydock-firewall" in one for one in docker["drop_ins"]["ours"]),
        "certificates": certificates(docker, answers),
        "data_root": {"path": docker["data_root"], "bytes": docker["data_root_bytes"], "point": docker["data_root_mount"].get("point", "")},
        "containerd_root": {"path": docker["containerd_root"], "bytes": docker["containerd_root_bytes"]},
        "disks": [{**one, "used_percent": _percent(one["used_bytes"], one["free_bytes"])} for one in docker["file_systems"]],
        "interrupted": docker["interrupted"],
        "pending": pending(docker),
        "drift": drift(docker),
        "down": docker["down"],
        "out_of_sight": docker["out_of_sight"],
        "cis": cis(docker),
        "containers": containers(docker),
        "move": last_move(docker),
    }
    host["gain"] = gain(host)
    reasons = sorted(_reasons(host), key=lambda one: one["level"] != ACT)
    return {**host, "level": _worst(reasons), "reasons": reasons}


def _without_look(look: Tree) -> Tree:
    # ansible-core from 2.19 on begins each message so. No action plugin has told it in the role's words.
    words = " ".join(in_role_words(str(look.get("msg", ""))).split()).replace("Task failed: ", "", 1)[:_WORDS_OF_A_FAILURE]
    if look.get("unreachable"):
        state, text = "unreachable", f"It could not be reached. {words}"
    elif look:
        state, text = "failed", f"Its daemon could not be looked at. {words}"
    else:
        state, text = "not_asked", "It was not asked: it failed, or was out of reach, before its turn."
    return {"state": state, "level": ACT, "reasons": [_reason(ACT, "host", text.strip())]}


def _reason(level: str, about: str, text: str) -> dict[str, str]:
    return {"level": level, "about": about, "text": text}


def _worst(reasons: t.Sequence[Tree]) -> str:
    levels = [one["level"] for one in reasons]
    return ACT if ACT in levels else WATCH if WATCH in levels else FINE


# What a host does ------------------------------------------------------------------------------------------------


def listens(docker: Tree, answers: t.Mapping[str, Tree]) -> list[Tree]:
    """Each address with C(safety) in a word: unix, tls, tls_open, plain_local, plain_open, unclear, or other for what is not the API."""
    found = []
    for one in docker["listening"]:
        safety = "unix" if one["address"].startswith("unix://") else "other"
        if _is_asked(one):
            safety = _safety(one, answers.get(_reached(one["address"]), {}))
        found.append({"address": one["address"], "purpose": one["purpose"], "safety": safety})
    return found


def _safety(one: Tree, answer: Tree) -> str:
    turned_away = answer.get("turned_away_without_certificate")
    if turned_away:
        return "tls"
    if turned_away is None:
        return "unclear" if one["purpose"] == "api" else "other"
    if parse_address(one["address"]).loopback:
        return "plain_local"
    return "tls_open" if answer.get("tls") else "plain_open"


def certificates(docker: Tree, answers: t.Mapping[str, Tree]) -> list[Tree]:
    """The server's certificate as clients see it, where they do, else as its file is; and the CA that clients are verified by."""
    seen = [one["certificate"] for one in answers.values() if one.get("certificate")]
    files = {one["key"]: one for one in docker["certificates"] if "not_after" in one}
    found = []
    server = seen[0] if seen else files.get("tlscert")
    if server:
        waits = bool(seen) and "tlscert" in files and files["tlscert"]["not_after"] != server["not_after"]
        found.append({"what": "server", **_ends(server), "names": server["names"], "renewed": waits})
    if "tlscacert" in files:
        found.append({"what": "ca", **_ends(files["tlscacert"]), "names": [], "renewed": False})
    return found


def _ends(certificate: Tree) -> Tree:
    return {"not_after": certificate["not_after"], "days_left": certificate["days_left"]}


def _percent(used: int, free: int) -> int:
    """As df counts it: of what others than root can use, rounded up."""
    return math.ceil(100 * used / (used + free)) if used + free else 100


def pending(docker: Tree) -> list[str]:
    """What waits for a restart: names of options, without their values, and sentences about files."""
    found = []
    for sentence in docker["pending"]:
        key = sentence.partition(": ")[0]
        found.append(f"{key}{_change(key, docker['config'][key], 'in_force', 'value')}" if key in docker["config"] else sentence)
    return found


def drift(docker: Tree) -> list[str]:
    """What somebody changed since the last run of a play."""
    found = [
        f"{key}, which {one['owner']} asked for{_change(key, one, 'asked', 'in_file')}"
        for key, one in sorted(docker["config"].items())
        if one["owner"] and one["asked"] != one["in_file"]
    ]
    return found + [f"{path} was rewritten" for path in docker["rewritten"]]


def _change(key: str, one: Tree, before: str, after: str) -> str:
    values = [one[before], one[after]]
    if key not in _HARMLESS and not all(value is None or isinstance(value, (bool, int, float)) for value in values):
        return ""
    return ": " + " → ".join("not set" if value is None else json.dumps(value) for value in values)


def cis(docker: Tree) -> Tree:
    """The rules of the CIS Docker Benchmark that are not kept, those that people have to judge, and how many are kept."""
    rules = {
        state: [{key: one[key] for key in ("rule", "title", "evidence")} for one in docker["cis"] if one["state"] == state] for state in ("fail", "manual")
    }
    return {"passed": sum(one["state"] == "pass" for one in docker["cis"]), "failed": rules["fail"], "manual": rules["manual"]}


def containers(docker: Tree) -> Tree:
    """How many there are, and those in trouble; null when the daemon is down, since nobody knows."""
    if not docker["running"]:
        return {"total": None, "running": None, "troubled": [], "other_logs": []}
    found = []
    for one in docker["containers"]:
        trouble = _trouble(one, docker["time"])
        if trouble:
            found.append({"trouble": trouble, **{key: one[key] for key in ("name", "image", "policy", "restart_count", "exit_code")}})
    running = sum(one["state"] == "running" for one in docker["containers"])
    return {"total": len(docker["containers"]), "running": running, "troubled": found, "other_logs": docker["other_log_settings"]}


def _trouble(one: Tree, now: str) -> str:
    if one["state"] == "restarting" or (one["state"] == "running" and one["restart_count"] >= _RESTARTS and _age(one, now) < _RECENTLY):
        return "flaps"
    if one["state"] == "exited" and one["max_retries"] and one["restart_count"] >= one["max_retries"]:
        return "given_up"
    return "dead" if one["state"] == "dead" else "unhealthy" if one["health"] == "unhealthy" else ""


def _age(one: Tree, now: str) -> float:
    try:
        return seconds(now) - seconds(one["started_at"])
    except DrydockError:
        return math.inf


# The phases of a move by what they cost: those of the outage are between the stop and the release.
_FIRST, _LAST = "stop", "release"


def last_move(docker: Tree) -> Tree | None:
    """The last outage that moved data, with its phases in two parts: while everything ran, and while the daemon was down."""
    if not docker["moves"]:
        return None
    last = docker["moves"][-1]
    together = [one for one in docker["moves"] if one["run"] == last["run"]] if last["run"] else [last]
    before, outage = split_phases(last["phases"])
    return {
        **{key: last[key] for key in ("ended", "downtime_seconds", "forecast_seconds")},
        "trees": [{key: one[key] for key in ("tree", "source", "target", "kept", "restored", "bytes", "files")} for one in together],
        "before": before,
        "outage": outage,
    }


def split_phases(phases: t.Sequence[Tree]) -> tuple[list[Tree], list[Tree]]:
    """Phases while everything ran, and those of the outage; what is too short to be seen, or comes behind, is left out."""
    names = [one["phase"] for one in phases]
    if _FIRST not in names or _LAST not in names:
        return [], []
    first, last = names.index(_FIRST), names.index(_LAST)
    # The warm copy is told as a whole behind its passes.
    passes = any(name.startswith("warm copy, ") for name in names)
    early = [one for one in phases[:first] if not (passes and one["phase"] == "warm copy")]
    return _worth_telling(early), _worth_telling(phases[first : last + 1])


def _worth_telling(phases: t.Sequence[Tree]) -> list[Tree]:
    total = sum(one["seconds"] for one in phases)
    return [dict(one) for one in phases if one["seconds"] >= total / 200]


def gain(host: Tree) -> Tree | None:
    """What a move of the data root to the best of the other disks would bring; None where there is no such move."""
    root = host["data_root"]
    home = next((one for one in host["disks"] if "data-root" in one["holds"]), None)
    if home is None or not root["bytes"] or pathlib.PurePosixPath(home["point"]).is_relative_to(root["path"]):
        return None
    # It was moved here, and there is room.
    if host["move"] and any(one["target"] == root["path"] for one in host["move"]["trees"]) and home["used_percent"] < _FILLING:
        return None
    need = int(root["bytes"] * (1 + _SPARE))
    # Nobody wants to have it on the system's own disk.
    others = [one for one in host["disks"] if one is not home and one["point"] != "/" and one["free_bytes"] > need]
    best = max(others, key=lambda one: one["free_bytes"], default=None)
    if best is None:
        return None
    return {
        "target": best["point"],
        "frees_bytes": root["bytes"],
        "source": home["point"],
        "source_percent": _percent(home["used_bytes"] - min(root["bytes"], home["used_bytes"]), home["free_bytes"] + root["bytes"]),
        "target_percent": _percent(best["used_bytes"] + root["bytes"], best["free_bytes"] - root["bytes"]),
    }


# What that means -------------------------------------------------------------------------------------------------

_SAFETY = {
    "plain_open": (ACT, "{address} is open to the network: whoever reaches it is root on this host."),
    "tls_open": (ACT, "{address} speaks TLS and asks nobody for a certificate: whoever reaches it is root on this host."),
    "plain_local": (WATCH, "{address} asks nobody who it is: each user and each program on this host can be root by it."),
    "unclear": (WATCH, "Whether {address} turns strangers away could not be told."),
}
_TROUBLE = {
    "flaps": (ACT, "Container {name} does not stay up: restarted {restart_count} times."),
    "given_up": (ACT, "Container {name} was given up after {restart_count} restarts, exit code {exit_code}."),
    "dead": (ACT, "Container {name} is dead: the engine could not remove it."),
    "unhealthy": (WATCH, "Container {name} is unhealthy."),
}
_OWNERS_OF_A_CERTIFICATE = {"server": "The server's certificate", "ca": "The CA that clients are verified by"}


def _reasons(host: Tree) -> t.Iterator[Tree]:
    if host["state"] == "down":
        yield _reason(ACT, "host", "The daemon is down.")
    if host["interrupted"]:
        # One that is under way ends by itself.
        yield _reason(WATCH if host["interrupted"]["under_way"] else ACT, "interrupted", host["interrupted"]["what"])
    for one in host["listens"]:
        if one["safety"] in _SAFETY:
            level, text = _SAFETY[one["safety"]]
            yield _reason(level, "listen", text.format(**one))
    for one in host["certificates"]:
        yield from _about_certificate(one)
    yield from _about_disks(host)
    if host["pending"]:
        yield _reason(WATCH, "restart", f"A restart is pending: {_some(host['pending'])}.")
    if host["drift"]:
        yield _reason(WATCH, "drift", f"Not as the last run left it: {_some(host['drift'])}.")
    for one in host["down"]:
        yield _reason(ACT, "containers", f"Container {one['name']} is down since a change: {one['why']}")
    yield from _about_hidden(host["out_of_sight"] or {})
    for one in host["containers"]["troubled"]:
        level, text = _TROUBLE[one["trouble"]]
        yield _reason(level, "containers", text.format(**one))


def _about_hidden(hidden: t.Mapping[str, int]) -> t.Iterator[Tree]:
    counts = [f"{count} {what if count != 1 else what[:-1]}" for what, count in sorted(hidden.items()) if count]
    if counts:
        text = f"{' and '.join(counts)} of another image store, storage driver or mapping of users lie in the data root, which the daemon does not show."
        yield _reason(WATCH, "hidden", text)


def _some(changes: t.Sequence[str], most: int = 3) -> str:
    """The first of many, without their particulars."""
    names = [one.partition(":")[0].partition(", which ")[0] for one in changes[:most]]
    return ", ".join([*names, *([f"and {len(changes) - most} more"] if len(changes) > most else [])])


def _about_certificate(one: Tree) -> t.Iterator[Tree]:
    days, whose = one["days_left"], _OWNERS_OF_A_CERTIFICATE[one["what"]]
    if days < 0:
        yield _reason(ACT, "certificate", f"{whose} has expired.")
    elif days < _ENDS_SOON:
        yield _reason(ACT if days < _ENDS else WATCH, "certificate", f"{whose} ends in {days} day{'s' * (days != 1)}.")
    if one["renewed"]:
        yield _reason(WATCH, "certificate", "A new certificate is there, and the daemon has not read it yet.")


def _about_disks(host: Tree) -> t.Iterator[Tree]:
    for one in host["disks"]:
        if one["holds"] and one["used_percent"] >= _FILLING:
            text = f"{one['point']} is {one['used_percent']}% full."
            if host["gain"] and one["point"] == host["gain"]["source"]:
                text += f" A move to {host['gain']['target']} would free {format_bytes(host['gain']['frees_bytes'])}."
            yield _reason(ACT if one["used_percent"] >= _FULL else WATCH, "disk", text)


__all__ = ("ACT", "FINE", "SCHEMA", "WATCH", "data", "describe", "gain", "newest", "questions", "refusals", "split_phases", "summarize")
