"""A track reads as one signal: joints inaudible, gaps silent, and the same samples however it is cut."""

from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longtake.media.decoded import DecodedSegments
from longtake.media.probe import Container
from longtake.media.sandbox import MediaSource
from longtake.media.timeline_pcm import CONTEXT_NS, TrackPcm, in_channels
from longtake.model.timeline import NS_PER_S, Place, Placed
from tests.media.synth import quantised, snr_db, source, tone, wav


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, sandbox):
    """Keeps signals as WAV files and reads them back: `put(pcm, rate_hz)` gives a name."""
    folder = tmp_path_factory.mktemp("shelf")
    sources: dict[str, MediaSource] = {}

    class Shelf:
        segments = DecodedSegments(sandbox, sources.__getitem__)

        @staticmethod
        def put(pcm, rate_hz):
            name = str(len(sources))
            sources[name] = source(folder, wav(pcm, rate_hz=rate_hz, bits=24), Container.WAV, name=name)
            return name

        def take(self, pcm, lengths, *, rate_hz, start_ns=0, first=0):
            """The signal as segments of those lengths, one take."""
            ends = list(accumulate(lengths))
            return [
                Placed(
                    index=first + number,
                    sha256=self.put(pcm[:, end - length : end], rate_hz),
                    place=Place(take_start_ns=start_ns, take_offset=end - length, rate_hz=rate_hz),
                    samples=length,
                    channels=len(pcm),
                )
                for number, (end, length) in enumerate(zip(ends, lengths, strict=True))
            ]

    shelf = Shelf()
    yield shelf
    shelf.segments.close()


def track(shelf, placed, channels=2):
    return TrackPcm(placed, shelf.segments, rate_hz=48_000, channels=channels)


def sine(rate_hz, seconds):
    """The same tone at any rate."""
    return (0.5 * np.sin(2 * np.pi * 997 * np.arange(int(rate_hz * seconds)) / rate_hz)[None]).astype(np.float32)


def test_the_same_rate_is_copied_exactly(shelf):
    pcm = quantised(tone(150_000), 24)
    read = track(shelf, shelf.take(pcm, [48_000, 1, 60_001, 41_998], rate_hz=48_000))
    assert read.length_samples == 150_000
    assert np.array_equal(read.read(0, 150_000), pcm)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 44_101, 96_000, 192_000])
def test_resampling_keeps_place_length_and_sound(shelf, rate_hz):
    placed = shelf.take(quantised(sine(rate_hz, 2.5), 24), [rate_hz, int(rate_hz * 2.5) - rate_hz], rate_hz=rate_hz)
    read = track(shelf, placed, channels=1)
    assert abs(read.length_samples - 120_000) <= 48_000 / rate_hz
    heard = read.read(0, 120_000)
    assert snr_db(sine(48_000, 2.5)[:, 2400:-2400], heard[:, 2400:-2400]) > 80


@pytest.mark.parametrize("rate_hz", [8_000, 44_100])
def test_in_a_silent_second_the_sound_beside_it_rings(shelf, rate_hz):
    pcm = np.zeros((1, 3 * rate_hz), np.float32)
    pcm[:, rate_hz - 1] = 0.5
    heard = track(shelf, shelf.take(pcm, [3 * rate_hz], rate_hz=rate_hz), channels=1).read(0, 144_000)
    assert heard[:, 48_000:48_048].any()
    assert not heard[:, 96_000:].any()


@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_joints_are_those_of_one_piece(shelf, rate_hz):
    pcm = quantised(tone(5 * rate_hz, rate_hz=rate_hz), 24)
    lengths = [rate_hz + 137, 977, rate_hz // 2 + 1, 2 * rate_hz + 11]
    lengths.append(5 * rate_hz - sum(lengths))
    parts = track(shelf, shelf.take(pcm, lengths, rate_hz=rate_hz)).read(0, 240_000)
    whole = track(shelf, shelf.take(pcm, [5 * rate_hz], rate_hz=rate_hz)).read(0, 240_000)
    assert np.array_equal(parts, whole)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cuts=st.lists(st.integers(0, 330_000), max_size=12))
def test_ranges_make_no_difference(mixed_track, cuts):
    read, whole = mixed_track
    edges = [0, *sorted(cuts), 330_000]
    again = [read().read(a, b) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(again, axis=1), whole)


@pytest.fixture(scope="module")
def mixed_track(shelf):
    """Three takes of three rates, with a gap, mono and stereo; read in one piece."""
    placed = [
        *shelf.take(quantised(tone(88_000, rate_hz=44_100), 24), [44_000, 44_000], rate_hz=44_100),
        *shelf.take(quantised(tone(50_000, channels=1), 24), [30_000, 20_000], rate_hz=48_000, start_ns=2_500_000_000),
        *shelf.take(quantised(tone(40_000, rate_hz=16_000), 24), [777, 39_223], rate_hz=16_000, start_ns=3_900_000_000),
    ]
    return lambda: track(shelf, placed), track(shelf, placed).read(0, 330_000)


def test_gaps_and_what_lies_beyond_the_end_are_silent(shelf):
    pcm = quantised(tone(48_000), 24)
    placed = shelf.take(pcm, [48_000], rate_hz=48_000) + shelf.take(
        pcm, [48_000], rate_hz=48_000, start_ns=3 * NS_PER_S, first=1
    )
    heard = track(shelf, placed).read(0, 300_000)
    assert np.array_equal(heard[:, 144_000:192_000], pcm)
    assert not heard[:, 48_000:144_000].any()
    assert not heard[:, 192_000:].any()


def test_a_take_that_starts_too_early_is_heard_from_the_end_of_the_earlier_one(shelf):
    first, second = quantised(tone(48_000, seed=1), 24), quantised(tone(48_000, seed=2), 24)
    placed = shelf.take(first, [48_000], rate_hz=48_000) + shelf.take(
        second, [48_000], rate_hz=48_000, start_ns=NS_PER_S // 2, first=1
    )
    read = track(shelf, placed)
    assert read.length_samples == 72_000
    assert np.array_equal(read.read(0, 48_000), first)
    assert np.array_equal(read.read(48_000, 72_000), second[:, 24_000:])


def test_a_segment_announced_at_the_same_start_again_does_not_replace_the_first(shelf):
    first, second = quantised(tone(1000, seed=1), 24), quantised(tone(1500, seed=2), 24)
    placed = shelf.take(first, [1000], rate_hz=48_000) + shelf.take(second, [1500], rate_hz=48_000, first=1)
    heard = track(shelf, placed).read(0, 1500)
    assert np.array_equal(heard[:, :1000], first)
    assert np.array_equal(heard[:, 1000:], second[:, 1000:])


def test_output_before_the_context_is_final_while_the_last_segment_grows(shelf):
    pcm = quantised(tone(100_000, rate_hz=44_100), 24)
    grown = shelf.take(pcm, [50_000, 50_000], rate_hz=44_100)
    growing = [grown[0], Placed(index=1, sha256=grown[1].sha256, place=grown[1].place, samples=20_000, channels=2)]
    final = (70_000 * 48_000 // 44_100) - 48_000 * CONTEXT_NS // NS_PER_S
    assert np.array_equal(track(shelf, growing).read(0, final), track(shelf, grown).read(0, final))


def test_an_empty_track_is_silence_of_no_length(shelf):
    read = track(shelf, [])
    assert read.length_samples == 0
    assert not read.read(0, 100).any()


def test_mono_is_heard_on_both_sides_and_stereo_is_averaged():
    stereo = np.array([[0.5, 1.0], [0.25, -1.0]], np.float32)
    assert np.array_equal(in_channels(stereo, 1), [[0.375, 0.0]])
    assert np.array_equal(in_channels(stereo[:1], 2), [[0.5, 1.0], [0.5, 1.0]])


def test_ten_thousand_segments_are_read_without_looking_at_all(shelf):
    name = shelf.put(quantised(tone(480), 24), 48_000)
    placed = [
        Placed(
            index=i,
            sha256=name,
            place=Place(take_start_ns=0, take_offset=480 * i, rate_hz=48_000),
            samples=480,
            channels=2,
        )
        for i in range(10_000)
    ]
    read = track(shelf, placed)
    assert [p.index for p in read._takes[0].overlapping(480_000, 480_961)] == [1000, 1001, 1002]
    assert np.array_equal(read.read(4_799_520, 4_800_000), read.read(0, 480))
