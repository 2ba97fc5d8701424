"""Blocks behind a header are a whole M4A; blocks behind fragments are a stream: exact in length, in place."""

import io
import json
import struct
import subprocess
from itertools import pairwise

import av
import numpy as np
import pytest

from longtake.media import mp4
from longtake.media.blocks import BLOCK_FRAMES, BLOCK_SAMPLES, frame_count
from longtake.media.probe import Container, sniff
from tests.media.synth import decode, lag, snr_db, source, tone
from tests.media.test_blocks import all_blocks

LENGTHS = [1, 1024, 50_001, 468 * 1024, BLOCK_SAMPLES + 1, 2 * BLOCK_SAMPLES + 777]


def whole_file(pcm):
    blocks = all_blocks(pcm)
    sizes = np.concatenate([block.sizes for block in blocks])
    header = mp4.progressive_header(sizes, total_samples=pcm.shape[1], channels=len(pcm))
    return header + b"".join(block.payload for block in blocks)


def stream(pcm):
    blocks = all_blocks(pcm)
    fragments = [
        mp4.fragment(number + 1, number * BLOCK_FRAMES, block.sizes) + block.payload
        for number, block in enumerate(blocks)
    ]
    return mp4.init_segment(len(pcm)) + b"".join(fragments)


def boxes(data):
    """Names and places of the outermost boxes."""
    at = 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
        yield name, at, size
        at += size
    assert at == len(data)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("samples", LENGTHS)
def test_the_file_has_its_exact_length_and_place(sandbox, tmp_path, samples, channels):
    pcm = tone(samples, channels=channels)
    data = whole_file(pcm)
    assert sniff(data) is Container.MP4
    heard, decoding = decode(sandbox, source(tmp_path, data, Container.MP4))
    assert heard.shape == pcm.shape
    assert decoding.damage is None
    if samples > 40_000:
        assert lag(pcm, heard) == 0
        assert snr_db(pcm, heard) > 20


def test_the_header_stands_in_front():
    data = whole_file(tone(BLOCK_SAMPLES + 1))
    assert [name for name, _, _ in boxes(data)] == [b"ftyp", b"moov", b"mdat"]


@pytest.mark.needs("ffprobe")
@pytest.mark.parametrize("samples", LENGTHS)
def test_other_programs_see_the_exact_length(tmp_path, samples):
    path = tmp_path / "a.m4a"
    path.write_bytes(whole_file(tone(samples)))
    command = ["ffprobe", "-v", "error", "-show_streams", "-count_packets", "-of", "json", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    (found,) = json.loads(ran.stdout)["streams"]
    assert ran.stderr == ""
    assert (found["duration_ts"], found["start_pts"], found["time_base"]) == (samples, 0, "1/48000")
    assert int(found["nb_read_packets"]) == frame_count(samples)
    assert (found["codec_name"], found["profile"], found["channels"]) == ("aac", "LC", 2)


@pytest.mark.parametrize("channels", [1, 2])
def test_fragments_behind_their_initialisation_decode_in_place(sandbox, tmp_path, channels):
    pcm = tone(2 * BLOCK_SAMPLES + 777, channels=channels)
    heard, _ = decode(sandbox, source(tmp_path, stream(pcm), Container.MP4))
    assert 0 <= heard.shape[1] - pcm.shape[1] < 1024
    assert lag(pcm, heard) == 0
    assert snr_db(pcm, heard[:, : pcm.shape[1]]) > 20


def test_a_player_may_begin_at_any_fragment():
    pcm = tone(3 * BLOCK_SAMPLES)
    second = all_blocks(pcm)[1]
    data = mp4.init_segment(2) + mp4.fragment(2, BLOCK_FRAMES, second.sizes) + second.payload
    with av.open(io.BytesIO(data), "r", format="mp4") as container:
        times = [packet.pts or 0 for packet in container.demux(audio=0) if packet.size]
    assert times[0] == BLOCK_SAMPLES - 1024
    assert {b - a for a, b in pairwise(times)} == {1024}


def test_a_file_above_4_gib_has_wide_offsets():
    frames = frame_count(7 * 24 * 3600 * 48_000)
    total = (frames - 1) * 1024
    sizes = np.full(frames, 700, np.uint16)
    header = mp4.progressive_header(sizes, total_samples=total, channels=2)
    assert b"co64" in header
    assert b"stco" not in header
    assert struct.unpack(">I4sQ", header[-16:]) == (1, b"mdat", 16 + 700 * frames)
    at = header.index(b"co64") + 12
    first, second = struct.unpack_from(">QQ", header, at)
    assert (first, second - first) == (len(header), 700 * BLOCK_FRAMES)


def test_sizes_of_another_recording_are_refused():
    with pytest.raises(ValueError, match="are not"):
        mp4.progressive_header(np.full(10, 100, np.uint16), total_samples=1024, channels=1)
    with pytest.raises(ValueError, match="are not"):
        mp4.progressive_header(np.zeros(0, np.uint16), total_samples=0, channels=1)
