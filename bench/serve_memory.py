"""Memory of `longtake serve`: idle, and over twelve hours of twenty recorders, sent as fast as they are taken.

Nine of ten segments are silent, which costs time, not memory: every segment is decoded, placed and made into blocks.
"""

import io
import statistics
import sys
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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
WATCHED_EVERY_S = 2.0
MIB = 1 << 20


def run(smoke: bool) -> list[Figure]:
    """Record all of them side by side."""
    recorders, per_hour, hours = (2, 1, SETTLED_HOURS + 1) if smoke else (RECORDERS, 3600 // SEGMENT_S, HOURS)
    with server() as s, httpx.Client(base_url=s.url, timeout=120) as http:
        time.sleep(0.5 if smoke else IDLE_S)
        idle = _used(s.pid)
        tracks = [_begin(http) for _ in range(recorders)]
        used: list[list[float]] = []
        for hour in range(hours):
            with _watched(s.pid) as seen:
                for index in range(hour * per_hour, (hour + 1) * per_hour):
                    for number, (session, track) in enumerate(tracks):
                        _put(http, session, track, index, number)
                _settle(http, [session for session, _ in tracks])
            used.append(seen)
            print(f"serve_memory: {hour + 1} of {hours} hours, {_said(seen)} MiB", file=sys.stderr, flush=True)
    medians = [statistics.median(seen) for seen in used]
    ratio = max(medians[SETTLED_HOURS:]) / max(medians[:SETTLED_HOURS])
    return [
        Figure(name="serve, idle, all its processes", value=idle, target="≤ 200", unit="MiB", detail="PSS"),
        Figure(
            name=f"serve, hours {SETTLED_HOURS + 1} to {HOURS} / 1 to {SETTLED_HOURS} of {RECORDERS} recorders",
            value=ratio,
            target="≤ 1.1",
            unit="×",
            detail=f"MiB, median and most of each hour: {', '.join(map(_said, used))}",
        ),
    ]


@contextmanager
def _watched(pid: int) -> Iterator[list[float]]:
    """Measure again and again meanwhile: how much is used at one moment depends on what is decoded just then."""
    seen = [_used(pid)]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCHED_EVERY_S):
            seen.append(_used(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _said(seen: list[float]) -> str:
    return f"{statistics.median(seen):.0f} ({max(seen):.0f})"


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
        with suppress(psutil.NoSuchProcess):  # a decoder that is done
            used_bytes += one.memory_full_info().pss
    return used_bytes / MIB
