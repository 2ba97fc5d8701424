"""Blocks are made alone, in any order, anywhere, with the same bytes; nobody hears where they join."""

import hashlib
import random
import subprocess
import sys
from itertools import pairwise

import av
import numpy as np
import pytest

from longtake.media.blocks import (
    BLOCK_FRAMES,
    BLOCK_SAMPLES,
    FRAME,
    block_count,
    block_of,
    encode_block,
    encode_frames,
    frame_count,
    input_span,
)
from longtake.media.probe import Container
from longtake.media.sandbox import MediaSource
from longtake.media.waveform import peaks, peaks_from_bytes
from tests.media.synth import DATA, decode, lag, snr_db, tone

LENGTHS = [1, 1023, 1024, 1025, 467 * 1024, 468 * 1024, 468 * 1024 + 1, 469 * 1024, 470 * 1024 + 5, 2 * 469 * 1024 + 7]


def reading(pcm):
    """How a lane hands samples over; beyond the end there is silence."""

    def read(a, b):
        part = pcm[:, a:b]
        return np.pad(part, ((0, 0), (0, b - a - part.shape[1])))

    return read


def all_blocks(pcm, order=None):
    n = pcm.shape[1]
    numbers = order or range(block_count(n))
    made = {k: encode_block(reading(pcm), block=k, channels=len(pcm), total_samples=n) for k in numbers}
    return [made[k] for k in sorted(made)]


def frames_of(blocks):
    """The single frames of some blocks."""
    found = []
    for block in blocks:
        edges = [0, *np.cumsum(block.sizes, dtype=np.int64).tolist()]
        found += [block.payload[a:b] for a, b in pairwise(edges)]
    return found


def heard(frames, channels):
    """What a decoder that runs through hears, without the priming."""
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = bytes((0x11, 0x80 | channels << 3))
    parts = [f.to_ndarray() for frame in frames for f in decoder.decode(av.Packet(frame))]
    return np.concatenate(parts, axis=1)[:, FRAME:]


def speech(sandbox, channels):
    path = DATA / "jfk.flac"
    media = MediaSource(path=path, offset=0, size=path.stat().st_size, container=Container.FLAC)
    return np.tile(decode(sandbox, media)[0], 3)[:channels]


@pytest.mark.parametrize("samples", LENGTHS)
def test_the_frames_are_those_of_an_encoder_that_ran_through(samples):
    blocks = all_blocks(tone(samples, channels=1))
    assert sum(len(block.sizes) for block in blocks) == frame_count(samples)
    assert sum(block.samples for block in blocks) == samples
    assert all(len(block.sizes) == BLOCK_FRAMES for block in blocks[:-1])
    assert all(len(block.payload) == block.sizes.sum() for block in blocks)
    assert 0 <= heard(frames_of(blocks), 1).shape[1] - samples < FRAME


def test_no_samples_have_no_blocks():
    assert block_count(0) == 0
    with pytest.raises(ValueError, match="no block 0"):
        encode_block(reading(tone(0)), block=0, channels=2, total_samples=0)


@pytest.mark.parametrize("channels", [1, 2])
def test_order_makes_no_difference(channels):
    pcm = tone(4 * BLOCK_SAMPLES + 12_345, channels=channels)
    order = list(range(block_count(pcm.shape[1])))
    random.Random(7).shuffle(order)
    assert [b.payload for b in all_blocks(pcm)] == [b.payload for b in all_blocks(pcm, order)]


def test_another_process_makes_the_same_bytes():
    program = (
        "import hashlib\n"
        "from tests.media.synth import tone\n"
        "from tests.media.test_blocks import all_blocks\n"
        "print(hashlib.sha256(b''.join(b.payload for b in all_blocks(tone(700_000)))).hexdigest())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    here = hashlib.sha256(b"".join(b.payload for b in all_blocks(tone(700_000)))).hexdigest()
    assert ran.stdout.strip() == here


@pytest.mark.parametrize("channels", [1, 2])
def test_joints_are_inaudible(sandbox, channels):
    pcm = speech(sandbox, channels)
    blocks = all_blocks(pcm)
    joined, once = heard(frames_of(blocks), channels), heard(encode_frames(pcm), channels)
    assert lag(pcm, joined) == 0
    for joint in range(BLOCK_SAMPLES - FRAME, pcm.shape[1] - 3000, BLOCK_SAMPLES):
        span = slice(joint - 2048, joint + 2048)
        assert snr_db(pcm[:, span], joined[:, span]) > 20
    assert snr_db(pcm, joined[:, : pcm.shape[1]]) > snr_db(pcm, once[:, : pcm.shape[1]]) - 0.1


def test_without_run_up_joints_would_be_heard(sandbox):
    pcm = speech(sandbox, 1)
    starts = range(0, pcm.shape[1], BLOCK_SAMPLES)
    cut = [frame for a in starts for frame in encode_frames(pcm[:, a : a + BLOCK_SAMPLES])[:-1]]
    joint = slice(BLOCK_SAMPLES - 2048, BLOCK_SAMPLES + 2048)
    assert snr_db(pcm[:, joint], heard(cut, 1)[:, joint]) < 15


def test_a_block_depends_on_its_span_only():
    pcm = tone(4 * BLOCK_SAMPLES, channels=1)
    a, b = input_span(1, pcm.shape[1])
    other = np.zeros_like(pcm)
    other[:, a:b] = pcm[:, a:b]
    made = [encode_block(reading(p), block=1, channels=1, total_samples=p.shape[1]) for p in (pcm, other)]
    assert made[0].payload == made[1].payload
    assert made[0].peaks == made[1].peaks


def test_a_block_of_a_growing_recording_is_that_of_the_ended_one():
    pcm = tone(3 * BLOCK_SAMPLES + 99, channels=1)
    growing = encode_block(reading(pcm), block=1, channels=1, total_samples=None)
    assert growing.payload == all_blocks(pcm)[1].payload
    assert input_span(1, None)[1] <= pcm.shape[1]


def test_a_sample_is_heard_in_its_block():
    assert [block_of(s) for s in (0, 468 * 1024 - 1, 468 * 1024, 937 * 1024 - 1, 937 * 1024)] == [0, 0, 1, 1, 2]


def test_silence_is_small_and_equal():
    blocks = all_blocks(np.zeros((2, 3 * BLOCK_SAMPLES), np.float32))
    assert blocks[1].payload == blocks[2].payload
    assert len(blocks[1].payload) < 5000


def test_what_is_too_loud_or_absurd_is_cut_off():
    pcm = 1e30 * tone(20_000, channels=1)
    (block,) = all_blocks(pcm)
    assert np.abs(heard(frames_of([block]), 1)).max() < 3


def test_peaks_cover_the_recording_once():
    pcm = tone(2 * BLOCK_SAMPLES + 5000)
    joined = np.concatenate([peaks_from_bytes(block.peaks) for block in all_blocks(pcm)])
    assert np.array_equal(joined, peaks(pcm))
