"""What is played and downloaded of a recording, straight from blocks and originals: nothing is copied, nothing is made.

`what` is "audio" (the mix) or a track's id. HLS shows what is there, also while it grows; a file is given only when it
is whole, for a part must never look like the whole.

Belongs here: reading. Does not: files that have to be made (`files`, `mp3`), answering requests (`server.readable`).
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Protocol

import numpy as np
from sqlalchemy import Connection

from longtake.media.blocks import BLOCK_FRAMES
from longtake.media.decoded import DecodedSegments
from longtake.media.export import wav_range, wav_size
from longtake.media.mix import Mix, TrackRole
from longtake.media.mp4 import fragment, init_segment, progressive_header
from longtake.media.playlist import PlaylistItem, block_duration_s, block_uri, media_playlist
from longtake.media.timeline_pcm import Pcm, TrackPcm
from longtake.media.waveform import BLOCK_BUCKETS, BUCKET_SAMPLES, peaks_from_bytes, reduce_peaks
from longtake.model.errors import AudioDeleted, Invalid, NotFound, NotReady
from longtake.model.lifecycle import SessionState
from longtake.model.session import AUDIO_KINDS, LaneStatus, Session, Track
from longtake.model.timeline import RATE_HZ, ms_to_ns, ns_to_samples
from longtake.storage.blobs import Locator
from longtake.storage.catalog import derived, segments, sessions
from longtake.storage.store import Store

AUDIO = "audio"
LAYOUTS_KEPT = 16
FILE_VERSION = "m4a-1"


class Readable(Protocol):
    """Bytes that can be read from any place; for one reader at a time. `etag` changes whenever a byte does."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def etag(self) -> str: ...
    @property
    def mime_type(self) -> str: ...
    def read(self, start: int, end: int) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBytes:
    """A stored blob, or stretches of several one after another, behind a head."""

    read_blob: Callable[[Locator, int, int], bytes]
    head: bytes
    parts: Sequence[Locator]
    starts: Sequence[int]
    """Where each part begins in the whole; ascending."""
    size_bytes: int
    etag: str
    mime_type: str

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end)."""
        found = [self.head[start:end]]
        number = max(0, bisect_right(self.starts, start) - 1)
        while number < len(self.parts) and self.starts[number] < end:
            part, at = self.parts[number], self.starts[number]
            if start < at + part.size_bytes:
                found.append(self.read_blob(part, max(0, start - at), min(part.size_bytes, end - at)))
            number += 1
        return b"".join(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wav:
    """A WAV that is decoded while it is read."""

    read_pcm: Callable[[int, int], Pcm]
    total_samples: int
    channels: int
    etag: str
    mime_type: str = "audio/wav"

    @property
    def size_bytes(self) -> int:
        return wav_size(self.total_samples, channels=self.channels, rate_hz=RATE_HZ)

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end)."""
        pieces = wav_range(
            self.read_pcm,
            start,
            end,
            total_samples=self.total_samples,
            channels=self.channels,
            rate_hz=RATE_HZ,
        )
        return b"".join(pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """Peaks over [from_ms, to_ms) of a recording: (n, 2) int8 as `media.waveform` makes them."""

    from_ms: int
    to_ms: int
    duration_ms: int
    peaks: list[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What there is of the mix or of a track: the blocks from the first on, without a hole."""

    session: Session
    owner_id: str
    tracks: tuple[Track, ...]
    keys: Mapping[int, tuple[int, str]]
    is_whole: bool

    @property
    def version(self) -> str:
        """Digest of what it is made from."""
        digest = hashlib.sha256(FILE_VERSION.encode())
        for number in range(len(self.keys)):
            digest.update(self.keys[number][1].encode())
        return digest.hexdigest()[:40]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The M4A of a whole recording, and how much sound it holds."""

    file: StoredBytes
    total_samples: int
    channels: int


class Playback:
    """Reads recordings. Thread-safe."""

    def __init__(self, store: Store, decoders: Sequence[DecodedSegments]) -> None:
        """`decoders` are handed to readers of WAV in turns: two who share one turn it back for each other."""
        self._store = store
        self._decoders = cycle(decoders)
        self._lock = threading.Lock()
        self._layouts: OrderedDict[str, Layout] = OrderedDict()

    def playlist(self, session_id: str, what: str) -> str:
        """The HLS playlist: EVENT while more may come, VOD when it is whole.

        Raises:
            NotFound: There is no such session, track, or sound. NotReady: There is no sound yet.
        """
        with self._store.db.read() as c:
            shown = self._look(c, session_id, what)
            last = derived.list_blocks(c, shown.owner_id, len(shown.keys) - 1, len(shown.keys))[0]
        items = [
            PlaylistItem(
                uri=block_uri(f"{what}.m4s", block=number, revision=shown.keys[number][0]),
                duration_s=block_duration_s(BLOCK_FRAMES if number < last.number else len(last.frame_sizes) // 2),
            )
            for number in range(len(shown.keys))
        ]
        return media_playlist(items, init_uri=f"{what}.init.mp4?channels={last.channels}", ended=shown.is_whole)

    def init(self, channels: int) -> bytes:
        """What stands in front of all blocks of a playlist."""
        if channels not in (1, 2):
            raise Invalid("channels is 1 or 2")
        return init_segment(channels)

    def block(self, session_id: str, what: str, number: int, revision: int) -> bytes:
        """One block as a fragment of HLS.

        Raises:
            NotFound: There is no such block, or no longer this revision of it.
        """
        with self._store.db.read() as c:
            owner_id = self._owner(sessions.get_session(c, session_id), what)[0]
            found = derived.locate_blocks(c, owner_id, [number])
        if number not in found or found[number][0].revision != revision:
            raise NotFound("block", f"{number}-{revision}")
        block, locator = found[number]
        sizes = np.frombuffer(block.frame_sizes, ">u2").astype(np.uint16)
        return fragment(number + 1, number * BLOCK_FRAMES, sizes) + self._store.blobs.read(locator)

    def m4a(self, session_id: str, what: str) -> Readable:
        """The whole as one M4A that is nowhere: a header computed from the rows, then the blocks' bytes.

        Raises:
            NotFound: There is no such session, track, or sound. NotReady: It is not whole yet.
        """
        with self._store.db.read() as c:
            return self._layout(c, self._whole(c, session_id, what)).file

    def sizes(self, session_id: str, what: str) -> tuple[int, int]:
        """Bytes of the M4A and of the WAV; raises as `m4a`."""
        with self._store.db.read() as c:
            layout = self._layout(c, self._whole(c, session_id, what))
        wav_bytes = wav_size(layout.total_samples, channels=layout.channels, rate_hz=RATE_HZ)
        return layout.file.size_bytes, wav_bytes

    def wav(self, session_id: str, what: str) -> Wav:
        """The whole as a WAV of 16 bits at 48 kHz, decoded from the originals while it is read.

        Raises:
            NotFound: There is no such session, track, or sound. NotReady: It is not whole yet.
        """
        with self._store.db.read() as c:
            shown = self._whole(c, session_id, what)
            placed = {
                track.id: [
                    one
                    for segment in segments.segments_of(c, track.id)
                    if segment.media is not LaneStatus.FAILED and (one := segment.placed()) is not None
                ]
                for track in shown.tracks
            }
            layout = self._layout(c, shown)
        with self._lock:
            pcm = next(self._decoders)
        sounding = [track for track in shown.tracks if placed[track.id]]
        parts = [
            (
                TrackPcm(placed[track.id], pcm, rate_hz=RATE_HZ, channels=layout.channels),
                TrackRole.of(track.kind),
            )
            for track in sounding
        ]
        read = Mix(parts, shown.session.balance).read if what == AUDIO else parts[0][0].read
        return Wav(
            read_pcm=read,
            total_samples=layout.total_samples,
            channels=layout.channels,
            etag=f"{shown.version}-wav",
        )

    def stored(self, sha256: str, locator: Locator, mime_type: str) -> Readable:
        """A blob."""
        return StoredBytes(
            read_blob=self._store.blobs.read,
            head=b"",
            parts=[locator],
            starts=[0],
            size_bytes=locator.size_bytes,
            etag=sha256,
            mime_type=mime_type,
        )

    def waveform(
        self, session_id: str, what: str, *, from_ms: int = 0, to_ms: int | None = None, points: int = 1000
    ) -> Waveform:
        """Peaks of what is there of a stretch.

        Raises:
            NotFound, NotReady: As `playlist`.
        """
        first = ns_to_samples(ms_to_ns(from_ms), RATE_HZ) // BUCKET_SAMPLES
        with self._store.db.read() as c:
            shown = self._look(c, session_id, what)
            duration_ms = self._duration_ms(shown)
            end_ms = duration_ms if to_ms is None else min(to_ms, duration_ms)
            last = -(-ns_to_samples(ms_to_ns(max(end_ms, from_ms)), RATE_HZ) // BUCKET_SAMPLES)
            found = derived.list_blocks(c, shown.owner_id, first // BLOCK_BUCKETS, -(-last // BLOCK_BUCKETS))
        base = first // BLOCK_BUCKETS * BLOCK_BUCKETS
        pairs = peaks_from_bytes(b"".join(block.peaks for block in found))[first - base : last - base]
        reduced = [(int(low), int(high)) for low, high in reduce_peaks(pairs, points)]
        return Waveform(from_ms=from_ms, to_ms=max(end_ms, from_ms), duration_ms=duration_ms, peaks=reduced)

    def version(self, session_id: str, what: str = AUDIO) -> str:
        """Digest of what the whole is made from.

        Raises:
            NotFound: There is no such session, track, or sound. NotReady: It is not whole yet.
        """
        with self._store.db.read() as c:
            return self._whole(c, session_id, what).version

    def _layout(self, c: Connection, shown: Shown) -> Layout:
        """How the M4A of a whole recording is laid out; the last few are remembered, until bytes are moved."""
        version = f"{shown.version} {self._store.blobs.moves}"
        with self._lock:
            known = self._layouts.get(version)
            if known is not None:
                self._layouts.move_to_end(version)
                return known
        located = derived.locate_blocks(c, shown.owner_id, range(len(shown.keys)))
        found = [located[number] for number in range(len(shown.keys))]
        sizes = np.frombuffer(b"".join(block.frame_sizes for block, _ in found), ">u2").astype(np.uint16)
        total_samples, channels = sum(block.samples for block, _ in found), found[0][0].channels
        head = progressive_header(sizes, total_samples=total_samples, channels=channels)
        ends = list(accumulate((locator.size_bytes for _, locator in found), initial=len(head)))
        file = StoredBytes(
            read_blob=self._store.blobs.read,
            head=head,
            parts=[locator for _, locator in found],
            starts=ends[:-1],
            size_bytes=ends[-1],
            etag=shown.version,
            mime_type="audio/mp4",
        )
        layout = Layout(file=file, total_samples=total_samples, channels=channels)
        with self._lock:
            self._layouts[version] = layout
            if len(self._layouts) > LAYOUTS_KEPT:
                self._layouts.popitem(last=False)
        return layout

    def _look(self, c: Connection, session_id: str, what: str) -> Shown:
        """What there is to play; raises NotFound or NotReady if that is nothing."""
        session = sessions.get_session(c, session_id)
        owner_id, tracks = self._owner(session, what)
        keys = derived.block_keys(c, owner_id)
        held = next(number for number in range(len(keys) + 1) if number not in keys)
        is_settled = session.is_settled if what == AUDIO else all(track.media_settled for track in tracks)
        shown = Shown(
            session=session,
            owner_id=owner_id,
            tracks=tracks,
            keys={number: keys[number] for number in range(held)},
            is_whole=session.state is SessionState.COMPLETED and is_settled,
        )
        if not held:
            if shown.is_whole:
                raise NotFound("media", what)
            raise not_ready(shown.session)
        return shown

    def _whole(self, c: Connection, session_id: str, what: str) -> Shown:
        shown = self._look(c, session_id, what)
        if not shown.is_whole:
            raise not_ready(shown.session)
        return shown

    def _owner(self, session: Session, what: str) -> tuple[str, tuple[Track, ...]]:
        """Whose blocks it has, and the tracks that are heard in it."""
        if session.audio_deleted_at_ms is not None:
            raise AudioDeleted(session.id, session.audio_deleted_at_ms)
        if what == AUDIO:
            return session.id, tuple(track for track in session.tracks if track.kind in AUDIO_KINDS)
        for track in session.tracks:
            if track.id == what:
                return track.id, (track,)
        raise NotFound("media", what)

    def _duration_ms(self, shown: Shown) -> int:
        return max(track.length_ns for track in shown.tracks) // 1_000_000


def not_ready(session: Session) -> NotReady:
    """Says that a recording is not whole yet, and how far it is."""
    counts = session.counts
    is_recording = session.state is not SessionState.COMPLETED
    return NotReady(
        "the recording has not ended yet" if is_recording else "the recording is still being processed",
        state=session.state.value,
        segments_total=counts.total,
        segments_pending=counts.pending,
        progress=0 if is_recording or not counts.total else 100 * (counts.total - counts.pending) // counts.total,
        retry_after_s=5 if is_recording else 1,
    )
