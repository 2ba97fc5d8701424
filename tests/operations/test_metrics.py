"""The figures are those of what happened, and say nothing of anybody."""

import re
import time
from timeit import timeit

from prometheus_client.parser import text_string_to_metric_families

from longtake.ingest.figures import Figures
from longtake.server.metrics import HttpFigures
from tests.conftest import ROOT
from tests.enrichment.recording import tone as samples
from tests.enrichment.recording import wav
from tests.server.conftest import serving, tone

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


def read(served):
    """Name and labels → value."""
    answer = served.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return answer.text, lambda name, **labels: found.get((name, tuple(sorted(labels.items()))))


def test_what_happened_is_counted_under_templates_and_words(tmp_path):
    with serving(tmp_path / "data", engine="pocketsphinx") as served:
        session_id = served.recorded(tone(1), tone(1, hz=300))
        track_id = served.client.get(f"/api/sessions/{session_id}").json()["tracks"][0]["id"]
        assert served.put(session_id, track_id, 0, tone(1)).status_code == 200
        assert served.put(session_id, track_id, 0, tone(2)).status_code == 409
        served.client.get("/nonesuch/hidden-word")
        served.client.get(f"/api/sessions/{session_id}x")
        served.client.patch(f"/api/sessions/{session_id}", json={"title": "hidden-word"})
        text, value = read(served)
    size = len(tone(1)) * 2
    assert value("longtake_ingest_segments_total") == 2
    assert value("longtake_ingest_bytes_total") == size
    assert value("longtake_ingest_repeated_total") == 1
    assert value("longtake_ingest_seconds_count") == 4
    assert value("longtake_ingest_seconds_bucket", le="+Inf") == 4
    assert value("longtake_ingest_queued_bytes") == 0
    segment = "/api/sessions/{session_id}/tracks/{track_id}/segments/{index}"
    assert value("longtake_http_requests_total", method="PUT", route=segment, status="201") == 2
    assert value("longtake_http_requests_total", method="PUT", route=segment, status="409") == 1
    assert value("longtake_refused_total", route=segment, code="segment_conflict") == 1
    assert value("longtake_http_requests_total", method="GET", route="/api/sessions/{session_id}", status="404") == 1
    assert value("longtake_http_requests_total", method="GET", route="none", status="404") == 1
    assert value("longtake_sessions", state="completed") == 1
    assert value("longtake_jobs", status="completed") >= 1
    assert value("longtake_lane_runs_total", lane="media") >= 1
    assert value("longtake_lane_backlog", lane="mix") == 0
    assert value("longtake_disk_hours_left") > 0
    assert value("longtake_disk_free_bytes") > 0
    assert value("process_resident_memory_bytes") > 1 << 20
    assert "hidden-word" not in text
    assert not UUID.search(text)


def test_speech_has_a_real_time_factor(tmp_path):
    with serving(tmp_path / "data", engine="pocketsphinx", max_segment_bytes=8 << 20) as served:
        with (ROOT / "tests/data/jfk.flac").open("rb") as file:
            served.recorded(file.read())
        _, value = read(served)
    heard, busy = value("longtake_speech_heard_seconds_total"), value("longtake_speech_busy_seconds_total")
    assert heard > 5
    assert value("longtake_speech_real_time_factor") == busy / heard


def test_a_full_queue_and_a_full_disk_are_counted_by_their_codes(tmp_path):
    with serving(tmp_path / "data", with_engine=False) as served:
        session_id = served.create()
        track_id = served.track(session_id)
        left = served.runtime.receiver._limits
        object.__setattr__(left, "reserve_bytes", 1 << 60)
        assert served.put(session_id, track_id, 0, wav(samples(0.1))).status_code == 507
        _, value = read(served)
    segment = "/api/sessions/{session_id}/tracks/{track_id}/segments/{index}"
    assert value("longtake_refused_total", route=segment, code="storage_full") == 1


def test_a_look_at_the_figures_takes_milliseconds(tmp_path):
    with serving(tmp_path / "data", with_engine=False) as served:
        read(served)
        began = time.perf_counter()
        read(served)
        assert time.perf_counter() - began < 0.5


def test_counting_costs_microseconds():
    figures, http = Figures(), HttpFigures()
    scope = {"method": "PUT", "route": type("R", (), {"path": "/x/{y}"})()}

    def count():
        figures.took(0.004)
        http.note(scope, 201)

    assert min(timeit(count, number=1000) for _ in range(20)) / 1000 < 20e-6


def test_every_metric_is_documented_and_no_other(tmp_path):
    with serving(tmp_path / "data", with_engine=False) as served:
        text, _ = read(served)
    there = {name for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE) if name.startswith("longtake_")}
    table = [
        line for line in (ROOT / "docs/ref/metrics.md").read_text().splitlines() if line.startswith("| `longtake_")
    ]
    assert {name for line in table for name in re.findall(r"`(longtake_\w+)`", line.split(" | ")[0])} == there
