# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The worker: a change that stops the daemon runs as a process of its own, one file on the host, in a unit of its own.

Neither a lost connection nor a killed module ends it. When it is killed itself, its unit recovers at once; when the whole host
dies, the recovery unit does so at the next boot, before the daemon starts; and the next run of any module does what is left.

The module that began a change holds the lock while it waits. If that module is gone, the lock is free although the worker
still runs: so whoever gets the lock asks for the worker's unit first, and waits for its end.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import sys
import traceback
import typing as t
import zipfile

from . import _files
from ._errors import DrydockError
from ._host import Host
from ._journal import Journal
from ._outcome import Outcome, words
from ._plan import Plan
from ._transaction import Transaction, recover

UNIT = "drydock-dockerd.service"
_PACKAGE = "drydock_dockerd"


# On the module's side --------------------------------------------------------------------------------------------


def perform(host: Host, plan: Plan) -> Outcome:
    """Carry out a plan: in a worker where the daemon is stopped, else right here.

    :raises DrydockError: it failed; the message says what was restored.
    """
    program = os.path.join(host.places.state, "worker.pyz")
    journal = Journal(host)
    journal.create(plan.to_data())
    _write_bytes(program, make_program())
    command = f"{sys.executable} {program}"
    journal.guard_boot(f"{command} boot")
    if plan.effect != "restart":
        return Transaction(host, plan, journal).run()
    _files.remove(_result_path(host))
    host.must(
        "systemd-run", f"--unit={UNIT}", "--collect", "--quiet", "--description=A change of the Docker daemon", "--property=TimeoutStopSec=infinity",
        f"--property=ExecStopPost={command} recover", sys.executable, program, "run",
    )  # fmt: skip
    result = _wait(host)
    if "error" in result:
        raise DrydockError(result["error"], result["hint"])
    return Outcome(**result["outcome"])


def earlier_run(host: Host) -> tuple[bool, str]:
    """Deal with what an earlier run left behind: wait for its worker, recover what it did not end, tell what nobody heard of.

    :returns: whether that changed something in this run, and a sentence about it, empty where there was nothing.
    """
    if _is_active(host):
        result = _wait(host)
        return True, f"An earlier run was still under way and has ended: {result.get('error') or result['words']}"
    recovered = recover(host)
    unheard = _files.read(_result_path(host))
    _files.remove(_result_path(host))
    if recovered:
        return True, recovered
    if unheard:
        result = json.loads(unheard)
        return False, f"An earlier run, whose end nobody heard of, ended like this: {result.get('error') or result['words']}"
    return False, ""


def mention(earlier: tuple[bool, str], result: dict[str, t.Any]) -> dict[str, t.Any]:
    """Put what `earlier_run` said into a module's result."""
    changed, sentence = earlier
    if sentence:
        result.update(changed=result["changed"] or changed, msg=f"{sentence} {result['msg']}")
    return result


def make_program() -> bytes:
    """The worker as one file that Python runs: this package's modules, which need nothing but the standard library."""
    package = __name__.rpartition(".")[0]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, text: str) -> None:
            # A fixed time stamp: the same code makes the same file.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)

        for name in sorted(name for name in sys.modules if name.startswith(package + "._")):
            spec = importlib.util.find_spec(name)
            source = spec.loader.get_source(name) if spec and spec.loader else None  # type: ignore[attr-defined]
            if source is None:
                raise DrydockError(f"The source of {name} cannot be read, so no worker can be made of it.")
            add(f"{_PACKAGE}/{name.rpartition('.')[2]}.py", source)
        add(f"{_PACKAGE}/__init__.py", "")
        add("__main__.py", f"from {_PACKAGE}._worker import main\n\nmain()\n")
    return stream.getvalue()


def _wait(host: Host) -> dict[str, t.Any]:
    """Wait for the worker's end; the result is read once."""
    path = _result_path(host)
    while _is_active(host):
        host.sleep(0.1)
    text = _files.read(path)
    if text is None:
        raise DrydockError(
            "The worker ended without a word, and so did its recovery.", "Run again: the next run recovers. See 'journalctl -u drydock-dockerd'."
        )
    _files.remove(path)
    return json.loads(text)


def _is_active(host: Host) -> bool:
    return host.run("systemctl", "show", UNIT, "--property=ActiveState", "--value").out.strip() not in ("inactive", "failed", "")


def _result_path(host: Host) -> str:
    return os.path.join(host.places.state, "result.json")


def _write_bytes(path: str, content: bytes) -> None:
    temporary = path + ".new"
    with open(temporary, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    _files.sync_directory(os.path.dirname(path))


# On the worker's side --------------------------------------------------------------------------------------------


def main() -> None:
    """Run, recover or clean up at boot, as the first argument says."""
    host = Host(say=lambda line: print(line, flush=True))
    {"run": _run, "recover": _recover, "boot": _at_boot}[sys.argv[1]](host)


def _run(host: Host) -> None:
    journal = Journal(host)
    plan = Plan.from_data(journal.plan())
    try:
        outcome = Transaction(host, plan, journal).run()
        result = {"outcome": dataclasses.asdict(outcome), "words": words(plan, outcome)}
    except DrydockError as exc:
        result = {"error": exc.sentence, "hint": exc.hint}
    _files.write(_result_path(host), json.dumps(result), 0o600)


def _recover(host: Host) -> None:
    """The worker's unit runs this when the worker is gone, however it ended."""
    try:
        sentence = recover(host)
    except Exception as exc:
        traceback.print_exc()
        sentence = f"Recovering failed: {exc} The next run tries again."
    if sentence:
        _files.write(_result_path(host), json.dumps({"error": f"The worker was killed. {sentence}", "hint": "Run again."}), 0o600)


def _at_boot(host: Host) -> None:
    """Before the daemon starts: half a change goes back to the old state; a committed one stays, and the next run finishes it."""
    journal = Journal(host)
    if os.path.exists(host.places.lock) or journal.committed:
        return
    Transaction(host, Plan.from_data(journal.plan()), journal).undo_files()
    host.run("systemctl", "daemon-reload")
    print(f"An interrupted change was undone; evidence: {journal.close()}", flush=True)


__all__ = ("earlier_run", "main", "make_program", "mention", "perform")
