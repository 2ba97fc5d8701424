"""Files to take away: WAV by range as if it lay on the disk, MP3 with its exact length."""

import io
import struct

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtake.media.export import encode_mp3, mp3_frames, pcm16, wav_header, wav_range, wav_size
from longtake.media.probe import Container, sniff
from tests.media.synth import decode, lag, snr_db, source, tone, wav


def reading(pcm):
    return lambda a, b: pcm[:, a:b]


def test_every_16_bit_sample_returns_to_itself():
    samples = np.arange(-32768, 32768, dtype=np.int16)
    pcm = (samples.astype(np.float32) / 32768)[None]
    assert pcm16(pcm.astype(np.float32)) == samples.astype("<i2").tobytes()


def test_rounding_is_to_even_and_full_scale_is_kept():
    pcm = np.array([[0.5 / 32768, 1.5 / 32768, 1.0, -1.5, 2.0]], np.float32)
    assert np.frombuffer(pcm16(pcm), "<i2").tolist() == [0, 2, 32767, -32768, 32767]


def test_the_file_is_the_one_that_a_recorder_would_write():
    pcm = tone(100_001)
    whole = b"".join(wav_range(reading(pcm), 0, 1 << 40, total_samples=100_001, channels=2, rate_hz=48_000))
    assert len(whole) == wav_size(100_001, channels=2, rate_hz=48_000)
    assert whole == wav(np.clip(np.rint(pcm * 32768), -32768, 32767) / 32768)


@given(st.integers(0, 1300), st.integers(0, 1300))
def test_a_range_is_cut_from_the_whole(a, b):
    pcm = tone(300)
    whole = b"".join(wav_range(reading(pcm), 0, 1 << 40, total_samples=300, channels=2, rate_hz=48_000))
    part = b"".join(wav_range(reading(pcm), a, b, total_samples=300, channels=2, rate_hz=48_000))
    assert part == whole[a:b]


def test_a_range_reads_only_what_it_needs():
    asked = []

    def read(a, b):
        asked.append((a, b))
        return np.zeros((2, b - a), np.float32)

    start = 44 + 4 * 3600 * 48_000
    data = b"".join(wav_range(read, start, start + 8, total_samples=1 << 29, channels=2, rate_hz=48_000))
    assert len(data) == 8
    assert asked[0][0] == 3600 * 48_000
    assert max(b - a for a, b in asked) <= 48_000


def test_above_4_gib_it_is_rf64():
    hours_12 = 12 * 3600 * 48_000
    header = wav_header(hours_12, channels=2, rate_hz=48_000)
    assert header[:4] == b"RF64"
    assert sniff(header) is Container.WAV
    riff_bytes, data_bytes, samples = struct.unpack_from("<QQQ", header, 20)
    assert (data_bytes, samples) == (hours_12 * 4, hours_12)
    assert riff_bytes + 8 == wav_size(hours_12, channels=2, rate_hz=48_000)


def test_an_rf64_is_readable(sandbox, tmp_path):
    header = wav_header(3_000_000_000, channels=1, rate_hz=48_000)
    heard, decoding = decode(sandbox, source(tmp_path, header + pcm16(tone(5000, channels=1)), Container.WAV))
    assert (heard.shape, decoding.rate_hz) == ((1, 5000), 48_000)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", [1, 576, 1152, 100_001, 1_000_000])
def test_an_mp3_has_its_exact_length_and_place(sandbox, tmp_path, samples, channels):
    pcm = tone(samples, channels=channels)
    told: list[float] = []
    data = b"".join(encode_mp3(reading(pcm), total_samples=samples, channels=channels, progress=told.append))
    heard, _ = decode(sandbox, source(tmp_path, data, Container.MP3))
    assert heard.shape == pcm.shape
    assert told == sorted(told)
    assert told[-1] == 1
    assert len(data) == (mp3_frames(samples)[0] + 1) * (384 if channels == 2 else 192)
    if samples > 40_000:
        assert lag(pcm, heard) == 0
        assert snr_db(pcm, heard) > 15


@pytest.mark.parametrize(("channels", "hours"), [(2, 80), (1, 160)])
def test_an_mp3_of_more_than_4_gib_begins_as_any_other(channels, hours):
    total = hours * 3600 * 48_000
    pieces = encode_mp3(lambda a, b: np.zeros((channels, b - a), np.float32), total_samples=total, channels=channels)
    first = next(pieces) + next(pieces)
    with av.open(io.BytesIO(first), "r", format="mp3") as container:
        assert container.duration == pytest.approx(hours * 3_600_000_000, rel=0.001)
    at = first.index(b"Info")
    assert struct.unpack_from(">3I", first, at + 4) == (15, mp3_frames(total)[0], 0xFFFFFFFF)


def test_an_mp3_tells_its_duration():
    data = b"".join(encode_mp3(reading(tone(480_000)), total_samples=480_000, channels=2))
    with av.open(io.BytesIO(data), "r", format="mp3") as container:
        assert container.duration == pytest.approx(10_000_000, abs=50_000)
    assert sniff(data) is Container.MP3
