# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""One host's data through all states, in this order: prepared, moved, taken back, cancelled, moved again, cleaned, renamed, moved to a mount point and
taken back there."""

from __future__ import annotations

import re
import typing as t

from running import run_module, snapshot

from conftest import as_it_was

OLD, NEW = "/var/lib/docker", "/mnt/data/docker"
# A mount of its own.
POINT = "/mnt/point"
# In the lab /var/lib is mounted from outside.
BACK = "state=restored require_persistent_mount=false"


def volume(host: t.Any, root: str) -> str:
    return f"{root}/volumes/library/_data"


def assert_equal(now: dict[str, t.Any], before: dict[str, t.Any]) -> None:
    assert as_it_was(now) == as_it_was(before)
    assert (now["images"], now["networks"], sorted(now["volumes"])) == (before["images"], before["networks"], sorted(before["volumes"]))


def refuse_while_a_container_writes(host: t.Any, arguments: str) -> None:
    """Fail a move behind its warm copy."""
    host.check_output("docker run --detach --name flood lab:app sh -c 'while :; do dd if=/dev/zero of=/flood bs=1M count=20; sleep 0.1; done'")
    refused = run_module(host, f"{arguments} changing_limit=1M")
    host.check_output("docker rm --force flood")
    assert refused["failed"]
    assert re.search(r"the last pass still had \d\S* MiB to send", refused["msg"])


def test_preparing_touches_nothing_that_runs(host: t.Any, before: dict[str, t.Any]) -> None:
    forecast = run_module(host, f"path={NEW} state=prepared", check=True)
    assert forecast["changed"]
    assert forecast["forecast"]["bytes"] > 0
    assert not host.file(NEW).exists

    first = run_module(host, f"path={NEW} state=prepared")
    assert first["changed"], first["msg"]
    # The lab gives its containers three seconds.
    assert round(first["forecast"]["longest_outage_seconds"] - first["forecast"]["outage_seconds"], 1) == 3
    assert first["forecast"]["outage_seconds"] > 0
    second = run_module(host, f"path={NEW} state=prepared")
    assert "files of an earlier copy are still good" in second["said"]
    assert second["forecast"]["changed_files"] < first["forecast"]["changed_files"] / 2
    now = snapshot(host)
    assert (now["pid"], now["root"], now["containers"]) == (before["pid"], OLD, before["containers"])


def test_a_container_that_writes_too_fast_is_not_stopped(host: t.Any, before: dict[str, t.Any]) -> None:
    refuse_while_a_container_writes(host, f"path={NEW}")
    now = snapshot(host)
    assert (now["pid"], now["root"], now["containers"]) == (before["pid"], OLD, before["containers"])
    assert not host.file("/var/lib/drydock/dockerd/journal").exists


def test_a_prepared_copy_is_gone_on_with(host: t.Any, before: dict[str, t.Any]) -> None:
    result = run_module(host, f"path={NEW}")
    assert not result["failed"], result["msg"]
    assert "files of an earlier copy are still good" in result["said"]
    now = snapshot(host)
    assert now["root"] == NEW
    assert_equal(now, before)
    assert now["volumes"] == before["volumes"]
    assert not host.run(f"ls {NEW}/.drydock-copy {NEW}/.drydock-index").stdout


def test_what_was_written_and_deleted_since_comes_back(host: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output(f"echo new >{volume(host, NEW)}/written && rm -r {volume(host, NEW)}/0001 && echo other >{volume(host, NEW)}/0000/file-7")
    result = run_module(host, BACK)
    assert not result["failed"], result["msg"]
    assert result["msg"].startswith("Moved back ")
    now = snapshot(host)
    assert now["root"] == OLD
    assert_equal(now, before)
    assert host.file(f"{volume(host, OLD)}/written").content_string == "new\n"
    assert host.file(f"{volume(host, OLD)}/0000/file-7").content_string == "other\n"
    assert not host.file(f"{volume(host, OLD)}/0001").exists
    assert host.file(result["kept"]).is_directory

    again = run_module(host, BACK)
    assert not again["changed"], again["msg"]


def test_what_was_prepared_can_be_dropped(host: t.Any) -> None:
    assert run_module(host, f"path={NEW} state=prepared")["changed"]
    assert run_module(host, f"path={NEW} state=cancelled", check=True)["changed"]
    assert host.file(NEW).exists
    result = run_module(host, f"path={NEW} state=cancelled")
    assert result["changed"], result["msg"]
    assert not host.file(NEW).exists
    assert not run_module(host, f"path={NEW} state=cancelled")["changed"]


def test_cleaning_never_enters_a_mount(host: t.Any, before: dict[str, t.Any]) -> None:
    kept = run_module(host, f"path={NEW}")["kept"]
    inside = f"{volume(host, kept)}/share"
    host.check_output(f"mkdir -p {inside} && mount -t tmpfs share {inside} && echo theirs >{inside}/file")
    refused = run_module(host, "state=cleaned")
    assert refused["failed"]
    assert f"{inside} is mounted below {kept}, which is to be removed." in refused["msg"]
    assert host.file(f"{inside}/file").content_string == "theirs\n"
    assert host.file(f"{volume(host, kept)}/0000/file-7").exists

    host.check_output(f"umount {inside} && mount --bind /etc/default {inside}")
    assert run_module(host, "state=cleaned")["failed"]
    assert host.file("/etc/default/docker").exists
    host.check_output(f"umount {inside}")


def test_cleaning_waits_for_a_root_that_is_proved(host: t.Any) -> None:
    host.check_output("systemctl stop docker.socket docker.service")
    refused = run_module(host, "state=cleaned")
    assert refused["failed"]
    assert f"The data root {NEW} is not proved" in refused["msg"]
    host.check_output("systemctl start docker.socket docker.service")


def test_cleaning_removes_what_was_kept_and_nothing_else(host: t.Any, before: dict[str, t.Any]) -> None:
    assert run_module(host, "state=cleaned", check=True)["changed"]
    result = run_module(host, "state=cleaned")
    assert result["changed"], result["msg"]
    assert host.check_output("find /var/lib /mnt/data -maxdepth 1 -name 'docker*'") == NEW
    assert not run_module(host, "state=cleaned")["changed"]
    now = snapshot(host)
    assert now["root"] == NEW
    assert sorted(now["volumes"]) == sorted(before["volumes"])


def test_within_a_file_system_the_move_is_a_rename(host: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output("docker start no-policy && docker start joined on-failure && { docker pause paused || true; }")
    inode = host.check_output(f"stat -c %i {NEW}")
    result = run_module(host, f"path={NEW}-2")
    assert not result["failed"], result["msg"]
    assert "rename" in result["plan"]
    assert "warm copy" not in result["plan"]
    now = snapshot(host)
    assert now["root"] == f"{NEW}-2"
    assert host.check_output(f"stat -c %i {NEW}-2") == inode
    assert not host.file(NEW).exists
    assert_equal(now, before)

    result = run_module(host, BACK)
    assert not result["failed"], result["msg"]
    assert host.check_output(f"stat -c %i {NEW}") == inode
    assert_equal(snapshot(host), before)


def kept_at(host: t.Any, root: str) -> list[str]:
    return host.check_output(f"find {root} -maxdepth 1 -name '.drydock-kept*'").split()


def test_old_data_on_a_mount_point_are_known_after_a_move_back_that_failed(host: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output(f"mkdir /mnt/data/point {POINT} && mount --bind /mnt/data/point {POINT}")
    there = run_module(host, f"path={POINT} require_persistent_mount=false")
    assert not there["failed"], there["msg"]
    kept = run_module(host, f"path={NEW}-3")["kept"]
    assert kept_at(host, POINT) == [kept]
    assert host.file(f"{kept}/.drydock-kept").content_string.startswith("data-root ")

    refuse_while_a_container_writes(host, BACK)
    assert snapshot(host)["root"] == f"{NEW}-3"
    assert kept_at(host, POINT) == [kept]
    result = run_module(host, BACK)
    assert not result["failed"], result["msg"]
    assert "take back" in result["plan"]
    now = snapshot(host)
    assert now["root"] == POINT
    assert_equal(now, before)
    assert kept_at(host, POINT) == []


def test_old_data_on_a_mount_point_are_removed_after_a_move_back_that_failed(host: t.Any) -> None:
    kept = run_module(host, f"path={NEW}-4")["kept"]
    refuse_while_a_container_writes(host, BACK)
    result = run_module(host, "state=cleaned")
    assert kept in result["msg"]
    assert host.check_output(f"ls -A {POINT}") == ""
    assert host.check_output("find /mnt/data -maxdepth 1 -name 'docker*'") == f"{NEW}-4"
