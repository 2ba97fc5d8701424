"""The server as a process: it says when it is ready, refuses the world, and ends when asked."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from longtake.model.errors import DataFolderInUse, Forbidden, Unavailable
from longtake.server.serve import serve
from longtake.settings import Settings
from tests.server.conftest import tone

PROGRAM = """
import sys
from pathlib import Path
from longtake.server.serve import serve
from longtake.settings import Settings
settings = Settings(data=Path(sys.argv[1]), port=0, engine="none", log_level="error")
serve(settings, on_ready=lambda url: print(url, flush=True))
"""


def settings(**values: Any) -> Settings:
    return Settings(**values)


FEW_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (128, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
"""


@contextmanager
def process(data: Path, before: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", before + PROGRAM, str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server, server.stdout.readline().strip()
        finally:
            server.kill()


def test_more_recorders_are_served_than_a_process_may_open_files_at_first(tmp_path):
    with process(tmp_path / "data", FEW_FILES) as (_, url), ExitStack() as open_ones:
        for _ in range(200):
            client = open_ones.enter_context(httpx.Client(base_url=url, timeout=60))
            assert client.get("/api/sessions").status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org", ""])
def test_an_address_that_others_reach_is_refused(tmp_path, host):
    with pytest.raises(Forbidden, match="loopback"):
        serve(settings(data=tmp_path / "data", host=host))
    assert not (tmp_path / "data").exists()


def test_a_taken_port_is_said_before_anything_is_opened(tmp_path):
    said = "cannot listen .* --port names another"
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(Unavailable, match=said):
        serve(settings(data=tmp_path / "data", port=other.getsockname()[1]))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_tells_where_it_answers_and_ends_when_asked(tmp_path, number):
    with process(tmp_path) as (server, url):
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert json.loads((tmp_path / "owner.json").read_text())["url"] == url
        with pytest.raises(DataFolderInUse, match=url):
            serve(settings(data=tmp_path, port=0))
        server.send_signal(number)
        assert server.wait(30) == 0
    assert not (tmp_path / "owner.json").exists()


def test_what_is_being_sent_when_it_is_asked_to_end_is_still_answered(tmp_path):
    data = tone(1)
    with process(tmp_path) as (server, url):
        session_id = httpx.post(f"{url}/api/sessions", json={}).json()["id"]
        track = httpx.post(f"{url}/api/sessions/{session_id}/tracks", json={"kind": "microphone"}).json()

        def slowly() -> Iterator[bytes]:
            yield data[:1000]
            server.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            yield data[1000:]

        answer = httpx.put(f"{url}/api/sessions/{session_id}/tracks/{track['id']}/segments/0", content=slowly())
        assert answer.status_code == 201
        assert server.wait(30) == 0
    with process(tmp_path) as (_, url):
        assert httpx.get(f"{url}/api/sessions/{session_id}").json()["segment_counts"]["total"] == 1


def test_a_client_that_stopped_reading_does_not_keep_it_from_ending(tmp_path):
    with process(tmp_path) as (server, url):
        address = httpx.URL(url)
        session = httpx.post(f"{url}/api/imports", content=tone(60, rate_hz=48_000)).json()
        path = f"/api/sessions/{session['id']}/tracks/{session['tracks'][0]['id']}/segments/0/media"
        with socket.create_connection((address.host, address.port or 0)) as stuck:
            stuck.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            stuck.recv(100)
            assert httpx.get(f"{url}/api/sessions").status_code == 200
            server.send_signal(signal.SIGTERM)
            assert server.wait(60) == 0
