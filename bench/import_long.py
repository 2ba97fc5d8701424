"""A three-hour file: from its last byte to the answer and to playable, the server held to one core.

Speech in AAC, as phones record it. While it is converted, what is there is played: the bench asks for it half-way.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import httpx

from bench._server import server
from bench.figures import Figure

SPEECH = Path(__file__).parent.parent / "tests" / "data" / "jfk.flac"
RATE_HZ = 48_000
FRAME = 1024
PIECE_BYTES = 1 << 20
POLL_S = 0.25
"""Asking costs the one core, too."""


def run(smoke: bool) -> list[Figure]:
    """Import one file."""
    minutes = 1.0 if smoke else 180.0
    with TemporaryDirectory(prefix="longtake-bench-") as folder:
        source = Path(folder) / "long.m4a"
        _record(source, minutes)
        with _one_core(), server() as s, httpx.Client(base_url=s.url, timeout=120) as http:
            last_byte: list[float] = []
            answer = http.post("/api/imports?name=long.m4a", content=_pieces(source, last_byte)).raise_for_status()
            answered_s = time.perf_counter() - last_byte[0]
            at = f"/api/sessions/{answer.json()['id']}"
            heard_s = _until(lambda: b"#EXTINF" in http.get(f"{at}/media/audio.m3u8").content) - last_byte[0]
            playable_s = (
                _until(lambda: http.get(f"{at}/media/audio", headers={"Range": "bytes=0-65535"}).is_success)
                - last_byte[0]
            )
    detail = f"{minutes:g} min of speech as AAC; the first blocks are played after {heard_s:.2f} s"
    return [
        Figure(name="import of 3 h, last byte → answer", value=answered_s, target="≤ 1", unit="s", detail=detail),
        Figure(name="import of 3 h, last byte → playable", value=playable_s, target="≤ 60", unit="s", detail=detail),
    ]


def _until(is_there: Callable[[], bool]) -> float:
    """When something came true."""
    while not is_there():
        time.sleep(POLL_S)
    return time.perf_counter()


def _pieces(path: Path, last_byte: list[float]) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
    last_byte.append(time.perf_counter())


@contextmanager
def _one_core() -> Iterator[None]:
    """Whatever is started within stays on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _record(path: Path, minutes: float) -> None:
    """The same minute of speech again and again: encoded once, its packets written as often as needed."""
    with av.open(str(SPEECH)) as speech:
        resampler = av.AudioResampler("fltp", "mono", RATE_HZ, frame_size=FRAME)
        frames = [out for frame in speech.decode(audio=0) for out in resampler.resample(frame)]
    with av.open(str(path), "w", format="ipod") as out:
        stream = out.add_stream("aac", rate=RATE_HZ, layout="mono")
        packets = []
        for number, frame in enumerate(frames):
            frame.pts = number * FRAME
            packets += stream.encode(frame)
        bodies = [bytes(packet) for packet in packets]
        for number in range(round(minutes * 60 * RATE_HZ / FRAME)):
            packet = av.Packet(bodies[number % len(bodies)])
            packet.stream, packet.time_base = stream, Fraction(1, RATE_HZ)
            packet.pts = packet.dts = number * FRAME
            packet.duration = FRAME
            out.mux(packet)
