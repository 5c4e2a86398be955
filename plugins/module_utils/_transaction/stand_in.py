# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""Stands in for a daemon that does not listen on an address yet: who reaches it sees the certificate that the daemon will show, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
import typing as t

# How long one client may take, and how soon the end is noticed, in seconds.
_PATIENCE, _LOOK = 10, 0.05
# What a daemon answers to the question whether it is one.
_PONG = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves a socket that listens already.

    :param secure: how TLS is spoken; None for plain HTTP.
    """

    daemon_threads, block_on_close = True, False

    def __init__(self, listener: socket.socket, secure: ssl.SSLContext | None) -> None:
        super().__init__(listener.getsockname(), _Client, bind_and_activate=False)
        self.socket.close()
        self.socket, self.secure = listener, secure


class _Client(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        # What goes wrong is the client's to tell.
        with contextlib.suppress(OSError):
            self.request.settimeout(_PATIENCE)
            if self.server.secure:
                self.server.secure.wrap_socket(self.request, server_side=True).close()
            else:
                self.request.recv(1 << 12)
                self.request.sendall(_PONG)


@contextlib.contextmanager
def standing_in(listeners: t.Iterable[socket.socket], settings: t.Mapping[str, t.Any]) -> t.Iterator[None]:
    """A scope in which clients are served; the sockets are closed behind it.

    :param settings: the daemon's, with its certificate.
    """
    with contextlib.ExitStack() as ended:
        sockets = [ended.enter_context(listener) for listener in listeners]
        secure = _context(settings)
        for listener in sockets:
            server = _Server(listener, secure)
            thread = threading.Thread(target=server.serve_forever, args=(_LOOK,), daemon=True)
            thread.start()
            ended.callback(thread.join)
            ended.callback(server.shutdown)
        yield


def _context(settings: t.Mapping[str, t.Any]) -> ssl.SSLContext | None:
    if not (settings.get("tls") or settings.get("tlsverify")):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(settings.get("tlscert")), str(settings.get("tlskey")), password=lambda: b"")
    return context


__all__ = ("standing_in",)
