"""What the detector and the draft engine reach on conversations whose truth is known. No product claims: the voices are
made.
"""

import jiwer
import numpy as np
import pytest

from longtake.speech.cutter import Cutter
from longtake.speech.silero import Silero
from longtake.speech.worker import SpeechWorker
from tools.make_conversation import TRACKS, converse, spoil, to_pcm

pytestmark = pytest.mark.needs("flite")


@pytest.fixture(scope="module")
def conversation():
    return converse(minutes=1.5, seed=1)


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = SpeechWorker(tmp_path_factory.mktemp("models"))
    yield worker
    worker.close()


@pytest.mark.acceptance
@pytest.mark.parametrize("person", [0, 1])
def test_each_speaker_of_a_conversation_is_understood(conversation, worker, person):
    pcm = to_pcm(conversation.tracks[person])
    cuts, _ = Cutter(lambda start, end: pcm[start:end], worker.speech_probabilities).cut(0, pcm.size, True)

    heard = " ".join(worker.recognise("pocketsphinx", pcm[cut.start : cut.end]).text for cut in cuts)

    assert jiwer.wer(conversation.said_by(person), heard) <= 0.12


@pytest.mark.parametrize("snr_db", [None, 20.0, 10.0])
@pytest.mark.parametrize("person", [0, 1])
def test_speech_is_found_in_silence_and_in_noise(conversation, person, snr_db):
    pcm = to_pcm(spoil(conversation, seed=1, snr_db=snr_db).tracks[person])
    cuts, _ = Cutter(lambda start, end: pcm[start:end], Silero()).cut(0, pcm.size, True)
    truth, found = np.zeros(pcm.size, bool), np.zeros(pcm.size, bool)
    for turn in conversation.turns:
        truth[turn.start : turn.end] |= turn.person == person
    for cut in cuts:
        found[cut.start : cut.end] = True

    right = np.count_nonzero(truth & found)
    precision, recall = right / np.count_nonzero(found), right / np.count_nonzero(truth)

    assert 2 * precision * recall / (precision + recall) >= 0.92, TRACKS[person]
    assert recall >= 0.97
