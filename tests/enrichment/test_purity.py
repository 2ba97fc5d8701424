"""What is derived is a function of the segments: not of their order, of repetitions, of crashes, of when they came."""

import random
import threading
import time
from contextlib import ExitStack

import numpy as np
import pytest

from longtake.enrichment.lanes.blocks import Turn
from longtake.enrichment.lanes.media import MediaLane
from longtake.enrichment.lanes.timelines import Timelines
from longtake.media.decoded import DecodedSegments
from longtake.media.sandbox import Sandbox
from longtake.model.session import TrackKind
from longtake.runtime import Runtime
from longtake.settings import Settings
from longtake.storage.catalog import tracks
from tests.enrichment.recording import Clock, Recording, cut, encoded, locating, running, tone, wav

SEGMENT_S = 2.5
SECONDS = 25.0


@pytest.fixture(scope="module")
def sounds():
    return [cut(tone(SECONDS), SEGMENT_S), cut(tone(SECONDS - 7, hz=700), SEGMENT_S)]


@pytest.fixture(scope="module")
def in_order(sounds, tmp_path_factory):
    """What comes of two tracks that are recorded as they should be."""
    with running(tmp_path_factory.mktemp("in-order")) as runtime:
        recording = Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
        for track, bodies in enumerate(sounds):
            recording.send_all(bodies, track=track)
        recording.end()
        recording.finish()
        return recording.content()


def test_the_wav_is_what_was_recorded_sample_by_sample(tmp_path):
    pcm = tone(SECONDS)
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime)
        recording.send_all(cut(pcm, SEGMENT_S))
        recording.end()
        recording.finish()
        assert np.array_equal(recording.pcm(), pcm)


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_arrival_gives_the_same(sounds, in_order, tmp_path, seed):
    dice = random.Random(seed)
    sent = [(track, index) for track, bodies in enumerate(sounds) for index in range(len(bodies))]
    dice.shuffle(sent)
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
        for track, index in sent:
            recording.send(index, sounds[track][index], track=track)
        recording.end()
        recording.finish()
        assert recording.content() == in_order


def test_sending_everything_twice_gives_the_same(sounds, in_order, tmp_path):
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
        for track, bodies in enumerate(sounds):
            for index, body in enumerate(bodies):
                first = recording.send(index, body, track=track)
                again = recording.send(index, body, track=track)
                assert again.segment_id == first.segment_id
                assert not again.is_new
        recording.end()
        recording.finish()
        assert recording.content() == in_order


def test_a_hole_that_is_filled_after_the_end_gives_the_same(sounds, in_order, tmp_path):
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
        for track, bodies in enumerate(sounds):
            recording.send_all(bodies, track=track, order=[i for i in range(len(bodies)) if i != 3])
        recording.end()
        before = recording.finish()
        assert recording.content() != in_order
        for track, bodies in enumerate(sounds):
            recording.send(3, bodies[3], track=track)
        assert recording.job().id != before.id
        assert recording.finish().status == "completed"
        assert recording.content() == in_order


def test_a_tail_that_comes_after_the_end_gives_the_same(sounds, in_order, tmp_path):
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
        recording.send_all(sounds[0][:-2])
        recording.send_all(sounds[1], track=1)
        recording.end()
        recording.finish()
        for index in (len(sounds[0]) - 1, len(sounds[0]) - 2):
            recording.send(index, sounds[0][index])
        recording.finish()
        assert recording.content() == in_order


def test_restarts_in_between_give_the_same(sounds, in_order, tmp_path):
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
        recording.send_all(sounds[0][:4])
        recording.send_all(sounds[1][:1], track=1)
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        recording.send_all(sounds[0], order=range(4, len(sounds[0])))
        recording.send_all(sounds[1], track=1, order=range(1, len(sounds[1])))
        recording.settle()
        recording.end()
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        assert recording.finish().status == "completed"
        assert recording.content() == in_order


def test_a_restart_makes_nothing_anew(sounds, tmp_path):
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime, TrackKind.MICROPHONE, TrackKind.SYSTEM)
        for track, bodies in enumerate(sounds):
            recording.send_all(bodies, track=track)
        recording.end()
        recording.finish()
        before = [recording.blocks(owner) for owner in (recording.id, *recording.tracks)]
        with runtime.store.db.write() as c:
            for track_id in recording.tracks:
                tracks.update_track(c, track_id, media_settled=False)
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        recording.settle()
        assert [recording.blocks(owner) for owner in (recording.id, *recording.tracks)] == before


def test_a_long_segment_is_made_of_the_same_blocks_as_short_ones(tmp_path):
    pcm = tone(45.0)
    with running(tmp_path) as runtime:
        whole, parts = Recording.begin(runtime), Recording.begin(runtime)
        whole.send(0, wav(pcm))
        parts.send_all(cut(pcm, 4.0))
        for recording in (whole, parts):
            recording.end()
            recording.finish()
        assert whole.digests() == parts.digests()
        assert np.array_equal(whole.pcm(), pcm)


def test_a_long_segment_that_grew_is_not_made_anew_after_a_restart(tmp_path):
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(45.0)))
        recording.end()
        recording.finish()
        before = recording.blocks(recording.tracks[0])
        with runtime.store.db.write() as c:
            tracks.update_track(c, recording.tracks[0], media_settled=False)
    with running(tmp_path) as runtime:
        recording.runtime = runtime
        recording.settle()
        assert recording.blocks(recording.tracks[0]) == before
        assert {revision for _, _, revision in before} == {1}


def test_a_long_file_is_decoded_once_however_short_the_turns_are(tmp_path, monkeypatch):
    monkeypatch.setattr("longtake.enrichment.lanes.media.Turn", lambda is_stopping: Turn(is_stopping, -1.0))
    monkeypatch.setattr("longtake.enrichment.lanes.media.STEP_S", 60)  # more than a turn makes blocks of
    decodings: list[str] = []
    with ExitStack() as stack:
        settings = Settings.model_validate({"data": tmp_path, "engine": "none"})
        runtime = stack.enter_context(Runtime.open(settings, with_engine=False))
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(300.0, rate_hz=16_000), rate_hz=16_000))
        recording.end()
        sandbox = stack.enter_context(Sandbox())
        sandbox.start()

        pcm = stack.enter_context(DecodedSegments(sandbox, locating(runtime, decodings)))
        lane = MediaLane(runtime.store, Timelines(runtime.store), pcm, threading.Event())
        turns = 0
        while not recording.session().tracks[0].media_settled:
            assert turns < 100, "turns that are over before they begin get nowhere"
            lane.run(recording.tracks[0])
            turns += 1
        assert turns > 5
        assert len(recording.blocks(recording.tracks[0])) == 30
    assert len(decodings) == 1


def test_the_mix_of_one_track_shares_its_blobs(tmp_path):
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime)
        recording.send_all(cut(tone(SECONDS), SEGMENT_S))
        recording.end()
        recording.finish()
        assert recording.digests() == recording.digests(recording.tracks[0])
        with runtime.store.db.read() as c:
            counts = c.exec_driver_sql("SELECT DISTINCT ref_count FROM blobs WHERE store = 'derived'").scalars().all()
        assert counts == [2]


@pytest.mark.parametrize(("codec", "container"), [("flac", "flac"), ("libopus", "ogg")])
def test_encoded_segments_are_pure_too(tmp_path, codec, container):
    pcm = tone(SECONDS)
    bodies = [encoded(pcm[at : at + 96_000], codec, container) for at in range(0, len(pcm), 96_000)]
    contents = []
    with running(tmp_path) as runtime:
        for order in (range(len(bodies)), [*range(1, len(bodies)), 0]):
            recording = Recording.begin(runtime)
            recording.send_all(bodies, order=order)
            recording.end()
            assert recording.finish().status == "completed"
            contents.append(recording.digests())
            assert len(recording.pcm()) == len(pcm)
    assert contents[0] == contents[1]


def test_a_hole_holds_up_what_follows_only_for_a_while(tmp_path):
    clock = Clock()
    with running(tmp_path, clock=clock) as runtime:
        recording = Recording.begin(runtime)
        bodies = cut(tone(SECONDS), SEGMENT_S)
        recording.send_all(bodies, order=[0, *range(2, len(bodies))])
        time.sleep(0.5)
        assert recording.session().counts.pending == len(bodies) - 2
        clock.ahead_ms += 11_000
        session = recording.settle()
        assert session.counts.pending == 0
        recording.send(1, bodies[1])
        recording.end()
        recording.finish()
        assert np.array_equal(recording.pcm(), tone(SECONDS))


def test_lanes_that_wait_for_a_segment_do_not_spin(tmp_path):
    with running(tmp_path) as runtime:
        waiting, busy = Recording.begin(runtime), Recording.begin(runtime)
        bodies = cut(tone(SECONDS), SEGMENT_S)
        waiting.send_all(bodies, order=[0, 2, 3])
        begun = runtime.lanes.runs_begun
        busy.send_all(bodies)
        busy.end()
        busy.finish()
        assert runtime.lanes.runs_begun - begun < 200
