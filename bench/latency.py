"""Latency of requests while two sessions are being transcribed, against the same requests on an idle server.

The requests are those that a recorder and a viewer make: a small segment, a session, the list.
"""

import io
import os
import time
import wave
from collections.abc import Callable
from pathlib import Path

import av
import httpx
import numpy as np
from numpy.typing import NDArray

from bench._server import server
from bench.figures import Figure

WARM_UP = 50
RATE_HZ = 16_000
SPEECH = Path(__file__).parent.parent / "tests" / "data" / "jfk.flac"


def run(smoke: bool) -> list[Figure]:
    """Measure p99 of mixed requests, idle and busy, in turns on one server."""
    count = 60 if smoke else 1500
    with server(engine="pocketsphinx") as s, httpx.Client(base_url=s.url, timeout=60) as http:
        recorder = _Recorder(http)
        recorder.measure(WARM_UP)
        idle = recorder.measure(count)
        ended = [_record_speech(http, seed, 20 if smoke else 240) for seed in range(2)]
        busy = recorder.measure(count)
        still = sum(
            http.get(f"/api/sessions/{session}").json()["enrichment"]["status"] != "completed" for session in ended
        )
    detail = (
        f"p99 busy {busy * 1000:.1f} ms, idle {idle * 1000:.1f} ms; {count} requests; {still} jobs ran to the end of it"
    )
    return [
        Figure(name="request p99, 2 transcriptions / idle", value=busy / idle, target="≤ 3", unit="×", detail=detail)
    ]


class _Recorder:
    """Sends what a recorder and a viewer send."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._session = http.post("/api/sessions", json={"title": "beside"}).raise_for_status().json()["id"]
        at = f"/api/sessions/{self._session}"
        self._track = http.post(f"{at}/tracks", json={"kind": "microphone"}).raise_for_status().json()["id"]
        self._index = 0

    def measure(self, count: int) -> float:
        """p99 of that many requests, in seconds."""
        kinds: list[Callable[[], httpx.Response]] = [
            self._put,
            lambda: self._http.get(f"/api/sessions/{self._session}"),
            lambda: self._http.get("/api/sessions"),
        ]
        took = []
        for number in range(count):
            began = time.perf_counter()
            kinds[number % len(kinds)]().raise_for_status()
            took.append(time.perf_counter() - began)
            time.sleep(0.005)
        return float(np.percentile(took, 99))

    def _put(self) -> httpx.Response:
        self._index += 1
        body = _wav(np.frombuffer(os.urandom(8000), "<i2") // 8, 8000)
        return self._http.put(
            f"/api/sessions/{self._session}/tracks/{self._track}/segments/{self._index}", content=body
        )


def _record_speech(http: httpx.Client, seed: int, seconds: int) -> str:
    """Import real speech, over and over but never the same twice, and leave it to be transcribed."""
    random = np.random.default_rng(seed)
    with av.open(str(SPEECH)) as file:
        resampler = av.AudioResampler("s16", "mono", RATE_HZ)
        once = np.concatenate([r.to_ndarray()[0] for f in file.decode(audio=0) for r in resampler.resample(f)])
    pcm = np.tile(once, -(-seconds * RATE_HZ // len(once))).astype(np.int32)
    pcm += random.integers(-20, 20, len(pcm), np.int32)
    body = _wav(np.clip(pcm, -32768, 32767).astype("<i2"), RATE_HZ)
    answer = http.post("/api/imports", params={"name": f"speech {seed}.wav"}, content=body)
    return str(answer.raise_for_status().json()["id"])


def _wav(pcm: NDArray[np.int16], rate_hz: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(pcm.tobytes())
    return file.getvalue()
