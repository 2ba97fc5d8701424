"""A real server process: started, killed and started again on one data folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

LONGTAKE = Path(sys.executable).with_name("longtake")
START_S = 30.0


class LongtakeServer:
    """`longtake serve` on a free port."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self._settings = {f"LONGTAKE_{name.upper()}": value for name, value in settings.items()}
        self._log = data.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(timeout=60)

    def start(self, port: int = 0) -> None:
        """Start it and wait until it answers."""
        (self.data / "owner.json").unlink(missing_ok=True)
        command = [str(LONGTAKE), "serve", "--port", str(port), "--data", str(self.data)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **self._settings}, stdout=log, stderr=log, cwd=self.data.parent
            )
        wait_until(self._is_ready, START_S)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as a crash or the kernel would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait until it has drained."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(30) == 0, self._log.read_text()
        self.http.close()

    def get(self, path: str, **params: Any) -> Any:
        """The JSON behind a path."""
        return self.http.get(path, params=params).raise_for_status().json()

    def post(self, path: str, body: object = None) -> Any:
        """The JSON answer to a POST."""
        return self.http.post(path, json=body).raise_for_status().json()

    def finished(self, session_id: str, timeout_s: float = 120) -> Any:
        """The session, once its job has ended."""

        def ended() -> Any:
            session = self.get(f"/api/sessions/{session_id}")
            return session if session["enrichment"]["status"] in ("completed", "failed") else None

        return wait_until(ended, timeout_s)

    def download(self, session_id: str, file_type: str) -> bytes:
        """A whole artifact, once it is ready."""

        def ready() -> httpx.Response | None:
            answer = self.http.get(f"/api/download/{session_id}/{file_type}")
            return None if answer.status_code == 409 else answer.raise_for_status()

        return bytes(wait_until(ready, 60).content)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            self.http.base_url = httpx.URL(json.loads((self.data / "owner.json").read_text())["url"])
            return self.http.get("/readyz").is_success
        except (OSError, ValueError, httpx.TransportError):
            return False


@contextmanager
def serving(data: Path, **settings: str) -> Iterator[LongtakeServer]:
    """A server that runs, and ends with the block."""
    data.mkdir(parents=True, exist_ok=True)
    server = LongtakeServer(data, **settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def wait_until(condition: Callable[[], Any], timeout_s: float) -> Any:
    """The first true value of a condition."""
    until = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < until, f"not within {timeout_s:g} s"
        time.sleep(0.05)
