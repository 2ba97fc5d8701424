"""The files of a session that a person takes away: which there are, how far they are, and their bytes.

Belongs here: names, states, choosing how a file comes to be. Does not: the sound itself (`playback`, `mp3`), how a
document reads (`documents`, `eventlog`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from longtake.enrichment.documents import Document, to_json, to_markdown, to_srt, to_text, to_vtt
from longtake.enrichment.eventlog import write_log
from longtake.enrichment.mp3 import Mp3s
from longtake.enrichment.playback import AUDIO, Playback, Readable, not_ready
from longtake.model.errors import AudioDeleted, NotFound, NotReady
from longtake.model.lifecycle import JobState, SessionState
from longtake.model.session import AUDIO_KINDS, Session
from longtake.sessions.manager import coverage_of
from longtake.storage.catalog import remarks, sessions, transcript
from longtake.storage.store import Store

PIECE_BYTES = 1 << 20
ACTIVE_JOBS = (JobState.PENDING, JobState.PROCESSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileType:
    """A kind of file: its extension, its type, and whether it is sound."""

    extension: str
    mime_type: str
    is_sound: bool = False


TYPES: Mapping[str, FileType] = {
    "recording": FileType(extension="wav", mime_type="audio/wav", is_sound=True),
    "audio": FileType(extension="m4a", mime_type="audio/mp4", is_sound=True),
    "mp3": FileType(extension="mp3", mime_type="audio/mpeg", is_sound=True),
    "transcript": FileType(extension="txt", mime_type="text/plain; charset=utf-8"),
    "srt": FileType(extension="srt", mime_type="application/x-subrip; charset=utf-8"),
    "vtt": FileType(extension="vtt", mime_type="text/vtt; charset=utf-8"),
    "json": FileType(extension="json", mime_type="application/json"),
    "notes": FileType(extension="md", mime_type="text/markdown; charset=utf-8"),
    "log": FileType(extension="csv", mime_type="text/csv; charset=utf-8"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A file and how far it is.

    `state` is `ready`, `on_request` (it is made when it is asked for), `making`, or `waiting` (for the recording).
    """

    file_type: str
    name: str
    mime_type: str
    state: str
    size_bytes: int | None
    progress: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file and its name."""

    name: str
    content: Readable


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A document in memory."""

    data: bytes
    mime_type: str

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @property
    def etag(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def read(self, start: int, end: int) -> bytes:
        """The bytes [start, end)."""
        return self.data[start:end]


class Files:
    """The files of sessions. Thread-safe."""

    def __init__(self, store: Store, playback: Playback) -> None:
        self._store = store
        self._playback = playback
        self._mp3s = Mp3s(store, playback)

    def close(self) -> None:
        """Stop making files."""
        self._mp3s.close()

    def listing(self, session_id: str) -> list[Listed]:
        """All files of a session. Sound is left out where there is none."""
        with self._store.db.read() as c:
            session = sessions.get_session(c, session_id)
        ready = ("ready", 100, None)
        states: dict[str, tuple[str, int, int | None]] = {}
        try:
            m4a_bytes, wav_bytes = self._playback.sizes(session_id, AUDIO)
            states = {"recording": ("ready", 100, wav_bytes), "audio": ("ready", 100, m4a_bytes)}
            states["mp3"] = self._mp3s.progress(session_id)
        except NotReady as error:
            waiting = ("waiting", int(str(error.fields.get("progress", 0))), None)
            states = dict.fromkeys((name for name, kind in TYPES.items() if kind.is_sound), waiting)
        except (NotFound, AudioDeleted):
            pass  # nothing was recorded, or it is no longer there
        text = ready if _is_written(session) else ("waiting", 0, None)
        states |= {name: text for name, kind in TYPES.items() if not kind.is_sound}
        return [
            Listed(
                file_type=name,
                name=file_name(session, name),
                mime_type=TYPES[name].mime_type,
                state=state,
                size_bytes=size_bytes,
                progress=progress,
            )
            for name, (state, progress, size_bytes) in states.items()
        ]

    def begin(self, session_id: str, file_type: str) -> Future[None] | None:
        """Begin to make a file that has to be made; what is done when it is there, or None: nothing is waited for.

        Whoever waits must not cancel it: others wait, too. Raises as `open`.
        """
        return self._mp3s.begin(session_id) if file_type == "mp3" else None

    def open(self, session_id: str, file_type: str, *, wait_s: float | None = 0.0) -> Download:
        """One file.

        Args:
            wait_s: How long to wait for a file that has to be made; None waits for its end.

        Raises:
            NotFound: There is no such session, or no such file. NotReady: The recording or the file is not whole yet.
        """
        with self._store.db.read() as c:
            session = sessions.get_session(c, session_id)
        if file_type not in TYPES:
            raise NotFound("artifact", file_type)
        return Download(name=file_name(session, file_type), content=self._content(session, file_type, wait_s))

    def write_all(self, session_id: str, folder: Path, *, wrote: Callable[[Path], None] = lambda _: None) -> list[Path]:
        """Write every file that a session has into a folder, each whole or not at all.

        Raises:
            NotReady: The recording is not whole yet. OSError: The folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name in TYPES:
            try:
                download = self.open(session_id, name, wait_s=None)
            except AudioDeleted:
                continue
            except NotFound as error:
                if error.code == "media_not_found":  # nothing was recorded
                    continue
                raise
            paths.append(write_whole(folder / download.name, download.content))
            wrote(paths[-1])
        return paths

    def document(self, session_id: str) -> Document:
        """The session as a document: what was said, its outline, and what is missing."""
        with self._store.db.read() as c:
            session = sessions.get_session(c, session_id)
            found = transcript.find_outline(c, session_id)
            covered = {
                track.id: coverage_of(c, session, track) for track in session.tracks if track.kind in AUDIO_KINDS
            }
            return Document(
                session=session,
                entries=tuple(transcript.list_entries(c, session_id)),
                outline=found[1] if found else None,
                coverage=covered,
                written=remarks.find_written(c, session_id),
                markers=tuple(remarks.list_markers(c, session_id, remarks.Span())),
            )

    def _content(self, session: Session, file_type: str, wait_s: float | None) -> Readable:
        if file_type == "recording":
            return self._playback.wav(session.id, AUDIO)
        if file_type == "audio":
            return self._playback.m4a(session.id, AUDIO)
        if file_type == "mp3":
            return self._mp3s.open(session.id, wait_s=wait_s)
        if not _is_written(session):
            raise not_ready(session)
        return Text(data=self._text(session, file_type).encode(), mime_type=TYPES[file_type].mime_type)

    def _text(self, session: Session, file_type: str) -> str:
        if file_type == "log":
            with self._store.db.read() as c:
                history = sessions.list_history(c, session.id)
                phases = remarks.list_phases(c, session.id)
                return write_log(session, history, transcript.list_entries(c, session.id), phases)
        write = {"transcript": to_text, "srt": to_srt, "vtt": to_vtt, "json": to_json, "notes": to_markdown}
        return write[file_type](self.document(session.id))


def file_name(session: Session, file_type: str) -> str:
    """`{prefix}_{YYYYMMDDHHMMSS}_{type}.{ext}`, with the device's id or else the session's in front."""
    at = datetime.fromtimestamp((session.started_at_ms or session.created_at_ms) // 1000, tz=UTC)
    prefix = "".join(ch if ch.isalnum() or ch == "-" else "_" for ch in (session.device_id or session.id)[:8])
    return f"{prefix}_{at:%Y%m%d%H%M%S}_{file_type}.{TYPES[file_type].extension}"


def write_whole(path: Path, content: Readable) -> Path:
    """Write a file that appears under its name only when all of it is on the disk."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as out:
            for at in range(0, content.size_bytes, PIECE_BYTES):
                out.write(content.read(at, min(at + PIECE_BYTES, content.size_bytes)))
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _is_written(session: Session) -> bool:
    """Whether the session's text is all there will be, as far as is known."""
    return session.state is SessionState.COMPLETED and (session.job is None or session.job.status not in ACTIVE_JOBS)
