"""The commands on a session's text: read, append, correct, rename."""

from __future__ import annotations

from sqlalchemy import Connection

from longtake.model.errors import Invalid
from longtake.model.lifecycle import SessionState
from longtake.model.session import Job, speaker_of, voice_of
from longtake.model.transcript import Entry, Outline
from longtake.sessions.work import Work
from longtake.storage.catalog import sessions, tracks, transcript
from longtake.storage.catalog.paging import page_of, position
from longtake.storage.store import Store

MAX_TEXT = 100_000


class Transcripts:
    """A session's entries and outline. Every method is one transaction and may be called from any thread."""

    def __init__(self, store: Store, work: Work) -> None:
        self._store = store
        self._work = work

    def page(
        self, session_id: str, *, limit: int | None = 50, cursor: str | None = None
    ) -> tuple[list[Entry], str | None]:
        """A page of entries by time (all of them without a limit), and the cursor of the next page."""
        after = position(cursor, int, str)
        with self._store.db.read() as c:
            sessions.session_state(c, session_id)
            found = transcript.list_entries(c, session_id, limit=None if limit is None else limit + 1, after=after)
        return (found, None) if limit is None else page_of(found, limit, lambda entry: (entry.start_ms, entry.id))

    def append(
        self, session_id: str, speaker: str, text: str, *, start_ms: int | None = None, end_ms: int | None = None
    ) -> Entry:
        """Add what somebody said or wrote; without a time it belongs to the end of what was recorded so far."""
        if not speaker.strip() or not text.strip() or len(text) > MAX_TEXT:
            raise Invalid(f"speaker and text must not be empty, and the text at most {MAX_TEXT} characters")
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            at_ms = session.length_ns // 1_000_000 if start_ms is None else start_ms
            if at_ms < 0 or (end_ms is not None and end_ms < at_ms):
                raise Invalid("an entry ends after it starts, and neither lies before the session")
            entry = Entry(
                id=self._store.new_id(),
                session_id=session_id,
                track_id=None,
                speaker=speaker.strip(),
                text=text.strip(),
                start_ms=at_ms,
                end_ms=at_ms if end_ms is None else end_ms,
                at_ms=self._store.now_ms(),
            )
            transcript.insert_entries(c, [entry])
            sessions.update_session(c, session_id, last_activity_at_ms=entry.at_ms)
            job = self._reopen(c, session_id, session.state)
        self._store.bus.publish("new_transcript", session_id, entry_id=entry.id)
        self._work.announce(job)
        return entry

    def correct(self, session_id: str, entry_id: str, text: str) -> Entry:
        """Replace an entry's text by a person's; raises NotFound."""
        if not text.strip() or len(text) > MAX_TEXT:
            raise Invalid(f"the text must not be empty, and at most {MAX_TEXT} characters")
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            entry = transcript.correct_entry(c, session_id, entry_id, text.strip())
            job = self._reopen(c, session_id, session.state)
        self._work.announce(job)
        return entry

    def rename(self, session_id: str, speaker: str, name: str) -> int:
        """Give a speaker another name everywhere in the session, also in what is still to come.

        Returns how many entries it had.
        """
        if not name.strip():
            raise Invalid("a name must not be empty")
        with self._store.db.write() as c:
            session = sessions.open_session(c, session_id)
            count = transcript.rename_speaker(c, session_id, speaker, name.strip())
            for track in session.tracks:
                if speaker_of(session, track) == speaker:
                    participant = voice_of(session, track)
                    if participant is None:
                        tracks.update_track(c, track.id, name=name.strip())
                    else:
                        sessions.rename_participant(c, participant.id, name.strip())
            job = self._reopen(c, session_id, session.state) if count else None
        self._work.announce(job)
        return count

    def outline(self, session_id: str) -> Outline | None:
        """Chapters, summary and tasks; None while there are none."""
        with self._store.db.read() as c:
            sessions.session_state(c, session_id)
            found = transcript.find_outline(c, session_id)
        return found[1] if found else None

    def _reopen(self, c: Connection, session_id: str, state: SessionState) -> Job | None:
        """What is derived from the text of an ended session is stale now: its job makes it anew."""
        return self._work.enqueue_in(c, session_id) if state is SessionState.COMPLETED else None
