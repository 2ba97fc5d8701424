"""The transcript is a function of the ordered track: whatever changes while it is heard, and whatever people change."""

import numpy as np
import pytest

from longtake.enrichment.lanes.media import HOLE_PATIENCE_MS
from longtake.media.sandbox import Sandbox
from longtake.model.errors import EngineError
from longtake.model.lifecycle import JobState
from longtake.model.session import LaneStatus, SegmentStatus
from longtake.speech.engine import RATE_HZ as SPEECH_HZ
from longtake.storage.catalog import blobs, jobs, segments, tracks
from tests.enrichment.recording import cut, running, tone
from tests.enrichment.studio import ALL, Studio


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    with running(tmp_path_factory.mktemp("speech"), with_engine=False) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def studio(runtime, sandbox):
    with runtime.store.db.write() as c:
        c.exec_driver_sql("DELETE FROM recognitions")
    return Studio(runtime, sandbox)


@pytest.fixture(scope="module")
def expected(runtime, sandbox):
    studio = Studio(runtime, sandbox)
    studio.send(*ALL)
    studio.end()
    words = studio.hear()
    assert len(words) == 10
    return words


def test_a_hole_that_is_filled_while_an_utterance_is_recognised_is_heard(studio, expected):
    studio.send(*[index for index in ALL if index != 4])
    studio.end()
    studio.ear.meanwhile = lambda: studio.send(4)
    assert studio.hear() == expected


def test_a_hole_that_is_filled_afterwards_is_heard(studio, expected):
    studio.send(*[index for index in ALL if index not in (0, 7)])
    studio.end()
    assert studio.hear() != expected
    studio.send(7)
    studio.restart()
    studio.send(0)
    assert studio.hear() == expected


def test_a_transcript_that_is_made_while_recording_is_the_same(studio, expected):
    for index in ALL:
        studio.send(index)
        studio.hear()
    studio.end()
    assert studio.hear() == expected
    assert studio.ear.heard == len(expected)


def test_what_was_heard_before_a_crash_is_not_asked_again(studio, expected):
    studio.send(*ALL)
    studio.end()

    def crash():
        raise KeyboardInterrupt

    def after_some():
        studio.ear.meanwhile = after_more

    def after_more():
        studio.ear.meanwhile = crash

    studio.ear.meanwhile = after_some
    with pytest.raises(KeyboardInterrupt):
        studio.hear()
    assert studio.ear.heard == 2
    studio.restart()
    assert studio.hear() == expected
    assert studio.ear.heard == len(expected)


def test_stopping_while_it_listens_fails_nothing(studio, expected):
    def stop():
        studio.stopping.set()
        raise EngineError("the speech worker is closed")

    studio.send(*ALL)
    studio.end()
    studio.ear.meanwhile = stop
    studio.speech.run(studio.track)
    assert studio.recording.session().counts.failed == 0
    studio.stopping.clear()
    assert studio.hear() == expected


def test_an_utterance_that_cannot_be_heard_fails_its_segments_and_can_be_retried(studio, expected):
    def fail():
        raise EngineError("it crashed", retryable=False)

    studio.send(*ALL)
    studio.end()
    studio.ear.meanwhile = fail
    assert studio.hear() == expected[1:]
    failed = [one for one in studio.recording.segments() if one.status is SegmentStatus.FAILED]
    assert [(one.index, one.error_code) for one in failed] == [(0, "engine_failed")]
    studio._runtime.work.retry_session(studio.recording.id)
    studio.make()
    assert studio.hear() == expected
    assert studio.recording.session().counts.failed == 0


def correct(studio, number, text):
    entries, _ = studio._runtime.transcripts.page(studio.recording.id, limit=None)
    studio._runtime.transcripts.correct(studio.recording.id, entries[number].id, text)


def texts(studio):
    return [text for _, _, _, text in studio.recording.words()]


def test_corrections_survive_what_is_heard_anew_around_them(studio, expected):
    studio.send(*[index for index in ALL if index != 1])
    studio.end()
    studio.hear()
    correct(studio, -1, "the last words")
    studio.send(1)
    studio.hear()
    assert texts(studio) == [*(text for _, _, _, text in expected[:-1]), "the last words"]


def test_corrections_survive_a_retry_of_their_own_segment(studio, expected):
    studio.send(*ALL)
    studio.end()
    studio.hear()
    correct(studio, 2, "as I said")
    studio._runtime.transcripts.rename(studio.recording.id, "Microphone", "Ana")
    for index in ALL:
        studio._runtime.work.retry_segment(studio.recording.id, studio.track, index)
    studio.make()
    studio.restart()
    assert {speaker for speaker, _, _, _ in studio.hear()} == {"Ana"}
    assert texts(studio)[2] == "as I said"
    assert len(texts(studio)) == len(expected)


def test_a_correction_stays_when_nothing_is_heard_there_any_more(studio):
    studio.send(*ALL)
    studio.end()
    studio.hear()
    correct(studio, 3, "nobody else knows this")
    with studio._runtime.store.db.write() as c:
        c.exec_driver_sql("UPDATE recognitions SET text = ''")
    studio._runtime.work.retry_segment(studio.recording.id, studio.track, 0)
    studio.make()
    studio.hear()
    assert texts(studio) == ["nobody else knows this"]


def test_a_missing_engine_is_said_with_what_to_do(studio):
    studio.send(0)
    studio.restart(engine="no")
    with pytest.raises(EngineError, match="no is not here"):
        studio.speech.run(studio.track)


def test_another_engine_hears_it_anew_when_it_is_asked_for(studio, expected, runtime):
    studio.send(*ALL)
    studio.end()
    studio.hear()
    heard = studio.ear.heard
    with runtime.store.db.write() as c:
        jobs.update_job(c, studio.recording.job().id, status=JobState.COMPLETED, finished_at_ms=1)
    studio.ear.name = "other ear"

    with runtime.store.db.write() as c:
        tracks.hear_anew(c, studio.track, "other ear", None)
    words = studio.hear()

    assert studio.ear.heard == 2 * heard
    assert [word[1:] for word in words] == [word[1:] for word in expected]
    entries, _ = runtime.transcripts.page(studio.recording.id)
    assert {entry.engine for entry in entries} == {"other ear"}


def retry(studio, *indices):
    for index in indices:
        studio._runtime.work.retry_segment(studio.recording.id, studio.track, index)
    studio.make()


def damage(studio, index):
    """Change a byte of a stored segment on the disk; done again, it is as it was."""
    store = studio._runtime.store
    with store.db.read() as c:
        at = blobs.get_locator(c, studio.recording.segments()[index].sha256)
    with store.blobs.path(at).open("r+b") as file:
        file.seek(at.offset + 1000)
        [byte] = file.read(1)
        file.seek(at.offset + 1000)
        file.write(bytes([byte ^ 0xFF]))


def test_a_corrected_entry_whose_sound_was_gone_for_a_while_is_found_again(studio, expected):
    studio.send(*ALL)
    studio.end()
    studio.hear()
    correct(studio, 2, "as I said")
    damage(studio, 3)
    retry(studio, 3)
    assert studio.recording.segments()[3].status is SegmentStatus.FAILED
    assert len(studio.hear()) == len(expected)  # nothing is heard there, what somebody wrote stays

    damage(studio, 3)
    retry(studio, 3)

    assert studio.hear() == [*expected[:2], (*expected[2][:3], "as I said"), *expected[3:]]
    assert studio.recording.session().counts.failed == 0


def test_a_corrected_entry_outlives_an_engine_that_hears_nothing_there(studio, expected, runtime):
    studio.send(*ALL)
    studio.end()
    studio.hear()
    correct(studio, 3, "as I said")
    corrected = [*expected[:3], (*expected[3][:3], "as I said"), *expected[4:]]

    for name, is_deaf in (("deaf ear", True), ("ear", False), ("deaf ear", True), ("third ear", False)):
        studio.ear.name, studio.ear.is_deaf = name, is_deaf
        with runtime.store.db.write() as c:
            tracks.hear_anew(c, studio.track, name, None)
        assert studio.hear() == (corrected[3:4] if is_deaf else corrected)


def minutes(announced):
    """Two minutes of talk in two segments, at a rate that is quick to decode."""
    sound = tone(120.0, hz=300, rate_hz=SPEECH_HZ)
    sound[(np.arange(len(sound)) % (3 * SPEECH_HZ)) > 1.7 * SPEECH_HZ] = 0
    bodies = cut(sound, 60.0, rate_hz=SPEECH_HZ)
    return [(body, 60_000 * index if announced else None) for index, body in enumerate(bodies)]


@pytest.mark.parametrize("while_listening", [True, False])
@pytest.mark.parametrize("announced", [True, False])
def test_a_long_segment_that_comes_late_is_heard_to_its_last_word(studio, runtime, announced, while_listening):
    bodies = minutes(announced)
    in_order = Studio(runtime, studio._sandbox)
    for index, (body, start_ms) in enumerate(bodies):
        in_order.send_body(index, body, start_ms)
    in_order.end()
    expected = in_order.hear()
    assert len(expected) == 40
    with runtime.store.db.write() as c:
        c.exec_driver_sql("DELETE FROM recognitions")

    studio.send_body(1, *bodies[1])
    runtime.store.now_ms.ahead_ms += HOLE_PATIENCE_MS
    studio.make()
    if while_listening:  # all of it is decoded while a word is recognised
        studio.ear.meanwhile = lambda: studio.send_body(0, *bodies[0])
        studio.hear()
    else:
        studio.speech.run(studio.track)
        studio.send_body(0, *bodies[0])
    studio.end()

    assert studio.hear() == expected
    placed = [(one.place.at_ns(0), one.speech) for one in studio.recording.segments()]
    assert placed == [(0, LaneStatus.DONE), (60_000_000_000, LaneStatus.DONE)]


def test_a_step_reads_no_more_than_the_segments_that_it_hears(studio, monkeypatch):
    bodies = cut(tone(240.0, hz=300, rate_hz=8000), 1.0, rate_hz=8000)
    for index, body in enumerate(bodies):
        studio.recording.send(index, body)
    studio.end()
    read, segment_of = [], segments.segment_of

    def reading(row):
        read.append(row)
        return segment_of(row)

    monkeypatch.setattr(segments, "segment_of", reading)

    studio.speech.run(studio.track)

    assert {one.speech for one in studio.recording.segments()} == {LaneStatus.DONE}
    assert len(read) < 3 * len(bodies)  # each is noted, and each was just looked at


def test_a_segment_that_kills_at_the_last_attempt_is_set_aside(studio, expected, monkeypatch):
    monkeypatch.setattr("longtake.enrichment.lanes.speech.BACK_OFF_S", (0.01, 0.01, 0.01))
    attempts = iter([False, True, True, True])

    def fail():
        died = next(attempts, None)
        if died is not None:
            studio.ear.meanwhile = fail
            raise EngineError("it is gone", died=died)

    studio.send(*ALL)
    studio.end()
    studio.ear.meanwhile = fail

    assert studio.hear() == expected[1:]
    first = studio.recording.segments()[0]
    assert (first.error_code, first.kills) == ("segment_set_aside", 3)
