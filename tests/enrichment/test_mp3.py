"""MP3s are made when they are asked for, each for its own session, and nobody waits for one that will never be."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from longtake.model.errors import Cancelled, NotReady
from tests.enrichment.recording import Recording, running, tone, wav

RATE_HZ = 16_000
BODY = wav(tone(120, rate_hz=RATE_HZ), rate_hz=RATE_HZ)


def recorded(runtime, body=BODY):
    """The id of a session that has ended and is whole."""
    recording = Recording.begin(runtime)
    recording.send(0, body)
    recording.end()
    recording.finish()
    return recording.id


def ask(runtime, session_id):
    with pytest.raises(NotReady):
        runtime.files.open(session_id, "mp3", wait_s=0)


def test_closing_ends_the_wait_for_each_mp3_that_is_not_made_any_more(tmp_path):
    with running(tmp_path) as runtime, ThreadPoolExecutor(1) as pool:
        first, second = recorded(runtime), recorded(runtime, wav(tone(5.0)))
        ask(runtime, first)
        ask(runtime, second)
        waiter = pool.submit(runtime.files.open, second, "mp3", wait_s=10)
        runtime.files.close()
        with pytest.raises(Cancelled):
            waiter.result()
        with pytest.raises(Cancelled):
            runtime.files.open(first, "mp3", wait_s=0)
        assert runtime.files.listing(first)


def test_two_sessions_of_the_same_file_have_an_mp3_each(tmp_path):
    with running(tmp_path) as runtime:
        first, second = recorded(runtime), recorded(runtime)
        ask(runtime, first)
        of_second = runtime.files.open(second, "mp3", wait_s=60).content
        of_first = runtime.files.open(first, "mp3", wait_s=60).content
        assert of_first.etag == of_second.etag
        assert of_first.read(0, of_first.size_bytes) == of_second.read(0, of_second.size_bytes)
