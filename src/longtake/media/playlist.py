"""HLS media playlists over blocks: EVENT while a recording grows, VOD when it has ended.

Source: RFC 8216 §4.3 (tags), §6.2 (a server's duties).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from longtake.media.blocks import FRAME
from longtake.model.timeline import RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaylistItem:
    """One block in a playlist: where it is, and how long it plays."""

    uri: str
    duration_s: float


def block_duration_s(frames: int) -> float:
    """How long a block of that many frames plays."""
    return frames * FRAME / RATE_HZ


def block_uri(base: str, *, block: int, revision: int) -> str:
    """A block's address relative to the playlist: a new revision has a new one, so that all may be cached for ever."""
    return f"{quote(base)}?{urlencode({'block': block, 'revision': revision})}"


def media_playlist(items: Sequence[PlaylistItem], *, init_uri: str, ended: bool) -> str:
    """Write the playlist.

    Args:
        items: The blocks from the first on, without a hole.
        init_uri: Where `mp4.init_segment` is served.
        ended: Whether this is all (VOD), or more will be appended (EVENT).

    Returns:
        UTF-8 text of type application/vnd.apple.mpegurl.
    """
    longest_s = max((item.duration_s for item in items), default=10.0)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(1, round(longest_s))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        f"#EXT-X-PLAYLIST-TYPE:{'VOD' if ended else 'EVENT'}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="{init_uri}"',
    ]
    for item in items:
        lines += [f"#EXTINF:{item.duration_s:.6f},", item.uri]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if ended else []), ""])
