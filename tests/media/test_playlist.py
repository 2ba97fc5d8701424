"""Playlists name the blocks with their exact durations."""

import av

from longtake.media import mp4
from longtake.media.blocks import BLOCK_FRAMES, BLOCK_SAMPLES
from longtake.media.playlist import PlaylistItem, block_duration_s, block_uri, media_playlist
from tests.media.synth import tone
from tests.media.test_blocks import all_blocks

ITEMS = [
    PlaylistItem(uri=block_uri("blocks/audio", block=0, revision=3), duration_s=block_duration_s(BLOCK_FRAMES)),
    PlaylistItem(uri=block_uri("blocks/audio", block=1, revision=1), duration_s=block_duration_s(47)),
]


def test_an_ended_recording_is_complete():
    assert media_playlist(ITEMS, init_uri="init.mp4", ended=True).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:10",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MAP:URI="init.mp4"',
        "#EXTINF:10.005333,",
        "blocks/audio?block=0&revision=3",
        "#EXTINF:1.002667,",
        "blocks/audio?block=1&revision=1",
        "#EXT-X-ENDLIST",
    ]


def test_a_growing_recording_is_left_open():
    text = media_playlist(ITEMS[:1], init_uri="init.mp4", ended=False)
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in text
    assert "ENDLIST" not in text
    assert media_playlist([], init_uri="init.mp4", ended=False).startswith("#EXTM3U\n")


def test_a_new_revision_has_a_new_address():
    assert block_uri("a", block=7, revision=1) != block_uri("a", block=7, revision=2)
    assert block_uri('a "b"', block=7, revision=1) == "a%20%22b%22?block=7&revision=1"


def test_the_target_duration_is_never_below_a_rounded_duration():
    items = [PlaylistItem(uri="x", duration_s=0.2)]
    assert "#EXT-X-TARGETDURATION:1\n" in media_playlist(items, init_uri="i", ended=True)


def test_a_player_reads_it(tmp_path):
    blocks = all_blocks(tone(2 * BLOCK_SAMPLES))
    (tmp_path / "init.mp4").write_bytes(mp4.init_segment(2))
    items = []
    for number, block in enumerate(blocks):
        fragment = mp4.fragment(number + 1, number * BLOCK_FRAMES, block.sizes)
        (tmp_path / f"{number}.m4s").write_bytes(fragment + block.payload)
        items.append(PlaylistItem(uri=f"{number}.m4s", duration_s=block_duration_s(len(block.sizes))))
    path = tmp_path / "list.m3u8"
    path.write_text(media_playlist(items, init_uri="init.mp4", ended=True))
    with av.open(str(path), format="hls") as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
    assert len(packets) == sum(len(block.sizes) for block in blocks)
