"""Decoded segments read like memory: by range, within a budget, each file decoded once when work goes forward."""

import os

import numpy as np
import psutil
import pytest

from longtake.media.decoded import WINDOW_S, DecodedSegments, Decoders
from longtake.media.loudness import SegmentStats
from longtake.media.probe import Container
from longtake.media.sandbox import MediaSource, Sandbox
from longtake.model.errors import MediaError
from tests.media.synth import encoded, quantised, source, tone, wav


class Shelf:
    """Files by name, and how often each was asked for."""

    def __init__(self, folder):
        self._folder = folder
        self._sources = {}
        self.asked = []

    def put(self, name, data, container=Container.WAV):
        self._sources[name] = source(self._folder, data, container, name=name)

    def put_long(self, name, seconds):
        """A mono WAV whose samples count upwards, so that every range of it is known."""
        path = self._folder / name
        with path.open("wb") as file:
            file.write(wav(np.zeros((1, 0), np.float32), size=0xFFFFFFFF))
            for first in range(0, seconds, 10):
                file.write(counting(first * 48_000, (first + 10) * 48_000).astype("<i2").tobytes())
        self._sources[name] = MediaSource(path=path, offset=0, size=path.stat().st_size, container=Container.WAV)

    def locate(self, sha256):
        self.asked.append(sha256)
        return self._sources[sha256]


def counting(a, b):
    return (np.arange(a, b, dtype=np.int64) * 7919) % 60_000 - 30_000


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


@pytest.fixture
def segments(sandbox, shelf):
    with DecodedSegments(sandbox, shelf.locate) as segments:
        yield segments


def test_any_range_is_read_and_the_end_is_short(shelf, segments):
    pcm = quantised(tone(50_000), 16)
    shelf.put("a", wav(pcm))
    segment = segments.open("a")
    assert (segment.rate_hz, segment.channels) == (48_000, 2)
    for a, b in (
        (40_000, 40_010),
        (0, 1),
        (10, 10),
        (100, 60_000),
        (49_999, 50_001),
        (50_000, 60_000),
        (70_000, 80_000),
    ):
        assert np.array_equal(segment.read(a, b), pcm[:, a:b])
    assert shelf.asked == ["a"]


def test_the_length_is_known_when_the_end_was_reached(shelf, segments):
    shelf.put("a", wav(tone(100_000)))
    segment = segments.open("a")
    segment.read(0, 10)
    assert (segment.samples, segment.stats) == (None, None)
    assert 10 <= segment.samples_so_far < 100_000
    assert segment.advance(1 << 60) == 100_000
    assert segment.samples == 100_000


def test_a_long_file_keeps_a_window_and_is_flat_in_memory(shelf, segments):
    shelf.put_long("long", 400)
    segment = segments.open("long")
    for second in range(400):
        expected = counting(second * 48_000, (second + 1) * 48_000) / 32768
        assert np.array_equal(segment.read(second * 48_000, (second + 1) * 48_000)[0], expected.astype(np.float32))
        assert segment.size_bytes <= (WINDOW_S + 2) * 48_000 * 4
    assert np.array_equal(
        segment.read(370 * 48_000, 370 * 48_000 + 5)[0], counting(370 * 48_000, 370 * 48_000 + 5) / 32768
    )
    assert shelf.asked == ["long"]


def test_going_back_behind_the_window_decodes_anew(shelf, segments):
    shelf.put_long("long", 120)
    segment = segments.open("long")
    segment.read(100 * 48_000, 101 * 48_000)
    assert np.array_equal(segment.read(48_000, 48_005)[0], counting(48_000, 48_005) / 32768)
    assert shelf.asked == ["long", "long"]
    assert segment.advance(1 << 60) == 120 * 48_000


def test_the_least_recently_used_go_first_and_what_was_learnt_stays(sandbox, shelf):
    for name in "abc":
        shelf.put(name, wav(quantised(tone(48_000, seed=ord(name)), 16)))
    with DecodedSegments(sandbox, shelf.locate, budget_bytes=2 * 8 * 48_000) as segments:
        for name in "abca":
            segments.open(name).read(0, 48_000)
            segments.open(name).advance(1 << 60)
        assert shelf.asked == ["a", "b", "c", "a"]
        assert segments.open("b").samples == 48_000
        assert sum(segments.open(name).size_bytes for name in "abc") <= 2 * 8 * 48_000


def test_not_more_children_than_allowed(sandbox, shelf):
    with DecodedSegments(sandbox, shelf.locate) as segments:
        for number in range(20):
            shelf.put_long(str(number), 60)
            segments.open(str(number)).read(0, 10)
        alive = [c for c in psutil.Process(sandbox.zygote_pid).children() if c.status() != psutil.STATUS_ZOMBIE]
        assert 1 <= len(alive) <= 10


def test_levels_do_not_depend_on_how_a_file_was_read(sandbox, shelf):
    shelf.put("a", wav(tone(480_000)))
    found = []
    for step in (1000, 77_777, 480_000):
        with DecodedSegments(sandbox, shelf.locate) as segments:
            segment = segments.open("a")
            for a in range(0, 490_000, step):
                segment.read(a, a + step)
            segment.read(0, 100)
            found.append(segment.stats)
    assert found[0] == found[1] == found[2]
    assert isinstance(found[0], SegmentStats)
    assert -20 < found[0].noise_dbfs < -10
    assert not found[0].is_silent


def test_silence_and_near_silence_are_told(shelf, segments):
    for name, level in (("zero", 0.0), ("hiss", 0.0005), ("voice", 0.02)):
        shelf.put(name, wav(level * tone(48_000), bits=24))
        segments.open(name).advance(1 << 60)
    assert [segments.open(name).stats.is_silent for name in ("zero", "hiss", "voice")] == [True, True, False]
    assert segments.open("zero").stats.noise_dbfs == -120.0


def test_noise_is_the_level_between_the_words(shelf, segments):
    pcm = tone(480_000)
    pcm[:, 100_000:300_000] *= 0.001
    shelf.put("a", wav(pcm, bits=24))
    segments.open("a").advance(1 << 60)
    assert segments.open("a").stats.noise_dbfs < -70


def test_damage_is_told_with_the_length(shelf, segments):
    data = encoded(tone(480_000), container="flac", codec="flac")
    shelf.put("a", data[: len(data) // 2], Container.FLAC)
    segment = segments.open("a")
    assert 100_000 < segment.advance(1 << 60) < 400_000
    assert segment.damage


def test_bytes_that_do_not_decode_raise_each_time(shelf, segments):
    shelf.put("a", bytes(1000))
    for _ in range(2):
        with pytest.raises(MediaError):
            segments.open("a").read(0, 10)


def test_closing_kills_what_still_decodes(sandbox, shelf):
    shelf.put_long("long", 120)
    before = len(os.listdir("/proc/self/fd"))
    with DecodedSegments(sandbox, shelf.locate) as segments:
        segments.open("long").read(0, 10)
    psutil.wait_procs(psutil.Process(sandbox.zygote_pid).children(), timeout=5)
    assert psutil.Process(sandbox.zygote_pid).children() == []
    assert len(os.listdir("/proc/self/fd")) <= before


def test_what_nobody_reads_any_more_is_released(shelf):
    shelf.put_long("left", 120)
    shelf.put_long("read", 120)
    decoders = Decoders(Sandbox(), shelf.locate)
    segments = decoders.add(1 << 30)
    left, read = segments.open("left"), segments.open("read")
    for one in (left, read):
        one.read(0, 10)
    decoders.release_unused()
    assert left.is_decoding
    left.used_s -= 300
    decoders.release_unused()
    held = [left.is_decoding, left.size_bytes, read.is_decoding]
    again = left.read(48_000, 48_005)[0]
    decoders.close()
    assert held == [False, 0, True]
    assert np.array_equal(again, counting(48_000, 48_005) / 32768)
