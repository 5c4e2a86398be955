# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A swarm of two nodes: what it has survives each change of a daemon, and a worker hands its tasks over before its outage where that is asked for."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import typing as t

import forked
import pytest
from running import INVENTORY, PLAYBOOKS, address, connect, run_module, run_playbook, snapshot, wait_for

ANYWHERE = "require_persistent_mount=false"
# The lab's kernel has no virtual addresses for services.
SERVICE = "docker service create --detach --endpoint-mode dnsrr --stop-grace-period 1s"
DRAINED = "docker node update --availability {} {}"


@dataclasses.dataclass
class Swarm:
    """Two nodes, and what the first one says of both."""

    manager: t.Any
    worker: t.Any

    def node(self, host: t.Any) -> str:
        return host.check_output("docker info --format '{{.Swarm.NodeID}}'")

    def availability(self, host: t.Any) -> str:
        return self.manager.check_output("docker node inspect --format '{{.Spec.Availability}}' %s", self.node(host))

    def tasks(self, host: t.Any, service: str = "web") -> list[str]:
        return host.check_output("docker ps --quiet --filter label=com.docker.swarm.service.name=%s", service).split()

    def run_on(self, host: t.Any, service: str, command: str) -> str:
        """What a command in a task's container prints."""
        return host.check_output("docker exec %s sh -c %s", self.tasks(host, service)[0], command)

    def all_is_there(self, replicas: int = 4, network: bool = False) -> None:
        """The services as the swarm wants them; secret and configuration in their tasks.

        :param network: and that between the tasks of both nodes: behind a restart of a manager the engine takes up to a minute for it.
        """
        wait_for(lambda: len(self.tasks(self.manager)) + len(self.tasks(self.worker)) == replicas, "the service", 120)
        for host in (self.manager, self.worker):
            wait_for(lambda host=host: len(self.tasks(host, "agent")) == 1, "the global service", 120)
            assert self.run_on(host, "agent", "cat /run/secrets/password /settings") == "precious\nloud"
            if network:
                wait_for(lambda host=host: self.names(host) == 2, "the network of both nodes", 120)

    def names(self, host: t.Any) -> int:
        """How many tasks of the global service a task finds by its name, and reaches."""
        id = self.tasks(host, "agent")[0]
        found = host.run("docker exec %s busybox nslookup tasks.agent", id).stdout
        addresses = set(re.findall(r"Address(?: \d+)?: (10\.77\.\d+\.\d+)", found))
        return sum(host.run("docker exec %s busybox ping -c 1 -W 2 %s", id, one).rc == 0 for one in addresses)


@pytest.fixture(scope="module")
def swarm() -> Swarm:
    made = Swarm(connect("manager"), connect("worker"))
    made.manager.check_output("docker swarm init --advertise-addr %s", address(made.manager))
    token = made.manager.check_output("docker swarm join-token --quiet worker")
    made.worker.check_output("docker swarm join --token %s %s:2377", token, address(made.manager))
    made.manager.check_output("printf 'precious\n' | docker secret create password - && printf loud | docker config create settings -")
    made.manager.check_output("docker network create --driver overlay --attachable --subnet 10.77.0.0/16 both")
    made.manager.check_output(f"{SERVICE} --name web --replicas 4 lab:app sleep 1d")
    made.manager.check_output(
        f"{SERVICE} --name agent --mode global --network both --secret password --config source=settings,target=/settings lab:app sleep 1d"
    )
    for host in (made.manager, made.worker):
        host.check_output("docker run --detach --stop-timeout 1 --restart always --name plain lab:app sleep 1d")
    return made


def assert_plain_runs(host: t.Any) -> None:
    assert host.check_output("docker inspect --format '{{.State.Status}}' plain") == "running"


def start_roll(playbook: str, **variables: t.Any) -> subprocess.Popen[str]:
    """Run a playbook on the worker, and do not wait for it."""
    asked = {"target": "worker", "rolling_swarm_manager": "manager", "docker_data_root_require_persistent_mount": False, **variables}
    words = ["ansible-playbook", "--inventory", str(INVENTORY), str(PLAYBOOKS / f"{playbook}.yml"), "--extra-vars", json.dumps(asked)]
    return forked.start(words, {"ANSIBLE_SHOW_CUSTOM_STATS": "True"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end_of_roll(process: subprocess.Popen[str]) -> tuple[str, dict[str, t.Any]]:
    """Wait for it; what was printed, and what it did to the worker."""
    out, error = process.communicate()
    out = re.sub(r"\x1b\[[0-9;]*m", "", out)
    stats = re.search(r"^\tRUN: (\{.*\})", out, re.MULTILINE)
    assert stats, out + error
    return out, json.loads(stats[1])["drydock_dockerd"]["worker"]


def roll(playbook: str, **variables: t.Any) -> tuple[str, dict[str, t.Any]]:
    return end_of_roll(start_roll(playbook, **variables))


def test_a_swarm_runs(swarm: Swarm) -> None:
    swarm.all_is_there(network=True)


@pytest.mark.parametrize("name", ["manager", pytest.param("worker", marks=pytest.mark.extra)])
def test_a_restart_leaves_the_swarm_as_it_wants_to_be(swarm: Swarm, name: str) -> None:
    host = connect(name)
    variables = {"docker_options_settings": {"mtu": 1400}}
    play = run_playbook(host, "options", variables)
    assert not play.failed, play.message
    assert_plain_runs(host)
    swarm.all_is_there()
    assert run_playbook(host, "options", variables).changed == 0


def test_a_manager_moves_when_that_is_allowed_and_keeps_all_it_knows(swarm: Swarm) -> None:
    new = "/mnt/data/docker"
    refused = run_module(swarm.manager, f"path={new} {ANYWHERE}", check=True)
    assert refused["failed"]
    assert "[swarm-manager]" in refused["msg"]
    asked = f"path={new} allow_swarm_manager=true {ANYWHERE}"
    result = run_module(swarm.manager, asked)
    assert not result["failed"], result["msg"]
    assert snapshot(swarm.manager)["root"] == new
    assert_plain_runs(swarm.manager)
    swarm.all_is_there(network=True)
    # The raft's log and its key came along: it takes new orders, and an old secret goes to a new service.
    swarm.manager.check_output(f"{SERVICE} --name later --secret password --constraint node.role==manager lab:app sleep 1d")
    wait_for(lambda: len(swarm.tasks(swarm.manager, "later")) == 1, "the new service")
    assert swarm.run_on(swarm.manager, "later", "cat /run/secrets/password") == "precious"
    assert not run_module(swarm.manager, asked)["changed"]

    back = run_module(swarm.manager, f"state=restored allow_swarm_manager=true {ANYWHERE}")
    assert not back["failed"], back["msg"]
    swarm.all_is_there()
    assert len(swarm.tasks(swarm.manager, "later")) == 1
    swarm.manager.check_output("docker service rm later")


def test_a_worker_hands_its_tasks_over_before_its_outage_and_takes_some_again(swarm: Swarm) -> None:
    new = "/mnt/data/docker"
    swarm.worker.check_output("systemd-run --quiet --collect --unit=freezer lab-host freeze-at stop")
    process = start_roll("relocate", docker_data_root_path=new)
    wait_for(lambda: swarm.worker.run("test -e /run/lab-frozen").rc == 0 or process.poll() is not None, "the stop", 180)
    seen = (swarm.availability(swarm.worker), swarm.tasks(swarm.worker), len(swarm.tasks(swarm.manager)))
    swarm.worker.run("systemctl stop freezer.service; systemctl kill --signal=CONT drydock-dockerd.service")
    out, done = end_of_roll(process)
    assert done["changed"], out
    assert seen == ("drain", [], 4)
    assert snapshot(swarm.worker)["root"] == new
    assert_plain_runs(swarm.worker)
    assert swarm.availability(swarm.worker) == "active"
    swarm.all_is_there(network=True)
    # What was handed over stays where it is until the swarm has a reason.
    swarm.manager.check_output("docker service update --detach --force web")
    wait_for(lambda: len(swarm.tasks(swarm.worker)) == 2, "the tasks", 120)

    out, done = roll("relocate", docker_data_root_path=new)
    assert not done["changed"]
    assert "changed=0" in out
    assert "Drain the node" not in re.findall(r"TASK \[(.*?)\] \*+\nchanged", out)


@pytest.mark.extra
def test_a_change_that_fails_leaves_no_node_drained(swarm: Swarm) -> None:
    swarm.worker.check_output("systemd-run --quiet --collect --unit=sabotage lab-host kill-at commit")
    _out, done = roll("relocate", docker_data_root_path="/mnt/data/docker-2")
    assert done["failed"]
    assert swarm.availability(swarm.worker) == "active"
    assert_plain_runs(swarm.worker)
    swarm.all_is_there()


@pytest.mark.extra
def test_a_node_that_somebody_else_has_drained_stays_so(swarm: Swarm) -> None:
    swarm.manager.check_output(DRAINED.format("drain", swarm.node(swarm.worker)))
    _out, done = roll("options", docker_options_settings={"mtu": 1390})
    assert done["changed"]
    assert swarm.availability(swarm.worker) == "drain"
    swarm.manager.check_output(DRAINED.format("active", swarm.node(swarm.worker)))
    swarm.all_is_there()


def test_a_run_that_was_cut_off_is_made_good_by_the_next_one(swarm: Swarm) -> None:
    node = swarm.node(swarm.worker)
    swarm.manager.check_output(DRAINED.format("drain --label-add drydock.dockerd.drained=true", node))
    # Nobody ever gave this one on the worker: nothing is to be changed, the daemon runs on.
    _out, done = roll("options", docker_options_owner="nobody", docker_options_settings={})
    assert not done["changed"]
    assert swarm.availability(swarm.worker) == "active"
    swarm.all_is_there()


def test_a_manager_that_is_not_there_is_refused_before_anything(swarm: Swarm) -> None:
    _out, done = roll("options", rolling_swarm_manager="nobody", docker_options_settings={"mtu": 1400})
    assert done["failed"]
    assert "rolling_swarm_manager is 'nobody'" in done["msg"]
    assert swarm.availability(swarm.worker) == "active"
