"""The engines on real and on made speech."""

import jiwer
import pytest

from longtake.speech.pocketsphinx import INFO, PocketsphinxEngine
from longtake.speech.whisper import WhisperEngine, whisper_info
from tests.speech.sounds import DATA, JFK_TEXT, say

JFK_CUTS = [(2560, 38400), (50688, 72192), (84480, 124416), (129024, 170496)]


@pytest.fixture(scope="module")
def pocketsphinx():
    return PocketsphinxEngine()


@pytest.fixture(scope="module")
def whisper():
    return WhisperEngine(DATA / "tiny-whisper")


@pytest.fixture(scope="module")
def drafts(pocketsphinx, jfk):
    """What it hears in each cut, in order: it is slow."""
    return [pocketsphinx.recognise(jfk[start:end]) for start, end in JFK_CUTS]


def test_pocketsphinx_hears_real_speech_recognisably(drafts):
    assert jiwer.wer(JFK_TEXT, " ".join(heard.text for heard in drafts)) <= 0.35


def test_pocketsphinx_forgets_what_it_heard_before(pocketsphinx, jfk, drafts):
    again = [pocketsphinx.recognise(jfk[start:end]) for start, end in reversed(JFK_CUTS[:2])]

    assert again[::-1] == drafts[:2]


def test_pocketsphinx_words_lie_in_the_utterance_in_order_and_rated(drafts):
    (start, end), heard = JFK_CUTS[0], drafts[0]

    assert " ".join(word.text for word in heard.words) == heard.text
    assert all(0 <= word.start_ms < word.end_ms <= (end - start) // 16 for word in heard.words)
    assert [word.start_ms for word in heard.words] == sorted(word.start_ms for word in heard.words)
    assert all(0 <= word.confidence <= 1 for word in heard.words)
    assert 0 < heard.confidence < 1


@pytest.mark.needs("flite")
@pytest.mark.parametrize("voice", ["rms", "slt"])
@pytest.mark.parametrize(
    "sentence",
    ["she should send a report tomorrow", "we must check the server on friday", "please i will review this contract"],
)
def test_whisper_hears_every_word_of_a_sentence(whisper, voice, sentence):
    heard = whisper.recognise(say(voice, sentence))

    assert heard.text == sentence
    assert [word.text for word in heard.words] == sentence.split()
    assert heard.confidence > 0.5


@pytest.mark.needs("flite")
def test_whisper_says_the_same_about_the_same_sound(whisper):
    pcm = say("rms", "you can open the window next week")
    first = whisper.recognise(pcm)
    whisper.recognise(say("slt", "he will finish the plan today"))

    assert whisper.recognise(pcm) == first


def test_whisper_is_not_a_draft_and_pocketsphinx_is():
    assert INFO.is_draft
    assert not whisper_info(DATA / "tiny-whisper").is_draft
