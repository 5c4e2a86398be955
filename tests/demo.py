#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The main job on a throw-away host with a real init and a real dockerd: playbooks/site.yml opens its API to the network and moves its data."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
import subprocess
import sys
import time
import typing as t

TOP = pathlib.Path(__file__).resolve().parent.parent
LAB = TOP / "molecule" / "lab"
FILES = 20000

INVENTORY = """\
all:
  children:
    lab:
      hosts:
        demo:
          ansible_connection: community.docker.docker
          ansible_host: {name}
          ansible_python_interpreter: /usr/bin/python3
          lab_files: {files}
          lab_containers: all
          docker_listen_addresses: [fd://, "tcp://{address}:2375"]
          docker_listen_allow_insecure: true
          docker_data_root_path: /mnt/data/docker
"""


def output(*words: object) -> str:
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def snapshot(name: str) -> dict[str, t.Any]:
    return json.loads(output("docker", "exec", name, "lab-host", "snapshot"))


def play(inventory: pathlib.Path, playbook: pathlib.Path) -> str:
    """Run a playbook, show its output while it comes, return it."""
    print(f"$ ansible-playbook -i {inventory.relative_to(TOP)} {playbook.relative_to(TOP)}", flush=True)
    lines = []
    with subprocess.Popen(["ansible-playbook", "-i", inventory, playbook], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode != 0:
        sys.exit(f"the playbook failed with {process.returncode}")
    return "".join(lines)


def ask_over_tcp(address: str) -> str:
    connection = http.client.HTTPConnection(address, 2375, timeout=10)
    connection.request("GET", "/version")
    return json.load(connection.getresponse())["Version"]


def main() -> int:
    name = output(LAB / "prefix.sh") + "-demo"
    if "--remove" in sys.argv:
        remove(name)
        return 0
    began = time.monotonic()
    say("A throw-away host: Debian trixie with systemd and dockerd")
    remove(name)
    print(output(LAB / "create.sh", name, output(LAB / "image.sh", "trixie"), "8G"), "in", name)
    address = output("docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name)
    inventory = TOP / ".cache" / "demo" / "hosts.yml"
    inventory.parent.mkdir(parents=True, exist_ok=True)
    inventory.write_text(INVENTORY.format(name=name, files=FILES, address=address))
    play(inventory, LAB / "prepare.yml")
    before = snapshot(name)

    say("The main job: listen on the network, move the data to the other partition, one outage")
    time.sleep(3)
    text = play(inventory, TOP / "playbooks" / "site.yml")
    time.sleep(3)
    gap = output("docker", "exec", name, "lab-host", "gap", "60")
    after = snapshot(name)
    answer = ask_over_tcp(address)
    words = re.search(r"Moved [^\"\n]*", text)

    say("Again: nothing to do")
    again = play(inventory, TOP / "playbooks" / "site.yml")
    last = snapshot(name)

    say("Before and after")
    rows = [
        ("listens on", " ".join(before["listens"]), " ".join(after["listens"])),
        ("data root", before["root"], after["root"]),
        ("asked over TCP from outside", "-", f"docker {answer} answers"),
        ("volumes, content hashed", str(len(before["volumes"])), "equal" if before["volumes"] == after["volumes"] else "DIFFERENT"),
        ("images", str(len(before["images"])), "equal" if before["images"] == after["images"] else "DIFFERENT"),
        ("longest silence of a heartbeat", "0.1 s", f"{gap} s"),
    ]
    rows += [
        (f"container {one} ({was['policy']})", f"{was['id'][:12]} {was['state']}", f"{after['containers'][one]['id'][:12]} {after['containers'][one]['state']}")
        for one, was in sorted(before["containers"].items())
    ]
    for label, was, now in rows:
        print(f"  {label:<42} {was:<24} {now}")
    print(f"\n  {words[0] if words else 'no summary'}")

    def ids(picture: dict[str, t.Any]) -> dict[str, tuple[str, str]]:
        return {key: (one["id"], one["state"]) for key, one in picture["containers"].items()}

    checks = {
        "the data root is the new one": after["root"] == "/mnt/data/docker",
        "images and volumes are equal": (before["images"], before["volumes"]) == (after["images"], after["volumes"]),
        "every container is as it was, same id": ids(before) == ids(after),
        "the second run is changed=0": "changed=0" in again and "failed=0" in again,
        "the second run restarted nothing": after["pid"] == last["pid"],
    }
    for check, holds in checks.items():
        print(f"  {'yes' if holds else 'NO '}  {check}")
    say(f"Done in {time.monotonic() - began:.0f} s")
    print(f"Look around:  docker exec -it {name} bash\nAsk it:       docker -H tcp://{address}:2375 ps\nRemove it:    make demo-clean")
    return 0 if all(checks.values()) else 1


def remove(name: str) -> None:
    subprocess.run(["docker", "rm", "--force", name], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run(["docker", "volume", "rm", "--force", f"{name}-lib"], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
