"""Who waits for something slow keeps nobody else waiting."""

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from longtake.runtime import READERS
from longtake.server.app import create_app
from longtake.sessions.attachments import ACCESSES_AT_ONCE
from tests.server.conftest import tone, wait_for

SOON_S = 10
"""What does not answer until then waits for what is held."""


@pytest.fixture(scope="module")
def recorded(served):
    return served.recorded(tone(8))


def asked(served, path, *headers):
    """A connection that has sent a request and reads nothing."""
    connection = socket.create_connection((served.client.base_url.host, served.client.base_url.port))
    connection.sendall("\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
    return connection


@contextmanager
def decoding_far(served, session_id):
    """Each decoder is on its way to a place far within the session's recording."""
    segment = served.client.get(f"/api/sessions/{session_id}/segments").json()["items"][0]
    with ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(next(served.runtime.playback._decoders).open(segment["sha256"])._lock)
        yield


def test_what_is_decoded_for_some_keeps_neither_recorders_nor_players_waiting(served, recorded):
    new_id = served.create()
    track_id = served.track(new_id)
    with ExitStack() as stack:
        stack.enter_context(decoding_far(served, recorded))
        for _ in range(12):
            far = asked(served, f"/api/download/{recorded}/recording", "Range: bytes=500000-")
            stack.callback(far.close)
            assert far.recv(12) == b"HTTP/1.1 206"
        playlist = served.client.get(f"/api/sessions/{recorded}/media/audio.m3u8", timeout=SOON_S)
        put = served.client.put(
            f"/api/sessions/{new_id}/tracks/{track_id}/segments/0", content=tone(0.1), timeout=SOON_S
        )
        document = served.client.get(f"/api/download/{recorded}/transcript", timeout=SOON_S)
    assert (playlist.status_code, put.status_code, document.status_code) == (200, 201, 200)


def test_who_waits_for_an_mp3_keeps_no_other_download_waiting(served):
    session_id = served.recorded(tone(2))
    url = f"/api/download/{session_id}/mp3"
    with ThreadPoolExecutor(6) as threads:
        with decoding_far(served, session_id):
            waiting = [threads.submit(served.client.get, url, params={"wait_s": 600}) for _ in range(6)]
            wait_for(lambda: served.client.get(url, params={"wait_s": 0}).json()["code"] == "not_ready")
            other = served.client.get(f"/api/download/{session_id}/transcript", timeout=SOON_S)
            impatient = served.client.get(url, params={"wait_s": 1}, timeout=SOON_S)
            assert not any(one.done() for one in waiting)
        assert {one.result().status_code for one in waiting} == {200}
    assert (other.status_code, impatient.status_code) == (200, 409)


def test_nothing_waits_for_a_client_that_has_left(served):
    session_id = served.recorded(tone(3))
    app = create_app(served.runtime)
    sent, said = [], [{"type": "http.disconnect"}, {"type": "http.request", "body": b"", "more_body": False}]

    async def ask():
        async def receive():
            return said.pop()

        async def send(message):
            sent.append(message)

        async with asyncio.timeout(SOON_S):
            await app(scope, receive, send)

    path = f"/api/download/{session_id}/mp3"
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "root_path": "",
             "headers": [(b"host", b"localhost")], "query_string": b"wait_s=600"}  # fmt: skip
    with decoding_far(served, session_id):
        asyncio.run(ask())
    assert sent == []


def test_noting_what_was_asked_for_holds_up_nobody_else(idle):
    session_id = idle.create()
    track_id = idle.track(session_id)
    idle.put(session_id, track_id, 0, tone(0.1))
    media = f"/api/sessions/{session_id}/tracks/{track_id}/segments/0/media"
    attachments = idle.runtime.attachments
    attachments.write()
    for number in range(ACCESSES_AT_ONCE - 1):
        attachments.touch(f"{number:064x}")
    with ThreadPoolExecutor(1) as thread:
        with idle.runtime.store.db.write():  # the next access is due to be written, and waits
            asking = thread.submit(idle.client.get, media)
            wait_for(lambda: len(attachments._accesses) == 0)
            answer = idle.client.get("/static/page.css", timeout=SOON_S)
        assert (answer.status_code, asking.result().status_code) == (200, 200)
