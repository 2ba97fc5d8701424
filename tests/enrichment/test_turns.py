"""Lanes give way: to others when their turn is over, to the end when they are asked to stop, and while they wait."""

import threading
from contextlib import contextmanager

import pytest

from longtake.enrichment.lanes.blocks import BATCH_BLOCKS, CHECKED_AT_ONCE, Turn
from longtake.enrichment.lanes.media import HOLE_PATIENCE_MS, MediaLane
from longtake.enrichment.lanes.mix import MixLane
from longtake.enrichment.lanes.timelines import Timeline, Timelines
from longtake.media.decoded import DecodedSegments
from longtake.media.sandbox import Sandbox
from longtake.model.session import LaneStatus, SegmentStatus, TrackKind
from tests.enrichment.recording import Recording, cut, locating, running, tone, wait_for, wav

TURNS = 30


@pytest.fixture
def runtime(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        yield runtime


@contextmanager
def media_lane(runtime, stopping):
    """The media lane, run by hand."""
    with Sandbox() as sandbox, DecodedSegments(sandbox, locating(runtime, [])) as pcm:
        yield MediaLane(runtime.store, Timelines(runtime.store), pcm, stopping)


def taken(recording):
    return sum(one.media is LaneStatus.DONE for one in recording.segments())


def test_a_turn_ends_also_where_segments_are_short(runtime, monkeypatch):
    monkeypatch.setattr("longtake.enrichment.lanes.media.Turn", lambda is_stopping: Turn(is_stopping, -1.0))
    recording = Recording.begin(runtime)
    recording.send_all(cut(tone(30.0), 1.0))
    with media_lane(runtime, threading.Event()) as lane:
        for turn in range(1, TURNS + 1):
            assert lane.run(recording.tracks[0])
            assert taken(recording) == turn


def test_a_lane_that_is_asked_to_stop_leaves_its_backlog(runtime):
    stopping = threading.Event()
    recording = Recording.begin(runtime)
    recording.send_all(cut(tone(30.0), 1.0))
    with media_lane(runtime, stopping) as lane:
        stopping.set()
        lane.run(recording.tracks[0])
    assert taken(recording) <= 1


def test_bytes_that_cannot_be_read_just_now_keep_nobody_else_from_being_played(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        lost = [Recording.begin(runtime) for _ in range(2)]
        for number, recording in enumerate(lost):
            recording.send(0, wav(tone(2.0, hz=200 + number)))
        with runtime.store.db.write() as c:
            c.exec_driver_sql("UPDATE blobs SET key = '99999999.pack'")
    with running(tmp_path) as runtime:
        for recording in lost:
            recording.runtime = runtime
        wait_for(lambda: all(one.segments()[0].attempts for one in lost), lambda: lost)
        beside = Recording.begin(runtime)
        beside.send(0, wav(tone(2.0, hz=333)))
        beside.settle()
        assert {one.segments()[0].status for one in lost} == {SegmentStatus.PENDING}  # both are tried again, later
        wait_for(lambda: all(one.segments()[0].attempts == 4 for one in lost), lambda: lost)
        assert {one.segments()[0].status for one in lost} == {SegmentStatus.FAILED}


def test_after_a_hole_that_nobody_fills_the_rest_is_taken_as_it_comes(runtime):
    bodies = cut(tone(6.0), 1.0)
    recording = Recording.begin(runtime)
    with media_lane(runtime, threading.Event()) as lane:
        recording.send_all(bodies, order=[0, 2])
        lane.run(recording.tracks[0])
        assert taken(recording) == 1
        runtime.store.now_ms.ahead_ms += HOLE_PATIENCE_MS
        lane.run(recording.tracks[0])
        assert taken(recording) == 2
        for index in (3, 4):
            recording.send(index, bodies[index])
            lane.run(recording.tracks[0])
            assert taken(recording) == index


class Counted(Timeline):
    """A timeline that counts the stretches of it that were compared with what was made of them."""

    fingerprints = 0

    def fingerprint(self, from_ns, to_ns):
        Counted.fingerprints += 1
        return super().fingerprint(from_ns, to_ns)


@pytest.mark.parametrize("kinds", [(TrackKind.MICROPHONE,), (TrackKind.MICROPHONE, TrackKind.SYSTEM)])
def test_weeks_that_a_recorder_claims_to_lie_between_two_segments_are_looked_at_in_turns(runtime, monkeypatch, kinds):
    for lane_name in ("media", "mix"):
        monkeypatch.setattr(f"longtake.enrichment.lanes.{lane_name}.Turn", lambda stops: Turn(stops, -1.0))
    monkeypatch.setattr("longtake.enrichment.lanes.timelines.Timeline", Counted)
    recording = Recording.begin(runtime, *kinds)
    for track in range(len(kinds)):
        recording.send(0, wav(tone(1.0)), track=track)
        recording.send(1, wav(tone(1.0, hz=333)), track=track, start_ms=2 * 24 * 3600 * 1000)
    recording.end()
    with media_lane(runtime, threading.Event()) as lane:
        mix = MixLane(runtime.store, lane._timelines, lane._pcm, threading.Event())
        for _ in range(TURNS):
            Counted.fingerprints = 0
            lane.run(recording.tracks[0])
            lane.run(recording.tracks[-1])
            assert Counted.fingerprints <= 2 * CHECKED_AT_ONCE
            mix.run(recording.id)
            assert Counted.fingerprints <= 4 * CHECKED_AT_ONCE
    for owner in (recording.id, *recording.tracks):
        assert len(recording.blocks(owner)) >= BATCH_BLOCKS * (TURNS - 2)


def test_what_lies_in_the_trash_waits_until_it_is_restored(tmp_path):
    with running(tmp_path, with_engine=False) as runtime:
        trashed, beside = Recording.begin(runtime), Recording.begin(runtime)
        for recording in (trashed, beside):
            recording.send_all(cut(tone(3.0), 1.0))
            recording.end()
        runtime.sessions.trash(trashed.id)
    with running(tmp_path) as runtime:
        trashed.runtime = beside.runtime = runtime
        beside.finish()
        beside.settle()
        assert {one.media for one in trashed.segments()} == {LaneStatus.PENDING}
        runtime.sessions.restore(trashed.id)
        trashed.finish()
        assert {one.media for one in trashed.segments()} == {LaneStatus.DONE}
