"""Utterances are a pure function of the track."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.speech.cutter import WINDOW, Cut, Cutter
from longtake.speech.silero import Silero
from longtake.speech.vad import FRAME
from tests.speech.sounds import noise


def by_level(pcm):
    """A detector whose values depend on the frame before, as the real one's do: mean level / 1000."""
    level = np.abs(pcm.reshape(-1, FRAME).astype(np.float32)).mean(axis=1) / 1000
    return np.minimum(1, np.maximum(level, 0.6 * np.concatenate([[0], level[:-1]]))).astype(np.float32)


def cutter_of(track, detector=by_level):
    return Cutter(lambda start, end: track[start:end], detector)


def in_steps(track, steps, detector=by_level):
    """Cut a track as it grows, from cursor to cursor, by a new cutter each time."""
    cuts, cursor = [], 0
    for known in [*sorted(steps), track.size]:
        more, cursor = cutter_of(track, detector).cut(cursor, known, False)
        cuts += more
    more, cursor = cutter_of(track, detector).cut(cursor, track.size, True)
    return cuts + more


def in_one(track, detector=by_level):
    return cutter_of(track, detector).cut(0, track.size, True)[0]


# Runs of frames at one level: silent, quiet, between the thresholds, speech of three loudnesses.
runs = st.lists(st.tuples(st.integers(1, 400), st.sampled_from([0, 200, 400, 600, 900, 1000])), min_size=1, max_size=14)


@st.composite
def tracks(draw):
    parts = [np.full(n * FRAME, level, np.int16) for n, level in draw(runs)]
    tail = draw(st.integers(0, FRAME - 1))
    return np.concatenate([*parts, np.full(tail, 900, np.int16)])


@st.composite
def tracks_and_steps(draw):
    track = draw(tracks())
    return track, draw(st.lists(st.integers(0, track.size), max_size=8))


@given(tracks_and_steps())
def test_however_a_track_grows_its_utterances_are_the_same(track_and_steps):
    track, steps = track_and_steps

    assert in_steps(track, steps) == in_one(track)


@given(tracks())
def test_utterances_are_in_order_apart_and_short_enough(track):
    cuts = in_one(track)

    assert all(0 <= cut.start < cut.end <= track.size for cut in cuts)
    assert all(before.end <= after.start for before, after in pairwise(cuts))
    assert all(cut.end - cut.start <= 28 * 16_000 for cut in cuts)


@given(tracks(), tracks(), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_after_a_change_rewinding_gives_what_a_fresh_run_gives(old, other, share, known_share, is_final):
    changed = round(old.size * share)
    known = round(old.size * known_share)
    cuts, cursor = cutter_of(old).cut(0, known, is_final)
    new = np.concatenate([old[:changed], other])

    cursor = min(cursor, cutter_of(new).rewind(cuts, min(changed, known)))
    kept = [cut for cut in cuts if cut.end <= cursor]
    again, _ = cutter_of(new).cut(cursor, new.size, True)

    assert kept + again == in_one(new)
    assert all(cut.start >= cursor for cut in cuts if cut not in kept)


def test_only_windows_that_are_known_whole_are_rated():
    track = np.full(3 * WINDOW, 100, np.int16)
    read = []

    def tell(start, end):
        read.append(end)
        return track[start:end]

    Cutter(tell, by_level).cut(0, 2 * WINDOW - 1, False)

    assert max(read) == WINDOW


def test_hours_of_digital_silence_are_never_rated():
    rated = []

    def rate(pcm):
        rated.append(pcm.size)
        return by_level(pcm)

    cutter = Cutter(lambda start, end: np.zeros(end - start, np.int16), rate)
    cuts, cursor = cutter.cut(0, 3 * 3600 * 16_000, True)

    assert (cuts, rated) == ([], [])
    assert cursor == 3 * 3600 * 16_000


def test_a_cursor_in_silence_does_not_stay_behind():
    track = np.full(20 * WINDOW, 100, np.int16)

    _, cursor = cutter_of(track).cut(0, track.size, False)

    assert cursor > 19 * WINDOW


@pytest.fixture(scope="module")
def talk(jfk):
    """A minute of real speech with pauses, hum and an overlong stretch without any pause."""
    dense = np.concatenate([jfk[2560:38400], jfk[84480:124416]])
    parts = [jfk, noise(3, level=30), np.zeros(40_000, np.int16), *[dense] * 8, noise(12, level=100), jfk]
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def detector():
    """The network, which is not asked twice about the same samples: it would say the same."""
    silero, known = Silero(), {}

    def rate(pcm):
        key = pcm.tobytes()
        if key not in known:
            known[key] = silero(pcm)
        return known[key]

    return rate


def test_the_detector_says_the_same_about_the_same_samples(jfk):
    silero = Silero()
    assert np.array_equal(silero(jfk), silero(jfk))


@pytest.mark.parametrize("step_s", [0.5, 2.0, 7.3, 30.0])
def test_real_speech_is_cut_the_same_in_any_steps(talk, detector, step_s):
    steps = range(0, talk.size, round(step_s * 16_000))

    assert in_steps(talk, steps, detector) == in_one(talk, detector)


def test_real_speech_changed_in_the_middle_is_cut_like_new(talk, detector):
    cuts, cursor = cutter_of(talk, detector).cut(0, talk.size, True)
    new = talk.copy()
    new[30 * 16_000 : 33 * 16_000] = 0

    cursor = min(cursor, cutter_of(new, detector).rewind(cuts, 30 * 16_000))
    again, _ = cutter_of(new, detector).cut(cursor, new.size, True)

    assert [cut for cut in cuts if cut.end <= cursor] + again == in_one(new, detector)
    assert cursor > 0


def test_the_sentences_of_real_speech_are_found(jfk):
    cuts = in_one(jfk, Silero())

    assert cuts == [Cut(start=2560, end=38400), Cut(start=50688, end=72192), Cut(start=84480, end=124416), Cut(
        start=129024, end=170496
    )]  # fmt: skip
