# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What tests share that run the collection's modules themselves, as a person does with the command 'ansible'."""

from __future__ import annotations

import json
import os
import subprocess
import time
import typing as t


def snapshot(host: t.Any) -> dict[str, t.Any]:
    """The picture of this moment."""
    return json.loads(host.check_output("lab-host snapshot"))


def start_module(host: t.Any, arguments: str, module: str = "data_root", check: bool = False, path: str = "") -> subprocess.Popen[str]:
    """Run a module and do not wait for it.

    :param path: a directory of commands that come before the machine's own.
    """
    variables = host.ansible.get_variables()
    words = ["ansible", "--inventory", host.backend.ansible_inventory, variables["inventory_hostname"], "--module-name", f"drydock.dockerd.{module}"]
    words += ["--args", arguments, *(["--check"] if check else [])]
    environment = {**os.environ, "ANSIBLE_CALLBACK_RESULT_FORMAT": "json", "PATH": f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, start_new_session=True)


def end_of(process: subprocess.Popen[str]) -> dict[str, t.Any]:
    """Wait for a module that was started; its result, and what was said on the way as 'said'."""
    out, _nothing = process.communicate()
    said, _arrow, result = out.rpartition(" => ")
    return {"failed": process.returncode != 0, **json.loads(result), "said": said}


def run_module(host: t.Any, arguments: str, module: str = "data_root", check: bool = False) -> dict[str, t.Any]:
    """Run a module and wait; returns its result."""
    return end_of(start_module(host, arguments, module, check))


def wait_for(done: t.Callable[[], bool], what: str = "it", seconds: float = 60) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.2)
