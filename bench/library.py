"""A library of 100,000 sessions and 100,000 transcript entries: its pages, filters, figures and searches; and sessions
of 10,000 segments beside short ones.

The server is the one that processes nothing, so that only what is asked for is measured; one request at a time.
"""

import itertools
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np

from bench._library import BEGAN_MS, MINUTE_MS, Made, make_library, make_session
from bench.figures import Figure

START_S = 60.0
HEAD = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x80\xbb\0\0\0\x77\1\0\2\0\x10\0data\xff\xff\xff\xff"


def run(smoke: bool) -> list[Figure]:
    """Make the library, ask for everything many times."""
    count, texts, long, rounds = (500, 500, 100, 3) if smoke else (100_000, 100_000, 10_000, 60)
    with tempfile.TemporaryDirectory(prefix="longtake-bench-") as folder:
        data = Path(folder)
        made = make_library(data, count=count, texts=texts)
        short_one, long_one = make_session(data, 10), make_session(data, long)
        with _server(data) as http:
            return [
                *_lists(http, made, count, rounds),
                _stats(http, count, rounds),
                _search(http, made, texts, rounds),
                _metadata(http, short_one[0], long_one[0], long, rounds),
                _append(http, long_one, long, rounds),
            ]


def _lists(http: httpx.Client, made: Made, count: int, rounds: int) -> list[Figure]:
    plain = _median_ms(lambda: http.get("/api/sessions"), rounds)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((BEGAN_MS + count // 2 * MINUTE_MS) / 1000))
    filters: dict[str, dict[str, str | bool | list[str | int | float | bool | None]]] = {
        "states": {"state": ["paused", "error"]},
        "processing": {"processing": "completed_with_errors"},
        "failed of a common tag": {"processing": "failed", "tag": "common"},
        "tag": {"tag": "rare 7"},
        "common tag and topic": {"tag": "common", "topic": "topic 7"},
        "participant": {"participant": "person 5"},
        "device": {"device_id": "device-3"},
        "owner": {"owner_id": "owner-3"},
        "until": {"until": since},
        "title": {"sort": "title"},
        "duration": {"sort": "-duration"},
        "text": {"q": made.words[500]},
        "beginning of an id": {"id_prefix": made.ids[count // 3][:8]},
        "trash": {"trashed": True},
    }
    took = {
        name: _median_ms(partial(http.get, "/api/sessions", params=params), rounds) for name, params in filters.items()
    }
    slowest = max(took, key=lambda name: took[name])
    listed = ", ".join(f"{name} {ms:.1f}" for name, ms in took.items())
    recordings = _median_ms(lambda: http.get("/api/recordings"), rounds)
    return [
        Figure(
            name="a page of 100,000 sessions", value=plain, target="≤ 20", unit="ms",
            detail=f"median of {rounds}, 50 of {count}; as recordings {recordings:.1f} ms",
        ),
        Figure(
            name="a filtered page, the slowest filter", value=took[slowest], target="≤ 20", unit="ms", detail=listed
        ),
    ]  # fmt: skip


def _stats(http: httpx.Client, count: int, rounds: int) -> Figure:
    took = _median_ms(lambda: http.get("/api/stats"), rounds)
    return Figure(
        name="figures over 100,000 sessions", value=took, target="≤ 5", unit="ms", detail=f"median of {rounds}, {count}"
    )


def _search(http: httpx.Client, made: Made, texts: int, rounds: int) -> Figure:
    """Words from the commonest to the rarest, alone, together, as phrases, beginnings and exclusions."""
    chance = random.Random(3)
    queries = []
    for place in itertools.islice(itertools.cycle((0, 1, 5, 20, 100, 500, 2000, 10_000)), rounds * 4):
        word, other = made.words[place % len(made.words)], made.words[chance.randrange(30)]
        queries.append(
            chance.choice((word, f"{word} {other}", f'"{word} {other}"', f"{word[:3]}*", f"{word} -{other}"))
        )
    took = [_took_ms(partial(http.get, "/api/search", params={"q": q})) for q in queries]
    p50, p95 = np.percentile(took, [50, 95])
    detail = f"{len(took)} searches of {texts} entries, p50 {p50:.1f} ms, slowest {max(took):.1f} ms"
    return Figure(name="full text over 100,000 entries, p95", value=float(p95), target="≤ 60", unit="ms", detail=detail)


def _metadata(http: httpx.Client, short: str, long: str, count: int, rounds: int) -> Figure:
    """A session with 10 segments and one with many, in turns."""
    took: dict[str, list[float]] = {short: [], long: []}
    for _ in range(rounds * 5):
        for key, times in took.items():
            times.append(_took_ms(partial(http.get, f"/api/sessions/{key}")))
    few, many = statistics.median(took[short]), statistics.median(took[long])
    detail = f"median {many:.2f} ms with {count} segments, {few:.2f} ms with 10"
    return Figure(name="metadata, 10,000 segments / 10", value=many / few, target="≤ 1.1", unit="×", detail=detail)


def _append(http: httpx.Client, long: tuple[str, str], count: int, rounds: int) -> Figure:
    """A segment behind many, and the first of a new session, in turns; every body is another."""
    firsts, lasts = [], []
    for number in range(rounds * 5):
        session = http.post("/api/sessions", json={}).raise_for_status().json()["id"]
        track = (
            http.post(f"/api/sessions/{session}/tracks", json={"kind": "microphone"}).raise_for_status().json()["id"]
        )
        firsts.append(_put_ms(http, session, track, 0, 2 * number))
        lasts.append(_put_ms(http, *long, count + number, 2 * number + 1))
    first, last = statistics.median(firsts), statistics.median(lasts)
    detail = f"median {last:.2f} ms behind {count} segments, {first:.2f} ms for the first"
    return Figure(name="append of segment 10,000 / 1", value=last / first, target="≤ 1.1", unit="×", detail=detail)


def _put_ms(http: httpx.Client, session: str, track: str, index: int, seed: int) -> float:
    body = HEAD + random.Random(seed).randbytes(16_000)
    at = f"/api/sessions/{session}/tracks/{track}/segments/{index}"
    return _took_ms(lambda: http.put(at, content=body, params={"start_ms": index * 5000, "duration_ms": 5000}))


def _median_ms(ask: Callable[[], httpx.Response], rounds: int) -> float:
    ask().raise_for_status()
    return statistics.median(_took_ms(ask) for _ in range(rounds))


def _took_ms(ask: Callable[[], httpx.Response]) -> float:
    began = time.perf_counter()
    ask().raise_for_status()
    return (time.perf_counter() - began) * 1000


@contextmanager
def _server(data: Path) -> Iterator[httpx.Client]:
    """A server that processes nothing, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "bench._receiving", str(port), str(data)])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            until = time.monotonic() + START_S
            while time.monotonic() < until:
                try:
                    http.get("/readyz").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            yield http
    finally:
        process.terminate()
        process.wait(30)
