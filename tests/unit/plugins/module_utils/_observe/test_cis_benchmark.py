# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The CIS benchmark's rules about the daemon, judged by what it does."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._host.mounts import Mount
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import cis_benchmark
from ansible_collections.drydock.dockerd.plugins.module_utils._observe.cis_benchmark import FAIL, MANUAL, PASS

INFO = {"DockerRootDir": "/var/lib/docker", "Driver": "overlay2"}


def judged(state):
    return {one["rule"]: (one["state"], one["evidence"]) for one in cis_benchmark.judge(state)}


def test_every_rule_is_judged_of_a_daemon_as_it_comes(make_state):
    found = judged(make_state())
    assert list(found) == ["1.1.1", *(f"2.{number}" for number in range(1, 19))]
    failed = [rule for rule, (state, _evidence) in found.items() if state == FAIL]
    assert failed == ["1.1.1", "2.2", "2.8", "2.9", "2.12", "2.13", "2.14", "2.15", "2.16"]
    assert [rule for rule, (state, _evidence) in found.items() if state == MANUAL] == ["2.1", "2.17"]
    assert all(evidence for _state, evidence in found.values())


# A rule, daemon.json, what /info adds, the verdict, and its evidence.
CASES = [
    ("2.1", {}, {"SecurityOptions": ["name=rootless"]}, PASS, "dockerd runs as a user"),
    ("2.2", {"icc": False}, {}, PASS, "icc is False"),
    ("2.3", {"log-level": "debug"}, {}, FAIL, "log-level is 'debug'"),
    ("2.4", {"iptables": False}, {}, FAIL, "iptables is False"),
    ("2.5", {"insecure-registries": ["10.0.0.0/8"]}, {}, FAIL, "insecure-registries has 10.0.0.0/8"),
    ("2.6", {}, {"Driver": "aufs"}, FAIL, "the storage driver is aufs"),
    ("2.7", {"hosts": ["fd://", "tcp://10.0.0.5:2375"]}, {}, FAIL, "tcp://10.0.0.5:2375 verifies no client certificates"),
    ("2.7", {"hosts": ["fd://", "tcp://10.0.0.5:2376"], "tlsverify": True, "tlscacert": "/ca"}, {}, PASS, "clients are verified on each tcp address"),
    ("2.7", {"hosts": ["fd://"]}, {}, PASS, "there is no tcp address"),
    ("2.8", {"default-ulimits": {"nofile": {}}}, {}, PASS, "default-ulimits is {'nofile': {}}"),
    ("2.9", {"userns-remap": "default"}, {"SecurityOptions": ["name=userns"]}, PASS, "userns-remap is 'default'"),
    ("2.10", {"cgroup-parent": "x.slice"}, {}, MANUAL, "cgroup-parent is 'x.slice'"),
    ("2.11", {"storage-opts": ["dm.basesize=20G"]}, {}, FAIL, "storage-opts has dm.basesize=20G"),
    ("2.12", {"authorization-plugins": ["gate"]}, {}, PASS, "authorization-plugins is ['gate']"),
    ("2.13", {}, {"LoggingDriver": "syslog"}, PASS, "the logging driver is syslog"),
    ("2.14", {"no-new-privileges": True}, {}, PASS, "no-new-privileges is True"),
    ("2.15", {}, {"LiveRestoreEnabled": True}, PASS, "live restore is on"),
    ("2.15", {}, {"Swarm": {"LocalNodeState": "active"}}, PASS, "a swarm node cannot have it"),
    ("2.16", {"userland-proxy": False}, {}, PASS, "userland-proxy is False"),
    ("2.17", {"seccomp-profile": "unconfined"}, {}, FAIL, "the seccomp profile is unconfined"),
    ("2.18", {}, {"ExperimentalBuild": True}, FAIL, "experimental features are on"),
]


@pytest.mark.parametrize(("rule", "settings", "info", "verdict", "evidence"), CASES)
def test_rule(make_state, rule, settings, info, verdict, evidence):
    assert judged(make_state(settings, info={**INFO, **info}, running_flags={}))[rule] == (verdict, evidence)


def test_a_data_root_of_its_own_partition(make_state):
    root, own = (Mount(point, "ext4", "/dev/vda", frozenset()) for point in ("/", "/var/lib/docker"))
    assert judged(make_state(mounts=[root, own]))["1.1.1"] == (PASS, "/var/lib/docker is on /var/lib/docker")
    assert judged(make_state(mounts=[root]))["1.1.1"] == (FAIL, "/var/lib/docker is on /")
