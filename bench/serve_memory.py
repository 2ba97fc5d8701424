"""Memory of `longtake serve`: idle, and over twelve hours of twenty recorders, sent as fast as they are taken.

Nine of ten segments are silent, which costs time, not memory: every segment is decoded, placed and made into blocks.
"""

import contextlib
import io
import sys
import time
import wave

import httpx
import numpy as np
import psutil

from bench._server import server
from bench.figures import Figure

RATE_HZ = 8_000
SEGMENT_S = 60
RECORDERS = 20
HOURS = 12
SETTLED_HOURS = 3
"""After that much, caches are full."""
IDLE_S = 10.0
MIB = 1 << 20


def run(smoke: bool) -> list[Figure]:
    """Record all of them side by side."""
    recorders, per_hour, hours = (2, 1, SETTLED_HOURS + 1) if smoke else (RECORDERS, 3600 // SEGMENT_S, HOURS)
    with server() as s, httpx.Client(base_url=s.url, timeout=120) as http:
        time.sleep(0.5 if smoke else IDLE_S)
        idle = _used(s.pid)
        tracks = [_begin(http) for _ in range(recorders)]
        used = []
        for hour in range(hours):
            for index in range(hour * per_hour, (hour + 1) * per_hour):
                for number, (session, track) in enumerate(tracks):
                    _put(http, session, track, index, number)
            _settle(http, [session for session, _ in tracks])
            used.append(_used(s.pid))
            print(f"serve_memory: {hour + 1} of {hours} hours, {used[-1]:.0f} MiB", file=sys.stderr, flush=True)
    ratio = max(used[SETTLED_HOURS:]) / max(used[:SETTLED_HOURS])
    hourly = ", ".join(f"{one:.0f}" for one in used)
    return [
        Figure(name="serve, idle, all its processes", value=idle, target="≤ 200", unit="MiB", detail="PSS"),
        Figure(
            name=f"serve, hours {SETTLED_HOURS + 1} to {HOURS} / 1 to {SETTLED_HOURS} of {RECORDERS} recorders",
            value=ratio,
            target="≤ 1.1",
            unit="×",
            detail=f"MiB after each hour: {hourly}",
        ),
    ]


def _begin(http: httpx.Client) -> tuple[str, str]:
    session = http.post("/api/sessions", json={}).raise_for_status().json()["id"]
    at = f"/api/sessions/{session}"
    track = http.post(f"{at}/tracks", json={"kind": "microphone"}).raise_for_status().json()["id"]
    http.post(f"{at}/start").raise_for_status()
    return session, track


def _put(http: httpx.Client, session: str, track: str, index: int, number: int) -> None:
    where = {"start_ms": index * SEGMENT_S * 1000, "duration_ms": SEGMENT_S * 1000}
    address = f"/api/sessions/{session}/tracks/{track}/segments/{index}"
    while (answer := http.put(address, content=_body(index, number), params=where)).status_code == 429:
        time.sleep(0.5)
    answer.raise_for_status()


def _body(index: int, number: int) -> bytes:
    """A segment unlike any other: of sound, or silent but for one sample."""
    pcm = np.zeros(RATE_HZ * SEGMENT_S, "<i2")
    if (index + number) % 10 == 0:
        pcm[:] = np.random.default_rng(index * RECORDERS + number).normal(0, 2500, len(pcm))
    else:
        pcm[0] = 1 + index % 30_000
        pcm[1] = number
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(pcm.tobytes())
    return file.getvalue()


def _settle(http: httpx.Client, sessions: list[str]) -> None:
    """Wait until everything that was sent is processed."""
    for session in sessions:
        while (counts := http.get(f"/api/sessions/{session}").json()["segment_counts"])["pending"]:
            assert not counts["failed"]
            time.sleep(0.2)


def _used(pid: int) -> float:
    """MiB of a process and its children; pages that they share count once (PSS)."""
    used_bytes = 0
    for one in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # a decoder that is done
            used_bytes += one.memory_full_info().pss
    return used_bytes / MIB
