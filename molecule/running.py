# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What tests share that run the collection's modules themselves, as a person does with the command 'ansible'."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import time
import typing as t
import warnings

import forked
import testinfra

from conftest import as_it_was

HERE = pathlib.Path(__file__).resolve().parent
PLAYBOOKS = HERE.parent / "playbooks"
EPHEMERAL = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])


def _inventory() -> pathlib.Path:
    """The lab's hosts in a file: each Ansible would run the script anew."""
    listed = json.loads(subprocess.check_output([HERE / "lab" / "inventory.py"], text=True))
    path = EPHEMERAL / "lab.json"
    path.write_text(json.dumps({"lab": {"hosts": listed["_meta"]["hostvars"]}}))
    return path


INVENTORY = _inventory()


def connect(name: str) -> t.Any:
    """One host of the lab, for a test that is not about each of them."""
    return testinfra.get_host(f"ansible://{name}", ansible_inventory=str(INVENTORY))


def snapshot(host: t.Any) -> dict[str, t.Any]:
    """The picture of this moment."""
    return json.loads(host.check_output("lab-host snapshot"))


def address(host: t.Any) -> str:
    """Where others reach a lab host."""
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return subprocess.check_output(["docker", "inspect", "--format", form, host.ansible.get_variables()["ansible_host"]], text=True).strip()


def start_module(host: t.Any, arguments: str, module: str = "data_root", check: bool = False, path: str = "") -> subprocess.Popen[str]:
    """Run a module and do not wait for it.

    :param path: a directory of commands that come before the machine's own.
    """
    variables = host.ansible.get_variables()
    words = ["ansible", "--inventory", str(INVENTORY), variables["inventory_hostname"], "--module-name", f"drydock.dockerd.{module}"]
    words += ["--args", arguments, *(["--check"] if check else [])]
    environment = {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json", **({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})}
    return forked.start(words, environment, stdout=subprocess.PIPE)


def end_of(process: subprocess.Popen[str]) -> dict[str, t.Any]:
    """Wait for a module that was started; its result, and what was said on the way as 'said'."""
    out, _nothing = process.communicate()
    said, _arrow, result = out.rpartition(" => ")
    return {"failed": process.returncode != 0, **json.loads(result), "said": said}


def run_module(host: t.Any, arguments: str, module: str = "data_root", check: bool = False) -> dict[str, t.Any]:
    """Run a module and wait; returns its result."""
    return end_of(start_module(host, arguments, module, check))


def assert_all_is_there(now: dict[str, t.Any], before: dict[str, t.Any]) -> None:
    """Containers with their states, volumes, images and networks are what they were."""
    assert as_it_was(now) == as_it_was(before)
    assert now["volumes"] == before["volumes"], [now["volumes"], before["volumes"]]
    assert now["images"] == before["images"]
    assert now["networks"] == before["networks"]


def assert_a_killed_worker_is_recovered(host: t.Any, before: dict[str, t.Any], old: str, new: str, arguments: str) -> None:
    """A move whose worker somebody is about to kill: all is there at once, on one of both roots, and the next run finishes."""
    result = run_module(host, arguments)
    assert result["failed"]
    assert "The worker was killed. An interrupted change was " in result["msg"]
    now = snapshot(host)
    assert now["root"] in (old, new)
    assert_all_is_there(now, before)
    assert not host.file("/var/lib/drydock/dockerd/journal").exists

    again = run_module(host, arguments)
    assert not again["failed"], again["msg"]
    now = snapshot(host)
    assert now["root"] == new
    assert_all_is_there(now, before)


def descendants(pid: int) -> list[int]:
    """A process and all that it has started, whatever sessions they have made for themselves."""
    children: dict[int, list[int]] = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def kill(pids: t.Iterable[int]) -> int:
    """Kill processes; how many there were."""
    count = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            count += 1
    return count


def give_up(process: subprocess.Popen[str]) -> None:
    """Kill a module's ansible, with all that it has started."""
    kill(descendants(process.pid))
    process.communicate()


def wait_for(done: t.Callable[[], bool], what: str = "it", seconds: float = 60) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.2)


def boot(host: t.Any) -> None:
    """Start a host that was killed, and wait until its daemon answers.

    docker.socket takes a client's connection before there is a daemon: without a limit a client waits for ever where none comes.
    """
    name = host.ansible.get_variables()["ansible_host"]
    subprocess.run(["docker", "start", name], check=True, stdout=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            asked = subprocess.run(["docker", "exec", name, "timeout", "20", "docker", "info"], capture_output=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            # What it ran has ended long since: this is the Docker of the machine, not the host's.
            warnings.warn(f"docker exec in {name} did not return", stacklevel=1)
            return False
        return asked.returncode == 0

    wait_for(answers, "the boot", 120)


@dataclasses.dataclass(frozen=True)
class Play:
    """How a playbook ended on a host.

    :param message: what the first failed task said; of a loop all that its items said.
    """

    failed: bool
    changed: int
    message: str


def _group_of(target: str, group: str) -> pathlib.Path:
    """An inventory more, with one host in one group."""
    path = EPHEMERAL / f"{group}.yml"
    path.write_text(json.dumps({group: {"hosts": {target: {}}}}))
    return path


def start_playbook(target: str, name: str, variables: dict[str, t.Any], check: bool = False, inventory: str = "", group: str = "") -> subprocess.Popen[str]:
    """Run one of the collection's playbooks on a host of an inventory, and do not wait for it.

    :param name: of a playbook of others the whole path, without its .yml, and
    :param group: the group that it wants the host in.
    """
    words = ["ansible-playbook", "--inventory", inventory or str(INVENTORY), str(PLAYBOOKS / f"{name}.yml")]
    words += ["--inventory", str(_group_of(target, group))] if group else []
    words += ["--extra-vars", json.dumps({"target": target, **variables}), *(["--check"] if check else [])]
    return forked.start(words, {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def play_of(process: subprocess.Popen[str], target: str) -> Play:
    """Wait for a playbook that was started."""
    out, err = process.communicate()
    try:
        # What an action plugin says stands above.
        told = json.loads(out[out.index("{\n") :])
    except ValueError:
        raise AssertionError(out + err) from None
    results = [task["hosts"][target] for play in told["plays"] for task in play["tasks"] if target in task["hosts"]]
    # The first one's only: the collection's playbooks say it again at their end.
    first = next((result for result in results if result.get("failed")), {"results": []})
    failures = [one for one in first.get("results", [first]) if one.get("failed")]
    return Play(process.returncode != 0, told["stats"][target]["changed"], " ".join(one["msg"] for one in failures))


def run_playbook(host: t.Any, name: str, variables: dict[str, t.Any], check: bool = False, inventory: str = "", target: str = "", group: str = "") -> Play:
    """Run a playbook on a lab host, or on the target of another inventory, and wait."""
    target = target or host.ansible.get_variables()["inventory_hostname"]
    return play_of(start_playbook(target, name, variables, check, inventory, group), target)
