"""A file that breaks off says so, where its header tells how long it should be; one without such a header does not."""

import io
import struct
import tempfile
from pathlib import Path

import av
import pytest

from longtake.media.probe import Container
from longtake.model.errors import MediaError
from tests.media.synth import decode, encoded, source, tone, wav

SECONDS = 4
PCM = tone(SECONDS * 48_000)


class Pipe(io.BytesIO):
    """What a muxer cannot go back in to fill in a length."""

    def seekable(self):
        return False

    def seek(self, *_):
        raise io.UnsupportedOperation

    def tell(self):
        raise io.UnsupportedOperation


def remuxed(data, container, file, **options):
    """The same packets in another file."""
    with av.open(io.BytesIO(data), "r") as source, av.open(file, "w", format=container, options=options) as out:
        stream = out.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)


def piped(data, container, **options):
    """The same packets, written where one cannot go back."""
    pipe = Pipe()
    remuxed(data, container, pipe, **options)
    return pipe.getvalue()


def with_index_first(data):
    """The same packets behind their index, for which FFmpeg reads again what it wrote."""
    with tempfile.NamedTemporaryFile(suffix=".m4a") as file:
        remuxed(data, "ipod", file.name, movflags="faststart")
        return Path(file.name).read_bytes()


FILES = {
    "wav": (Container.WAV, wav(PCM)),
    "8-bit wav": (Container.WAV, wav(PCM, bits=8)),
    "flac": (Container.FLAC, encoded(PCM, container="flac", codec="flac", sample_format="s16")),
    "mp3": (Container.MP3, encoded(PCM, container="mp3", codec="libmp3lame", b="96000")),
    "m4a": (Container.MP4, with_index_first(encoded(PCM, container="ipod", codec="aac"))),
    "webm": (Container.WEBM, encoded(PCM, container="webm", codec="libopus")),
    "matroska": (Container.MATROSKA, encoded(PCM, container="matroska", codec="flac", sample_format="s16")),
}
UNKNOWN = {
    "wav of a recorder that was cut off": (Container.WAV, wav(PCM, size=0xFFFFFFFF)),
    "wav of arecord": (Container.WAV, wav(PCM, size=0x7FFFFFFF)),
    "wav that was never finished": (Container.WAV, wav(PCM, size=0)),
    "ogg": (Container.OGG, encoded(PCM, container="ogg", codec="libopus")),
    "mp3 without a header": (Container.MP3, piped(FILES["mp3"][1], "mp3", write_xing="0")),
    "webm of a browser": (Container.WEBM, piped(FILES["webm"][1], "webm")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_breaks_off_says_how_long_it_should_be(sandbox, tmp_path, name):
    container, data = FILES[name]

    heard, decoding = decode(sandbox, source(tmp_path, data[: len(data) * 6 // 10], container))

    there_s = heard.shape[1] / decoding.rate_hz
    assert 1 < there_s < 3
    assert decoding.damage == f"the file breaks off: its header names 4.0 s, {there_s:.1f} s are there"


@pytest.mark.parametrize("name", [*FILES, *UNKNOWN])
def test_a_whole_file_does_not_break_off(sandbox, tmp_path, name):
    container, data = {**FILES, **UNKNOWN}[name]

    heard, decoding = decode(sandbox, source(tmp_path, data, container))

    assert decoding.damage is None
    assert heard.shape[1] / decoding.rate_hz == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("name", UNKNOWN)
def test_where_no_header_names_a_length_nothing_is_missed(sandbox, tmp_path, name):
    container, data = UNKNOWN[name]

    _, decoding = decode(sandbox, source(tmp_path, data[: len(data) * 6 // 10], container))

    assert "breaks off" not in (decoding.damage or "")


def test_an_mp4_that_breaks_off_before_its_index_says_so(sandbox, tmp_path):
    data = encoded(PCM, container="ipod", codec="aac")
    assert data.index(b"mdat") < data.index(b"moov")

    with pytest.raises(MediaError, match="breaks off before its index") as refused:
        decode(sandbox, source(tmp_path, data[: len(data) // 2], Container.MP4))
    assert refused.value.code == "media_damaged"


@pytest.mark.parametrize("size", [0, 1, 7, 0xFFFFFFFF])
def test_boxes_that_make_no_sense_are_damage(sandbox, tmp_path, size):
    data = struct.pack(">I4s4sI", 16, b"ftyp", b"M4A ", 0) + struct.pack(">I4s", size, b"mdat") + bytes(100)

    with pytest.raises(MediaError) as refused:
        decode(sandbox, source(tmp_path, data, Container.MP4))
    assert refused.value.code == "media_damaged"
