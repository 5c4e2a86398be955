# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""What every step is, and what the steps of one transaction share."""

from __future__ import annotations

import abc
import dataclasses
import itertools
import time
import typing as t

from ..._copy.copier import Copier
from ..._engine.addresses import as_address, known_addresses
from ..._engine.api import Engine
from ..._engine.container import Container, inspect_containers, to_container
from ..._engine.inventory import Inventory
from ..._errors import DrydockError, EngineError
from ..._host import files
from ..._host.host import Host
from ..._plan.order import RELEASE
from ..._plan.plan import DaemonConfig, Plan
from ..._service.command import literal
from ..._service.detect import service_of
from ..._service.service import Service
from ..journal import Journal
from ..outcome import Outcome


@dataclasses.dataclass
class Context:
    """What the steps of one transaction share.

    :param stopped_at: when the daemon was stopped, by the clock of time.monotonic; None where this process did not stop it.
    :param copiers: of each tree that is copied.
    :param differences: sentences about what an undo leaves different from what was there before.
    :param is_rewritten: an undo has put something back that a daemon which runs has not read.
    """

    host: Host
    plan: Plan
    journal: Journal
    outcome: Outcome = dataclasses.field(default_factory=Outcome)
    stopped_at: t.Optional[float] = None
    copiers: t.Dict[str, Copier] = dataclasses.field(default_factory=dict)
    differences: t.List[str] = dataclasses.field(default_factory=list)
    is_rewritten: bool = False
    service: Service = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.service = service_of(self.host, with_containerd=self.plan.containerd is not None)

    def engine(self, side: DaemonConfig) -> Engine:
        """The API of the daemon on one side."""
        return Engine(self.service.gate.path(side.socket or "/var/run/docker.sock"))

    def inventory(self) -> Inventory:
        """What the daemon had when it was stopped; nothing where it was not."""
        noted = self.noted("inventory")
        return Inventory.from_data(noted) if noted else Inventory({}, {}, (), {})

    def noted(self, key: str) -> t.Any:
        """What the journal says last under a key; None where it says nothing."""
        return next((line[key] for line in reversed(self.journal.lines()) if key in line), None)

    def hold(self, side: DaemonConfig, more: t.Sequence[str] = ()) -> None:
        """Hold the daemon, its next start with the command of one side.

        :param more: words that are added to it.
        """
        command = " ".join([self._line(side), *more])
        self.service.hold(command, self._line(side, "containerd "), side.systemd_socket, self.policies_act(side))

    def _line(self, side: DaemonConfig, what: str = "") -> str:
        """What starts the daemon, or containerd, on one side, as its unit has it; release 0.1.0 notes only the words."""
        lines = self.noted("lines")
        words = side.containerd if what else side.command
        return lines[f"{what}{self.side_name(side)}"] if lines else literal(words)

    def side_name(self, side: DaemonConfig) -> str:
        """Its name where the journal has something of both."""
        return "after" if side is self.plan.after else "before"

    def policies_act(self, side: DaemonConfig) -> bool:
        """Of containers that come into view nobody knows who ran: their policies do."""
        return side is self.plan.after and (bool(self.plan.hides) or self.plan.effect == "start")

    def close(self, side: DaemonConfig) -> None:
        """Let nobody but us reach the daemon on one side, until the API is opened."""
        sockets = [one.path for one in side.addresses if one.scheme == "unix"]
        ports = [one.port for one in side.addresses if one.scheme == "tcp"]
        others = known_addresses(map(as_address, itertools.chain(*self.service.other_sockets().values())))
        sockets += [one.path for one in others if one.scheme == "unix"]
        ports += [one.port for one in others if one.scheme == "tcp"]
        self.service.gate.close([*sockets, *([side.systemd_socket] if side.systemd_socket else [])], ports)

    def open(self) -> list[str]:
        """Let everybody reach the daemon again; returns the words about a way that stays closed, which keeps no container from starting."""
        try:
            self.service.gate.open()
        except DrydockError as exc:
            return [exc.sentence]
        return []

    def live_restore_text(self, path: str) -> str | None:
        """What the hold has written into daemon.json; None of another file, or where it wrote nothing."""
        return self.noted("live_restore_text") if path == self.host.places.daemon_json else None

    def put_back(self, path: str, before: str | None, after: str | None) -> None:
        """Bring a file back to what it was before the change, where it is still what the change has made of it: others' words stay."""
        now = files.read(path)
        if now == before:
            return
        if now not in (after, self.live_restore_text(path)):
            self.differences.append(f"{path} was changed by somebody else since, and stays as it is")
            return
        files.put(path, before)
        self.is_rewritten = True

    def running_set(self, engine: Engine) -> list[Container]:
        """The containers that ran at the moment of the stop, as the events up to it tell; one that came behind the inventory the daemon knows."""
        inventory = self.inventory()
        known = {one.id: one for one in inventory.running_set()}
        ran = self.noted("ran")
        ids = [*(known if ran is None else ran), *(self.noted("also_ran") or ())]
        others = {str(raw["Id"]): to_container(raw) for raw in inspect_containers(engine)} if set(ids) - set(known) else {}
        found = [known.get(id) or others.get(id) for id in dict.fromkeys(ids)]
        return [one for one in found if one and not one.is_transient]

    def start(self, side: DaemonConfig, other: DaemonConfig) -> None:
        """Start the daemon on one side, closed as long as it is held."""
        # Of a socket that it had on the other one systemd leaves the node, where clients would knock in vain.
        if other.systemd_socket and other.systemd_socket != side.systemd_socket:
            files.remove(other.systemd_socket)
        if self.policies_act(side):
            # Containers start with it, and some of them mount the socket.
            self.service.gate.open()
        elif self.service.is_held():
            self.close(side)
        self.service.start(self.plan.ready_timeout)
        if any(line["step"] == RELEASE for line in self.begun()):
            # Containers have been let loose: the API is everybody's, also where a recovery goes on.
            self.service.gate.open()

    def wait(self, id: str, done: t.Callable[[], t.Any], seconds: float, otherwise: str) -> None:
        """Wait until something is true.

        :param id: of the error where it is not within these seconds, and
        :param otherwise: its words.
        :raises DrydockError: with what the daemon answered last.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                if done():
                    return
                words = ""
            except EngineError as exc:
                words = f" ({exc.sentence.rstrip('.')})"
            if time.monotonic() > deadline:
                raise DrydockError(id, f"Within {seconds:g} s {otherwise}{words}.")
            self.host.sleep(0.02)

    def took(self, what: str, began: float) -> float:
        """Note how long something took, in seconds."""
        seconds = round(time.monotonic() - began, 3)
        self.outcome.phases.append({"phase": what, "seconds": seconds})
        return seconds

    def begun(self) -> list[dict[str, t.Any]]:
        """What the journal says was begun, the latest first."""
        return [line for line in reversed(self.journal.lines()) if line["event"] == "begin"]

    def do(self, step: Step) -> None:
        """Do one step: what undoing it needs is in the journal before it acts."""
        self.journal.note("begin", step.text, **step.facts())
        step.apply()
        self.journal.note("done", step.text)


class Step(abc.ABC):
    """One step of a plan. Undoing reads nothing but its own line of the journal: it works the same in this process and in the next one.

    :param text: as the plan has it: the name, and behind it what is not the same each time.
    """

    name: t.ClassVar[str]
    # From the moment in which it has begun there is no undoing: a failure is told, and the next run goes on from there.
    undoable: t.ClassVar[bool] = True
    # Whether a recovery that goes forward may do it again after it was done.
    repeatable: t.ClassVar[bool] = True

    def __init__(self, context: Context, text: str) -> None:
        self.context = context
        self.text = text

    @property
    def plan(self) -> Plan:
        """The plan that it is part of."""
        return self.context.plan

    @property
    def host(self) -> Host:
        """The machine that it changes."""
        return self.context.host

    def facts(self) -> dict[str, t.Any]:
        """What the journal has to know before it acts, as JSON."""
        return {}

    @abc.abstractmethod
    def apply(self) -> None:
        """Do it.

        :raises DrydockError: it failed; what was done by then is undone by `undo`.
        """

    def put_back(self, line: dict[str, t.Any]) -> None:
        """Undo what it did to files, if it did, and nothing else: before a boot starts the daemon that is all there is to undo.

        :param line: what the journal says of its beginning.
        """
        return

    def undo(self, line: dict[str, t.Any]) -> str:
        """Undo all of it, if it did anything; returns a sentence about what was restored, empty where that is not worth one.

        :param line: what the journal says of its beginning.
        """
        self.put_back(line)
        return ""


__all__ = ("Context", "Step")
