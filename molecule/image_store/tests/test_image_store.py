# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Which image store a daemon uses: never another one than the one in force or the one that was asked for, also after a boot."""

from __future__ import annotations

import json
import subprocess
import typing as t

import pytest
from pages import PLAYBOOKS
from running import EPHEMERAL, Play, assert_all_is_there, boot, run_module, run_playbook, snapshot

CONTAINERDS: dict[str, t.Any] = {"features": {"containerd-snapshotter": True}}
DOCKERS: dict[str, t.Any] = {"features": {"containerd-snapshotter": False}}


def ask(host: t.Any, settings: dict[str, t.Any], allow: bool = False, **variables: t.Any) -> Play:
    return run_playbook(host, "site", {"docker_options_settings": settings, "docker_options_allow_hidden_data": allow, **variables})


def store(host: t.Any) -> str:
    """The store in force, with its driver."""
    info = json.loads(host.check_output("docker info --format json"))
    kind = "containerd" if "io.containerd.snapshotter" in json.dumps(info["DriverStatus"]) else "docker"
    return f"{kind} {info['Driver']}"


def boot_anew(host: t.Any) -> None:
    subprocess.run(["docker", "kill", host.ansible.get_variables()["ansible_host"]], check=True, stdout=subprocess.DEVNULL)
    boot(host)


def test_a_misspelt_feature_is_refused(host: t.Any, before: dict[str, t.Any]) -> None:
    play = ask(host, {"features": {"containerd-snapshoter": True}})
    assert (play.failed, play.changed) == (True, 0)
    assert "Did you mean containerd-snapshotter?" in play.message
    assert_all_is_there(snapshot(host), before)


def test_another_store_is_refused_with_what_has_to_be_pulled_again(host: t.Any, before: dict[str, t.Any]) -> None:
    play = ask(host, CONTAINERDS)
    assert (play.failed, play.changed) == (True, 0)
    assert "would hide the images and containers that this host has" in play.message
    assert "lab:app" in play.message
    assert_all_is_there(snapshot(host), before)


def test_what_somebody_has_written_and_dockerd_has_read_again_is_pending(host: t.Any, before: dict[str, t.Any]) -> None:
    host.check_output("printf %s >/etc/docker/daemon.json", json.dumps(CONTAINERDS))
    host.check_output("systemctl reload docker")
    told = run_module(host, "", module="daemon_info")
    assert "features.containerd-snapshotter: false -> true" in told["dockerd"]["pending"]
    play = ask(host, {"log-driver": "local"})
    assert (play.failed, play.changed) == (True, 0)
    assert "Key 'features.containerd-snapshotter' is false in the running daemon and true in /etc/docker/daemon.json" in play.message
    refused = run_module(host, "state=restarted", module="daemon_state")
    assert "A start with containerd's image store would hide the images and containers that this host has." in refused["msg"]
    host.check_output("rm /etc/docker/daemon.json && systemctl reload docker")
    assert_all_is_there(snapshot(host), before)


def test_it_is_done_where_it_is_wanted_and_comes_back(host: t.Any, before: dict[str, t.Any]) -> None:
    """As the page says it."""
    (book,) = (one.text for one in PLAYBOOKS if one.page.stem == "image_store")
    (EPHEMERAL / "page.yml").write_text(book)
    play = run_playbook(host, str(EPHEMERAL / "page"), {}, group="docker_hosts")
    assert (play.failed, play.changed) == (False, 1), play.message
    assert (store(host), host.check_output("docker images --quiet")) == ("containerd overlayfs", "")
    assert ask(host, CONTAINERDS).changed == 0
    hidden = run_module(host, "", module="daemon_info")["dockerd"]["out_of_sight"]
    assert (hidden["containers"], hidden["images"]) == (len(before["containers"]), len(set(before["images"].values())))
    boot_anew(host)
    assert store(host) == "containerd overlayfs"
    play = ask(host, DOCKERS, allow=True)
    assert (play.failed, play.changed) == (False, 1), play.message
    boot_anew(host)
    assert store(host) == "docker overlay2"
    now = snapshot(host)
    assert {name: one["id"] for name, one in now["containers"].items()} == {name: one["id"] for name, one in before["containers"].items()}
    assert now["images"] == before["images"]


def test_a_driver_that_did_not_come_up_leaves_nothing_behind(host: t.Any, before: dict[str, t.Any]) -> None:
    """From 29 on its directory alone would be a reason to take it at the next start."""
    configuration = host.check_output("lab-host configuration --files")
    # dockerd looks for the bridge behind the driver.
    play = ask(host, {"storage-driver": "vfs", "bridge": "nowhere0"}, allow=True)
    assert play.failed
    assert play.message.startswith("Failed at 'start': dockerd does not start: ")
    assert "Ended with differences" not in play.message
    assert not host.file("/var/lib/docker/vfs").exists
    assert host.check_output("lab-host configuration --files") == configuration
    assert_all_is_there(snapshot(host), before)


@pytest.mark.extra
@pytest.mark.parametrize("settings", [{"userns-remap": "lab"}, {"containerd-namespace": "ours"}], ids=str)
def test_what_runs_in_another_namespace_is_dockers_own(host: t.Any, settings: dict[str, t.Any]) -> None:
    """With mapped users containerd's namespace is moby-UID.GID."""
    host.check_output("id -u lab || useradd lab")
    play = ask(host, {**CONTAINERDS, **settings}, allow=True)
    assert not play.failed, play.message
    namespace = host.check_output("docker info --format '{{.Containerd.Namespaces.Containers}}'")
    assert namespace == ("ours" if "containerd-namespace" in settings else "moby-100000.100000")
    host.check_output(
        "tar -C /bin -c busybox | docker import - lab:busy && docker run --detach --stop-timeout 1 --name busy --restart always lab:busy /busybox sleep 1000"
    )
    tasks = host.check_output("ctr --namespace %s task ls --quiet", namespace)
    assert tasks
    result = run_module(host, "path=/mnt/data/docker containerd_path=/mnt/data/containerd")
    assert not result["failed"], result["msg"]
    assert host.check_output("docker ps --format '{{.Names}}'") == "busy"
    boot_anew(host)
    assert (store(host), host.check_output("docker ps --format '{{.Names}}'")) == ("containerd overlayfs", "busy")
    result = run_module(host, "state=restored require_persistent_mount=false")
    assert not result["failed"], result["msg"]
    host.check_output("docker rm --force busy && docker rmi lab:busy")


def test_an_empty_host_changes_over_without_a_word_and_whatever_a_move_has_pinned(host: t.Any) -> None:
    assert not ask(host, DOCKERS, allow=True).failed
    host.check_output("docker ps --all --quiet | xargs --no-run-if-empty docker rm --force && docker image prune --all --force")
    result = run_module(host, "path=/mnt/data/empty")
    assert not result["failed"], result["msg"]
    assert json.loads(host.file("/etc/docker/daemon.json").content_string)["storage-driver"] == "overlay2"
    play = ask(host, CONTAINERDS)
    assert (play.failed, play.changed) == (False, 1), play.message
    assert store(host) == "containerd overlayfs"
    assert ask(host, CONTAINERDS).changed == 0
    boot_anew(host)
    assert store(host) == "containerd overlayfs"
