"""Senders offer three times what the disk takes: each segment is stored, or refused with a time to come back; all get
in at last. Nothing is dropped in silence, and memory stays within the queue.
"""

import base64
import hashlib
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.conftest import ROOT
from tests.enrichment.recording import tone, wav

DISK_BYTES_PER_S = 2 << 20
QUEUE_BYTES = 256 << 10
SENDERS = 24
SECONDS = 4
BODY = wav(tone(0.6))  # 57 KB
OFFERED = 3
PATIENCE_S = 90
MIB = 1 << 20


@dataclass
class Outcome:
    """What the senders saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    without_time: int = 0
    sent: dict[tuple[str, int], str] = field(default_factory=dict)
    acknowledged: dict[tuple[str, int], str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def slow_server(folder, *more):
    words = [str(word) for word in (folder, DISK_BYTES_PER_S, QUEUE_BYTES, *more)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.operations.slow_server", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
    finally:
        process.terminate()
        process.communicate(timeout=30)


def peak_bytes(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")))


def body_of(track_id, index):
    """Bytes of its own for each segment."""
    digest = hashlib.sha256(f"{track_id} {index}".encode()).digest()
    return BODY[:-32] + digest


def record(url, session_id, track_id, count, outcome):
    """A recorder on a schedule, which keeps what was refused and comes back when it is told to."""
    waiting = [(time.monotonic() + SECONDS * index / count, index) for index in range(count)]
    ends = time.monotonic() + PATIENCE_S
    with httpx.Client(timeout=60) as http:
        while waiting and time.monotonic() < ends:
            at, index = waiting.pop(0)
            time.sleep(max(0.0, at - time.monotonic()))
            body = body_of(track_id, index)
            sha256 = hashlib.sha256(body)
            digest = base64.b64encode(sha256.digest()).decode()
            address = f"{url}/api/sessions/{session_id}/tracks/{track_id}/segments/{index}"
            answer = http.put(address, content=body, headers={"Repr-Digest": f"sha-256=:{digest}:"})
            with outcome.lock:
                outcome.statuses[answer.status_code] += 1
                outcome.sent[track_id, index] = sha256.hexdigest()
                if answer.is_success:
                    outcome.acknowledged[track_id, index] = answer.json()["sha256"]
                    continue
                after = answer.headers.get("retry-after")
                outcome.without_time += after is None
            waiting.append((time.monotonic() + float(after or 1) / 4, index))
            waiting.sort()


def overload(tmp_path, *more):
    """(outcome, segments offered, what is stored that was acknowledged, memory taken)."""
    outcome = Outcome()
    count = OFFERED * DISK_BYTES_PER_S * SECONDS // len(BODY) // SENDERS
    with slow_server(tmp_path / "data", *more) as (url, pid), httpx.Client(timeout=60, base_url=url) as http:
        session_id = http.post("/api/sessions", json={}).json()["id"]
        tracks = [
            http.post(f"/api/sessions/{session_id}/tracks", json={"kind": "microphone"}).json()["id"]
            for _ in range(SENDERS)
        ]
        before = peak_bytes(pid)
        threads = [threading.Thread(target=record, args=(url, session_id, track, count, outcome)) for track in tracks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        grown = peak_bytes(pid) - before
        stored = {}
        for track_id, index in outcome.acknowledged:
            media = http.get(f"/api/sessions/{session_id}/tracks/{track_id}/segments/{index}/media")
            stored[track_id, index] = hashlib.sha256(media.content).hexdigest() if media.is_success else None
        metrics = http.get("/metrics").text
    return outcome, count * SENDERS, stored, grown, metrics


def test_three_times_what_the_disk_takes_is_stored_or_refused_and_all_gets_in(tmp_path):
    outcome, offered, stored, grown, metrics = overload(tmp_path)
    assert len(outcome.sent) == offered
    assert set(outcome.statuses) <= {201, 429, 503}, outcome.statuses
    assert outcome.statuses[429] > 0, f"it never came to an overload: {outcome.statuses}"
    assert outcome.without_time == 0
    assert outcome.statuses[201] == offered
    assert outcome.acknowledged == outcome.sent
    assert stored == outcome.sent
    assert grown < QUEUE_BYTES + 48 * MIB, f"{grown / MIB:.0f} MiB"
    assert f"longtake_ingest_segments_total {float(offered)}" in metrics
    assert 'code="overloaded"' in metrics


def test_a_silent_drop_would_be_seen(tmp_path):
    """The control: a disk that loses a write now and then, and says nothing."""
    outcome, _, stored, _, _ = overload(tmp_path, 40)
    assert stored != outcome.acknowledged
