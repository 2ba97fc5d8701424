"""Speech is found where it is, and nowhere else."""

import numpy as np
import pytest

from longtake.speech.vad import HANG, LEAST, LONGEST, PAD, Utterance, utterances


def found(*runs, is_final=True, floor=0):
    """Utterances in runs of (frames, probability); the quietest frames are the least probable."""
    rated = np.concatenate([np.full(n, p, np.float32) for n, p in runs])
    return utterances(rated, rated, first=0, floor=floor, is_final=is_final)


def test_speech_becomes_an_utterance_with_pads():
    cuts, _ = found((50, 0.0), (40, 0.9), (50, 0.0))

    assert cuts == [Utterance(start=50 - PAD, end=90 + PAD)]


def test_what_is_shorter_than_a_syllable_is_no_utterance():
    assert found((50, 0.0), (LEAST - 1, 0.9), (50, 0.0))[0] == []
    assert len(found((50, 0.0), (LEAST, 0.9), (50, 0.0))[0]) == 1


def test_a_short_pause_does_not_end_an_utterance_a_longer_one_does():
    assert len(found((9, 0.9), (HANG - 1, 0.0), (9, 0.9), (50, 0.0))[0]) == 1
    assert len(found((9, 0.9), (HANG, 0.0), (9, 0.9), (50, 0.0))[0]) == 2


def test_between_the_thresholds_speech_goes_on_but_does_not_begin():
    assert found((50, 0.4), (50, 0.0))[0] == []
    assert found((9, 0.9), (50, 0.4), (50, 0.0))[0] == [Utterance(start=0, end=59 + PAD)]


def test_overlong_speech_is_cut_at_its_quietest_moment():
    (first, second), _ = found((20, 0.0), (600, 0.9), (7, 0.6), (500, 0.9), (50, 0.0))

    assert first == Utterance(start=20 - PAD, end=623)
    assert second == Utterance(start=623, end=20 + 600 + 7 + 500 + PAD)


def test_no_utterance_is_longer_than_whisper_takes():
    cuts, _ = found((5000, 0.9))

    assert max(cut.end - cut.start for cut in cuts) <= LONGEST
    assert [cut.end for cut in cuts[:-1]] == [cut.start for cut in cuts[1:]]


def test_speech_that_goes_on_is_not_decided_until_the_end_is_known():
    cuts, cursor = found((50, 0.0), (40, 0.9), is_final=False)

    assert (cuts, cursor) == ([], 50 - PAD)
    assert found((50, 0.0), (40, 0.9), is_final=True)[0] == [Utterance(start=45, end=90)]


@pytest.mark.parametrize("is_final", [False, True])
def test_silence_moves_the_off_point_on(is_final):
    cuts, cursor = found((1000, 0.1), is_final=is_final)

    assert cuts == []
    assert cursor == (1000 if is_final else 1000 - PAD)


def test_an_utterance_does_not_reach_before_the_off_point():
    cuts, _ = found((50, 0.0), (40, 0.9), (50, 0.0), floor=48)

    assert cuts == [Utterance(start=48, end=90 + PAD)]
