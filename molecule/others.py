# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What tests share in which somebody else works on the host while it is changed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import typing as t

import pytest
from running import Play, play_of, run_module, run_playbook, start_playbook, wait_for

CONFIGURATION = "/etc/docker/daemon.json"
JOURNAL = "/var/lib/drydock/dockerd/journal"
HOLDS = "/run/drydock-hold /run/systemd/system/*.d/zzzz-drydock-hold.conf"
RUN = "docker run --detach --stop-timeout 1 --restart always"
# Of these the lab fills a host; all else is a test's own.
OWN = "beat|stopped|ended|library|backend|bridge|host|none"
# Others than those of an earlier run on the same hosts.
_numbers = itertools.count(4 + os.getpid())

KEPT = "/var/lib/lab/kept"
_KEEP = f"""
rm -rf {KEPT} && mkdir -p {KEPT} /etc/docker /var/lib/drydock
cp -a --parents /etc/docker /etc/systemd/system /var/lib/drydock {KEPT}
"""
_MEND = f"""
rm -rf {JOURNAL}
systemctl stop drydock-dockerd.service
rm -rf {HOLDS} /etc/docker /var/lib/drydock
cp -a {KEPT}/etc {KEPT}/var /
systemctl daemon-reload
systemctl reset-failed docker.socket docker.service
systemctl restart docker.socket docker.service
docker start beat
"""
# What it has changed in a file a test changes back itself.
_CLEAR = f"""
findmnt --noheadings --output TARGET --source theirs | xargs --no-run-if-empty umount
systemctl disable --now --quiet app-stack.service && rm /etc/systemd/system/app-stack.service && systemctl daemon-reload
docker swarm leave --force
docker ps --all --format '{{{{.Names}}}}' | grep -vxE '{OWN}' | xargs --no-run-if-empty docker rm --force
docker volume ls --format '{{{{.Name}}}}' | grep -vxE '{OWN}' | xargs --no-run-if-empty docker volume rm
docker network ls --format '{{{{.Name}}}}' | grep -vxE '{OWN}' | xargs --no-run-if-empty docker network rm
"""


def trouble(host: t.Any) -> str:
    """What is not as it has to be on a host that nobody changes: one sentence, empty where all is well."""
    if host.run("timeout 30 docker info").rc:
        return "the daemon does not answer"
    if host.file(JOURNAL).exists:
        return "the journal is open"
    held = host.run(f"ls -d {HOLDS}").stdout
    if held:
        return f"the daemon is held: {held}"
    if not host.file("/run/docker.sock").is_socket:
        return "there is no socket"
    down = down_with_policy(host)
    return f"these do not run: {down}" if down else ""


def down_with_policy(host: t.Any) -> list[str]:
    """Containers with policy 'always' that do not run, the lab's own first: no test that looks at this stops one by hand.

    One that is created has never run: nobody was told that it does.
    """
    form = "{{.Name}} {{.HostConfig.RestartPolicy.Name}} {{.State.Status}}"
    rows = host.run(f"docker ps --all --quiet | xargs docker inspect --format '{form}'").stdout.splitlines()
    states = {"/beat": "missing", **{name: state for name, policy, state in map(str.split, rows) if policy == "always"}}
    return [f"{name} is {state}" for name, state in states.items() if state not in ("running", "created")]


def assert_well(host: t.Any, refused: str = "") -> None:
    """All is as it has to be, and the very next run, of somebody who wants something else, does its work.

    :param refused: words with which the next run may refuse it instead.
    """
    with contextlib.suppress(AssertionError):
        wait_for(lambda: not trouble(host), seconds=10)
    found = trouble(host)
    assert not found, found
    result = next_run(host)
    assert not result["failed"] or (refused and refused in result["msg"]), result["msg"]


def next_run(host: t.Any, **more: str) -> dict[str, t.Any]:
    """Another owner's run, for which a reload is enough.

    :param more: of module daemon_config.
    """
    asked = {"owner": "next", "settings": {"max-concurrent-downloads": next(_numbers)}, **more}
    return run_module(host, json.dumps(asked), module="daemon_config")


def wanted(host: t.Any) -> dict[str, t.Any]:
    """Variables of role docker_options for which the daemon has to be restarted."""
    now = json.loads(host.run(f"cat {CONFIGURATION}").stdout or "{}").get("mtu")
    return {"docker_options_settings": {"mtu": 1390 if now == 1400 else 1400}}


def restart(host: t.Any) -> Play:
    """Role docker_options, with a restart."""
    return run_playbook(host, "options", wanted(host))


class Pause:
    """A change whose worker stands still as soon as a step has begun, until it is let go."""

    def __init__(self, host: t.Any, step: str) -> None:
        self.host = host
        self.step = step

    def __enter__(self) -> Pause:
        self.host.check_output("rm -f /run/lab-frozen && systemd-run --quiet --collect --unit=freezer lab-host freeze-at %s", self.step)
        return self

    def wait(self, process: subprocess.Popen[str]) -> None:
        """Wait until it stands still, or has ended before."""
        wait_for(lambda: self.host.run("test -e /run/lab-frozen").rc == 0 or process.poll() is not None, self.step)

    def __exit__(self, *_exception: object) -> None:
        # (It waits for ever for a change that was refused.)
        self.host.run("systemctl stop freezer.service; systemctl kill --signal=CONT drydock-dockerd.service")


def restart_with_deed_at(host: t.Any, step: str, deed: t.Callable[[], object]) -> Play:
    """Role docker_options, with a restart; somebody does something when the step has begun."""
    target = host.ansible.get_variables()["inventory_hostname"]
    with Pause(host, step) as pause:
        process = start_playbook(target, "options", wanted(host))
        pause.wait(process)
        if process.poll() is None:
            deed()
    return play_of(process, target)


@pytest.fixture(autouse=True)
def cleared(host: t.Any) -> t.Iterator[None]:
    """What a test has made is taken away, and what it has broken is mended: tests share a host. A module that imports it has it."""
    host.check_output(_KEEP)
    yield
    if trouble(host):
        host.run(_MEND)
    host.run(_CLEAR)
    wait_for(lambda: not trouble(host), "the mending")
