# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Debian's chromium without a window, driven over its own protocol (DevTools), which it speaks on two pipes."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import select
import subprocess
import tempfile
import time
import typing as t

# It shall ask nobody for anything: neither for updates nor for what it thinks that people want.
QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps"),
)


class Browser:
    """A browser with one page.

    :param events: what happened to the page, a name and its particulars each.
    """

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory()
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def connect() -> None:
            # First out of the way: one of them may have the number that the other one needs.
            numbers = [os.dup(theirs_in), os.dup(theirs_out)]
            numbers = [number if number > 4 else os.dup(number) for number in numbers]
            os.dup2(numbers[0], 3)
            os.dup2(numbers[1], 4)

        words = ["chromium", *QUIET, f"--user-data-dir={self._profile.name}", "--remote-debugging-pipe", "about:blank"]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False, preexec_fn=connect)
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest, self._number, self._session = b"", 0, ""
        self.events: list[tuple[str, dict[str, t.Any]]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_reason: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        os.close(self._out)
        os.close(self._in)
        self._profile.cleanup()

    def call(self, method: str, **params: t.Any) -> dict[str, t.Any]:
        """Ask for something, and wait for the answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **({"sessionId": self._session} if self._session else {})}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            found = self._read()
            if found.get("id") == self._number:
                assert "error" not in found, found
                return found["result"]
            self.events.append((found["method"], found["params"]))

    def _read(self) -> dict[str, t.Any]:
        until = time.monotonic() + 60
        while b"\0" not in self._rest:
            ready, _writable, _odd = select.select([self._in], [], [], max(0, until - time.monotonic()))
            assert ready, "the browser does not answer"
            read = os.read(self._in, 1 << 20)
            assert read, "the browser has ended"
            self._rest += read
        line, _nul, self._rest = self._rest.partition(b"\0")
        return json.loads(line)

    def open(self, path: pathlib.Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a file in a window of this size."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Page.navigate", url=path.as_uri())
        while not any(name == "Page.loadEventFired" for name, _params in self.events):
            self.events.append((lambda found: (found["method"], found["params"]))(self._read()))

    def ask(self, expression: str) -> t.Any:
        """What an expression of its own language is on the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **(text if kind == "keyDown" else {}))

    @property
    def requests(self) -> list[str]:
        """All that it asked for."""
        return [params["request"]["url"] for name, params in self.events if name == "Network.requestWillBeSent"]

    @property
    def complaints(self) -> list[dict[str, t.Any]]:
        """What the page's script or the browser had to say."""
        return [params for name, params in self.events if name in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")]

    def picture(self, file: pathlib.Path, whole: bool = True) -> None:
        """Take a picture, of the whole page or of what the window shows."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]))

    def print(self, file: pathlib.Path) -> None:
        """Print to a PDF."""
        file.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]))
