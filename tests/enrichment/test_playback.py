"""Readers of a long recording do not turn its decoder back for one another."""

import sqlite3
import sys
import threading
import traceback

import numpy as np
import psutil
import pytest

from longtake.enrichment.playback import AUDIO, Playback
from longtake.media.decoded import DecodedSegments
from longtake.media.sandbox import Sandbox
from longtake.model.errors import MediaError
from longtake.storage.catalog import derived
from tests.enrichment.recording import Recording, locating, running, tone, wait_for, wav

RATE_HZ = 16_000
SECONDS = 240
WAV_RATE_HZ = 48_000
WAV_HEAD = 44


def test_two_readers_far_apart_decode_a_long_file_once_each(tmp_path):
    decodings: list[str] = []
    with running(tmp_path) as runtime, Sandbox() as sandbox:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(SECONDS, rate_hz=RATE_HZ), rate_hz=RATE_HZ))
        recording.end()
        recording.finish()
        sandbox.start()
        decoders = [DecodedSegments(sandbox, locating(runtime, decodings)) for _ in range(2)]
        playback = Playback(runtime.store, decoders)
        early, late = (playback.wav(recording.id, AUDIO) for _ in range(2))
        whole = runtime.playback.wav(recording.id, AUDIO)
        for second in range(0, 20, 2):
            for reader, start_s in ((early, second), (late, second + 200)):
                start = WAV_HEAD + 2 * WAV_RATE_HZ * start_s
                piece = reader.read(start, start + 2 * WAV_RATE_HZ)
                assert np.frombuffer(piece, "<i2").any()
                assert piece == whole.read(start, start + 2 * WAV_RATE_HZ)
        for one in decoders:
            one.close()
    assert len(decodings) == 2


def test_a_recording_of_more_blocks_than_sqlite_takes_values_is_found(tmp_path):
    with running(tmp_path) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(25.0, rate_hz=RATE_HZ), rate_hz=RATE_HZ))
        recording.end()
        recording.finish()
        with runtime.store.db.read() as c:
            connection = c.connection.driver_connection
            assert connection is not None
            before = connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 32_766)
            try:
                located = derived.locate_blocks(c, recording.id, range(40_000))
            finally:
                connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, before)
        assert list(located) == [0, 1, 2]


def test_closing_does_not_wait_for_a_reader_far_away(tmp_path):
    raised = []
    with running(tmp_path, decode_timeout_s=5) as runtime:
        recording = Recording.begin(runtime)
        recording.send(0, wav(tone(SECONDS, rate_hz=RATE_HZ), rate_hz=RATE_HZ))
        recording.end()
        recording.finish()
        whole = runtime.playback.wav(recording.id, AUDIO)
        whole.read(0, 100)
        for child in psutil.Process().children(recursive=True):
            if not child.children():
                child.suspend()  # as far away as can be

        def read_the_end():
            with pytest.raises(MediaError) as error:
                whole.read(whole.size_bytes - 100, whole.size_bytes)
            raised.append(error.value.detail)

        def is_reading():
            frame = sys._current_frames().get(reader.ident or 0)
            return any(call.name == "_fill" for call in traceback.extract_stack(frame))

        reader = threading.Thread(target=read_the_end)
        reader.start()
        wait_for(is_reading, lambda: raised)
        runtime.close()
        reader.join()
    assert len(raised) == 1
    assert "no progress" not in raised[0]
