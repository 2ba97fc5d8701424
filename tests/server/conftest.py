"""A real server over a real runtime, in a thread of the tests' process."""

import io
import math
import struct
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from longtake.runtime import Runtime
from longtake.server.app import create_app
from longtake.settings import Settings

PATIENCE_S = 60


@dataclass(frozen=True)
class Served:
    """A running server, the runtime behind it, and a client for it."""

    runtime: Runtime
    client: httpx.Client

    def create(self, **fields: Any) -> str:
        """A new session's id."""
        answer = self.client.post("/api/sessions", json=fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def track(self, session_id: str, kind: str = "microphone", **fields: Any) -> str:
        """A new track's id."""
        answer = self.client.post(f"/api/sessions/{session_id}/tracks", json={"kind": kind, **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def put(self, session_id: str, track_id: str, index: int, data: bytes, **params: Any) -> httpx.Response:
        """Send a segment."""
        return self.client.put(
            f"/api/sessions/{session_id}/tracks/{track_id}/segments/{index}", content=data, params=params
        )

    def recorded(self, *parts: bytes) -> str:
        """A session of one track with these segments, ended and whole; its id."""
        session_id = self.create()
        track_id = self.track(session_id)
        self.client.post(f"/api/sessions/{session_id}/start").raise_for_status()
        for index, data in enumerate(parts):
            self.put(session_id, track_id, index, data).raise_for_status()
        self.client.post(f"/api/sessions/{session_id}/end").raise_for_status()
        self.wait_for_job(session_id)
        return session_id

    def wait_for_job(self, session_id: str) -> dict[str, Any]:
        """Wait for the session's job to end; returns the session."""

        def ended() -> dict[str, Any] | None:
            session: dict[str, Any] = self.client.get(f"/api/sessions/{session_id}").json()
            return None if session["enrichment"]["status"] in ("in-progress", "idle") else session

        session: dict[str, Any] = wait_for(ended)
        assert session["enrichment"]["status"] == "completed", session["enrichment"]
        return session


def wait_for(look: Callable[[], Any]) -> Any:
    """What `look` finds, as soon as it finds something."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError("it never came")


@contextmanager
def serving(folder: Path, *, with_engine: bool = True, **settings: Any) -> Iterator[Served]:
    """Serve a data folder for a while."""
    defaults: dict[str, Any] = {"engine": "none", "max_segment_bytes": 2 << 20, "max_import_bytes": 8 << 20}
    with Runtime.open(Settings(data=folder, **(defaults | settings)), with_engine=with_engine) as runtime:
        config = uvicorn.Config(create_app(runtime), port=0, log_level="error", http="httptools", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run)
        thread.start()
        wait_for(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
                yield Served(runtime, client)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for a module's tests; a process has one engine at a time."""
    with serving(tmp_path_factory.mktemp("served") / "data") as found:
        yield found


@pytest.fixture(scope="session")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that processes nothing."""
    with serving(tmp_path_factory.mktemp("idle") / "data", with_engine=False) as found:
        yield found


def tone(seconds: float, *, hz: float = 440.0, rate_hz: int = 16_000) -> bytes:
    """A WAV of a sine."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        samples = (round(9000 * math.sin(2 * math.pi * hz * i / rate_hz)) for i in range(round(seconds * rate_hz)))
        out.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file.getvalue()
