# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The ledger of acknowledged writes, on this side."""

from __future__ import annotations

import socketserver
import threading
import time
import typing as t


class Failed(Exception):
    """A check failed; the text says which."""


class Ledger(socketserver.ThreadingTCPServer):
    """Collects the records that were acknowledged."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Acknowledgements)
        self.records: set[str] = set()
        self.last = 0.0
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def wait_for_more(self, seconds: float) -> None:
        """Wait until somebody acknowledges again.

        :raises Failed: nobody does.
        """
        count, deadline = len(self.records), time.monotonic() + seconds
        while len(self.records) < count + 5:
            if time.monotonic() > deadline:
                raise Failed(f"no record was acknowledged within {seconds:g} s")
            time.sleep(0.02)


class _Acknowledgements(socketserver.StreamRequestHandler):
    server: Ledger

    def handle(self) -> None:
        try:
            for line in self.rfile:
                # A line that a fault has cut short acknowledges nothing.
                if line.endswith(b"\n"):
                    self.server.records.add(line.decode().strip())
                    self.server.last = time.monotonic()
        except OSError:
            return


def missing(acknowledged: t.Iterable[str], text: str) -> list[str]:
    """The acknowledged records that a ledger's file lacks."""
    return sorted(set(acknowledged) - set(text.splitlines()))


__all__ = ("Failed", "Ledger", "missing")
