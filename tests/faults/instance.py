# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The lab host that can lose its power, and the module that runs on it as in a playbook."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import typing as t

from ledger import Failed

TOP = pathlib.Path(__file__).resolve().parents[2]
LAB = TOP / "molecule" / "lab"
INVENTORY = TOP / ".cache" / "faults" / "hosts.yml"

# dockerd 26 writes the name of its default bridge in two steps, at each start and stop of its own. A power cut between the two leaves it with half of that,
# and it says this and does not start any more, whoever has started it and with none of our steps under way: that says nothing of a move.
ENGINES_OWN = "networks have same bridge name"
# What a neighbour does.
DEEDS = ("container", "volume", "network", "policy", "edit", "restart")

INVENTORY_TEXT = """\
all:
  hosts:
    faults:
      ansible_connection: community.docker.docker
      ansible_host: {name}
      ansible_python_interpreter: /usr/bin/python3
"""


def output(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def read(path: pathlib.Path) -> str:
    """The text of a file; nothing if it has gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


class Instance:
    """The lab host."""

    def __init__(self, suite: str) -> None:
        self.name = output(LAB / "prefix.sh") + "-faults"
        self.image = output(LAB / "image.sh", suite)

    def prepare(self) -> None:
        """A new host, full of what a host has that is in use; and where Ansible finds it."""
        INVENTORY.parent.mkdir(parents=True, exist_ok=True)
        INVENTORY.write_text(INVENTORY_TEXT.format(name=self.name))
        self.remove()
        self.boot()
        self.run("lab-host", "seed", "200", "all")

    def boot(self) -> None:
        """Boot a fresh instance from the images, or from nothing if there are none."""
        output(LAB / "create.sh", self.name, self.image, "1G", "powercut")
        output("docker", "cp", LAB / "host.py", f"{self.name}:/usr/local/bin/lab_host.py")
        output("docker", "cp", LAB / "fault.py", f"{self.name}:/usr/local/bin/lab-fault")

    def end(self) -> None:
        subprocess.run(["docker", "rm", "--force", self.name], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def remove(self) -> None:
        """Leave nothing behind, no loop device either.

        :raises Failed: something is left.
        """
        self.end()
        subprocess.run(["docker", "volume", "rm", "--force", f"{self.name}-lib"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _try in range(50):
            left = [path for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file") if f"/{self.name}" in read(path)]
            if not left:
                return
            time.sleep(0.1)
        raise Failed(f"loop devices are left: {left}")

    def run(self, *words: str) -> str:
        return output("docker", "exec", self.name, *words)

    def fault(self, *words: str) -> str:
        return self.run("python3", "/usr/local/bin/lab-fault", *words)

    def let_in(self, seed: str) -> None:
        """Let a neighbour work on the host."""
        self.run("systemd-run", "--quiet", "--collect", "--unit=neighbour", "lab-neighbour", "work", seed, *DEEDS)

    def send_out(self) -> None:
        """Let him end what he is about."""
        self.run("systemctl", "stop", "neighbour.service")

    def lost_by_neighbour(self, seconds: float) -> str:
        """What he was told is done and is not so, when it has had some time."""
        until = time.monotonic() + seconds
        while True:
            lost = self.run("lab-neighbour", "lost")
            if not lost or time.monotonic() > until:
                return lost
            time.sleep(0.5)

    def gateway(self) -> str:
        return output("docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}", self.name)

    def root(self) -> str:
        return self.run("docker", "info", "--format", "{{.DockerRootDir}}")

    def states(self) -> dict[str, str]:
        """Each container with its state; none while the daemon does not answer."""
        result = subprocess.run(
            ["docker", "exec", self.name, "docker", "ps", "--all", "--format", "{{.Names}} {{.State}}"],
            check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        return dict(line.split() for line in result.stdout.splitlines()) if result.returncode == 0 else {}

    def has_lost_its_bridge(self) -> bool:
        """Whether the engine does not start any more for a reason of its own."""
        return ENGINES_OWN in self.run("journalctl", "--boot", "--unit", "docker.service", "--no-pager")

    def wait_for_worker(self, since: float, seconds: float) -> None:
        """Wait until the worker's unit is gone, and its recovery with it: until then containers may go down once more.

        :raises Failed: it does not end in time.
        """
        while self.run("systemctl", "show", "--property=ActiveState", "--value", "drydock-dockerd.service") not in ("inactive", "failed"):
            if time.monotonic() > since + seconds:
                raise Failed(f"the worker's unit has not ended within {seconds:g} s")
            time.sleep(0.1)

    def wait_for(self, wanted: t.Mapping[str, str], since: float, seconds: float) -> float:
        """Wait until containers are in these states; returns the seconds since then.

        :raises Failed: they are not in time.
        """
        while True:
            now = self.states()
            if all(now.get(name) == state for name, state in wanted.items()):
                return time.monotonic() - since
            if time.monotonic() > since + seconds:
                bad = {name: now.get(name) for name, state in wanted.items() if now.get(name) != state}
                raise Failed(f"within {seconds:g} s these containers are not {', '.join(sorted(set(wanted.values())))}: {bad}")
            time.sleep(0.1)


def start_move(target: str, keep: bool) -> subprocess.Popen[str]:
    """Run the module as a playbook would."""
    arguments = f"path={target} keep_source={keep}"
    words = ["ansible", "--inventory", str(INVENTORY), "faults", "--module-name", "drydock.dockerd.data_root", "--args", arguments]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "ANSIBLE_PIPELINING": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def abandon(process: subprocess.Popen[str]) -> None:
    """End a run whose host has gone: its client does not always notice."""
    assert process.stdout
    children = read(pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")).split()
    for pid in (process.pid, *map(int, children)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()


def result_of(process: subprocess.Popen[str]) -> dict[str, t.Any]:
    """The module's result.

    :raises Failed: it does not end.
    """
    try:
        out, _nothing = process.communicate(timeout=300)
    except subprocess.TimeoutExpired as exc:
        process.kill()
        raise Failed("the module did not end within 300 s") from exc
    try:
        data = json.loads(out.partition(" => ")[2] or "{}")
    except ValueError:
        data = {}
    return {"msg": out, **data, "failed": process.returncode != 0}


__all__ = ("ENGINES_OWN", "Instance", "abandon", "result_of", "start_move")
