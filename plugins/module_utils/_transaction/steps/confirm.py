# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The new addresses are reached from elsewhere before anything is stopped, or the change ends here."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import typing as t

from ..._engine.addresses import Address, overlap, parse_address
from ..._engine.binding import listen_on
from ..._engine.certificates import certificate_to_show
from ..._errors import DrydockError
from ..._plan.order import CONFIRM
from ..._plan.plan import Plan
from ..._service import unit_file
from ..._service.command import Command
from .. import confirmation
from ..stand_in import standing_in
from .base import Step

# The tables that an nft command names.
_TABLE = re.compile(r"\btable ((?:(?:inet|ip|ip6|arp|bridge|netdev) )?[A-Za-z][\w/.-]*)")


class Confirm(Step):
    """The controller reaches the new addresses over a new connection, where something of ours stands in for the daemon."""

    name = CONFIRM

    def facts(self) -> dict[str, t.Any]:
        names = {table for words in _guards(self.plan) for table in _TABLE.findall(" ".join(words))}
        self.tables = {name: self._loaded(name) for name in sorted(names)}
        return {"tables": self.tables}

    def _loaded(self, table: str) -> str:
        """The rules of a table, empty where there is none."""
        result = self.host.run("/usr/sbin/nft", "list", "table", *table.split())
        return result.out if result.rc == 0 else ""

    def apply(self) -> None:
        with contextlib.ExitStack() as ended:
            ended.callback(self._put_tables_back, self.tables)
            # Who may reach the ports is decided by what the daemon's start will load; without it the proof would say nothing.
            for words in _guards(self.plan):
                self.host.must(*words)
            ended.callback(confirmation.end, self.host)
            listeners, ways = self._listen()
            with standing_in(listeners, self.plan.after.settings):
                self._wait([one for one in self.plan.confirm if one not in ways], ways)

    def _listen(self) -> tuple[list[socket.socket], list[str]]:
        """Sockets on the new addresses, and those on which the daemon listens already, so that nobody else can.

        :raises DrydockError: somebody else listens there, or nobody can.
        """
        daemons = [one for one in self.plan.before.addresses if one.scheme == "tcp"]
        listeners: list[socket.socket] = []
        ways = []
        for text in self.plan.confirm:
            address = parse_address(text)
            try:
                listeners.append(listen_on(address))
            except DrydockError as exc:
                if exc.id != "address-in-use" or not _has(daemons, address):
                    for listener in listeners:
                        listener.close()
                    raise
                ways.append(text)
        return listeners, ways

    def _wait(self, addresses: t.Sequence[str], ways: t.Sequence[str]) -> None:
        where = ", ".join(self.plan.confirm)
        self.host.say(f"waiting for the controller to reach {where}, at most {self.plan.confirm_timeout} s")
        confirmation.ask(self.host, addresses, certificate_to_show(self.plan.after.settings), ways)
        otherwise = f"the controller did not reach {where}, so the daemon was not stopped"
        self.context.wait("not-confirmed", lambda: confirmation.is_given(self.host), self.plan.confirm_timeout, otherwise)

    def _put_tables_back(self, tables: t.Mapping[str, str]) -> None:
        for table, text in tables.items():
            self.host.must("/usr/sbin/nft", "-f", "-", stdin=f"add table {table}\ndelete table {table}\n{text}".encode())

    def undo(self, line: dict[str, t.Any]) -> str:
        confirmation.end(self.host)
        # The daemon's start has loaded the new ones, and the old daemon may have none of its own.
        self._put_tables_back(line.get("tables", {}))
        return ""


def _has(addresses: t.Iterable[Address], address: Address) -> bool:
    return any(overlap(one, address) for one in addresses)


def _guards(plan: Plan) -> list[list[str]]:
    """The commands by which the daemon's start will decide who reaches its ports."""
    texts = [text for ask in plan.owners.values() for text in ask.drop_ins.values()]
    lines = [Command.of(line).argv for text in texts for line in unit_file.values([text], "Service", "ExecStartPre")]
    return [words for words in lines if words and os.path.basename(words[0]) == "nft"]


__all__ = ("Confirm",)
