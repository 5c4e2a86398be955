# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Links, mounts and directories that others made: the same place by another name is known, and what is mounted by a path stays true."""

from __future__ import annotations

import typing as t

import pytest
from others import (
    RUN,
    assert_well,
    cleared,  # noqa: F401  for each test
)
from running import run_module, snapshot

from conftest import as_it_was

HOSTS = ("bookworm", "trixie")
SHORT_HOSTS = ("bookworm",)
ANYWHERE = "require_persistent_mount=false"
DOCKER = "systemctl {} docker.socket docker.service"


def listing(host: t.Any, container: str, path: str) -> list[str]:
    return host.check_output("docker exec %s ls %s", container, path).split()


def moved(host: t.Any, arguments: str) -> dict[str, t.Any]:
    """Check, and do; the second run is quiet."""
    checked = run_module(host, f"{arguments} {ANYWHERE}", check=True)
    assert not checked["failed"], checked["msg"]
    result = run_module(host, f"{arguments} {ANYWHERE}")
    assert not result["failed"], result["msg"]
    assert result["plan"] == checked["plan"]
    return {**result, "found": [one["id"] for one in checked["findings"]]}


def refused(host: t.Any, arguments: str, *words: str) -> None:
    """In check mode and without, and nothing is touched."""
    before = snapshot(host)
    for check in (True, False):
        result = run_module(host, f"{arguments} {ANYWHERE}", check=check)
        assert result["failed"], result
        for one in words:
            assert one in result["msg"]
    assert snapshot(host) == before


def test_containers_that_mount_below_the_root_see_the_new_one(host: t.Any) -> None:
    before = snapshot(host)
    old = before["root"]
    host.check_output(f"{RUN} --name agent -v {old}/volumes:/v lab:app sleep 1d")
    host.check_output(f"{RUN} --name cadvisor --mount type=bind,src={old},dst=/docker,readonly lab:app sleep 1d")
    result = moved(host, "path=/mnt/data/docker-agents")
    assert result["found"].count("bind-below") == 2
    host.check_output("docker volume create behind")
    assert "behind" in listing(host, "agent", "/v")
    assert "behind" in listing(host, "cadvisor", "/docker/volumes")
    assert not run_module(host, f"path=/mnt/data/docker-agents {ANYWHERE}")["changed"]
    host.check_output(DOCKER.format("restart"))
    assert "behind" in listing(host, "agent", "/v")

    # Taken back, and forth again by the same names.
    back = moved(host, "state=restored")
    assert "bind-below" not in back["found"]
    host.check_output("docker volume create again")
    assert snapshot(host)["root"] == old
    assert not host.file(old).is_symlink
    assert "again" in listing(host, "agent", "/v")
    assert "again" in listing(host, "cadvisor", "/docker/volumes")
    assert_well(host)


@pytest.mark.extra
def test_of_a_mount_point_the_names_in_it_lead_to_the_new_root(host: t.Any) -> None:
    image = "/var/lib/lab/disk.img"
    host.check_output(f"truncate --size 500M {image} && mkfs.ext4 -q -F {image} && mkdir -p /srv/disk && mount -o loop {image} /srv/disk")
    moved(host, "path=/srv/disk")
    host.check_output(f"{RUN} --name agent -v /srv/disk/volumes:/v lab:app sleep 1d")
    moved(host, "path=/mnt/data/docker-agents")
    host.check_output("docker volume create behind")
    assert "behind" in listing(host, "agent", "/v")
    assert host.check_output("readlink /srv/disk/volumes") == "/mnt/data/docker-agents/volumes"
    moved(host, "state=restored")
    assert snapshot(host)["root"] == "/srv/disk"
    assert not host.file("/srv/disk/volumes").is_symlink
    assert "behind" in listing(host, "agent", "/v")
    assert_well(host)
    host.check_output("docker rm -f agent")
    moved(host, "path=/var/lib/docker")
    host.check_output(f"umount /srv/disk && rmdir /srv/disk && rm {image}")
    assert_well(host)


def test_a_link_to_the_root_leads_to_the_new_one(host: t.Any) -> None:
    """As people make one when the disk is full: the data elsewhere, a link at the old place."""
    old = snapshot(host)["root"]
    real = moved(host, "path=/mnt/data/docker-real")["moves"][0]["target"]
    host.check_output(
        f"{DOCKER.format('stop')} && rm -rf /etc/docker/daemon.json /etc/systemd/system/docker.service.d /var/lib/drydock {old}* && ln -s {real} {old} && "
        f"systemctl daemon-reload && {DOCKER.format('start')}"
    )
    host.check_output(f"{RUN} --name agent -v {old}/volumes:/v lab:app sleep 1d")
    before = snapshot(host)
    result = moved(host, "path=/mnt/data/docker-next")
    assert "bind-below" in result["found"]
    host.check_output("docker volume create behind")
    assert "behind" in listing(host, "agent", "/v")
    assert host.check_output("readlink %s", old) == "/mnt/data/docker-next"
    host.check_output(DOCKER.format("restart"))
    assert as_it_was(snapshot(host)) == as_it_was(before)
    assert_well(host)
    moved(host, "state=restored")
    assert "behind" in listing(host, "agent", "/v")
    # The lab's own place again.
    host.check_output(f"rm {old}")
    moved(host, f"path={old}")
    assert_well(host)


@pytest.mark.extra
def test_the_live_root_by_a_bind_mount_gets_its_other_name(host: t.Any) -> None:
    before = snapshot(host)
    first = moved(host, "path=/mnt/data/docker-bound")
    host.check_output(
        f"{DOCKER.format('stop')} && rm -rf /etc/docker/daemon.json /etc/systemd/system/docker.service.d /var/lib/drydock {before['root']}* && "
        f"mkdir {before['root']} && mount --bind /mnt/data/docker-bound {before['root']} && systemctl daemon-reload && {DOCKER.format('start')}"
    )
    assert snapshot(host)["root"] == before["root"] != first["moves"][0]["target"]
    inode = host.check_output("stat -c %i /mnt/data/docker-bound")
    result = moved(host, "path=/mnt/data/docker-bound")
    assert "same-directory" in result["found"]
    now = snapshot(host)
    assert now["root"] == "/mnt/data/docker-bound"
    assert as_it_was(now) == as_it_was(before)
    assert host.check_output("stat -c %i /mnt/data/docker-bound") == inode
    assert not run_module(host, f"path=/mnt/data/docker-bound {ANYWHERE}")["changed"]
    assert_well(host)
    host.check_output(f"{DOCKER.format('stop')} && umount {before['root']} && {DOCKER.format('start')}")
    moved(host, "state=restored")
    assert snapshot(host)["root"] == before["root"]
    assert_well(host)


def test_a_target_that_is_not_mounted_is_refused(host: t.Any) -> None:
    line = "/dev/disk/by-label/none /srv/disk ext4 defaults,noauto 0 2"
    host.check_output(f"mkdir -p /srv/disk && echo '{line}' >>/etc/fstab && systemctl daemon-reload")
    try:
        refused(host, "path=/srv/disk/docker", "/etc/fstab mounts /dev/disk/by-label/none on /srv/disk, and it is not mounted", "Mount it: mount /srv/disk.")
    finally:
        host.check_output("sed -i '/by-label.none/d' /etc/fstab && systemctl daemon-reload && rmdir /srv/disk")


def test_a_volume_that_is_bound_to_a_place_on_the_same_disk_is_not_copied(host: t.Any) -> None:
    moved(host, "path=/mnt/data/docker-here")
    host.check_output(
        "mkdir -p /mnt/data/shared && dd if=/dev/zero of=/mnt/data/shared/big bs=1M count=64 status=none && "
        "docker volume create --opt type=none --opt o=bind --opt device=/mnt/data/shared shared && "
        f"{RUN} --name sharer -v shared:/v lab:app sleep 1d"
    )
    old = moved(host, "path=/var/lib/docker")
    assert old["bytes"] < 64 << 20
    assert listing(host, "sharer", "/v") == ["big"]
    host.check_output("docker rm -f sharer && docker volume rm shared")
    assert host.check_output("ls /mnt/data/shared") == "big"
    host.check_output("rm -r /mnt/data/shared")
    assert_well(host)


@pytest.mark.parametrize(
    ("make", "words"),
    [pytest.param("chown 1000 {0}", "belongs to user 1000", marks=pytest.mark.extra), ("chmod 0777 {0}", "Every user can write to")],
    ids=["of a user", "of everybody"],
)
def test_a_target_that_others_can_swap_is_refused_and_the_way_out_works(host: t.Any, make: str, words: str) -> None:
    place = "/mnt/data/of-others"
    host.check_output(f"mkdir -p {place} && {make.format(place)}")
    try:
        refused(host, f"path={place}/docker", words, f"chown root:root {place} && chmod go-w {place}")
        host.check_output(f"chown root:root {place} && chmod go-w {place}")
        assert not run_module(host, f"path={place}/docker {ANYWHERE}", check=True)["failed"]
    finally:
        host.check_output(f"rm -rf {place}")


@pytest.mark.extra
def test_a_directory_of_an_administrator_stays(host: t.Any) -> None:
    """On the same file system a move is a rename, but not where somebody has made a directory that is more than a name."""
    moved(host, "path=/mnt/data/docker-one")
    host.check_output(
        "mkdir /mnt/data/docker-two && chattr +A /mnt/data/docker-two && setfattr -n user.backup -v yes /mnt/data/docker-two || "
        'python3 -c \'import os; os.setxattr("/mnt/data/docker-two", "user.backup", b"yes")\''
    )
    inode = host.check_output("stat -c %i /mnt/data/docker-two")
    result = moved(host, "path=/mnt/data/docker-two")
    assert "warm copy" in result["plan"]
    assert host.check_output("stat -c %i /mnt/data/docker-two") == inode
    assert_well(host)
    plain = moved(host, "path=/mnt/data/docker-three")
    assert "rename" in plain["plan"]
    assert "same-file-system" in plain["found"]
    assert_well(host)
    moved(host, "path=/var/lib/docker")
    assert_well(host)


def test_flags_of_files_arrive_with_them_and_hinder_no_way_back(host: t.Any) -> None:
    before = snapshot(host)
    top = host.check_output("docker volume inspect --format '{{.Mountpoint}}' library")
    host.check_output(f"cd {top} && echo theirs >fixed && echo theirs >log && chattr +i fixed && chattr +a log")

    def flags() -> str:
        now = host.check_output("docker volume inspect --format '{{.Mountpoint}}' library")
        return host.check_output(f"lsattr {now}/fixed {now}/log | cut -d ' ' -f 1 | tr -cd ia")

    assert flags() == "ia"
    # An undo behind the last pass leaves a copy with its flags, which the next run resumes.
    host.check_output("systemd-run --quiet --collect --unit=sabotage lab-host kill-at start")
    assert run_module(host, f"path=/mnt/data/docker-flags {ANYWHERE}")["failed"]
    moved(host, "path=/mnt/data/docker-flags")
    assert flags() == "ia"
    moved(host, "state=restored")
    assert flags() == "ia"
    assert snapshot(host)["root"] == before["root"]
    host.check_output(f"cd {top} && chattr -i fixed && chattr -a log && rm fixed log")
    host.check_output("find /mnt/data/docker-flags* -name fixed -o -name log | xargs --no-run-if-empty chattr -ia")
    assert_well(host)
