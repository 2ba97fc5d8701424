"""Segments that kill: children really die of them, are counted across restarts, and the segments are set aside."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from longtake.enrichment.lanes.media import MediaLane
from longtake.enrichment.lanes.speech import SpeechLane
from longtake.enrichment.lanes.timelines import Timelines
from longtake.enrichment.sources import Sources
from longtake.media.decoded import DecodedSegments
from longtake.media.sandbox import Sandbox
from longtake.model.lifecycle import JobState
from longtake.model.session import ProcessingStatus, SegmentStatus
from longtake.speech.worker import SpeechWorker
from longtake.storage.catalog import blobs, segments
from tests.enrichment.recording import Recording, cut, encoded, reference_counts_are_exact, running, tone, wait_for, wav
from tests.speech.sounds import load, noise

DATA = Path(__file__).parent.parent / "data"


class Killer:
    """Kills, as the kernel does where memory ends, every decoder that has a file open, as long as it may."""

    def __init__(self, runtime, sha256, *, at_most=100):
        with runtime.store.db.read() as c:
            self._path = str(runtime.store.blobs.path(blobs.get_locator(c, sha256)))
        self._at_most = at_most
        self.killed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _work(self):
        dead: set[int] = set()
        while not self._stop.is_set() and self.killed < self._at_most:
            for zygote in psutil.Process().children():
                for pid in children(zygote.pid) - dead:
                    if self._holds(pid):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                            dead.add(pid)
                            self.killed += 1
            time.sleep(0.0005)

    def _holds(self, pid):
        with contextlib.suppress(OSError):
            return any(link.readlink() == Path(self._path) for link in Path(f"/proc/{pid}/fd").iterdir())
        return False


def children(pid):
    """The children of a process, without looking at every process there is."""
    with contextlib.suppress(OSError):
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


def large():
    """A segment that is a file of its own and takes long to decode: two minutes of noise."""
    sound = np.random.default_rng(1).normal(0, 6000, (120 * 16_000, 1)).astype(np.int16)
    return encoded(sound, "flac", "flac", rate_hz=16_000)


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
            with Killer(runtime, sha256):
                wait_for(lambda: recording.segments()[1].kills >= kills, recording.segments)  # noqa: B023 (called at once)
            if kills == 1:
                assert beside.finish().status is JobState.COMPLETED
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        with Killer(runtime, sha256):
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
        with Killer(runtime, sha256, at_most=1) as killer:
            assert recording.finish().status is JobState.COMPLETED
        assert killer.killed == 1
        assert statuses(recording) == ["completed"] * 4


class Fragile(SpeechWorker):
    """A worker whose child is killed while it is at work on some sounds."""

    def __init__(self, models_dir, *, deadly_to_hear=lambda _: False, deadly_to_rate=lambda _: False):
        super().__init__(models_dir)
        self._deadly_to_hear = deadly_to_hear
        self._deadly_to_rate = deadly_to_rate
        self.killed = 0
        self.heard = 0
        self.on_death = lambda: None

    def recognise(self, engine_name, pcm, language=None):
        with self._danger(self._deadly_to_hear(pcm)):
            recognition = super().recognise(engine_name, pcm, language)
        self.heard += 1
        return recognition

    def speech_probabilities(self, pcm):
        with self._danger(self._deadly_to_rate(pcm)):
            return super().speech_probabilities(pcm)

    @contextlib.contextmanager
    def _danger(self, is_deadly):
        if not is_deadly:
            yield
            return
        child = self._living_child()
        child.send_signal(signal.SIGSTOP)  # it gets the request and never answers
        thread = threading.Timer(0.1, child.kill)
        thread.start()
        try:
            yield
        finally:
            thread.join()
            self.killed += 1
            self.on_death()


class Studio:
    """A session of three spoken segments whose lanes are run by hand; the middle one is quiet and has a click."""

    def __init__(self, runtime, models):
        self.runtime, self._models = runtime, models
        self.recording = Recording.begin(runtime)
        speech = load(DATA / "jfk.flac")
        for index in range(3):
            sound = speech + noise(12.0, level=8, seed=index)[: len(speech)]
            if index == 1:
                sound = sound // 4
                sound[80_000:80_200] = CLICK
            self.recording.send(index, wav(sound[:, None], rate_hz=16_000))
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
            speech = SpeechLane(store, timelines, pcm, worker, lambda: "whisper:tiny", stopping)
            while not stopping.is_set() and not self.is_settled():
                media.run(track)
                speech.run(track)
            pcm.close()
        return worker

    ends_after_a_death = False

    def is_settled(self):
        [track] = self.recording.session().tracks
        return track.media_settled and track.speech_settled


CLICK = 30_000


def is_quiet(pcm):
    return np.abs(pcm.astype(np.int32)).max() < 9000


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
