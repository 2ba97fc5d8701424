"""From `end` to a whole, playable file: 3 minutes and 3 hours of two tracks, the media lane empty at `end`.

Playable means what a player means by it: `GET …/media/audio` answers with the whole mix. Recognising speech is another
matter and switched off. What is recorded is seeded noise under speech-like bursts: nothing about it is cheap to encode.
"""

import io
import statistics
import time
import wave

import httpx
import numpy as np

from bench._server import server
from bench.figures import Figure

RATE_HZ = 48_000
SEGMENT_S = 20
BODIES = 6
KINDS = ("microphone", "system")


def run(smoke: bool) -> list[Figure]:
    """Measure both lengths, several times the short one, and their ratio."""
    short_min, long_min = (0.5, 1.0) if smoke else (3.0, 180.0)
    with server() as s, httpx.Client(base_url=s.url, timeout=60) as http:
        bodies = [_segment(seed) for seed in range(BODIES)]
        short = statistics.median(_end_to_playable(http, bodies, short_min) for _ in range(1 if smoke else 5))
        long = _end_to_playable(http, bodies, long_min)
    detail = f"{short_min:g} min: {short:.3f} s, {long_min:g} min: {long:.3f} s; two tracks, {SEGMENT_S} s segments"
    return [
        Figure(name="end → playable, 3 min", value=short, target="≤ 0.5", unit="s", detail=detail),
        Figure(name="end → playable, 3 h", value=long, target="≤ 0.5", unit="s", detail=detail),
        Figure(name="end → playable, 3 h / 3 min", value=long / short, target="≤ 1.2", unit="×", detail=detail),
    ]


def _segment(seed: int) -> bytes:
    """A WAV segment that no encoder finds easy."""
    random = np.random.default_rng(seed)
    n = RATE_HZ * SEGMENT_S
    corners = np.arange(0, n + 4800, 4800)
    bursts = np.interp(np.arange(n), corners, random.random(len(corners)) ** 3)
    pcm = (random.normal(0, 2500, n) * bursts).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(pcm.tobytes())
    return file.getvalue()


def _end_to_playable(http: httpx.Client, bodies: list[bytes], minutes: float) -> float:
    """Record a session, wait for the media lanes, end it; returns the seconds until it is playable as one file."""
    session = http.post("/api/sessions", json={"title": f"{minutes:g} min"}).raise_for_status().json()["id"]
    at = f"/api/sessions/{session}"
    tracks = [http.post(f"{at}/tracks", json={"kind": kind}).raise_for_status().json()["id"] for kind in KINDS]
    http.post(f"{at}/start").raise_for_status()
    count = int(minutes * 60 / SEGMENT_S)
    for index in range(count):
        for number, track in enumerate(tracks):
            body = bodies[(index * 2 + number) % len(bodies)]
            where = {"start_ms": index * SEGMENT_S * 1000, "duration_ms": SEGMENT_S * 1000}
            http.put(f"{at}/tracks/{track}/segments/{index}", content=body, params=where).raise_for_status()
    while (counts := http.get(at).json()["segment_counts"])["completed"] < counts["total"]:
        time.sleep(0.2)
    time.sleep(1.0)
    began = time.perf_counter()
    http.post(f"{at}/end").raise_for_status()
    while not (answer := http.get(f"{at}/media/audio", headers={"Range": "bytes=0-65535"})).is_success:
        if answer.json().get("code") != "not_ready":
            answer.raise_for_status()
        time.sleep(0.005)
    return time.perf_counter() - began
