"""A real runtime driven as a recorder and a listener would: segments in, sound and words out."""

import hashlib
import io
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from longtake.enrichment.playback import AUDIO
from longtake.ingest.protocol import announce
from longtake.media.probe import sniff
from longtake.media.sandbox import MediaSource
from longtake.model.coverage import cover_all
from longtake.model.errors import NotReady
from longtake.model.lifecycle import JobState
from longtake.model.session import Job, Receipt, Segment, Session, TrackKind
from longtake.runtime import Runtime
from longtake.sessions.lifecycle import Announced
from longtake.sessions.manager import NewSession, NewTrack
from longtake.settings import Settings
from longtake.storage.catalog import blobs, derived, segments

RATE_HZ = 48_000
PATIENCE_S = 60.0
GARBAGE = b"RIFF\x24\x00\x00\x00WAVEfmt \x00\x00\x00\x00" + bytes(range(200))
"""It says that it is a WAV, and nothing in it can be decoded."""


def tone(seconds: float, *, hz: float = 440.0, rate_hz: int = RATE_HZ, channels: int = 1) -> NDArray[np.int16]:
    """(n, channels) samples of a tone with a wobble, so that no two stretches of it are alike."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    sound = 8000 * np.sin(2 * np.pi * (hz * t + 3 * np.sin(2.1 * t)))
    return np.repeat(sound[:, None], channels, axis=1).astype(np.int16)


def wav(pcm: NDArray[np.int16], *, rate_hz: int = RATE_HZ) -> bytes:
    """Samples as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(pcm.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(pcm.astype("<i2").tobytes())
    return file.getvalue()


def encoded(pcm: NDArray[np.int16], codec: str, container: str, *, rate_hz: int = RATE_HZ) -> bytes:
    """Samples as FLAC, Opus in Ogg, … by the encoder's and the container's names."""
    file = io.BytesIO()
    layout = "mono" if pcm.shape[1] == 1 else "stereo"
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(stream.format.name, layout, rate_hz, frame_size=stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return file.getvalue()


def cut(pcm: NDArray[np.int16], seconds: float, *, rate_hz: int = RATE_HZ) -> list[bytes]:
    """A recording as WAV segments of that length."""
    step = round(seconds * rate_hz)
    return [wav(pcm[at : at + step], rate_hz=rate_hz) for at in range(0, len(pcm), step)]


@dataclass
class Clock:
    """Time that passes when a test says so, on top of the real time."""

    ahead_ms: int = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


@contextmanager
def running(
    data: Path, *, clock: Callable[[], int] | None = None, with_engine: bool = True, **settings: object
) -> Iterator[Runtime]:
    """A runtime over a data folder, without a speech engine unless said."""
    wanted = Settings.model_validate({"data": data, "engine": "none", **settings})
    with Runtime.open(wanted, clock=clock or Clock(), with_engine=with_engine) as runtime:
        yield runtime


def locating(runtime: Runtime, decodings: list[str]) -> Callable[[str], MediaSource]:
    """What tells decoders where bytes lie, and notes each decoding that is begun."""

    def locate(sha256: str) -> MediaSource:
        decodings.append(sha256)
        with runtime.store.db.read() as c:
            at = blobs.get_locator(c, sha256)
        container = sniff(runtime.store.blobs.read(at, 0, 4096))
        assert container is not None
        return MediaSource(path=runtime.store.blobs.path(at), offset=at.offset, size=at.size_bytes, container=container)

    return locate


@dataclass
class Recording:
    """A session that is recorded and then looked at."""

    runtime: Runtime
    id: str
    tracks: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls, runtime: Runtime, *kinds: TrackKind) -> "Recording":
        """A session that records these tracks; one microphone unless said."""
        session = runtime.sessions.create(NewSession(title="a test"))
        recording = cls(runtime, session.id)
        for kind in kinds or (TrackKind.MICROPHONE,):
            recording.add(kind)
        runtime.lifecycle.start(session.id)
        return recording

    def add(self, kind: TrackKind) -> str:
        """Declare a track; returns its id."""
        self.tracks.append(self.runtime.sessions.declare_track(self.id, NewTrack(kind=kind)).id)
        return self.tracks[-1]

    def send(
        self, index: int, body: bytes, *, track: int = 0, start_ms: int | None = None, duration_ms: int | None = None
    ) -> Receipt:
        """Send a segment."""
        what = announce(track_id=self.tracks[track], index=index, start_ms=start_ms, duration_ms=duration_ms)
        return self.runtime.receiver.receive_blocking(what, [body])

    def send_all(self, bodies: Sequence[bytes], *, track: int = 0, order: Sequence[int] | None = None) -> None:
        """Send segments, in an order of their indices."""
        for index in range(len(bodies)) if order is None else order:
            self.send(index, bodies[index], track=track)

    def end(self, *announced: Announced) -> None:
        """Stop recording."""
        self.runtime.lifecycle.end(self.id, announced)

    def session(self) -> Session:
        """The session as it is now."""
        return self.runtime.sessions.get(self.id)

    def job(self) -> Job:
        """Its newest job."""
        job = self.session().job
        assert job is not None
        return job

    def finish(self) -> Job:
        """Wait until its job has ended."""
        wait_for(lambda: self.job().finished_at_ms is not None, lambda: self.job())
        if self.job().status is JobState.COMPLETED:
            self.check_figures()
        return self.job()

    def check_figures(self) -> None:
        """What stands on its tracks of their coverage is what their segments say."""
        for track in self.session().tracks:
            with self.runtime.store.db.read() as c:
                assert track.covered == cover_all(segments.segments_of(c, track.id))

    def settle(self) -> Session:
        """Wait until everything that arrived is taken in, also while it is being recorded."""

        def is_settled() -> bool:
            session = self.session()
            return session.is_settled and all(track.speech_settled for track in session.tracks)

        wait_for(is_settled, self.session)
        return self.session()

    def segments(self, track: int = 0) -> list[Segment]:
        """A track's segments."""
        with self.runtime.store.db.read() as c:
            return segments.segments_of(c, self.tracks[track])

    def blocks(self, owner_id: str | None = None) -> list[tuple[int, str, int]]:
        """(number, sha256, revision) of the blocks of the mix, or of a track."""
        with self.runtime.store.db.read() as c:
            return [(b.number, b.sha256, b.revision) for b in derived.list_blocks(c, owner_id or self.id)]

    def digests(self, owner_id: str | None = None) -> list[str]:
        """The blocks' SHA-256, in order."""
        return [sha256 for _, sha256, _ in self.blocks(owner_id)]

    def pcm(self, what: str = AUDIO) -> NDArray[np.int16]:
        """The whole WAV's samples, (n, channels)."""
        found = self.runtime.playback.wav(self.id, what)
        with wave.open(io.BytesIO(found.read(0, found.size_bytes))) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())

    def words(self) -> list[tuple[str, int, int, str]]:
        """The transcript: (speaker, start, end, text)."""
        entries, _ = self.runtime.transcripts.page(self.id, limit=None)
        return [(e.speaker, e.start_ms, e.end_ms, e.text) for e in entries]

    def content(self) -> tuple[object, ...]:
        """Everything that is made of it, without what tells runs apart (ids, revisions, times of work)."""
        try:
            sound = hashlib.sha256(self.pcm().tobytes()).hexdigest()
        except NotReady as error:
            sound = error.code
        return (self.digests(), [self.digests(track) for track in self.tracks], sound, self.words())


def reference_counts_are_exact(runtime: Runtime) -> bool:
    """Whether each blob is referred to by as many rows as it says, and each track counts its segments."""
    with runtime.store.db.read() as c:
        wrong: list[object] = [
            *c.exec_driver_sql(
                "SELECT sha256 FROM blobs b WHERE ref_count !="
                " (SELECT count(*) FROM segments s WHERE s.sha256 = b.sha256)"
                " + (SELECT count(*) FROM blocks k WHERE k.sha256 = b.sha256)"
                " + (SELECT count(*) FROM artifacts a WHERE a.sha256 = b.sha256)"
            )
        ]
        for status in ("pending", "processing", "completed", "failed"):
            wrong += c.exec_driver_sql(
                f"SELECT id FROM tracks t WHERE n_{status} !="
                f" (SELECT count(*) FROM segments s WHERE s.track_id = t.id AND s.status = '{status}')"
            ).all()
    return not wrong


def read_original(runtime: Runtime, segment: Segment) -> bytes:
    """A segment's bytes as they are stored."""
    with runtime.store.db.read() as c:
        locator = blobs.get_locator(c, segment.sha256)
    return runtime.store.blobs.read(locator)


def wait_for(is_done: Callable[[], bool], show: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait until something is true; fails with what is shown when that takes too long."""
    until = time.monotonic() + patience_s
    while not is_done():
        assert time.monotonic() < until, f"not done within {patience_s:.0f} s: {show()}"
        time.sleep(0.005)
