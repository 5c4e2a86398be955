# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The daemon's API, closed for everybody but us while a change is under way: what a client was promised by then would be undone with it.

A unix socket is renamed into a directory of root's beside it. It goes on working by that name, whoever holds it, and clients find no such
file, as during a stop. New tcp connections are reset by a table of nftables, but for those that carry our mark; where there is no nft, tcp
stays open. What is closed stands in a file in /run: another process can open it after a crash, and a boot clears both.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import stat
import threading
import typing as t

from .._errors import DrydockError
from .._host import files
from .._host.host import Host

# Where a socket waits: a directory of this name beside it, since a rename cannot leave the file system.
_DIRECTORY = ".drydock-api"
# The longest name by which a unix socket can be reached (unix(7)).
_LONGEST = 107
_NFT, _TABLE = "/usr/sbin/nft", "inet drydock_gate"
# Of our own connections. On its way over loopback a packet keeps the mark of the socket that sent it.
_MARK = 0xD0C
# How often it is looked for a socket that dockerd is about to make, in seconds.
_LOOK = 0.0005


@dataclasses.dataclass(frozen=True)
class ApiGate:
    """The way to the daemon. All of it may be done again after a crash."""

    host: Host

    def close(self, sockets: t.Iterable[str], ports: t.Iterable[int]) -> None:
        """Let nobody in but us, by these ways and those that are closed already; also where a socket is not there yet.

        :param sockets: paths of unix sockets, and
        :param ports: of tcp.
        """
        there = self._closed()
        # A socket that could not be reached by its hidden name stays.
        places = sorted({*there["sockets"], *(one for one in map(_place, sockets) if _hidden(one) != one)})
        numbers = sorted({*there["ports"], *ports})
        files.write(self.host.places.gate, json.dumps({"sockets": places, "ports": numbers}), 0o600)
        if numbers:
            # Without nft, or where it fails, tcp stays as it is.
            self.host.run(_NFT, "-f", "-", stdin=_rules(numbers).encode())
        _hide(places)

    def open(self) -> None:
        """Let everybody in again.

        :raises DrydockError: a way stays closed.
        """
        closed = self._closed()
        for path in closed["sockets"]:
            try:
                _bring_back(path)
            except OSError as exc:
                raise DrydockError(
                    "api-closed", f"The daemon's socket {path} waits in {_hidden(path)} and cannot be brought back: {exc}.", "Mend that, then run again."
                ) from exc
        for directory in {os.path.dirname(_hidden(path)) for path in closed["sockets"]}:
            # What somebody else has put there is no reason to stay closed.
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        if closed["ports"]:
            result = self.host.run(_NFT, "-f", "-", stdin=f"add table {_TABLE}\ndelete table {_TABLE}\n".encode())
            if result.rc not in (0, 127):
                raise DrydockError("api-closed", f"The rules of nftables that close the daemon's ports stay: {result.words}.", f"nft delete table {_TABLE}")
        files.remove(self.host.places.gate)

    def path(self, path: str) -> str:
        """The name by which we ourselves reach a unix socket now."""
        hidden = _hidden(_place(path))
        return hidden if _place(path) in self._closed()["sockets"] and os.path.lexists(hidden) else path

    @contextlib.contextmanager
    def closing_at_once(self, systemd_socket: str | None = None) -> t.Iterator[None]:
        """A scope in which dockerd makes its sockets; what is closed and appears again is closed again.

        :param systemd_socket: the one that systemd makes and closes itself: its start fails when somebody else is faster.
        """
        places, ended = self._closed()["sockets"], threading.Event()
        own = [path for path in places if not systemd_socket or path != _place(systemd_socket)]

        def look() -> None:
            while own and not ended.wait(_LOOK):
                # It is tried once more, and what goes wrong in the end is told.
                with contextlib.suppress(OSError):
                    _hide(own)

        looker = threading.Thread(target=look, daemon=True)
        looker.start()
        try:
            yield
        finally:
            ended.set()
            looker.join()
            _hide(places)

    def _closed(self) -> dict[str, list[t.Any]]:
        return json.loads(files.read(self.host.places.gate) or '{"sockets": [], "ports": []}')  # type: ignore[no-any-return]


def hidden_path(path: str) -> str:
    """Where a unix socket waits while it is closed."""
    return _hidden(_place(path))


def connect_through(host: str, port: int, timeout: float) -> socket.socket:
    """A tcp connection of our own, which a closed gate lets through.

    :raises OSError: there is none.
    """
    error: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _name, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        try:
            # Who may not do that has closed nothing either.
            with contextlib.suppress(PermissionError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, _MARK)
            connection.settimeout(timeout)
            connection.connect(where)
            return connection
        except OSError as exc:
            connection.close()
            error = exc
    raise error


def _place(path: str) -> str:
    """A socket by its one name: /var/run is a link to /run."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _hidden(path: str) -> str:
    hidden = os.path.join(os.path.dirname(path), _DIRECTORY, os.path.basename(path))
    return hidden if len(os.fsencode(hidden)) <= _LONGEST else path


def _hide(places: t.Iterable[str]) -> None:
    for path in places:
        with contextlib.suppress(FileNotFoundError):
            # dockerd makes its socket without any permission and gives it some by its name: taken away before that, the start fails.
            if stat.S_IMODE(os.lstat(path).st_mode):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(os.path.dirname(_hidden(path)), 0o700)
                os.rename(path, _hidden(path))


def _bring_back(path: str) -> None:
    """Give a socket its name again; of one that nobody listens on any more only the node is left, which goes."""
    hidden = _hidden(path)
    if os.path.lexists(hidden):
        if os.path.lexists(path) or not _is_listened_on(hidden):
            os.unlink(hidden)
        else:
            os.rename(hidden, path)


def _is_listened_on(path: str) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except BlockingIOError:
            # There are many who wait to be let in.
            pass
    return True


def _rules(ports: t.Iterable[int]) -> str:
    """A table that takes the place of the one that is there; it comes before all others."""
    numbers = ", ".join(map(str, ports))
    syn = f"tcp dport {{ {numbers} }} tcp flags & (syn | ack) == syn"
    return f"""add table {_TABLE}
delete table {_TABLE}
table {_TABLE} {{
    chain input {{
        type filter hook input priority -400; policy accept;
        {syn} meta mark != {_MARK:#x} reject with tcp reset
    }}
}}
"""


__all__ = ("ApiGate", "connect_through", "hidden_path")
