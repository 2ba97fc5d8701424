"""The main job on real speech: any order, a crash in the middle, the same whole session out."""

import hashlib
import io
import random
import wave
from pathlib import Path

import av
import jiwer
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.acceptance.server import LongtakeServer, serving

SPEECH = Path(__file__).parent.parent / "data" / "jfk.flac"
SAID = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
RATE_HZ = 44_100
SEGMENT_S = 2


@pytest.fixture
def server(tmp_path):
    with serving(tmp_path / "data") as running:
        yield running


def speech() -> NDArray[np.int16]:
    """The speech as (n, 2) 16-bit samples."""
    with av.open(str(SPEECH)) as file:
        frames = [frame.to_ndarray().astype(np.int32) for frame in file.decode(audio=0)]
    pcm: NDArray[np.int16] = (np.concatenate(frames, axis=1).reshape(-1, 2) >> 16).astype(np.int16)
    return pcm


def wav(pcm: NDArray[np.int16]) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(pcm.shape[1])
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        out.writeframes(pcm.astype("<i2").tobytes())
    return file.getvalue()


def samples(data: bytes) -> NDArray[np.int16]:
    with wave.open(io.BytesIO(data)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())


def begin(server: LongtakeServer) -> tuple[str, str]:
    """A running session with one track: its address and the track's."""
    session = server.post("/api/sessions", {"title": "Inauguration"})["id"]
    track = server.post(f"/api/sessions/{session}/tracks", {"kind": "microphone"})["id"]
    server.post(f"/api/sessions/{session}/start")
    return session, track


def send(server: LongtakeServer, session: str, track: str, index: int, body: bytes, **params: int) -> int:
    answer = server.http.put(f"/api/sessions/{session}/tracks/{track}/segments/{index}", content=body, params=params)
    receipt = answer.raise_for_status().json()
    assert receipt["sha256"] == hashlib.sha256(body).hexdigest()
    return int(answer.status_code)


def test_segments_in_any_order_with_a_crash_between_give_the_same_session_as_the_whole_file(server, tmp_path):
    pcm = speech()
    whole, track = begin(server)
    send(server, whole, track, 0, wav(pcm))
    server.post(f"/api/sessions/{whole}/end")
    session, track = begin(server)
    step = SEGMENT_S * RATE_HZ
    bodies = [wav(pcm[at : at + step]) for at in range(0, len(pcm), step)]
    order = list(enumerate(bodies))
    random.Random(4).shuffle(order)

    for number, (index, body) in enumerate(order):
        if number == len(order) // 2:
            server.kill()
            server.start()
        where = {"start_ms": index * SEGMENT_S * 1000, "duration_ms": SEGMENT_S * 1000}
        assert send(server, session, track, index, body, **where) == 201
        assert send(server, session, track, index, body, **where) == 200
    server.post(f"/api/sessions/{session}/end")
    expected, got = server.finished(whole), server.finished(session)

    assert got["processing"] == expected["processing"] == "completed"
    assert got["total_duration_ms"] == expected["total_duration_ms"] == 11_000
    assert np.array_equal(samples(server.download(session, "recording")), samples(server.download(whole, "recording")))
    assert said(server, session) == said(server, whole)


def said(server: LongtakeServer, session: str) -> list[tuple[object, ...]]:
    entries = server.get(f"/api/sessions/{session}/transcript")["items"]
    return [(e["speaker"], e["text"], e["start_ms"], e["end_ms"], e["engine"], e["words"]) for e in entries]


def test_the_draft_engine_hears_the_sentence_recognisably(server):
    session, track = begin(server)
    send(server, session, track, 0, SPEECH.read_bytes())
    server.post(f"/api/sessions/{session}/end")

    server.finished(session)

    heard = " ".join(entry[1] for entry in said(server, session))  # type: ignore[misc]
    assert jiwer.wer(SAID, heard) <= 0.35


def test_a_crash_right_after_the_end_leaves_a_job_that_ends_right(server):
    session, track = begin(server)
    send(server, session, track, 0, SPEECH.read_bytes())
    server.post(f"/api/sessions/{session}/end")
    server.kill()
    server.start()

    ended = server.finished(session)

    assert ended["enrichment"]["status"] == "completed"
    assert len(said(server, session)) >= 3
    assert server.get(f"/api/sessions/{session}/chapters")["items"]
