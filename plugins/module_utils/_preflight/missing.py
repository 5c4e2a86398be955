# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What is asked for and dockerd or systemd would not find, or not take: looked at before anything is stopped for it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import typing as t

from .._host.host import Host
from .._observe.state import State
from .._plan.plan import Plan
from .finding import ERROR, Finding

# Those that need no name.
_RUNTIMES = ("runc", "io.containerd.runc.v2")


def missing_findings(state: State, plan: Plan) -> t.Iterator[Finding]:
    """What is asked for by its name and is not there: dockerd does not start without it."""
    asked = {key: value for ask in plan.owners.values() for key, value in ask.settings.items()}
    plugins = state.info.get("Plugins") or {}
    driver, drivers = asked.get("log-driver"), plugins.get("Log") or []
    if driver and drivers and ":" not in driver and driver not in drivers:
        yield _missing(f"Log driver '{driver}'", f"none that this engine has: {', '.join(sorted(drivers))}", f"docker plugin install {driver}")
    known = {*(plan.file_settings.get("runtimes") or {}), *(state.info.get("Runtimes") or {}), *_RUNTIMES}
    runtime = asked.get("default-runtime")
    if runtime and state.info and runtime not in known and not runtime.startswith(("io.containerd.", "/")):
        yield _missing(f"Default runtime '{runtime}'", f"none of {', '.join(sorted(known))}", "name it in runtimes")
    for name, one in (asked.get("runtimes") or {}).items():
        path = one.get("path") if isinstance(one, dict) else None
        if path and not (os.path.isfile(path) if os.path.isabs(path) else shutil.which(path)):
            yield _missing(f"Runtime '{name}'", f"{path} is not there", f"install what brings {path}")
    for name in asked.get("authorization-plugins") or ():
        if name not in (plugins.get("Authorization") or ()) and ":" not in name and not _is_plugin(name):
            yield _missing(f"Authorization plugin '{name}'", "it has no socket in /run/docker/plugins and no file in /etc/docker/plugins", "start it")


def _missing(what: str, why: str, way: str) -> Finding:
    return Finding("not-there", ERROR, f"{what} is not on this host ({why}), and dockerd does not start without it.", f"First {way}, or leave it out.")


def _is_plugin(name: str) -> bool:
    """Whether a plugin has a socket or a file by which dockerd finds it (moby: pkg/plugins/discovery_unix.go)."""
    places = (f"/run/docker/plugins/{name}.sock", f"/run/docker/plugins/{name}/{name}.sock")
    files_ = (f"{top}/docker/plugins/{name}.{kind}" for top in ("/etc", "/usr/lib") for kind in ("spec", "json"))
    return any(os.path.exists(path) for path in (*places, *files_))


def drop_in_findings(host: Host, state: State, plan: Plan) -> t.Iterator[Finding]:
    """Lines of our drop-ins that systemd would pass over, with the daemon restarted for nothing: it says so before."""
    texts = {os.path.basename(one.path): one.after for one in plan.files if one.path.endswith(".conf") and "/docker.service.d/" in one.path and one.after}
    if not texts or not shutil.which("systemd-analyze"):
        return
    with tempfile.TemporaryDirectory(prefix="drydock-") as top:
        directory = os.path.join(top, "docker.service.d")
        os.mkdir(directory)
        with open(os.path.join(top, "docker.service"), "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(state.unit.texts[state.unit.fragment])
        for name, text in texts.items():
            with open(os.path.join(directory, name), "w", encoding="utf-8", errors="surrogateescape") as stream:
                stream.write(text)
        said = host.run("env", f"SYSTEMD_UNIT_PATH={top}:", "systemd-analyze", "verify", os.path.join(top, "docker.service"), timeout=60).err
    for name, line, words in re.findall(r"/docker\.service\.d/([^/:]+):(\d+): (.*)", said):
        if name in texts and re.search(r"ignoring|Invalid|Failed to", words):
            percent = " Write %% for a percent sign." if "%" in (texts[name] or "") else ""
            sentence = f"systemd would not take line {line} of drop-in {name}: {words.rstrip('.')}."
            yield Finding("drop-in-line", ERROR, sentence, f"Correct that line.{percent}")


__all__ = ("drop_in_findings", "missing_findings")
