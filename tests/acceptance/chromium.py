"""Debian's Chromium, driven over its DevTools protocol: just what the tests need of it.

Source: https://chromedevtools.github.io/devtools-protocol/
"""

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

START_S = 60.0
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
    "about:blank",
)


class Chromium:
    """One tab."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self._ask("Page.enable", {})

    def goto(self, url: str) -> None:
        """Open a page and wait until it is complete."""
        self._ask("Page.navigate", {"url": url})
        while self.evaluate("[document.readyState, location.href]") != ["complete", f"{url.rstrip('/')}/"]:
            time.sleep(0.05)

    def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression (awaited if it is a promise)."""
        params = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self._ask("Runtime.evaluate", params)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._connection.recv(timeout=120))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]


@contextmanager
def chromium(profile: Path) -> Iterator[Chromium]:
    """A headless Chromium with a new profile, ended with the block."""
    profile.mkdir()
    log = profile / "chromium.log"
    with log.open("wb") as out:
        process = subprocess.Popen(["chromium", f"--user-data-dir={profile}", *FLAGS], stdout=out, stderr=out)
    try:
        with connect(_address(profile, log), max_size=None) as connection:
            yield Chromium(connection)
    finally:
        process.terminate()
        process.wait(30)


def _address(profile: Path, log: Path) -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        try:
            port = (profile / "DevToolsActivePort").read_text().splitlines()[0]
            tabs = httpx.get(f"http://127.0.0.1:{port}/json/list").json()
            return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")
        except (OSError, httpx.TransportError, IndexError, StopIteration):
            time.sleep(0.1)
    raise AssertionError(f"Chromium did not start: {log.read_text(errors='replace')[-2000:]}")
