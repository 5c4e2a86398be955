# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The Docker Engine API over a unix socket, with the standard library only. Remote ones are in package _endpoint."""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import socket
import typing as t
import urllib.parse

from .._errors import EngineError, no_become

# The engine's zero time.
NEVER = "0001-01-01T00:00:00Z"
# Seconds that a container has to stop, where it was made without a word of that: dockerd's own default.
STOP_TIMEOUT = 10


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        # As in http.client, there is none before somebody has taken the connection.
        self.sock = sock


@dataclasses.dataclass(frozen=True)
class Engine:
    """The daemon behind a unix socket.

    Paths have no version prefix, so that each engine answers in its own newest version.

    :param path: the socket.
    :param timeout: seconds to wait for one answer; a start of a container may take long.
    """

    path: str = "/var/run/docker.sock"
    timeout: float = 120

    def get(self, path: str, **query: t.Any) -> t.Any:
        """GET and decode JSON.

        :raises EngineError: no connection, or an answer other than 2xx.
        """
        return self._call("GET", path, query)

    def get_bytes(self, path: str, **query: t.Any) -> bytes:
        """GET what is not JSON.

        :raises EngineError: no connection, or an answer other than 2xx.
        """
        return self._exchange("GET", path, query)

    def post(self, path: str, **query: t.Any) -> t.Any:
        """POST without a body; 304 (already so) is fine.

        :raises EngineError: no connection, or an answer other than 2xx and 304.
        """
        return self._call("POST", path, query)

    def post_json(self, path: str, body: t.Mapping[str, t.Any]) -> t.Any:
        """POST a body.

        :raises EngineError: no connection, or an answer other than 2xx and 304.
        """
        return _decode(self._exchange("POST", path, {}, json.dumps(body)))

    def delete(self, path: str, **query: t.Any) -> None:
        """DELETE.

        :raises EngineError: no connection, or an answer other than 2xx.
        """
        self._call("DELETE", path, query)

    @property
    def where(self) -> str:
        """How a person knows it."""
        return self.path

    def connection(self) -> http.client.HTTPConnection:
        """A connection that is not made yet."""
        return _UnixConnection(self.path, self.timeout)

    def _call(self, method: str, path: str, query: t.Mapping[str, t.Any]) -> t.Any:
        return _decode(self._exchange(method, path, query))

    def _exchange(self, method: str, path: str, query: t.Mapping[str, t.Any], sent: str = "") -> bytes:
        connection = self.connection()
        try:
            connection.request(
                method,
                path + ("?" + urllib.parse.urlencode(query) if query else ""),
                sent or None,
                {"Content-Type": "application/json"} if sent else {"Content-Length": "0"} if method == "POST" else {},
            )
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as exc:
            if isinstance(exc, PermissionError) and os.geteuid():
                raise no_become(os.geteuid()) from exc
            if isinstance(exc, FileNotFoundError):
                sentence = f"The daemon does not answer on {self.where}: there is no such socket."
                raise EngineError("api-silent", sentence, "Install the engine, from the package docker.io or docker-ce, or start it.") from exc
            raise EngineError("api-silent", f"The daemon does not answer on {self.where}: {exc}.") from exc
        finally:
            connection.close()
        if answer.status >= 300 and answer.status != 304:
            data = _decode(body)
            words = data.get("message", "") if isinstance(data, dict) else body.decode(errors="replace").strip()
            raise EngineError("api-error", f"The daemon answered {method} {path} with {answer.status}: {words}", status=answer.status)
        return body


def _decode(body: bytes) -> t.Any:
    try:
        return json.loads(body) if body.strip() else None
    except ValueError:
        return None


__all__ = (
    "NEVER",
    "STOP_TIMEOUT",
    "Engine",
)
