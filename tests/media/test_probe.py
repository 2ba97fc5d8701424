"""Containers are told by their first bytes."""

import pytest

from longtake.media.probe import Container, sniff
from tests.media.synth import DATA, LOSSY, encoded, tone, wav


@pytest.mark.parametrize("name", LOSSY)
def test_the_first_bytes_name_the_container(name):
    container, muxer, codec = LOSSY[name]
    assert sniff(encoded(tone(4800), container=muxer, codec=codec)[:4096]) is container


def test_wav_and_its_64_bit_form_are_told():
    file = wav(tone(480))
    assert sniff(file) is Container.WAV
    assert sniff(b"RF64" + file[4:]) is Container.WAV


def test_flac_adts_matroska_and_vorbis_are_told():
    assert sniff((DATA / "jfk.flac").read_bytes()[:64]) is Container.FLAC
    assert sniff(encoded(tone(4800), container="adts", codec="aac")) is Container.ADTS
    assert sniff(encoded(tone(4800), container="matroska", codec="flac")) is Container.MATROSKA
    assert sniff((DATA / "vorbis.ogg").read_bytes()[:64]) is Container.OGG


def test_what_stands_behind_an_id3_tag_decides():
    tag = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
    assert sniff(tag + b"fLaC") is Container.FLAC
    assert sniff(tag + b"\xff\xf1\x4c\x80") is Container.ADTS
    assert sniff(tag[:10]) is Container.MP3


@pytest.mark.parametrize(
    "head",
    [b"", b"\xff", b"RIFF\0\0\0\0AVI ", b"ffconcat version 1.0\nfile x", b"#EXTM3U\n", bytes(64), b"\xff\xff\xff\xff"],
)
def test_other_bytes_are_no_media(head):
    assert sniff(head) is None


def test_a_container_says_its_media_type():
    assert Container.WEBM.mime_type == "audio/webm"
    assert Container.ADTS.ffmpeg_format == "aac"
