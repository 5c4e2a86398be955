# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Every file system that a data root may lie on, as source and as target of a small move: all that a file has arrives, or is named before."""

from __future__ import annotations

import typing as t

import pytest
from others import (
    RUN,
    assert_well,
    cleared,  # noqa: F401  for each test
)
from running import assert_all_is_there, run_module, snapshot

ANYWHERE = "require_persistent_mount=false"
# How each is made, and how it is mounted.
KINDS = {
    "ext4": ("mkfs.ext4 -q -F", "loop"),
    "xfs": ("mkfs.xfs -q -f", "loop"),
    "quota": ("mkfs.xfs -q -f", "loop,pquota"),
    "btrfs": ("mkfs.btrfs -q -f", "loop"),
}
# Each is left for each other one once; the first four make each of them source and target.
FIRST = ("xfs", "quota", "btrfs", "ext4")
REST = ("quota", "xfs", "ext4", "btrfs", "xfs", "btrfs", "quota", "ext4")
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
PICTURE = r"""
cd {volume}
find . -printf '%P %M %U %G %y %l %s %n %T@\n' | sort
find . -type f -exec sha256sum {{}} + | sort -k 2
getfacl --recursive --absolute-names . && getfattr --dump --match=- --no-dereference --recursive . | sort
lsattr -R . 2>/dev/null | sed -n 's/^\([^ ]*\) \(.*\)/\2 \1/p' | sed 's/[^iaAdS]*\([iaAdS]\)[^iaAdS]*/\1/g' | sort
du --block-size=1M hole
"""


def volume(host: t.Any) -> str:
    return host.check_output("docker volume inspect --format '{{.Mountpoint}}' library") + "/odd"


def picture(host: t.Any) -> str:
    """All that there is to say about the odd files; a directory's own size is its file system's."""
    lines = host.check_output(PICTURE.format(volume=volume(host))).splitlines()
    return "\n".join(" ".join(word for at, word in enumerate(line.split(" ")) if not (" d" in line[:200] and at in (6, 7))) for line in lines)


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
    moved = run_module(host, f"path={place('ext4')} {ANYWHERE}")
    assert not moved["failed"], moved["msg"]
    yield
    host.check_output(f"cd {volume(host)} && chattr -i fixed && chattr -a log")


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
    assert picture(host) == odd
    assert not run_module(host, asked)["changed"]
    assert_well(host)


def test_an_old_root_that_could_not_be_removed_is_told_and_goes_when_that_is_mended(host: t.Any) -> None:
    """What is immutable is kept there, as everywhere; its data are on the new root."""
    kept = host.check_output("find /srv -maxdepth 2 -name '*.drydock-kept-*'").split()
    assert kept
    for path in kept:
        host.check_output(f"lsattr -R {path} 2>/dev/null | grep -- '-*[ia]-*' | grep -E '^[^ ]*[ia]' | cut -d' ' -f2 | xargs --no-run-if-empty chattr -ia")
    cleaned = run_module(host, f"state=cleaned {ANYWHERE}")
    assert not cleaned["failed"], cleaned["msg"]
    assert host.check_output("find /srv -maxdepth 2 -name '*.drydock-kept-*'") == ""


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


def test_limits_of_projects_are_named_and_a_driver_that_needs_them_is_not_left_without(host: t.Any) -> None:
    go(host, "quota")
    host.check_output(f"{RUN} --name limited --storage-opt size=100M lab:app sleep 1d")
    found = run_module(host, f"path={place('xfs')} {ANYWHERE}", check=True)["findings"]
    assert [one["sentence"] for one in found if one["id"] == "quota-lost"] == [
        "The size limit of container limited does not arrive: the engine sets it when it makes them, and a copy has none."
    ]
    host.check_output("docker rm --force limited")
    asked = '{"owner": "limits", "settings": {"storage-opts": ["overlay2.size=10G"]}}'
    assert not run_module(host, asked, module="daemon_config")["failed"]
    refused(host, "xfs", "quota-unsupported")
    assert not run_module(host, '{"owner": "limits", "settings": {}}', module="daemon_config")["failed"]
    go(host, "xfs")
    assert_well(host)
