# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""An engine whose images lie in containerd's store: both roots move in one outage, alone, back, and through kills and boots, in this order."""

from __future__ import annotations

import json
import re
import subprocess
import typing as t

import pytest
from running import run_module, snapshot, wait_for

from conftest import as_it_was

OLD, OLD_IMAGES = "/var/lib/docker", "/var/lib/containerd"
NEW, NEW_IMAGES = "/mnt/data/docker", "/mnt/data/containerd"
BOTH = f"path={NEW} containerd_path={NEW_IMAGES}"
# In the lab /var/lib is mounted from outside.
ANYWHERE = "require_persistent_mount=false"

# What containerd itself writes when it starts.
CONTAINERDS_OWN = {
    # Debian's makes a directory for its plugins at its usual root.
    r"\.|opt|tmpmounts|io\.containerd\.[a-z0-9.]+(/ingest)?": {"mtime"},
    r"\.drydock-root-[0-9a-f]{12}": {"new"},
    # Of the old root only.
    r"\.drydock-kept": {"missing"},
    r"io\.containerd\..*\.db": {"mtime", "size", "content", "blocks"},
    # A container's start makes anew what overlayfs works in, and writes to its upper layer.
    r"io\.containerd\.snapshotter\.v1\.overlayfs/snapshots/\d+/(work(/work)?|fs(/.*)?)": {"mtime"},
    r"io\.containerd\.runtime\.v2\.task(/moby(/.*)?)?": {"mtime", "new", "missing"},
}

# Of somebody else's container, without limits: the lab's kernel may lack the controllers.
SPEC = """
import json
spec = json.load(open("/srv/config.json"))
spec["process"].update(terminal=False, args=["/bin/busybox", "sleep", "600"])
spec["root"] = {"path": "/srv/other"}
del spec["linux"]["resources"]
json.dump(spec, open("/srv/config.json", "w"))
"""


def roots(host: t.Any) -> tuple[str, str]:
    """Where the running daemons keep their data."""
    command = host.check_output("tr '\\0' ' ' </proc/$(pidof containerd)/cmdline")
    found = re.search(r"--root (\S+)", command)
    return host.check_output("docker info --format '{{.DockerRootDir}}'"), found[1] if found else OLD_IMAGES


def assert_all_is_there(host: t.Any, before: dict[str, t.Any]) -> None:
    now = snapshot(host)
    assert as_it_was(now) == as_it_was(before)
    assert (now["images"], now["networks"], now["volumes"]) == (before["images"], before["networks"], before["volumes"])
    # An image is whole, and a container can be made of it.
    assert host.check_output("docker run --rm lab:app echo works") == "works"


def test_images_lie_in_containerds_store(host: t.Any) -> None:
    assert "io.containerd.snapshotter.v1" in host.check_output("docker info")
    assert roots(host) == (OLD, OLD_IMAGES)


def test_a_move_of_the_data_root_alone_tells_what_stays_behind(host: t.Any) -> None:
    result = run_module(host, f"path={NEW}", check=True)
    (finding,) = [one for one in result["findings"] if one["id"] == "containerd-stays"]
    assert f"stay behind in {OLD_IMAGES}" in finding["sentence"]


def test_a_containerd_that_serves_others_is_not_moved(host: t.Any) -> None:
    configuration = host.check_output("lab-host configuration")
    host.check_output("mkdir -p /srv/other/bin && cp /bin/busybox /srv/other/bin/ && runc spec --bundle /srv")
    host.check_output("python3 -c %s", SPEC)
    host.check_output("ctr --namespace others run --detach --config /srv/config.json theirs")
    try:
        refused = run_module(host, BOTH)
    finally:
        host.check_output("ctr --namespace others task kill --signal KILL theirs && sleep 1 && ctr --namespace others container rm theirs")
    assert refused["failed"]
    assert "containerd runs 1 task in namespace 'others', which are not Docker's and would stop." in refused["msg"]
    assert host.check_output("lab-host configuration") == configuration


def test_both_move_in_one_outage(host: t.Any, before: dict[str, t.Any]) -> None:
    prepared = run_module(host, f"{BOTH} state=prepared")
    assert prepared["changed"], prepared["msg"]
    assert roots(host) == (OLD, OLD_IMAGES)

    result = run_module(host, BOTH)
    assert not result["failed"], result["msg"]
    assert result["plan"].count("stop") == 1
    assert [(one["source"], one["target"]) for one in result["moves"]] == [(OLD, NEW), (OLD_IMAGES, NEW_IMAGES)]
    assert roots(host) == (NEW, NEW_IMAGES)

    kept = result["moves"][1]["kept"]
    differences = json.loads(host.check_output("compare.py %s %s", kept, NEW_IMAGES))
    unexpected = {}
    for path, what in differences.items():
        allowed = set().union(*(facts for pattern, facts in CONTAINERDS_OWN.items() if re.fullmatch(pattern, path)))
        if set(what) - allowed:
            unexpected[path] = what
    assert not unexpected

    assert_all_is_there(host, before)
    again = run_module(host, BOTH)
    assert not again["changed"], again["msg"]


def test_nothing_needs_the_old_data_any_more(host: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output("docker restart --time 1 unless-stopped")
    assert run_module(host, "state=cleaned")["changed"]
    assert host.check_output(f"find /var/lib -maxdepth 1 -name '*drydock-kept*' -o -path {OLD}") == ""
    assert_all_is_there(host, before)


def test_both_come_back_with_what_was_made_since(host: t.Any, before: dict[str, t.Any]) -> None:
    # Debian's containerd leaves empty directories where the old root was.
    host.check_output(f"mkdir -p {OLD_IMAGES}/opt/bin && docker commit no-policy lab:since && docker rmi lab:same")
    result = run_module(host, f"state=restored {ANYWHERE}")
    assert not result["failed"], result["msg"]
    assert roots(host) == (OLD, OLD_IMAGES)
    assert host.check_output("docker run --rm lab:since echo works") == "works"
    assert host.run("docker image inspect lab:same").rc != 0
    host.check_output("docker tag lab:app lab:same && docker rmi lab:since")
    assert_all_is_there(host, before)
    assert not run_module(host, f"state=restored {ANYWHERE}")["changed"]


def test_containerd_moves_alone(host: t.Any, before: dict[str, t.Any]) -> None:
    result = run_module(host, f"containerd_path={NEW_IMAGES}-2")
    assert not result["failed"], result["msg"]
    assert roots(host) == (OLD, f"{NEW_IMAGES}-2")
    assert_all_is_there(host, before)
    assert not run_module(host, f"containerd_path={NEW_IMAGES}-2")["changed"]


def test_within_a_file_system_it_is_renamed(host: t.Any, before: dict[str, t.Any]) -> None:
    inode = host.check_output(f"stat -c %i {NEW_IMAGES}-2")
    result = run_module(host, f"containerd_path={NEW_IMAGES}-3")
    assert not result["failed"], result["msg"]
    assert "warm copy" not in result["plan"]
    assert host.check_output(f"stat -c %i {NEW_IMAGES}-3") == inode
    assert roots(host) == (OLD, f"{NEW_IMAGES}-3")
    assert_all_is_there(host, before)


STEPS = ["hold", "final copy", "write /etc/systemd/system/containerd.service.d/zz-drydock-containerd.conf", "start", "finish"]


@pytest.mark.parametrize("step", [pytest.param(one, marks=[pytest.mark.extra] if one in ("hold", "final copy", "finish") else []) for one in STEPS])
def test_a_killed_worker_leaves_both_roots_old_or_both_new(host: t.Any, before: dict[str, t.Any], step: str) -> None:
    old = roots(host)
    new = (NEW, NEW_IMAGES) if old[0] == OLD else (OLD, OLD_IMAGES)
    host.check_output("systemd-run --quiet --collect --unit=killer lab-host kill-at %s", step)
    result = run_module(host, f"path={new[0]} containerd_path={new[1]} {ANYWHERE}")
    assert result["failed"]
    assert "The worker was killed. An interrupted change was " in result["msg"]
    assert roots(host) in (old, new)
    assert_all_is_there(host, before)

    again = run_module(host, f"path={new[0]} containerd_path={new[1]} {ANYWHERE}")
    assert not again["failed"], again["msg"]
    assert roots(host) == new
    assert_all_is_there(host, before)


def boot(host: t.Any) -> None:
    """Kill the whole host and start it; wait until systemd has done what it can."""
    name = host.ansible.get_variables()["ansible_host"]
    for verb in ("kill", "start"):
        subprocess.run(["docker", verb, name], check=True, stdout=subprocess.DEVNULL)
    wait_for(lambda: host.run("systemctl is-active docker").stdout.strip() in ("active", "failed"), "the boot", 120)


def test_after_a_boot_all_is_there(host: t.Any, before: dict[str, t.Any]) -> None:
    if roots(host) != (NEW, NEW_IMAGES):
        assert run_module(host, BOTH)["changed"]
    boot(host)
    wait_for(lambda: host.run("docker info").rc == 0, "dockerd")
    assert roots(host) == (NEW, NEW_IMAGES)
    # Policies decide who runs.
    assert (snapshot(host)["images"], host.check_output("docker run --rm lab:app echo works")) == (before["images"], "works")


def test_without_containerds_data_neither_starts_and_docker_says_why(host: t.Any) -> None:
    host.check_output(f"mv {NEW_IMAGES} {NEW_IMAGES}-away && mkdir {NEW_IMAGES}")
    boot(host)
    assert host.run("docker info").rc != 0
    assert host.check_output(f"find {NEW_IMAGES} -mindepth 1") == ""
    assert f"the root of containerd {NEW_IMAGES} is not there" in host.check_output("journalctl --unit docker.service --output cat")
    assert f"the root of containerd {NEW_IMAGES} is not there" in host.check_output("journalctl --unit containerd.service --output cat")

    host.check_output(f"rmdir {NEW_IMAGES} && mv {NEW_IMAGES}-away {NEW_IMAGES} && systemctl reset-failed")
    host.check_output("systemctl start containerd.service docker.socket docker.service")
    assert roots(host) == (NEW, NEW_IMAGES)
