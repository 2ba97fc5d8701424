"""The queue when it is large: starting the engine, asking for a job's status, being ready after a crash.

The engine is started on 10,000 finished and 100 waiting jobs (without the time that imports take). The status of jobs
is asked for over HTTP. The server is killed while 100,000 segments are there, of which a tenth is still to be worked
on, and started again.
"""

import os
import signal
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import psutil

from bench._server import server
from bench.figures import Figure
from longtake.enrichment.engine import Engine
from longtake.enrichment.stages import Stage
from longtake.model.lifecycle import JobState
from longtake.model.session import Job, LaneStatus, Priority, Segment, TrackKind
from longtake.runtime import Runtime
from longtake.sessions.manager import NewSession
from longtake.settings import Settings
from longtake.storage.catalog import blobs, jobs, segments, tracks
from longtake.storage.tables import jobs as jobs_table
from tests.enrichment.recording import Recording, tone, wav

PER_SESSION = 100
SEGMENT_S = 1


def run(smoke: bool) -> list[Figure]:
    """Measure."""
    finished, waiting = (200, 10) if smoke else (10_000, 100)
    with tempfile.TemporaryDirectory(prefix="longtake-bench-") as folder:
        data = Path(folder) / "data"
        ids = fill_with_jobs(data, finished, waiting)
        took_s = start_engine(data, times=2 if smoke else 9)
        with server(data=data) as s, httpx.Client(base_url=s.url, timeout=60) as http:
            ask(http, ids, 50)  # warm
            before_s = cpu_s(s.pid)
            took = ask(http, ids, 50 if smoke else 2000)
            each_s = (cpu_s(s.pid) - before_s) / len(took)
    with tempfile.TemporaryDirectory(prefix="longtake-bench-") as folder:
        count = 500 if smoke else 100_000
        empty_s = ready_after_kill(Path(folder) / "empty", 0)
        ready_s = ready_after_kill(Path(folder) / "data", count)
    detail = f"{finished} finished and {waiting} waiting jobs"
    return [
        Figure(name="engine start", value=took_s * 1000, target="≤ 100", unit="ms", detail=f"{detail}; median"),
        Figure(
            name="job status p95",
            value=float(np.percentile(took, 95)) * 1000,
            target="≤ 10",
            unit="ms",
            detail=f"over HTTP; p50 {np.median(took) * 1000:.1f} ms; {each_s * 1000:.1f} ms of its CPU each",
        ),
        Figure(
            name="ready after a kill",
            value=ready_s,
            target="≤ 5",
            unit="s",
            detail=f"{count} segments, a tenth of them pending; with none {empty_s:.1f} s: the process itself",
        ),
    ]


def fill_with_jobs(data: Path, finished: int, waiting: int) -> list[str]:
    """A data folder of sessions with that many jobs; returns the jobs' ids."""
    with opened(data) as runtime:
        ids = []
        for first in range(0, finished, PER_SESSION):
            session = runtime.sessions.create(NewSession(title="finished")).id
            some = [job(session, first + n, JobState.COMPLETED) for n in range(min(PER_SESSION, finished - first))]
            insert(runtime, some)
            ids += [one.id for one in some]
        waiters = [
            job(runtime.sessions.create(NewSession(title="waits")).id, n, JobState.PENDING) for n in range(waiting)
        ]
        insert(runtime, waiters)
        return ids + [one.id for one in waiters]


def job(session_id: str, number: int, status: JobState) -> Job:
    """A job of a session."""
    made = Job(
        id=str(uuid.uuid4()),
        session_id=session_id,
        status=status,
        priority=list(Priority)[number % len(Priority)],
        created_at_ms=1_700_000_000_000 + number,
    )
    return made if status is JobState.PENDING else replace(made, finished_at_ms=made.created_at_ms + 1, progress=100)


def insert(runtime: Runtime, some: list[Job]) -> None:
    """Store jobs as they are."""
    with runtime.store.db.write() as c:
        for one in some:
            jobs.insert_job(c, one)
            if one.finished_at_ms is not None:
                c.execute(
                    jobs_table.update().where(jobs_table.c.id == one.id).values(finished_at_ms=one.finished_at_ms)
                )


def start_engine(data: Path, *, times: int) -> float:
    """The median time in seconds until the engine takes jobs, in a process that has imported it."""
    took = []
    for _ in range(times + 1):  # the first makes the store
        with opened(data) as runtime:
            engine = Engine(data / "engine.db", tuple(Stage), lambda *_: False, lambda *_: None)
            began = time.perf_counter()
            runtime.saga.recover()
            engine.launch()
            took.append(time.perf_counter() - began)
            engine.close()
    return float(np.median(took[1:]))


def cpu_s(pid: int) -> float:
    """CPU time that a process has taken."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def ask(http: httpx.Client, ids: list[str], count: int) -> list[float]:
    """How long it takes to be told the status of jobs here and there, in seconds."""
    took = []
    for number in range(count):
        job_id = ids[number * 7919 % len(ids)]
        began = time.perf_counter()
        http.get(f"/api/jobs/{job_id}").raise_for_status()
        took.append(time.perf_counter() - began)
    return took


def ready_after_kill(data: Path, count: int) -> float:
    """Seconds from the start of a server, whose predecessor was killed at work, until it is ready."""
    fill_with_segments(data, count)
    with server(data=data) as s:
        time.sleep(1)
        os.kill(s.pid, signal.SIGKILL)
    (data / "owner.json").unlink(missing_ok=True)
    began = time.perf_counter()
    with server(data=data):
        return time.perf_counter() - began


def fill_with_segments(data: Path, count: int) -> None:
    """Ten sessions that are being recorded, of one track each, with that many segments in all."""
    with opened(data) as runtime:
        for part in range(10):
            recording = Recording.begin(runtime, TrackKind.MICROPHONE)
            recording.send(0, wav(tone(SEGMENT_S, hz=300 + part, rate_hz=8000), rate_hz=8000))
            [first] = recording.segments()
            with runtime.store.db.write() as c:
                for start in range(1, count // 10, 1000):
                    more = range(start, min(start + 1000, count // 10))
                    segments.insert_segments(c, [copy(first, number) for number in more])
                    blobs.add_references(c, {first.sha256: len(more)})
                c.exec_driver_sql(
                    "UPDATE segments SET media = 'done', speech = 'done', status = 'completed', take_start_ns = 0,"
                    " take_offset = number * 8000, rate_hz = 8000, samples = 8000, channels = 1"
                    " WHERE track_id = ? AND number < ?",
                    (first.track_id, count // 10 * 9 // 10),
                )
                done = count // 10 * 9 // 10
                tracks.update_track(c, first.track_id, n_pending=count // 10 - done, n_completed=done)


def copy(segment: Segment, number: int) -> Segment:
    """The same segment under another number."""
    return replace(segment, id=str(uuid.uuid4()), index=number, media=LaneStatus.PENDING)


def opened(data: Path) -> Runtime:
    """A runtime that processes nothing."""
    return Runtime.open(Settings.model_validate({"data": data, "engine": "none"}), with_engine=False)
