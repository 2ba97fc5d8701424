"""Figures for Prometheus. Most are counted where things happen and only read here, when somebody asks.

Labels hold words that longtake itself made (states, codes, route templates), never ids, titles or what was said.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from starlette.types import Scope

from longtake import __version__
from longtake.ingest.figures import BUCKETS_S
from longtake.model.lifecycle import JobState, SessionState
from longtake.runtime import Runtime
from longtake.server.requests import template_of
from longtake.storage.catalog import figures, unsettled

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpFigures:
    """Requests by method, route template and status. Used in the event loop alone."""

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, str, int]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        """Errors by route and code, of the routes that take and send bytes."""

    def note(self, scope: Scope, status: int) -> None:
        """A request is being answered."""
        self.answered[scope["method"], template_of(scope), status] += 1

    def note_error(self, scope: Scope, code: str) -> None:
        """A request was refused, or failed."""
        self.refused[template_of(scope), code] += 1


class Metrics:
    """All figures of a running server."""

    def __init__(self, runtime: Runtime, http: HttpFigures) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Figures(runtime, http))
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The figures as Prometheus reads them."""
        return generate_latest(self._registry)


class _Figures(Collector):
    def __init__(self, runtime: Runtime, http: HttpFigures) -> None:
        self._run = runtime
        self._http = http

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: that would ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Everything, now."""
        build = InfoMetricFamily("longtake_build", "Which longtake this is.")
        build.add_metric([], {"version": __version__})
        yield build
        yield from self._ingest()
        yield from self._work()
        yield from self._stored()
        yield from self._requests()

    def _ingest(self) -> Iterator[Metric]:
        receiver = self._run.receiver
        found = receiver.figures
        yield _counter("longtake_ingest_segments", "Segments stored since the start.", found.segments)
        yield _counter("longtake_ingest_bytes", "Bytes of segments stored since the start.", found.size_bytes)
        yield _counter("longtake_ingest_repeated", "Segments sent again although stored.", found.repeated)
        yield _counter("longtake_ingest_transactions", "Transactions that stored segments.", found.batches)
        counts = list(accumulate(found.latency))
        buckets = [(str(end), count) for end, count in zip((*BUCKETS_S, "+Inf"), counts, strict=True)]
        latency = HistogramMetricFamily(
            "longtake_ingest_seconds", "From a segment's last byte to its answer: flush and commit are in it."
        )
        latency.add_metric([], buckets, found.latency_sum_s)
        yield latency
        yield _gauge("longtake_ingest_queued_bytes", "Bytes that wait to be stored.", receiver.queued_bytes)

    def _work(self) -> Iterator[Metric]:
        lanes = self._run.lanes
        yield _by("longtake_lane_runs", "Runs of lanes.", "lane", lanes.runs, is_counter=True)
        yield _by("longtake_lane_failures", "Runs that failed.", "lane", lanes.failed_runs, is_counter=True)
        with self._run.store.db.read() as c:
            backlog = unsettled.count(c)
        yield _by("longtake_lane_backlog", "Tracks, or mixes, for which a lane may have work.", "lane", backlog)
        speech = self._run.speech
        yield _counter("longtake_speech_heard_seconds", "Sound that engines recognised.", speech.heard_s)
        yield _counter("longtake_speech_busy_seconds", "Time that they took.", speech.busy_s)
        rtf = speech.busy_s / speech.heard_s if speech.heard_s else 0.0
        yield _gauge("longtake_speech_real_time_factor", "Time for a second of sound; above 1 it falls behind.", rtf)

    def _stored(self) -> Iterator[Metric]:
        with self._run.store.db.read() as c:
            found = figures.gather(c)
        states = {state.value: found.by_state.get(state, 0) for state in SessionState}
        yield _by("longtake_sessions", "Sessions by state, the trash apart.", "state", states)
        processing = {status.value: count for status, count in found.by_processing.items()}
        yield _by("longtake_sessions_processing", "Sessions by processing status.", "status", processing)
        jobs = {status.value: found.jobs.get(status, 0) for status in JobState}
        yield _by("longtake_jobs", "Jobs by status.", "status", jobs)
        yield _by("longtake_stored_bytes", "Bytes that rows name.", "store", found.bytes_by_store)
        disk = shutil.disk_usage(self._run.settings.data)
        yield _gauge("longtake_disk_free_bytes", "Room on the disk of the data folder.", disk.free)
        yield _gauge("longtake_disk_size_bytes", "Size of that disk.", disk.total)
        hours = self._run.room.now().hours_left
        yield _gauge("longtake_disk_hours_left", "Hours that what is recorded now can go on.", hours)

    def _requests(self) -> Iterator[Metric]:
        answered = CounterMetricFamily(
            "longtake_http_requests", "Requests by route and status.", labels=["method", "route", "status"]
        )
        for (method, route, status), count in self._http.answered.copy().items():
            answered.add_metric([method if method in KNOWN_METHODS else "other", route, str(status)], count)
        yield answered
        refused = CounterMetricFamily(
            "longtake_refused", "Errors of routes that take and send bytes, by code.", labels=["route", "code"]
        )
        for (route, code), count in self._http.refused.copy().items():
            refused.add_metric([route, code], count)
        yield refused


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by(name: str, text: str, label: str, values: Mapping[str, float], *, is_counter: bool = False) -> Metric:
    kind = CounterMetricFamily if is_counter else GaugeMetricFamily
    family = kind(name, text, labels=[label])
    for word, value in dict(values).items():
        family.add_metric([word], value)
    return family
