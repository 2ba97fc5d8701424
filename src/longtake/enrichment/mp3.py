"""MP3s, made when first asked for and kept as long as what they are made from stays the same."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from longtake.enrichment.playback import AUDIO, Playback, Readable
from longtake.media.export import encode_mp3
from longtake.model.errors import Cancelled, NotReady
from longtake.storage.catalog import blobs, derived
from longtake.storage.store import Store

FILE_TYPE = "mp3"
MIME_TYPE = "audio/mpeg"
VERSION = "mp3-1"
WRITE_BYTES = 1 << 20
CLOSED = "longtake is shutting down"


@dataclass(slots=True)
class Making:
    """An MP3 that is being made: `done` is the share that is."""

    future: Future[None] = field(init=False)
    done: float = 0.0


class Mp3s:
    """Makes MP3s of mixes, one at a time, in a thread of its own."""

    def __init__(self, store: Store, playback: Playback) -> None:
        self._store = store
        self._playback = playback
        self._lock = threading.Lock()
        self._making: dict[tuple[str, str], Making] = {}
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mp3")

    def open(self, session_id: str, *, wait_s: float | None) -> Readable:
        """The MP3 of a session's mix; begins to make it when there is none.

        Raises:
            NotFound, NotReady: There is no sound, not all of it yet, or the MP3 was not ready in time (None: no limit).
            Cancelled: It will not be made, for longtake is shutting down.
        """
        made_from = self._made_from(session_id)
        kept = self._kept(session_id, made_from)
        if kept is not None:
            return kept
        making = self._make(session_id, made_from)
        try:
            with contextlib.suppress(TimeoutError):
                making.future.result(timeout=wait_s)
            if not making.future.done():
                raise NotReady("the MP3 is being made", progress=round(100 * making.done), retry_after_s=1)
            making.future.result()
        except CancelledError:
            raise Cancelled(CLOSED) from None
        kept = self._kept(session_id, made_from)
        if kept is None:
            raise NotReady("the recording has changed meanwhile", progress=0, retry_after_s=1)
        return kept

    def begin(self, session_id: str) -> Future[None] | None:
        """Begin to make the MP3; what is done when it is there, or None: it is. Raises as `open`."""
        made_from = self._made_from(session_id)
        return None if self._kept(session_id, made_from) else self._make(session_id, made_from).future

    def progress(self, session_id: str) -> tuple[str, int, int | None]:
        """Of the MP3 of a session that is whole: its state, per cent, and size when there is one."""
        made_from = self._made_from(session_id)
        kept = self._kept(session_id, made_from)
        if kept is not None:
            return "ready", 100, kept.size_bytes
        with self._lock:
            making = self._making.get((session_id, made_from))
        return ("on_request", 0, None) if making is None else ("making", round(100 * making.done), None)

    def close(self) -> None:
        """Stop making; what is half made is dropped, and who waits for it is told."""
        with self._lock:
            self._stopping.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _made_from(self, session_id: str) -> str:
        return hashlib.sha256(f"{VERSION} {self._playback.version(session_id)}".encode()).hexdigest()

    def _kept(self, session_id: str, made_from: str) -> Readable | None:
        with self._store.db.read() as c:
            kept = derived.find_artifact(c, session_id, FILE_TYPE)
            if kept is None or kept.made_from != made_from:
                return None
            return self._playback.stored(kept.sha256, blobs.get_locator(c, kept.sha256), MIME_TYPE)

    def _make(self, session_id: str, made_from: str) -> Making:
        """The MP3 that is being made, or will be."""
        with self._lock:
            making = self._making.get((session_id, made_from))
            if making is None:
                if self._stopping.is_set():
                    raise Cancelled(CLOSED)
                making = Making()
                making.future = self._thread.submit(self._run, session_id, made_from, making)
                self._making[session_id, made_from] = making
            return making

    def _run(self, session_id: str, made_from: str, making: Making) -> None:
        try:
            self._encode(session_id, made_from, making)
        finally:
            with self._lock:
                del self._making[session_id, made_from]

    def _encode(self, session_id: str, made_from: str, making: Making) -> None:
        def note(done: float) -> None:
            making.done = done
            if self._stopping.is_set():
                raise Cancelled(CLOSED)

        wav = self._playback.wav(session_id, AUDIO)
        staged = self._store.blobs.stage()
        try:
            held: list[bytes] = []
            for piece in encode_mp3(
                wav.read_pcm, total_samples=wav.total_samples, channels=wav.channels, progress=note
            ):
                held.append(piece)
                if sum(map(len, held)) >= WRITE_BYTES:
                    self._store.blobs.check_room(WRITE_BYTES)
                    staged.write(held)
                    held = []
            staged.write(held)
            sha256, size_bytes = staged.digest(), staged.size_bytes
            staged.flush()
        except BaseException:
            staged.discard()
            raise
        artifact = derived.Artifact(
            session_id=session_id,
            file_type=FILE_TYPE,
            made_from=made_from,
            sha256=sha256,
            size_bytes=size_bytes,
            made_at_ms=self._store.now_ms(),
        )
        try:
            with self._store.db.write() as c:  # named in the transaction: else the collector might take it for a stray
                locator = staged.keep()
                self._store.blobs.sync()
                derived.put_artifact(c, artifact, locator)
        finally:
            staged.discard()
