"""Where sessions are: in a data folder that this process opens, or behind the server that owns it.

A data folder has one owner. Commands try to open it; when a server holds it, they talk to that server. Both ways answer
with the same messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from longtake.access import OWNER
from longtake.cli.console import quiet_logs, settings_of
from longtake.client import Client
from longtake.ingest.protocol import announce
from longtake.model.errors import DataFolderInUse, Invalid, NotFound
from longtake.runtime import Runtime
from longtake.server.views import SessionViews, cleaned_up, collected
from longtake.sessions.lifecycle import Announced
from longtake.sessions.manager import NewSession, NewTrack
from longtake.settings import Settings
from longtake.storage import watermark
from longtake.storage.catalog.library import Filter
from longtake.wire.attachments import CollectAnswer
from longtake.wire.jobs import JobAnswer
from longtake.wire.sessions import AnnouncedTrack, SessionAnswer, SessionRequest
from longtake.wire.tracks import (
    CoverageAnswer,
    ReceiptAnswer,
    RetryAnswer,
    SegmentAnswer,
    TrackAnswer,
    TrackCoverageAnswer,
    TrackRequest,
)
from longtake.wire.transcript import EntryAnswer
from longtake.wire.upkeep import CleanUpAnswer

MAX_PAGE = 500
SHORTEST_ID = 4
"""An id may be cut to its first characters, but not to fewer than these."""


class Library(Protocol):
    """What commands ask of sessions."""

    def newest(self, limit: int, *, trashed: bool = False) -> list[SessionAnswer]:
        """The newest sessions, or those in the trash."""

    def beginning(self, start: str) -> list[str]:
        """The ids that begin so; more than one is enough to know that it is not clear."""

    def session(self, session_id: str) -> SessionAnswer:
        """One session; raises NotFound."""

    def create_session(self, request: SessionRequest) -> SessionAnswer:
        """A new session."""

    def declare_track(self, session_id: str, request: TrackRequest) -> TrackAnswer:
        """A new track of a session."""

    def start(self, session_id: str) -> SessionAnswer:
        """Begin to record."""

    def put_segment(
        self, session_id: str, track_id: str, index: int, body: bytes, *, start_ms: int, duration_ms: int
    ) -> ReceiptAnswer:
        """Store a segment."""

    def end(self, session_id: str, tracks: Sequence[AnnouncedTrack] = ()) -> SessionAnswer:
        """End a session."""

    def retry(self, session_id: str) -> RetryAnswer:
        """Process failed segments again."""

    def delete(self, session_id: str, *, purge: bool = False) -> None:
        """Move a session to the trash, or delete it for good."""

    def restore(self, session_id: str) -> SessionAnswer:
        """Take a session out of the trash."""

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> CollectAnswer:
        """Remove bytes that nothing refers to."""

    def clean_up(self) -> CleanUpAnswer:
        """End the sessions that lie idle, put the empty ones into the trash."""

    def job(self, job_id: str) -> JobAnswer:
        """How far a job is."""

    def coverage(self, session_id: str) -> CoverageAnswer:
        """What every track should have and has."""

    def entries(self, session_id: str) -> list[EntryAnswer]:
        """The transcript."""

    def troubled(self, session_id: str) -> list[SegmentAnswer]:
        """The segments that failed, or of which a part is damaged."""


class Local:
    """The data folder that this process has opened."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self._views = SessionViews(runtime)

    def newest(self, limit: int, *, trashed: bool = False) -> list[SessionAnswer]:
        wanted = Filter(in_trash=trashed)
        found, cursor = self.runtime.sessions.page(wanted, limit=min(limit, MAX_PAGE))
        while cursor is not None and len(found) < limit:
            more, cursor = self.runtime.sessions.page(wanted, limit=min(limit - len(found), MAX_PAGE), cursor=cursor)
            found += more
        return [SessionAnswer.of(session) for session in found]

    def beginning(self, start: str) -> list[str]:
        found, _ = self.runtime.sessions.page(Filter(id_prefix=start), limit=2)
        return [session.id for session in found]

    def session(self, session_id: str) -> SessionAnswer:
        return self._views.get(session_id)

    def create_session(self, request: SessionRequest) -> SessionAnswer:
        new = NewSession(title=request.title, tags=request.tags, participant=request.participant)
        return self._views.of(self.runtime.sessions.create(new))

    def declare_track(self, session_id: str, request: TrackRequest) -> TrackAnswer:
        new = NewTrack(kind=request.kind, participant_id=request.participant_id, name=request.name)
        return TrackAnswer.of(self.runtime.sessions.declare_track(session_id, new))

    def start(self, session_id: str) -> SessionAnswer:
        return self._views.of(self.runtime.lifecycle.start(session_id))

    def put_segment(
        self, session_id: str, track_id: str, index: int, body: bytes, *, start_ms: int, duration_ms: int
    ) -> ReceiptAnswer:
        self.runtime.sessions.track(session_id, track_id)
        announcement = announce(track_id=track_id, index=index, start_ms=start_ms, duration_ms=duration_ms)
        return ReceiptAnswer.of(self.runtime.receiver.receive_blocking(announcement, [body]))

    def end(self, session_id: str, tracks: Sequence[AnnouncedTrack] = ()) -> SessionAnswer:
        announced = [Announced(track_id=t.track_id, segments=t.segments, duration_ms=t.duration_ms) for t in tracks]
        return self._views.of(self.runtime.lifecycle.end(session_id, announced))

    def retry(self, session_id: str) -> RetryAnswer:
        return RetryAnswer.of(self.runtime.work.retry_session(session_id))

    def delete(self, session_id: str, *, purge: bool = False) -> None:
        if purge:
            self.runtime.deletion.purge(session_id)
        else:
            self.runtime.sessions.trash(session_id)

    def restore(self, session_id: str) -> SessionAnswer:
        return self._views.of(self.runtime.sessions.restore(session_id))

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> CollectAnswer:
        return collected(self.runtime.collector.collect(older_than // timedelta(milliseconds=1), dry_run=dry_run))

    def clean_up(self) -> CleanUpAnswer:
        return cleaned_up(self.runtime.upkeep.clean_up(actor=OWNER))

    def job(self, job_id: str) -> JobAnswer:
        return JobAnswer.of(self.runtime.work.get(job_id))

    def coverage(self, session_id: str) -> CoverageAnswer:
        found = self.runtime.sessions.coverage(session_id)
        return CoverageAnswer(tracks=[TrackCoverageAnswer.of(one.track, one.coverage) for one in found])

    def entries(self, session_id: str) -> list[EntryAnswer]:
        return [EntryAnswer.of(entry) for entry in self.runtime.transcripts.page(session_id, limit=None)[0]]

    def troubled(self, session_id: str) -> list[SegmentAnswer]:
        found: list[SegmentAnswer] = []
        cursor: str | None = None
        while True:
            page, cursor = self.runtime.sessions.segments(session_id, limit=MAX_PAGE, cursor=cursor)
            found += [SegmentAnswer.of(segment, None) for segment in page if segment.error_code is not None]
            if cursor is None:
                return found


class Remote(Client):
    """A server."""

    def newest(self, limit: int, *, trashed: bool = False) -> list[SessionAnswer]:
        page = self.sessions(limit=min(limit, MAX_PAGE), trashed=trashed)
        found: list[SessionAnswer] = [*page.items]
        while page.next_cursor is not None and len(found) < limit:
            page = self.sessions(limit=min(limit - len(found), MAX_PAGE), cursor=page.next_cursor, trashed=trashed)
            found += page.items
        return found

    def beginning(self, start: str) -> list[str]:
        return [session.id for session in self.sessions(limit=2, id_prefix=start).items]

    def entries(self, session_id: str) -> list[EntryAnswer]:
        page = self.transcript(session_id, limit=MAX_PAGE)
        found = list(page.items)
        while page.next_cursor is not None:
            page = self.transcript(session_id, limit=MAX_PAGE, cursor=page.next_cursor)
            found += page.items
        return found

    def troubled(self, session_id: str) -> list[SegmentAnswer]:
        page = self.segments(session_id, limit=MAX_PAGE)
        found = [segment for segment in page.items if segment.error is not None]
        while page.next_cursor is not None:
            page = self.segments(session_id, limit=MAX_PAGE, cursor=page.next_cursor)
            found += [segment for segment in page.items if segment.error is not None]
        return found


@contextmanager
def library(
    settings: Settings, server: str | None, *, with_engine: bool = False, may_create: bool = False
) -> Iterator[Local | Remote]:
    """The sessions of a server, or of the data folder.

    Raises:
        DataFolderInUse: Something that is no server holds the folder. NotFound: There is no data folder.
        DatabaseOutdated: There is one, and its database is gone.
    """
    if server is not None:
        with Remote(server) as remote:
            yield remote
        return
    if not may_create:
        check_data_folder(settings.data)
    try:
        runtime = Runtime.open(settings, with_engine=with_engine)
    except DataFolderInUse as error:
        url = error.fields.get("url")
        if url is None:
            raise
        with Remote(str(url)) as remote:
            yield remote
        return
    with runtime:
        yield Local(runtime)


def check_data_folder(data: Path) -> None:
    """Return if there is a data folder; raises NotFound, and DatabaseOutdated where only its database is gone."""
    watermark.check_there(data)
    if not (data / "longtake.db").exists():
        raise NotFound("data_folder", str(data))


@contextmanager
def sessions_of(data: Path | None, server: str | None) -> Iterator[Local | Remote]:
    """The same for a command with the flags --data and --server, which says itself what goes wrong."""
    settings = settings_of(data=data)
    quiet_logs()
    with library(settings, server) as sessions:
        yield sessions


def whole_id(sessions: Library, start: str) -> str:
    """The id of the session whose id begins so.

    Raises:
        NotFound: There is none. Invalid: There are several, or too little is given.
    """
    if len(start) == 36:
        return start
    return only_id(sessions.beginning, start)


def only_id(beginning: Callable[[str], Sequence[str]], start: str) -> str:
    """The same of the ids that begin so, of which `beginning` gives two at most, whatever the length."""
    if len(start) < SHORTEST_ID:
        raise Invalid(f"give at least {SHORTEST_ID} characters of the session's id")
    found = beginning(start.lower())
    if not found:
        raise NotFound("session", start)
    if len(found) > 1:
        raise Invalid(f"several sessions begin with {start}: give more of the id")
    return found[0]
