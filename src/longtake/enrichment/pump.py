"""Starts work where rows say that there is some: lanes on threads of their own, jobs on the durable engine.

The rows are the truth. A lane that is killed leaves its track unsettled, a job its row unfinished; the next pass (at
the latest the one after a restart) starts them again. Media goes before speech: playable never waits for a transcript.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from longtake.events import Event
from longtake.model.errors import LongtakeError, Rejected
from longtake.storage.catalog import sessions, tracks
from longtake.storage.store import Store

TICK_S = 1.0
"""How often rows are looked at when nothing is heard on the bus."""
REST = 10
"""After a look at the rows it rests for so many times as long as that took: what comes meanwhile is looked at once, the
first comer never waits, and hundreds of receipts a second cost no more than a tenth of a core."""
MAX_REST_S = 0.05
MAX_BACK_OFF_S = 60
GIVE_UP_AFTER = 4
"""After that many failures in a row a job that waits for the lane fails; the lane goes on trying, ever more rarely."""

WAKING = frozenset({"work", "session_status", "job-enqueued", "job-cancelled"})

log = structlog.get_logger()


@dataclass(slots=True)
class Failure:
    """A lane that failed: how often in a row, by what, and when it is tried again."""

    count: int
    error: Exception
    not_before_ms: int

    def is_resting(self, now_ms: int) -> bool:
        """Whether its pause lasts; one that would last longer than any is that of a clock that was set back."""
        return 0 < self.not_before_ms - now_ms <= 1000 * MAX_BACK_OFF_S


class Lanes:
    """The three kinds of lanes and the threads they run on.

    A lane that found nothing to do, though its rows say that it is not at rest (it waits for a segment that may still
    come), is run again only when something happens in its session, or at the next tick.
    """

    def __init__(
        self,
        store: Store,
        runs: dict[str, Callable[[str], bool]],
        workers: dict[str, int],
        due_jobs: Callable[[], None],
        stopping: threading.Event,
    ) -> None:
        """`runs` and `workers` have the keys "media" (a track), "mix" (a session) and "speech" (a track)."""
        self._store = store
        self._runs = runs
        self._due_jobs = due_jobs
        self._pools = {kind: ThreadPoolExecutor(count, f"{kind}-lane") for kind, count in workers.items()}
        self._workers = workers
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], str] = {}  # → session
        self._news: set[tuple[str, str]] = set()  # of the running ones: those for which something happened meanwhile
        self._idle: dict[tuple[str, str], str] = {}  # → session
        self.runs_begun = 0
        self.runs: Counter[str] = Counter()
        """By kind: runs that have ended,"""
        self.failed_runs: Counter[str] = Counter()
        """and those of them that failed."""
        self._last_run: dict[tuple[str, str], int] = {}
        self._failures: dict[tuple[str, str], Failure] = {}
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self._stopping = stopping
        self._thread = threading.Thread(target=self._work, name="pump", daemon=True)
        self._unsubscribe = store.bus.subscribe(self._heard)

    def start(self) -> None:
        """Begin, with what is left from before."""
        self._wake.set()
        self._thread.start()

    def is_stopping(self) -> bool:
        """Whether what runs should come to an end."""
        return self._stopping.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether work is still being started."""
        return self._thread.is_alive()

    def wait(self, timeout_s: float) -> None:
        """Return when a lane has finished a run, or after a time."""
        with self._changed:
            self._changed.wait(timeout_s)

    def failure(self, session_id: str, kinds: Iterable[str]) -> Exception | None:
        """What keeps a lane of a session from getting anywhere, once trying again does not help."""
        with self._store.db.read() as c:
            keys = {session_id, *(track.id for track in tracks.tracks_of(c, [session_id])[session_id])}
        with self._lock:
            for (kind, key), failure in self._failures.items():
                is_hopeless = failure.count >= GIVE_UP_AFTER or is_permanent(failure.error)
                if kind in kinds and key in keys and is_hopeless:
                    return failure.error
        return None

    def forgive(self, session_id: str) -> None:
        """Try the lanes of a session again at once: somebody asked for it."""
        with self._store.db.read() as c:
            keys = {session_id, *(track.id for track in tracks.tracks_of(c, [session_id])[session_id])}
        with self._lock:
            self._failures = {name: f for name, f in self._failures.items() if name[1] not in keys}
        self._happened(session_id)

    def close(self) -> None:
        """Let what runs come to an end; what is left is found again at the next start."""
        self._unsubscribe()
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)

    def _heard(self, event: Event) -> None:
        if event.name in WAKING:
            self._happened(event.session_id)

    def _happened(self, session_id: str) -> None:
        """Something may have come for the lanes of a session: look at the rows now."""
        with self._lock:
            self._news |= {name for name, session in self._running.items() if session == session_id}
            self._idle = {name: session for name, session in self._idle.items() if session != session_id}
        self._wake.set()

    def _work(self) -> None:
        next_tick = time.monotonic() + TICK_S
        next_pass = 0.0
        while not self._stopping.is_set():
            self._wake.wait(max(0.0, next_tick - time.monotonic()))
            self._stopping.wait(max(0.0, next_pass - time.monotonic()))
            self._wake.clear()
            if time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_S
                with self._lock:
                    self._idle.clear()
            if self._stopping.is_set():
                return
            began = time.monotonic()
            try:
                self._pass()
                next_pass = time.monotonic() + min(MAX_REST_S, REST * (time.monotonic() - began))
            except Exception as error:  # noqa: BLE001 - a disk that is full now may have room at the next tick
                log.error("pump_failed", error=error)
                self._stopping.wait(TICK_S)

    def _pass(self) -> None:
        with self._store.db.read() as c:
            due = [(("media", track_id), session_id) for track_id, session_id in tracks.unsettled_tracks(c, "media")]
            due += [(("mix", session_id), session_id) for session_id in sessions.unsettled_mixes(c)]
            due += [(("speech", track_id), session_id) for track_id, session_id in tracks.unsettled_tracks(c, "speech")]
        self._last_run = {name: self._last_run[name] for name, _ in due if name in self._last_run}
        with self._lock:  # of lanes that are gone nothing is kept
            self._failures = {name: self._failures[name] for name, _ in due if name in self._failures}
        full: set[str] = set()
        for name, session_id in sorted(due, key=lambda one: self._last_run.get(one[0], 0)):
            if name[0] not in full and not self._submit(name, session_id):
                full.add(name[0])
                if len(full) == len(self._pools):
                    break
        self._due_jobs()

    def _submit(self, name: tuple[str, str], session_id: str) -> bool:
        """Begin a run, unless there is a reason not to; returns whether there is room for lanes of its kind at all."""
        kind, key = name
        with self._lock:
            if sum(running[0] == kind for running in self._running) >= self._workers[kind]:
                return False  # the end of a run starts the next pass: who has waited longest comes first
            failure = self._failures.get(name)
            if name in self._running or (failure is not None and failure.is_resting(self._store.now_ms())):
                return True
            if name in self._idle:
                return True
            self._running[name] = session_id
            self.runs_begun += 1
            self._last_run[name] = self.runs_begun
            self._pools[kind].submit(self._run, kind, key, session_id)
            return True

    def _run(self, kind: str, key: str, session_id: str) -> None:
        name = (kind, key)
        did = has_failed = False
        try:
            did = self._runs[kind](key)
            with self._lock:
                self._failures.pop(name, None)
        except Exception as error:  # noqa: BLE001 - one lane must never stop the others
            has_failed = True
            if not self._stopping.is_set() and not self._is_deleted(session_id):
                self._failed(name, error)
        finally:
            with self._lock:
                self.runs[kind] += 1
                self.failed_runs[kind] += has_failed
                del self._running[name]
                if not did and not has_failed and name not in self._news:
                    self._idle[name] = session_id
                self._news.discard(name)
            with self._changed:
                self._changed.notify_all()
            if did:
                self._happened(session_id)
            self._wake.set()

    def _is_deleted(self, session_id: str) -> bool:
        """Whether the session, or what was recorded in it, was deleted under the lane: then it has come to its end."""
        try:
            with self._store.db.read() as c:
                sessions.check_recorded(c, session_id)
        except Rejected:
            return True
        return False

    def _failed(self, name: tuple[str, str], error: Exception) -> None:
        with self._lock:
            count = self._failures[name].count + 1 if name in self._failures else 1
            pause_s = min(2 ** (count - 1), MAX_BACK_OFF_S)
            self._failures[name] = Failure(count, error, self._store.now_ms() + 1000 * pause_s)
        code = error.code if isinstance(error, LongtakeError) else type(error).__name__
        trace = error if count == 1 and not isinstance(error, LongtakeError) else None
        log.error("lane_failed", lane=name[0], key=name[1], code=code, error=error, attempt=count, exc_info=trace)


def is_permanent(error: Exception) -> bool:
    """Whether trying again cannot help: it says so itself."""
    return isinstance(error, LongtakeError) and not error.is_retryable
