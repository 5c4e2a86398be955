# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Every file system that a data root may lie on, as source and as target of a small move: all that a file has arrives, or is named before."""

from __future__ import annotations

import re
import typing as t

import pytest
from others import (
    assert_well,
    cleared,  # noqa: F401  for each test
)
from running import assert_all_is_there, run_module, snapshot

ANYWHERE = "require_persistent_mount=false"
# How each is made, and how it is mounted.
KINDS = {
    "ext4": ("mkfs.ext4 -q -F", "loop"),
    "xfs": ("mkfs.xfs -q -f", "loop"),
    # Its blocks, and so its attributes, are small. (The kernel under the lab has no quotas: neither pquota of xfs, nor projects of ext4.)
    "small": ("mkfs.ext4 -q -F -b 1024 -I 256", "loop"),
    "btrfs": ("mkfs.btrfs -q -f", "loop"),
}
# Each is left for each other one once; the first four make each of them source and target.
FIRST = ("xfs", "small", "btrfs", "ext4")
REST = ("small", "xfs", "ext4", "btrfs", "xfs", "btrfs", "small", "ext4")
# What a volume may hold: times, owners, modes, links, a hole, an ACL, attributes of users and of the system, a device, flags.
ODD = r"""
cd {volume}
mkdir -p deep/er && printf 'text\n' >deep/er/file && chmod 4711 deep/er/file && chown 1234:4321 deep/er/file && touch -d '2001-02-03 04:05:06.789' deep/er/file
ln deep/er/file hard && ln -s ../../../../etc/passwd soft && mknod null c 1 3 && mkfifo pipe
truncate --size 50M hole && printf end >>hole
setfacl -m u:1234:r,d:u:4321:rx deep && setfattr -n user.word -v value hard && setfattr -n trusted.word -v value deep
setcap cap_net_raw+ep hole 2>/dev/null || true
printf a >fixed && printf b >log && printf c >quiet
chattr +i fixed && chattr +a log && chattr +A quiet && chattr +d hole
"""
# What the picture of a host does not have: flags, and whether a hole is one.
PICTURE = r"""
cd {volume}
lsattr fixed log quiet hole | while read -r flags name; do echo "$name $(echo "$flags" | tr -cd iaAd)"; done
du --block-size=1M hole
"""


def volume(host: t.Any) -> str:
    return host.check_output("docker volume inspect --format '{{.Mountpoint}}' library") + "/odd"


def picture(host: t.Any) -> str:
    return host.check_output(PICTURE.format(volume=volume(host)))


def place(kind: str) -> str:
    return f"/srv/{kind}/docker"


@pytest.fixture(scope="module", autouse=True)
def places(host: t.Any) -> t.Iterator[None]:
    for kind, (make, options) in KINDS.items():
        image = f"/var/lib/lab/{kind}.img"
        host.check_output(f"truncate --size 600M {image} && {make} {image} && mkdir -p /srv/{kind} && mount -o {options} {image} /srv/{kind}")
    top = volume(host)
    host.check_output(f"mkdir {top}")
    host.check_output(ODD.format(volume=top))
    # It is written all the time, so that each last pass has one with an ACL.
    host.check_output("setfacl -m u:1234:r $(docker volume inspect --format '{{.Mountpoint}}' beat)/log")
    moved = run_module(host, f"path={place('ext4')} {ANYWHERE}")
    assert not moved["failed"], moved["msg"]
    yield
    host.check_output("find /var/lib/docker* /srv -name fixed -o -name log | xargs chattr -ia")


@pytest.mark.parametrize("kind", [*FIRST, *(pytest.param(kind, marks=pytest.mark.extra, id=f"{kind}-{number}") for number, kind in enumerate(REST))])
def test_all_that_files_have_arrives(host: t.Any, kind: str) -> None:
    before, odd = snapshot(host), picture(host)
    asked = f"path={place(kind)} keep_source=false {ANYWHERE}"
    checked = run_module(host, asked, check=True)
    assert not checked["failed"], checked["msg"]
    result = run_module(host, asked)
    assert not result["failed"], result["msg"]
    assert "does not have the flags" not in result["msg"]
    assert result["plan"] == checked["plan"]
    now = snapshot(host)
    assert now["root"] == place(kind)
    assert host.check_output("docker info --format '{{.Driver}}'") == "overlay2"
    assert_all_is_there(now, before)
    assert picture(host) == odd == "fixed i\nlog a\nquiet A\nhole d\n1\thole"
    assert not run_module(host, asked)["changed"]
    assert_well(host)


def test_a_subvolume_below_the_root_is_refused_and_the_way_out_works(host: t.Any) -> None:
    """btrfs lists it as a directory, and nothing that stays on one device enters it."""
    go(host, "btrfs")
    inner = volume(host) + "/inner"
    host.check_output(f"btrfs subvolume create {inner} && echo letter >{inner}/letter")
    asked = f"path={place('ext4')} {ANYWHERE}"
    for check in (True, False):
        result = run_module(host, asked, check=check)
        assert result["failed"]
        assert f"{inner} is a btrfs subvolume of its own below the old data root: what is in it would not be copied." in result["msg"]
    way = re.search(r"make a directory of it: (.*)\. \[subvolume-below\]", result["msg"])
    assert way
    host.check_output(way[1])
    go(host, "ext4")
    assert host.file(volume(host) + "/inner/letter").content_string == "letter\n"
    host.check_output(f"rm -r {volume(host)}/inner")


def test_what_is_immutable_is_kept_where_it_was_and_goes_when_that_is_mended(host: t.Any) -> None:
    find = "find /srv /var/lib -maxdepth 2 -name '*.drydock-kept-*'"
    kept = host.check_output(find).split()
    assert kept
    for one in kept:
        host.check_output("find %s -name fixed -o -name log | xargs chattr -ia", one)
    cleaned = run_module(host, f"state=cleaned {ANYWHERE}")
    assert not cleaned["failed"], cleaned["msg"]
    assert host.check_output(find) == ""


def go(host: t.Any, kind: str) -> None:
    result = run_module(host, f"path={place(kind)} {ANYWHERE}")
    assert not result["failed"], result["msg"]


def refused(host: t.Any, kind: str, id: str) -> str:
    """Known in check mode, in the same words; returns them."""
    said = [run_module(host, f"path={place(kind)} {ANYWHERE}", check=check) for check in (True, False)]
    assert all(one["failed"] for one in said), said
    assert said[0]["msg"] == said[1]["msg"]
    assert f"[{id}]" in said[0]["msg"], said[0]["msg"]
    return said[0]["msg"]


def test_an_attribute_that_the_target_does_not_take_is_refused_before(host: t.Any) -> None:
    go(host, "xfs")
    file = f"{volume(host)}/quiet"
    host.check_output(f"setfattr -n user.big -v $(head -c 9000 /dev/zero | tr '\\0' x) {file}")
    words = refused(host, "ext4", "attribute-too-big")
    assert f"user.big of {file} has 9,000 bytes" in words
    # The way out, as it is written.
    host.check_output(f"setfattr -x user.big {file}")
    go(host, "ext4")
    assert_well(host)


def test_a_path_that_no_command_can_take_is_refused_before(host: t.Any) -> None:
    top = volume(host)
    host.check_output(f"cd {top} && mkdir long && cd long && for n in $(seq 20); do mkdir {'d' * 250} && cd -P ./{'d' * 250} || exit; done")
    words = refused(host, "xfs", "path-too-long")
    assert top in words
    host.check_output(f"rm -r {top}/long")
    go(host, "xfs")
    assert_well(host)


def test_a_target_whose_project_is_inherited_is_copied_to_and_keeps_its_project(host: t.Any) -> None:
    """The kernel refuses a rename into another project, also on one file system."""
    go(host, "xfs")
    host.check_output("mkdir /srv/xfs/theirs && chattr -p 77 /srv/xfs/theirs && chattr +P /srv/xfs/theirs")
    result = run_module(host, f"path=/srv/xfs/theirs/docker {ANYWHERE}")
    assert not result["failed"], result["msg"]
    assert "final copy" in result["plan"]
    assert host.check_output("lsattr -p -d /srv/xfs/theirs/docker").split()[0] == "77"
    assert_well(host)
    go(host, "xfs")
