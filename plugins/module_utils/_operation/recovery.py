# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The way out of whatever an earlier change has left: it is recovered, and what cannot be recovered is given up. Module daemon_state."""

from __future__ import annotations

import dataclasses

from .._errors import DrydockError, unexpected, wrapping
from .._host.host import Host
from .._plan.plan import Plan, step_diff
from .._service.detect import service_of
from .._transaction.interruption import find_interruption
from .._transaction.journal import Journal
from .._transaction.lock import locked
from .._transaction.recovery import abandon
from .._transaction.worker import previous_run, under_way
from .operation import Result

_WAIT, _RECOVER, _GIVE_UP, _UNHOLD = "wait for the change that is under way", "recover what is left", "give the change up", "take the hold away"
_NOTHING = "Nothing to recover: no change is open, and nothing holds the daemon."


@dataclasses.dataclass
class Recovery:
    """Nothing of ours stands in the daemon's way afterwards. It is no change of its own: it looks at nothing but what was left.

    :param run_id: of an action plugin's run that wants to follow a worker, empty to wait for its end here.
    :param ready_timeout: seconds that the daemon may take to answer after a start.
    """

    host: Host
    check_mode: bool
    run_id: str
    ready_timeout: int

    def run(self) -> Result:
        """Wait for a worker that lives, recover what is open, and give up what cannot be recovered.

        :raises DrydockError: the daemon does not start, or nobody can tell whether a worker lives.
        """
        try:
            if self.check_mode:
                return self._forecast()
            with locked(self.host, "daemon_state"):
                return under_way(self.host, self.run_id) or self._recover()
        except DrydockError:
            raise
        except Exception as exc:
            raise unexpected(exc) from exc

    def _forecast(self) -> Result:
        found = find_interruption(self.host)
        if found is None:
            return _result([], _NOTHING)
        if found["under_way"]:
            steps = [_WAIT, _RECOVER]
        elif found["since"]:
            steps = [_RECOVER] if self._is_readable() else [_GIVE_UP]
        else:
            steps = [_UNHOLD]
        return _result(steps, f"{found['what']} Would {' and '.join(steps)}.")

    def _is_readable(self) -> bool:
        try:
            Plan.from_data(Journal(self.host).plan())
        except Exception:
            # Broken in whatever way: recovering would end in the same.
            return False
        return True

    def _recover(self) -> Result:
        try:
            changed, told = previous_run(self.host)
        except Exception as exc:
            error = unexpected(exc)
            if error.id == "worker-unknown":
                # What may live is not given up.
                raise
            words = f"An interrupted change could not be recovered: {error.sentence}"
            return _result([_GIVE_UP], f"{words} {self._abandon(words)}")
        if service_of(self.host).is_held():
            return _result([_UNHOLD], f"{told} {self._abandon(told)}".strip())
        return _result([_RECOVER] if changed else [], told if changed else f"{told} {_NOTHING}".strip())

    def _abandon(self, before: str) -> str:
        try:
            return abandon(self.host, self.ready_timeout)
        except DrydockError as exc:
            raise wrapping(exc, exc.id, f"{before} {exc.sentence}".strip(), exc.hint) from exc


def _result(steps: list[str], words: str) -> Result:
    diff = [step_diff(steps)] if steps else []
    return {"changed": bool(steps), "plan": steps, "findings": [], "applied": "none", "diff": diff, "msg": words}


__all__ = ("Recovery",)
