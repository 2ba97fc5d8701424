"""Bytes from outside may be anything: each ends in sound, or in an error with a code, never elsewhere."""

import struct
import zlib

import numpy as np
import pytest

from longtake.media.probe import Container
from longtake.media.sandbox import Sandbox
from longtake.media.sandbox_wire import Limits
from longtake.model.errors import MediaError
from tests.media.synth import LOSSY, decode, encoded, quantised, snr_db, source, tone, wav

CODES = {"media_damaged", "media_unsupported", "media_limit"}
SOUND = tone(240_000)
FILES = {
    "wav": (Container.WAV, wav(SOUND)),
    "flac": (Container.FLAC, encoded(SOUND, container="flac", codec="flac")),
    "adts": (Container.ADTS, encoded(SOUND, container="adts", codec="aac")),
    "fragmented mp4": (
        Container.MP4,
        encoded(SOUND, container="mp4", codec="aac", movflags="empty_moov+default_base_moof", frag_duration="500000"),
    ),
    **{
        name: (container, encoded(SOUND, container=muxer, codec=codec))
        for name, (container, muxer, codec) in LOSSY.items()
    },
}


def heard_or_code(sandbox, media):
    """The samples of a file, or the code of the error that it ends in."""
    try:
        return decode(sandbox, media)[0]
    except MediaError as error:
        assert error.code in CODES
        return error.code


@pytest.mark.parametrize("container", list(Container), ids=lambda container: container.name)
@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile {secret}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat:{secret}",
        "file:{secret}",
        '<?xml version="1.0"?><MPD><BaseURL>{secret}</BaseURL></MPD>',
        "",
    ],
    ids=["ffconcat", "m3u8", "concat", "file", "dash", "empty"],
)
def test_text_that_names_a_file_opens_none(sandbox, tmp_path, container, text):
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav(tone(1000)))
    with pytest.raises(MediaError) as refused:
        sandbox.open(source(tmp_path, text.format(secret=secret).encode(), container))
    assert refused.value.code == "media_damaged"
    assert "Errno" not in refused.value.detail


@pytest.mark.parametrize("name", FILES)
def test_the_wrong_container_is_damage(sandbox, tmp_path, name):
    container, data = FILES[name]
    others = {Container.FLAC, Container.OGG, Container.MATROSKA, Container.MP4} - {container}
    for other in others - ({Container.MATROSKA} if name == "webm opus" else set()):
        with pytest.raises(MediaError):
            sandbox.open(source(tmp_path, data, other))


@pytest.mark.parametrize("container", list(Container), ids=lambda container: container.name)
def test_zeros_and_noise_end_in_sound_or_an_error(sandbox, tmp_path, container):
    noise = np.random.default_rng(1).bytes(50_000)
    for data in (bytes(50_000), noise, b"RIFF", b"\xff\xfb\x90\x64" + noise, noise[:1]):
        heard_or_code(sandbox, source(tmp_path, data, container))


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_gives_what_came_before(sandbox, tmp_path, name):
    container, data = FILES[name]
    whole = decode(sandbox, source(tmp_path, data, container))[0]
    kept = []
    for part in range(1, 20):
        heard = heard_or_code(sandbox, source(tmp_path, data[: len(data) * part // 20], container))
        kept.append(0 if isinstance(heard, str) else heard.shape[1])
        if kept[-1] > 4096 and name != "mp3":  # there the header's length still counts from the end
            n = min(kept[-1] - 4096, whole.shape[1])
            assert n < 1 or snr_db(whole[:, :n], heard[:, :n]) > 30
    assert kept == sorted(kept)
    if name != "m4a":  # its table of contents may stand at the end
        assert kept[-1] > 0.75 * whole.shape[1]


def test_a_broken_off_flac_says_so_and_keeps_the_rest(sandbox, tmp_path):
    pcm = quantised(tone(48_000), 16)
    data = encoded(pcm, container="flac", codec="flac", sample_format="s16")
    heard, decoding = decode(sandbox, source(tmp_path, data[: len(data) // 2], Container.FLAC))
    assert heard.shape[1] > 10_000
    assert np.array_equal(heard, pcm[:, : heard.shape[1]])
    assert decoding.damage


@pytest.mark.parametrize("name", FILES)
def test_flipped_bits_end_in_sound_or_an_error(sandbox, tmp_path, name):
    container, data = FILES[name]
    dice = np.random.default_rng(3)
    for _ in range(25):
        broken = bytearray(data)
        for place in dice.integers(0, len(data), 8):
            broken[place] ^= 1 << int(dice.integers(8))
        heard_or_code(sandbox, source(tmp_path, bytes(broken), container))


def test_a_damaged_packet_becomes_silence_and_what_follows_keeps_its_place(sandbox, tmp_path):
    pcm = quantised(tone(96_000), 16)
    data = bytearray(encoded(pcm, container="flac", codec="flac", sample_format="s16"))
    data[len(data) // 2] ^= 0xFF
    heard, decoding = decode(sandbox, source(tmp_path, bytes(data), Container.FLAC))
    same = np.all(heard == pcm, axis=0)
    assert decoding.damage
    assert 80_000 < same.sum() < 96_000
    assert same[:20_000].all()
    assert same[-20_000:].all()


def test_a_header_of_a_billion_seconds_is_not_believed(sandbox, tmp_path):
    data = bytearray(encoded(tone(48_000), container="flac", codec="flac"))
    struct.pack_into(">Q", data, 18, struct.unpack_from(">Q", data, 18)[0] | 0xFFFFFFFFF)  # 36 bits of samples
    heard, _ = decode(sandbox, source(tmp_path, bytes(data), Container.FLAC))
    assert heard.shape[1] == 48_000


def test_an_mp4_of_a_billion_seconds_is_not_believed(sandbox, tmp_path):
    data = bytearray(encoded(tone(48_000), container="ipod", codec="aac"))
    for name in (b"mvhd", b"mdhd"):
        at = data.index(name) + 20
        struct.pack_into(">I", data, at, 0xFFFFFFF0)
    heard, _ = decode(sandbox, source(tmp_path, bytes(data), Container.MP4))
    assert heard.shape[1] == 48_000


def test_an_mp4_that_refers_to_another_file_does_not_get_it(sandbox, tmp_path):
    (tmp_path / "secret").write_bytes(bytes(100_000))
    data = encoded(tone(48_000), container="ipod", codec="aac")
    data = data.replace(b"\x00\x00\x00\x0curl \x00\x00\x00\x01", b"\x00\x00\x00\x0calis\x00\x00\x00\x00")
    heard_or_code(sandbox, source(tmp_path, data, Container.MP4))


def ebml(identity, payload):
    """An EBML element with an 8-byte size."""
    return bytes.fromhex(identity) + struct.pack(">Q", 1 << 56 | len(payload)) + payload


def matroska(track_extra=b"", private=b""):
    """A Matroska file with one PCM track and a block of sound."""
    head = ebml("1A45DFA3", ebml("4282", b"matroska"))
    sound = ebml("E1", ebml("B5", struct.pack(">d", 8000.0)) + ebml("9F", b"\x01") + ebml("6264", b"\x10"))
    entry = ebml("D7", b"\x01") + ebml("73C5", b"\x01") + ebml("83", b"\x02") + ebml("86", b"A_PCM/INT/LIT")
    tracks = ebml("1654AE6B", ebml("AE", entry + sound + private + track_extra))
    cluster = ebml("1F43B675", ebml("E7", b"\0") + ebml("A3", b"\x81\0\0\x80" + bytes(1600)))
    return head + ebml("18538067", tracks + cluster)


def test_our_own_matroska_is_readable(sandbox, tmp_path):
    assert decode(sandbox, source(tmp_path, matroska(), Container.MATROSKA))[0].shape == (1, 800)


def test_a_matroska_bomb_stays_within_its_memory(tmp_path):
    compression = ebml(
        "6D80", ebml("6240", ebml("5031", b"\0") + ebml("5032", b"\1") + ebml("5034", ebml("4254", b"\0")))
    )
    bomb = zlib.compress(bytes(400 << 20), 9)
    data = matroska(compression, ebml("63A2", bomb))
    with Sandbox(limits=Limits(memory_bytes=64 << 20, cpu_s=20)) as sandbox:
        heard_or_code(sandbox, source(tmp_path, data, Container.MATROSKA))


def test_a_claimed_terabyte_is_not_allocated(sandbox, tmp_path):
    huge = bytes.fromhex("63A2") + struct.pack(">Q", 1 << 56 | 1 << 40)
    heard_or_code(sandbox, source(tmp_path, matroska(private=huge), Container.MATROSKA))
