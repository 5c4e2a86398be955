# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Data move beside mounts and files that somebody else has put there."""

from __future__ import annotations

import re
import typing as t

import pytest
from others import (
    Pause,
    assert_well,
    cleared,  # noqa: F401  for each test
)
from running import end_of, run_module, snapshot, start_module

from conftest import as_it_was

HOSTS = ("forky",)
# In the lab /var/lib is mounted from outside.
ANYWHERE = "require_persistent_mount=false"


def other(root: str) -> str:
    """Where to move next, on the other file system."""
    return "/var/lib/docker-2" if root.startswith("/mnt/data") else "/mnt/data/docker"


def test_a_container_of_which_nothing_but_zeros_is_left_is_told_and_moves(host: t.Any) -> None:
    """A disk that was full, or a power cut, leaves that; dockerd passes it over when it starts."""
    before = snapshot(host)
    host.check_output("docker run --name zeros lab:app echo made")
    path = f"{before['root']}/containers/{host.check_output('docker inspect --format {{.Id}} zeros')}/config.v2.json"
    host.check_output(
        f"systemctl stop docker.socket docker.service && truncate --size 0 {path} && truncate --size 900 {path} && systemctl start docker.socket docker.service"
    )
    assert "zeros" not in snapshot(host)["containers"]
    new = other(before["root"])
    try:
        result = run_module(host, f"path={new} {ANYWHERE}")
    finally:
        # No client can remove it, and the next move would find it again.
        host.check_output(f"rm -r $(dirname {path} {path.replace(before['root'], new)}) || true")
    assert not result["failed"], result["msg"]
    # On the old root or on the new one.
    assert path.partition("/containers/")[2] in f"{result['msg']} {result['findings']}"
    now = snapshot(host)
    assert now["root"] == new
    assert as_it_was(now) == as_it_was(before)
    assert_well(host)


def test_a_mount_that_somebody_makes_meanwhile_ends_the_move_and_stays(host: t.Any) -> None:
    before = snapshot(host)
    new = other(before["root"])
    point = f"{before['root']}/volumes/library/_data/theirs"
    with Pause(host, "warm copy") as pause:
        process = start_module(host, f"path={new} {ANYWHERE}")
        pause.wait(process)
        host.check_output(f"mkdir --parents {point} && mount -t tmpfs theirs {point} && echo theirs >{point}/file")
    result = end_of(process)
    there = host.run(f"cat {point}/file").stdout
    assert result["failed"], result["msg"]
    assert point in result["msg"]
    assert there == "theirs\n"
    now = snapshot(host)
    assert now["root"] == before["root"]
    assert as_it_was(now) == as_it_was(before)
    assert_well(host)

    host.check_output(f"umount {point} && rmdir {point}")
    again = run_module(host, f"path={new} {ANYWHERE}")
    assert not again["failed"], again["msg"]
    assert snapshot(host)["root"] == new
    assert_well(host)


def test_a_file_that_cannot_be_removed_is_told_and_no_hindrance(host: t.Any) -> None:
    old = snapshot(host)["root"]
    host.check_output(f"echo theirs >{old}/volumes/library/_data/fixed && chattr +i {old}/volumes/library/_data/fixed")
    result = run_module(host, f"path={other(old)} keep_source=false {ANYWHERE}")
    kept = host.check_output(f"find {old}* -name fixed")
    # (The flag has arrived with the file, too.)
    host.check_output("find /mnt/data /var/lib/docker* -name fixed | xargs chattr -i && docker stop --time 0 beat")
    assert not result["failed"], result["msg"]
    assert kept in result["msg"]
    assert "Operation not permitted" in result["msg"]
    again = run_module(host, f"path={other(old)} keep_source=false {ANYWHERE}")
    assert not again["failed"], again["msg"]
    assert snapshot(host)["containers"]["beat"]["state"] == "exited"
    host.check_output("docker start beat")
    assert_well(host)


@pytest.mark.extra
def test_a_root_that_is_a_mount_point_is_taken_back_at_the_second_attempt(host: t.Any) -> None:
    image = "/var/lib/lab/disk.img"
    host.check_output(f"truncate --size 500M {image} && mkfs.ext4 -q -F {image} && mkdir -p /srv/disk && mount -o loop {image} /srv/disk")
    first = run_module(host, f"path=/srv/disk {ANYWHERE}")
    assert not first["failed"], first["msg"]
    before = snapshot(host)
    moved = run_module(host, f"path=/mnt/data/docker-3 {ANYWHERE}")
    assert not moved["failed"], moved["msg"]

    host.check_output("docker run --detach --name flood lab:app sh -c 'while :; do dd if=/dev/zero of=/flood bs=1M count=20; sleep 0.1; done'")
    refused = run_module(host, f"state=restored changing_limit=1M {ANYWHERE}")
    host.check_output("docker rm --force flood")
    assert refused["failed"], refused
    assert re.search(r"the last pass still had \d\S* MiB to send", refused["msg"]), refused["msg"]
    assert_well(host)

    restored = run_module(host, f"state=restored {ANYWHERE}")
    assert not restored["failed"], restored["msg"]
    now = snapshot(host)
    assert now["root"] == "/srv/disk"
    assert as_it_was(now) == as_it_was(before)
    cleaned = run_module(host, f"state=cleaned {ANYWHERE}")
    assert not cleaned["failed"], cleaned["msg"]
    assert host.run("find /mnt/data -maxdepth 1 -name 'docker-3*'").stdout == ""
    assert_well(host)
