"""Segments that kill: children really die of them, are counted across restarts, and the segments are set aside."""

import contextlib
import threading

import numpy as np
import pytest

from longtake.enrichment.cost import Prices
from longtake.enrichment.lanes.media import MediaLane
from longtake.enrichment.lanes.speech import SpeechLane
from longtake.enrichment.lanes.timelines import Timelines
from longtake.enrichment.sources import Sources
from longtake.media.decoded import DecodedSegments
from longtake.media.sandbox import Sandbox
from longtake.model.lifecycle import JobState
from longtake.model.session import ProcessingStatus, SegmentStatus
from longtake.storage.catalog import segments
from tests.enrichment.killers import CLICK, Fragile, Killer, is_quiet, large, path_of, spoken
from tests.enrichment.recording import Recording, cut, reference_counts_are_exact, running, tone, wait_for, wav
from tests.speech.sounds import DATA

POISON = large()
BODIES = [*cut(tone(3.0, rate_hz=16_000), 1.0, rate_hz=16_000)]


def recorded(runtime):
    """A session whose second segment will kill, and another one beside it."""
    recording = Recording.begin(runtime)
    for index, body in enumerate([BODIES[0], POISON, BODIES[1], BODIES[2]]):
        recording.send(index, body)
    return recording


def statuses(recording):
    return [segment.status.value for segment in recording.segments()]


def test_a_segment_that_kills_its_decoder_three_times_is_set_aside_and_the_others_go_on(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        recording = recorded(runtime)
        recording.end()
        beside = Recording.begin(runtime)
        beside.send_all(BODIES)
        beside.end()
        sha256 = recording.segments()[1].sha256
    for kills in (1, 2):  # the count outlives the process
        with running(tmp_path, with_engine=True) as runtime:
            recording.runtime = beside.runtime = runtime
            with Killer(path_of(runtime, sha256)):
                wait_for(lambda: recording.segments()[1].kills >= kills, recording.segments)  # noqa: B023 (called at once)
            if kills == 1:
                assert beside.finish().status is JobState.COMPLETED
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        with Killer(path_of(runtime, sha256)):
            assert recording.finish().status is JobState.COMPLETED
            poison = recording.segments()[1]
        assert statuses(recording) == ["completed", "failed", "completed", "completed"]
        assert (poison.error_code, poison.kills) == ("segment_set_aside", 3)
        assert recording.session().processing is ProcessingStatus.COMPLETED_WITH_ERRORS
        assert reference_counts_are_exact(runtime)

        retried = runtime.work.retry_session(recording.id)  # somebody has bought memory
        assert (retried.segments, recording.segments()[1].kills) == (1, 0)
        assert recording.finish().status is JobState.COMPLETED
        assert statuses(recording) == ["completed"] * 4
        assert reference_counts_are_exact(runtime)


def test_a_decoder_that_dies_once_costs_nothing(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        recording = recorded(runtime)
        recording.end()
        sha256 = recording.segments()[1].sha256
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        with Killer(path_of(runtime, sha256), at_most=1) as killer:
            assert recording.finish().status is JobState.COMPLETED
        assert killer.killed == 1
        assert statuses(recording) == ["completed"] * 4


def test_a_death_that_another_lane_counts_meanwhile_is_not_lost(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        recording = recorded(runtime)
        recording.end()
        path = path_of(runtime, recording.segments()[1].sha256)
    with running(tmp_path) as runtime:
        recording.runtime = runtime

        def count():  # as the mix lane does, which decodes what is known of a long segment
            with runtime.store.db.write() as c:
                segments.count_kill(c, recording.tracks[0], 1)

        with Killer(path, at_most=1, on_death=count) as killer:
            assert recording.finish().status is JobState.COMPLETED
        assert killer.killed == 1
        assert recording.segments()[1].kills == 2


class Studio:
    """A session of three spoken segments whose lanes are run by hand; the middle one is quiet and has a click."""

    def __init__(self, runtime, models):
        self.runtime, self._models = runtime, models
        self.recording = Recording.begin(runtime)
        for index in range(3):
            self.recording.send(index, wav(spoken(index)[:, None], rate_hz=16_000))
        self.recording.end()

    def hear(self, **deadly):
        """Run the lanes until they rest, or until the process is asked to end; returns the worker."""
        store, stopping = self.runtime.store, threading.Event()
        [track] = self.recording.tracks
        worker = Fragile(self._models, **deadly)
        worker.on_death = stopping.set if self.ends_after_a_death else worker.on_death
        with Sandbox() as sandbox, contextlib.closing(worker):
            timelines = Timelines(store)
            pcm = DecodedSegments(sandbox, Sources(store))
            media = MediaLane(store, timelines, pcm, stopping)
            told_nothing = Prices({}), lambda _: None
            speech = SpeechLane(store, timelines, pcm, worker, lambda: "whisper:tiny", stopping, *told_nothing)
            while not stopping.is_set() and not self.is_settled():
                media.run(track)
                if self.recording.session().tracks[0].media_settled:  # else more may be heard than is counted
                    speech.run(track)
            pcm.close()
        return worker

    ends_after_a_death = False

    def is_settled(self):
        [track] = self.recording.session().tracks
        return track.media_settled and track.speech_settled


def has_click(pcm):
    return np.count_nonzero(pcm == CLICK) > 50


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    with running(tmp_path_factory.mktemp("speech"), with_engine=False) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    (models / "whisper-tiny").symlink_to(DATA / "tiny-whisper")
    return models


@pytest.fixture
def studio(runtime, models):
    with runtime.store.db.write() as c:
        c.exec_driver_sql("DELETE FROM recognitions")
    return Studio(runtime, models)


def spoken_in(studio, index):
    """How many entries begin in a segment."""
    return sum(11_000 * index <= start < 11_000 * (index + 1) for _, start, _, _ in studio.recording.words())


def test_a_segment_that_kills_its_recogniser_three_times_is_set_aside_and_the_others_are_heard(studio):
    worker = studio.hear(deadly_to_hear=is_quiet)

    assert worker.killed == 3
    first, poison, last = studio.recording.segments()
    assert (poison.status, poison.error_code, poison.kills) == (SegmentStatus.FAILED, "segment_set_aside", 3)
    assert (first.status, last.status) == (SegmentStatus.COMPLETED, SegmentStatus.COMPLETED)
    assert spoken_in(studio, 0) and not spoken_in(studio, 1) and spoken_in(studio, 2)

    studio.runtime.work.retry_session(studio.recording.id)
    assert studio.recording.segments()[1].kills == 0
    again = studio.hear()
    assert [one.status for one in studio.recording.segments()] == [SegmentStatus.COMPLETED] * 3
    assert spoken_in(studio, 1)
    assert again.heard == spoken_in(studio, 1)  # what the others said is remembered


def test_deaths_of_the_recogniser_are_counted_over_restarts(studio):
    studio.ends_after_a_death = True
    for _ in range(2):  # asked to end while it dies: that is nobody's fault
        assert studio.hear(deadly_to_hear=is_quiet).killed == 1
        assert studio.recording.segments()[1].kills == 0
    studio.ends_after_a_death = False
    with studio.runtime.store.db.write() as c:  # as two processes leave it that were killed after a death each
        for _ in range(2):
            segments.count_kill(c, studio.recording.tracks[0], 1)
    assert studio.hear(deadly_to_hear=is_quiet).killed == 1
    assert studio.recording.segments()[1].error_code == "segment_set_aside"


def test_what_kills_the_detector_counts_as_silence_and_is_said(studio):
    worker = studio.hear(deadly_to_rate=has_click)

    assert worker.killed == 3
    blamed = {one.index for one in studio.recording.segments() if one.kills}
    assert 1 in blamed
    assert blamed <= {0, 1}  # those in the window of ten seconds that it died of
    for one in studio.recording.segments():
        assert (one.error_code == "segment_set_aside") == (one.index in blamed)
    assert spoken_in(studio, 2)
