"""The list of sessions beside a crowd: three upload long files slowly, three play, three have stopped reading.

The closest peer freezes with three listeners.
"""

import io
import socket
import threading
import time
import wave
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import numpy as np

from bench._server import server
from bench.figures import Figure

RATE_HZ = 48_000
MINUTES = 30
BYTES_PER_S = 125_000
"""1 Mbit/s."""
TICK_S = 0.1
ASKED_PER_S = 20
EACH = 3


def run(smoke: bool) -> list[Figure]:
    """Measure the list's p99 for a minute."""
    seconds = 2.0 if smoke else 60.0
    with server() as s, httpx.Client(base_url=s.url, timeout=60) as http:
        session = _recorded(http, 0.5 if smoke else 10.0)
        ending = threading.Event()
        crowd = [threading.Thread(target=_upload, args=(s.url, number, ending)) for number in range(EACH)]
        crowd += [threading.Thread(target=_play, args=(s.url, session, number, ending)) for number in range(EACH)]
        stalled = [_stall(s.url, session) for _ in range(EACH)]
        for one in crowd:
            one.start()
        time.sleep(1.0)
        took = _ask(http, seconds)
        ending.set()
        for one in crowd:
            one.join()
        for connection in stalled:
            connection.close()
    p99_ms = float(np.percentile(took, 99)) * 1000
    detail = f"median {np.median(took) * 1000:.1f} ms, worst {max(took) * 1000:.0f} ms, {len(took)} times"
    return [Figure(name="list p99 beside 9 slow clients", value=p99_ms, target="≤ 100", unit="ms", detail=detail)]


def _ask(http: httpx.Client, seconds: float) -> list[float]:
    """How long each answer took."""
    took = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        http.get("/api/sessions").raise_for_status()
        took.append(time.perf_counter() - began)
        time.sleep(max(0.0, 1 / ASKED_PER_S - took[-1]))
    return took


def _recorded(http: httpx.Client, minutes: float) -> str:
    """A session to play."""
    session = http.post("/api/imports?name=played.wav", content=_wav(minutes)).raise_for_status().json()["id"]
    while not http.get(f"/api/sessions/{session}/media/audio", headers={"Range": "bytes=0-0"}).is_success:
        time.sleep(0.1)
    return str(session)


def _wav(minutes: float) -> bytes:
    dice = np.random.default_rng(0)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(dice.normal(0, 2500, round(minutes * 60 * RATE_HZ)).astype("<i2").tobytes())
    return file.getvalue()


def _upload(url: str, number: int, ending: threading.Event) -> None:
    """A long file at 1 Mbit/s, until it is enough."""
    data = _wav(MINUTES / 10)

    def pieces() -> Iterator[bytes]:
        size = int(BYTES_PER_S * TICK_S)
        for at in range(0, 10 * len(data), size):
            if ending.wait(TICK_S):
                raise ConnectionAbortedError("enough")
            start = at % (len(data) - size)
            yield data[at : at + size] if at < len(data) - size else data[start : start + size]

    try:
        httpx.post(f"{url}/api/imports?name=slow-{number}.wav", content=pieces(), timeout=60)
    except ConnectionAbortedError:
        return


def _play(url: str, session: str, number: int, ending: threading.Event) -> None:
    """What a player does: the playlist, then a block every ten seconds, the first three at once."""
    with httpx.Client(base_url=url, timeout=60) as http:
        at = f"/api/sessions/{session}/media"
        lines = http.get(f"{at}/audio.m3u8").raise_for_status().text.splitlines()
        blocks = [line for line in lines if line and not line.startswith("#")]
        for turn, block in enumerate(blocks[number:]):
            http.get(f"{at}/{block}").raise_for_status()
            if ending.wait(0 if turn < 3 else 10):
                return


def _stall(url: str, session: str) -> socket.socket:
    """Asks for the whole as WAV and reads no further than the first bytes."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname or "", address.port or 0))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    request = f"GET /api/download/{session}/recording HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
    connection.sendall(request.encode())
    connection.recv(1024)
    return connection
