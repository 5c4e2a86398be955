# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A move under fire on every engine. The first tests look at what it left; the last ones start, build and remove things."""

from __future__ import annotations

import json
import re
import typing as t

import pytest

from conftest import as_it_was

NEW = "/mnt/data/docker"

# What the daemon itself writes when it starts, on every new root and every old one. Everything else has to be equal.
DAEMONS_OWN = {
    r"\.|overlay2|volumes|runtimes|tmp|buildkit/executor": {"mtime"},
    # Our marker.
    r"\.drydock-root-[0-9a-f]{12}": {"new"},
    r"tmp/moby-detect-rro\d+": {"new", "missing"},
    # Databases that it opens for writing. What is in them is asked for through the API.
    r"network/files/local-kv\.db|volumes/metadata\.db|buildkit/(cache|metadata_v2|snapshots|containerdmeta)\.db": {"mtime", "size", "content", "blocks"},
    r"buildkit/executor/resolv\.conf": {"missing"},
    # A node with the number of the file system that the root lies on.
    r"volumes/backingFsBlockDev": {"mtime", "device"},
    # Paths are made anew in each container's file; the daemon writes both files again. Their content has a test of its own.
    r"containers/ID": {"mtime"},
    r"containers/ID/config\.v2\.json": {"mtime", "size", "content"},
    r"containers/ID/hostconfig\.json": {"mtime"},
    # The heartbeat goes on.
    r"volumes/beat/_data/log": {"mtime", "size", "content", "blocks"},
}
# What a container's start writes, for those that were started.
STARTED = {
    r"containers/ID/(hostname|hosts|resolv\.conf|resolv\.conf\.hash)": {"mtime", "size", "content"},
    r"overlay2/LAYER(/work(/work)?)?": {"mtime"},
}
# Of a container's file: what a start sets anew. (Engine 20.10.5 has been seen, seldom, to note a container that it ended with itself as stopped by hand.)
SET_BY_A_START = re.compile(r"/(State|NetworkSettings|RestartCount|HasBeenManuallyStopped)\b|/MountPoints/.*/ID$")


@pytest.fixture(scope="module")
def kept(host: t.Any) -> str:
    """The old root, which no daemon has touched since it was stopped."""
    (path,) = host.check_output("ls -d /var/lib/docker.drydock-kept-*").split()
    return path


@pytest.fixture(scope="module")
def inner(host: t.Any) -> str:
    """Where below the root the data lie: one level deeper with mapped users."""
    return host.check_output("docker info --format '{{.DockerRootDir}}'")[len(NEW) :]


@pytest.fixture(scope="module")
def started(host: t.Any, kept: str, inner: str) -> dict[str, str]:
    """Layers of the containers that were started, by container."""
    ids = host.check_output("docker ps --no-trunc --quiet").split()
    return {one: host.file(f"{kept}{inner}/image/overlay2/layerdb/mounts/{one}/mount-id").content_string for one in ids}


@pytest.fixture(scope="module")
def differences(host: t.Any, kept: str) -> dict[str, list[str]]:
    return json.loads(host.check_output("compare.py %s %s", kept, NEW))


def test_whole_tree_is_equal_but_for_what_the_daemon_writes(differences: dict[str, list[str]], started: dict[str, str], inner: str) -> None:
    unexpected = {}
    for path, what in differences.items():
        short = ("/" + path).removeprefix(inner).lstrip("/") or "."
        allowed: set[str] = set()
        for pattern, facts in DAEMONS_OWN.items():
            if re.fullmatch(pattern.replace("ID", "[0-9a-f]{64}"), short):
                allowed |= facts
        for container, layer in started.items():
            for pattern, facts in STARTED.items():
                if re.fullmatch(pattern.replace("ID", container).replace("LAYER", layer), short):
                    allowed |= facts
        if set(what) - allowed:
            unexpected[path] = what
    assert not unexpected


def test_comparer_looked_at_the_torture_tree(host: t.Any, kept: str, inner: str) -> None:
    """One of its entries changed in each way is found: the test above can fail."""
    top = f"{kept}{inner}/volumes/library/_data/torture"
    host.check_output("rm -rf /mnt/data/torture && cp -a %s /mnt/data/torture", top)
    assert host.check_output("compare.py %s /mnt/data/torture", top) == "{}"
    changes = (
        "setfacl -m u:4321:r-x acl", "setfattr -x trusted.lab attributes", "setfattr -x security.capability capable", "chmod 4711 mode-4755",
        "chown 1:1 mode-0", "rm socket", "mv whiteout w && mknod whiteout c 0 1", "touch -h -d @1 dangling", "cp holes h && cat h >holes",
        "cp links/file-1 l && mv l links/file-1", "truncate -s 11 -- 'back\\slash'",
    )  # fmt: skip
    for change in changes:
        host.check_output("cd /mnt/data/torture && " + change)
    found = json.loads(host.check_output("compare.py %s /mnt/data/torture", top))
    facts = {path: set(what) for path, what in found.items()}
    assert "attributes" in facts["acl"]
    assert "attributes" in facts["attributes"]
    assert "attributes" in facts["capable"]
    assert "mode" in facts["mode-4755"]
    assert "owner" in facts["mode-0"]
    assert facts["socket"] == {"missing"}
    assert "device" in facts["whiteout"]
    assert "mtime" in facts["dangling"]
    assert "blocks" in facts["holes"]
    assert {"links", "group"} <= facts["links/file-1"]
    assert {"size", "content"} <= facts["back\\slash"]
    host.check_output("rm -rf /mnt/data/torture")


def test_containers_files_differ_in_nothing_but_paths_and_what_a_start_sets(host: t.Any, kept: str, inner: str, started: dict[str, str]) -> None:
    for one in host.check_output("docker ps --all --no-trunc --quiet").split():
        old, new = (json.loads(host.file(f"{root}{inner}/containers/{one}/config.v2.json").content_string) for root in (kept, NEW))
        were, are = flat(json.loads(json.dumps(old).replace('"/var/lib/docker/', f'"{NEW}/'))), flat(new)
        changed = {key: (were.get(key), are.get(key)) for key in were.keys() | are.keys() if were.get(key) != are.get(key)}
        assert not {key: both for key, both in changed.items() if one not in started or not SET_BY_A_START.search(key)}, old["Name"]
        assert f'"{NEW}' not in json.dumps(old)


def flat(value: t.Any, path: str = "") -> dict[str, t.Any]:
    """Leaves of nested dictionaries by path."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {key: leaf for name, one in value.items() for key, leaf in flat(one, f"{path}/{name}").items()}


def test_what_a_writer_did_while_it_was_copied_arrived(host: t.Any, inner: str) -> None:
    report = json.loads(host.check_output("lab-writer %s check", f"{NEW}{inner}/volumes/writer/_data"))
    assert report["wrong"] == {}
    assert report["entries"] > 1000
    steps = [json.loads(line) for line in host.file("/var/lib/drydock/dockerd/last/log.jsonl").content_string.split("\n") if line]
    warm = next(line["at"] for line in steps if (line["event"], line["step"]) == ("done", "warm copy"))
    assert report["last"] > warm, "the writer ended before the warm copy did, and proves nothing"


def test_data_root_is_the_new_one(now: dict[str, t.Any], before: dict[str, t.Any]) -> None:
    assert before["root"].startswith("/var/lib/docker")
    assert now["root"] == before["root"].replace("/var/lib/docker", NEW)
    assert now["driver"] == before["driver"]


def test_containers_are_as_they_were(before: dict[str, t.Any], now: dict[str, t.Any]) -> None:
    assert as_it_was(now) == as_it_was(before)
    states = {name: one["state"] for name, one in now["containers"].items()}
    assert states["created"] == "created"
    assert states["paused"] == "paused"
    assert states["flapping"] == "restarting or running"
    assert {name for name, state in states.items() if state == "exited"} == {"stopped", "ended", "exhausted"}


def test_volumes_images_and_networks_are_equal(before: dict[str, t.Any], now: dict[str, t.Any]) -> None:
    assert now["volumes"] == before["volumes"]
    assert now["images"] == before["images"]
    assert now["images"]["lab:app"] == now["images"]["lab:same"]
    assert now["networks"] == before["networks"]


def test_written_layer_of_an_ended_container_came_along(before: dict[str, t.Any], now: dict[str, t.Any]) -> None:
    assert "/result" in now["ended"]
    assert now["ended"] == before["ended"]


def test_slow_container_was_allowed_to_come_to_its_end(host: t.Any) -> None:
    seconds = 120 if host.ansible.get_variables()["inventory_hostname"] == "trixie" else 30
    assert host.check_output("docker exec slow cat /slow/log").split() == ["asked", "ended"]
    steps = [json.loads(line) for line in host.file("/var/lib/drydock/dockerd/last/log.jsonl").content_string.split("\n") if line]
    begun, done = (next(line["at"] for line in steps if (line["event"], line["step"]) == (event, "stop")) for event in ("begin", "done"))
    assert done - begun >= seconds


def test_fire_was_heavy_and_nobody_brought_the_daemon_back_in_between(host: t.Any) -> None:
    fire = json.loads(host.file("/run/lab-fire").content_string)
    assert fire["answers"] > 5
    assert fire["starts"] > 5
    # Since the host was filled, by two runs.
    journal = host.check_output("journalctl --unit docker.service --output cat --since @$(stat --format %Y /var/lib/lab/crowd)")
    assert len(re.findall(r"Stopped .*Docker Application Container Engine", journal)) == 1
    assert len(re.findall(r"Started .*Docker Application Container Engine", journal)) == 1


def test_live_restore_is_on_again(host: t.Any) -> None:
    assert host.check_output("docker info --format '{{.LiveRestoreEnabled}}'") == "true"


def test_whiteouts_and_opaque_directories_came_along(host: t.Any) -> None:
    assert host.check_output("docker run --rm lab:app ls /d") == "three"
    assert host.run("docker run --rm lab:app ls /a").rc != 0


def test_dependants_reach_what_they_depend_on(host: t.Any) -> None:
    address = host.check_output("docker inspect --format '{{.NetworkSettings.IPAddress}}' unless-stopped")
    assert f"{address}\tfriend" in host.check_output("docker exec linked cat /etc/hosts")
    address = host.check_output("docker inspect --format '{{.NetworkSettings.Networks.backend.IPAddress}}' no-policy")
    assert host.run("docker exec joined cat /proc/net/fib_trie").stdout.count(address) >= 1


def test_restart_policy_still_works(host: t.Any) -> None:
    host.check_output("kill -9 $(docker inspect --format '{{.State.Pid}}' unless-stopped)")
    host.run("for n in $(seq 50); do docker ps --format '{{.Names}}' | grep -qx unless-stopped && break; sleep 0.2; done")
    assert host.check_output("docker inspect --format '{{.State.Running}}' unless-stopped") == "true"


def test_build_cache_is_used(host: t.Any, before: dict[str, t.Any]) -> None:
    """One more build of the same finds every step, and gives the same image."""
    output = host.check_output("DOCKER_BUILDKIT=0 docker build --tag lab:again /var/lib/lab/build 2>&1")
    assert output.count("Using cache") == 3
    assert host.check_output("docker inspect --format '{{.Id}}' lab:again") == before["images"]["lab:built"]
    if "lab:kit" in before["images"]:
        output = host.check_output("DOCKER_BUILDKIT=1 docker build --progress plain --tag lab:again /var/lib/lab/build 2>&1")
        assert output.count("CACHED") == 3


def test_containers_with_volumes_start_when_the_old_data_are_removed(host: t.Any, kept: str) -> None:
    host.check_output("rm -rf %s", kept)
    assert host.check_output("find /var/lib -maxdepth 1 -name 'docker*'") == ""
    host.check_output("docker restart no-policy beat unless-stopped && docker start created ended")
    assert "file-1" in host.check_output("docker exec no-policy ls /library/0000")
    assert host.check_output("docker exec created ls /untouched") == ""
