# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The worker: a change that stops the daemon runs as a process of its own, one file on the host, in a unit of its own.

Neither a lost connection nor a killed module ends it. When it is killed itself, its unit recovers at once; when the whole host
dies, the recovery unit does so at the next boot, before the daemon starts; and the next run of any module does what is left.

An action plugin does not wait in the module: it gets a command back, and asks that for news and for the end as often as it likes,
over as many connections as it takes. So the lock is free although the worker still runs, and whoever gets it asks for the worker
first: he follows that one, or waits for its end. Without systemd a supervisor of ours is to the worker what its unit is there.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import marshal
import os
import re
import subprocess
import sys
import traceback
import typing as t
import zipfile

from . import _confirm, _files
from ._errors import CommandFailed, DrydockError, message, wrapping
from ._host import Host
from ._journal import Journal
from ._outcome import report
from ._plan import Plan
from ._sysv import service_of
from ._transaction import Transaction, locked, recover

_PACKAGE = "drydock_dockerd"
# How long one question for news waits for them, how often it looks, and how often it asks systemd, in seconds.
_NEWS_SECONDS, _LOOK_SECONDS, _ASK_SECONDS = 20.0, 0.2, 2.0


# On the module's side --------------------------------------------------------------------------------------------


Earlier = t.Tuple[bool, str]
"""Whether dealing with an earlier run changed something, and a sentence about it; empty where there was none."""


def one_at_a_time(host: Host, what: str, check_mode: bool, run: str, work: t.Callable[[Earlier], dict[str, t.Any]]) -> dict[str, t.Any]:
    """Do a module's work under the lock, behind what an earlier run has left; check mode only looks, and waits for nobody.

    :param what: the module's name, for whoever meets the lock.
    :param run: the id of an action plugin's run that wants to follow the worker.
    """
    if check_mode:
        return work((False, ""))
    with locked(host, what):
        return under_way(host, run) or work(earlier_run(host))


def perform(host: Host, plan: Plan, planned: dict[str, t.Any], run: str, earlier: Earlier = (False, "")) -> dict[str, t.Any]:
    """Carry out a plan: in a worker where it is long, else right here.

    :param planned: the module's result so far; what was done is merged into it.
    :param run: the id of an action plugin's run that wants to follow; without one, the end is waited for here.
    :param earlier: what `earlier_run` said.
    :raises DrydockError: it failed; the message says what was restored.
    """
    journal = Journal(host)
    journal.create(plan.to_data())
    program = make_program()
    _files.retry_when_full(lambda: _write_bytes(host.places.program, program))
    journal.guard_boot(f"{' '.join(_command(host))} boot")
    if not plan.long:
        return mention(earlier, {**planned, **report(plan, Transaction(host, plan, journal).run(), planned)})
    _files.remove(host.places.result)
    _confirm.end(host)
    _files.write(host.places.run, json.dumps({"run": run, "planned": planned, "earlier": earlier}), 0o600)
    _files.write(host.places.progress, "", 0o600)
    service_of(host).start_worker(_command(host))
    if run:
        return _to_follow(host, attached=False)
    return _told(_wait(host))


def under_way(host: Host, run: str) -> dict[str, t.Any] | None:
    """What an action plugin gets when a worker is under way, or has ended for this very run while the connection was lost."""
    if not run:
        return None
    mine = json.loads(_files.read(host.places.run) or "{}").get("run") == run
    if _is_active(host) or (mine and os.path.exists(host.places.result)):
        return _to_follow(host, attached=not mine)
    return None


def earlier_run(host: Host) -> Earlier:
    """Deal with what an earlier run left behind: wait for its worker, recover what it did not end, tell what nobody heard of."""
    if _is_active(host):
        return True, f"An earlier run was still under way and has ended: {_end_of(_wait(host))}"
    try:
        recovered = recover(host)
    except OSError as exc:
        raise DrydockError("recovery-failed", f"An interrupted change cannot be dealt with yet: {exc}.", "Mend that, then run again.") from exc
    unheard = _files.read(host.places.result)
    _files.remove(host.places.result)
    if recovered:
        return True, recovered
    if unheard:
        return False, f"An earlier run, whose end nobody heard of, ended like this: {_end_of(json.loads(unheard))}"
    return False, ""


def mention(earlier: Earlier, result: dict[str, t.Any]) -> dict[str, t.Any]:
    """Put what `earlier_run` said into a module's result."""
    changed, sentence = earlier
    if sentence:
        result.update(changed=result["changed"] or changed, msg=f"{sentence} {result['msg']}")
    return result


def make_program() -> bytes:
    """The worker as one file that Python runs: this package's modules, which need nothing but the standard library.

    Compiled as well, since a change starts it several times: to run, to recover, to give news.
    """
    package = __name__.rpartition(".")[0]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: t.Union[str, bytes]) -> None:
            archive.writestr(zipfile.ZipInfo(name), content)

        for name in sorted(name for name in sys.modules if name.startswith(package + "._")):
            spec = importlib.util.find_spec(name)
            source = spec.loader.get_source(name) if spec and spec.loader else None  # type: ignore[attr-defined]
            if source is None:
                raise DrydockError("module-call", f"The source of {name} cannot be read, so no worker can be made of it.")
            path = f"{_PACKAGE}/{name.rpartition('.')[2]}.py"
            add(path, source)
            add(f"{path}c", _compiled(source, path))
        add(f"{_PACKAGE}/__init__.py", "")
        add("__main__.py", f"from {_PACKAGE}._worker import main\n\nmain()\n")
    return stream.getvalue()


def _compiled(source: str, path: str) -> bytes:
    """What Python takes from a file beside the source (PEP 552, not to be checked). Another Python, after an upgrade of the host, takes the source."""
    code = compile(source, path, "exec", dont_inherit=True)
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source.encode()) + marshal.dumps(code)


def _to_follow(host: Host, attached: bool) -> dict[str, t.Any]:
    """Not a result yet: how an action plugin gets it."""
    return {"changed": False, "follow": " ".join(_command(host)), "attached": attached}


def _wait(host: Host) -> dict[str, t.Any]:
    """Wait for the worker's end; what it left is read once."""
    while _is_active(host):
        host.sleep(0.1)
    text = _files.read(host.places.result)
    if text is None:
        raise _silent(host)
    _files.remove(host.places.result)
    return json.loads(text)


def _told(end: dict[str, t.Any]) -> dict[str, t.Any]:
    if "error" in end:
        raise _error_of(end)
    return end["result"]


def _end_of(end: dict[str, t.Any]) -> str:
    """How an earlier run ended, for the middle of a message: without the id, which stands at the end of one."""
    return end.get("error") or re.sub(r" \[[a-z-]+\]$", "", end["result"]["msg"])


def _error_of(end: dict[str, t.Any]) -> DrydockError:
    """The error that a result file holds. A worker of an older release has left no id there."""
    return DrydockError(end.get("id", ""), end["error"], end["hint"])


def _end_by(error: DrydockError) -> dict[str, t.Any]:
    """The form in which a result file holds an error."""
    return {"id": error.id, "error": error.sentence, "hint": error.hint}


def _silent(host: Host) -> DrydockError:
    return DrydockError(
        "worker-killed",
        "The worker ended without a word, and so did its recovery.",
        f"Run again: the next run recovers. See {service_of(host).worker_log}.",
    )


def _is_active(host: Host) -> bool:
    return service_of(host).worker_is_active()


def _command(host: Host) -> list[str]:
    return [sys.executable, host.places.program]


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
    """Run, supervise, recover, clean up at boot, give news, hear that addresses were reached, or forget the end, as the first argument says."""
    host = Host()
    host.say = lambda line: _say(host, line)
    operation, *rest = sys.argv[1:]
    operations: dict[str, t.Callable[..., None]] = {
        "run": _run, "supervise": _supervise, "recover": _recover, "boot": _at_boot, "news": _news, "confirm": _confirm.give, "heard": _heard,
    }  # fmt: skip
    operations[operation](host, *rest)


def _say(host: Host, line: str) -> None:
    print(line, flush=True)
    with open(host.places.progress, "a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def _run(host: Host) -> None:
    journal = Journal(host)
    plan = Plan.from_data(journal.plan())
    asked = json.loads(_files.read(host.places.run) or "{}")
    try:
        outcome = Transaction(host, plan, journal).run()
        end: dict[str, t.Any] = {"result": mention(asked["earlier"], {**asked["planned"], **report(plan, outcome, asked["planned"])})}
    except DrydockError as exc:
        end = _end_by(exc)
    _files.write(host.places.result, json.dumps(end), 0o600)


def _supervise(host: Host) -> None:
    """What the worker's unit does under systemd: run it, and recover when it is gone, however it ended."""
    for operation in ("run", "recover"):
        subprocess.run([*_command(host), operation], stdin=subprocess.DEVNULL, check=False)


def _recover(host: Host) -> None:
    """Its unit or supervisor runs this when the worker is gone, however it ended."""
    cause: t.Optional[Exception] = None
    try:
        sentence = recover(host)
    except Exception as exc:
        traceback.print_exc()
        words = message("", exc.sentence, exc.hint) if isinstance(exc, DrydockError) else str(exc)
        cause, sentence = exc, f"Recovering failed: {words} The next run tries again."
    if not sentence:
        return
    # A worker that has told its own end was not killed.
    end = json.loads(_files.read(host.places.result) or "{}")
    told = _error_of(end) if "error" in end else DrydockError("worker-killed", "The worker was killed.")
    error = wrapping(cause or told, "recovery-failed", f"{told.sentence} {sentence}", "Run again.")
    _files.write(host.places.result, json.dumps(_end_by(error)), 0o600)


def _at_boot(host: Host) -> None:
    """Before the daemon starts: half a change goes back to the old state; a committed one stays, and the next run finishes it."""
    journal = Journal(host)
    if os.path.exists(host.places.lock) or journal.committed:
        return
    transaction = Transaction(host, Plan.from_data(journal.plan()), journal)
    transaction.undo_files()
    with contextlib.suppress(CommandFailed):
        transaction.service.reload_units()
    print(f"An interrupted change was undone; evidence: {transaction.close()}", flush=True)


def _news(host: Host, offset: str) -> None:
    """Print what was said since an offset, and the end where there is one; wait a while for either."""
    at, waited = int(offset), 0.0
    while True:
        text = (_files.read(host.places.progress) or "").encode("utf-8", "surrogateescape")
        whole = text[at : text.rfind(b"\n") + 1]
        asks = round(waited / _LOOK_SECONDS) % round(_ASK_SECONDS / _LOOK_SECONDS) == 0 or os.path.exists(host.places.result)
        active = not asks or _is_active(host)
        confirm = _confirm.wanted(host)
        if whole or confirm or not active or waited >= _NEWS_SECONDS:
            break
        host.sleep(_LOOK_SECONDS)
        waited += _LOOK_SECONDS
    end = None if active else json.loads(_files.read(host.places.result) or json.dumps(_end_by(_silent(host))))
    print(json.dumps({"lines": whole.decode("utf-8", "replace").splitlines(), "offset": at + len(whole), "active": active, "confirm": confirm, "end": end}))


def _heard(host: Host) -> None:
    """The end has arrived; no later run has to tell it."""
    _files.remove(host.places.result)


__all__ = ("main", "make_program", "mention", "one_at_a_time", "perform")
