"""The stages of a job, in order. Each may be run again at any time: it makes what is missing and finds the rest done.

Belongs here: what a stage waits for and makes. Does not: attempts and progress rows (`saga`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from enum import StrEnum

from sqlalchemy import Connection

from longtake.enrichment.cost import Prices, Unheard, in_dollars, is_within
from longtake.enrichment.pump import Lanes
from longtake.enrichment.text import outline
from longtake.model.errors import Cancelled, CostExceeded, Invalid
from longtake.model.session import Job, Session, Track
from longtake.model.timeline import ns_to_ms, samples_to_ns
from longtake.model.transcript import Entry
from longtake.sessions.work import ENGINES_BEFORE, LANGUAGES_BEFORE
from longtake.speech.engine import RATE_HZ as SPEECH_HZ
from longtake.storage.catalog import jobs, sessions, tracks, transcript
from longtake.storage.store import Store

WAIT_S = 0.25
"""How long a stage may wait before it looks whether it was cancelled."""
REST, MIN_REST_S, MAX_REST_S = 0.02, 0.05, 0.2
"""Between two looks at the lanes, which may end their runs much faster: a share of the time waited, within bounds."""

AUTO_ENGINE = "auto"

Progress = Callable[[float, str | None], None]
"""Called with the part that is done (0…1) and the substage; raises Cancelled when the job is no longer to run."""


class Stage(StrEnum):
    """What a job goes through."""

    VALIDATING = "validating"
    ESTIMATING = "estimating"
    ACQUIRING_LOCK = "acquiring-lock"
    AUDIO = "audio"
    VIDEO = "video"
    TRANSCRIPT = "transcript"
    SPEAKERS = "speakers"
    SCREENSHOTS = "screenshots"
    CHAPTERS = "chapters"
    SUMMARY = "summary"
    COMPLETED = "completed"


PERCENT: dict[Stage, tuple[int, int]] = {
    Stage.VALIDATING: (5, 5),
    Stage.ESTIMATING: (10, 10),
    Stage.ACQUIRING_LOCK: (15, 15),
    Stage.AUDIO: (20, 50),
    Stage.VIDEO: (55, 75),
    Stage.TRANSCRIPT: (76, 86),
    Stage.SPEAKERS: (87, 87),
    Stage.SCREENSHOTS: (88, 88),
    Stage.CHAPTERS: (89, 93),
    Stage.SUMMARY: (94, 98),
    Stage.COMPLETED: (99, 99),
}
"""Progress in per cent at the beginning and the end of each stage."""

SKIPPED = "skipped"
"""The substage of a stage that honestly had nothing to do."""


class Stages:
    """Runs single stages."""

    def __init__(
        self,
        store: Store,
        lanes: Lanes,
        prices: Prices,
        default_engine: Callable[[], str],
        language_for: Callable[[str], str | None],
    ) -> None:
        self._store = store
        self._lanes = lanes
        self._prices = prices
        self._default_engine = default_engine
        self._language_for = language_for
        self._runs: dict[Stage, Callable[[Job, Progress], None]] = {
            Stage.VALIDATING: self._validate,
            Stage.ESTIMATING: self._estimate,
            Stage.ACQUIRING_LOCK: self._lock,
            Stage.AUDIO: self._audio,
            Stage.VIDEO: self._skip,
            Stage.TRANSCRIPT: self._transcript,
            Stage.SPEAKERS: self._skip,
            Stage.SCREENSHOTS: self._skip,
            Stage.CHAPTERS: self._chapters,
            Stage.SUMMARY: self._summary,
            Stage.COMPLETED: self._complete,
        }

    def run(self, stage: Stage, job: Job, progress: Progress) -> None:
        """Run one stage of a job."""
        self._runs[stage](job, progress)

    def is_whole(self, c: Connection, session_id: str) -> bool:
        """Whether everything is up to date with everything that arrived."""
        session = sessions.get_session(c, session_id)
        if not session.is_settled or not all(track.speech_settled for track in session.tracks):
            return False
        found = transcript.find_outline(c, session_id)
        return found is not None and found[0] == _source(session, transcript.list_entries(c, session_id))

    def _session(self, job: Job) -> Session:
        with self._store.db.read() as c:
            return sessions.get_session(c, job.session_id)

    def _validate(self, job: Job, _progress: Progress) -> None:
        session = self._session(job)
        if session.trashed_at_ms is not None:
            raise Invalid(f"session {session.id} lies in the trash")

    def _estimate(self, job: Job, progress: Progress) -> None:
        """Say what the job will cost at most, and end it when that is above its limit, before anybody is asked."""
        session = self._session(job)
        if any(self._prices.is_paid(self._engine(job, track)) for track in session.tracks):
            # what is asked for money is measured, not guessed
            self._await(job, ("media", "mix"), lambda s: s.is_settled, lambda _: 0.0, None, progress)
            session = self._session(job)
        cost = self._prices.estimate(self._unheard(job, session))
        with self._store.db.write() as c:
            jobs.update_job(c, job.id, estimated_cost_usd_micros=cost)
        limit = job.options.get("max_cost_usd")
        if not is_within(cost, limit):
            raise CostExceeded(f"the estimated cost is {in_dollars(cost)}, the limit {limit} USD")

    def _engine(self, job: Job, track: Track) -> str:
        """Which engine hears a track in this job."""
        asked = job.options.get("engine")
        if asked is None:
            return track.speech_engine or self._default_engine()
        return self._default_engine() if asked == AUTO_ENGINE else str(asked)

    def _unheard(self, job: Job, session: Session) -> list[Unheard]:
        """What there is to hear, track by track: all of it when another engine is asked for."""
        is_anew = job.options.get("engine") is not None
        return [
            Unheard(
                engine=self._engine(job, t), ns=t.length_ns - (0 if is_anew else samples_to_ns(_heard(t), SPEECH_HZ))
            )
            for t in session.tracks
        ]

    def _lock(self, job: Job, _progress: Progress) -> None:
        """The session's lock is held here for the first time, as in every stage that follows. Now that the price is
        accepted, the tracks are heard anew if another engine was asked for."""
        asked = job.options.get("engine")
        if asked is None:
            return
        with self._store.db.write() as c:
            session = sessions.get_session(c, job.session_id)
            before = {
                ENGINES_BEFORE: {track.id: track.speech_engine for track in session.tracks},
                LANGUAGES_BEFORE: {track.id: track.speech_language for track in session.tracks},
            }
            jobs.update_job(c, job.id, options={**before, **jobs.get_job(c, job.id).options})
            for track in session.tracks:  # `auto` takes what is best now
                if asked == AUTO_ENGINE:
                    tracks.hear_anew(c, track.id, None, None)
                else:
                    tracks.hear_anew(c, track.id, str(asked), self._language_for(str(asked)))
        self._store.bus.publish("work", session.id)

    def _skip(self, _job: Job, progress: Progress) -> None:
        """What this stage makes comes with the tracks that need it; there are none."""
        progress(1.0, SKIPPED)

    def _audio(self, job: Job, progress: Progress) -> None:
        """Wait until the lanes have made everything that is played."""
        if not self._session(job).tracks:
            progress(1.0, SKIPPED)
            return
        self._await(job, ("media", "mix"), lambda s: s.is_settled, _media_part, "concatenating", progress)
        progress(1.0, "completed")

    def _transcript(self, job: Job, progress: Progress) -> None:
        """Wait until the lanes have heard everything."""

        def is_heard(session: Session) -> bool:
            return all(track.speech_settled for track in session.tracks)

        self._await(job, ("speech",), is_heard, _speech_part, None, progress)

    def _await(
        self,
        job: Job,
        kinds: tuple[str, ...],
        is_done: Callable[[Session], bool],
        part: Callable[[Session], float],
        substage: str | None,
        progress: Progress,
    ) -> None:
        self._lanes.forgive(job.session_id)
        began = time.monotonic()
        while not is_done(session := self._session(job)):
            if self._lanes.is_stopping():
                raise Cancelled("the process is asked to end")
            error = self._lanes.failure(job.session_id, kinds)
            if error is not None:
                raise error
            progress(part(session), substage)
            self._lanes.wait(WAIT_S)
            time.sleep(min(MAX_REST_S, max(MIN_REST_S, REST * (time.monotonic() - began))))

    def _chapters(self, job: Job, progress: Progress) -> None:
        """Make chapters, summary and tasks, unless they are up to date."""
        progress(0.5, "generating")
        with self._store.db.read() as c:
            session = sessions.get_session(c, job.session_id)
            entries = transcript.list_entries(c, job.session_id)
            found = transcript.find_outline(c, job.session_id)
        source = _source(session, entries)
        if found is not None and found[0] == source:
            return
        made = outline(entries, ns_to_ms(session.length_ns))
        progress(0.9, "generating")  # it took a while: perhaps the job is cancelled
        with self._store.db.write() as c:
            transcript.put_outline(c, session.id, source, made)
        self._store.bus.publish("summary_updated", session.id)

    def _summary(self, job: Job, progress: Progress) -> None:
        """Put the topics onto the session; the outline's other parts are read where they stand."""
        progress(0.5, "generating")
        with self._store.db.write() as c:
            found = transcript.find_outline(c, job.session_id)
            session = sessions.get_session(c, job.session_id)
            if found is not None and not session.topics and found[1].topics:
                sessions.update_session(c, job.session_id, topics=list(found[1].topics))

    def _complete(self, job: Job, progress: Progress) -> None:
        """Whatever came while the job ran: take it in."""
        with self._store.db.read() as c:
            if self.is_whole(c, job.session_id):
                return
        for stage in (Stage.AUDIO, Stage.TRANSCRIPT, Stage.CHAPTERS, Stage.SUMMARY):
            self._runs[stage](job, lambda _part, substage: progress(0.0, substage))


def _source(session: Session, entries: list[Entry]) -> str:
    """Digest of everything that an outline is a function of."""
    digest = hashlib.sha256(f"outline-1 {session.length_ns}\n".encode())
    for e in entries:
        digest.update(f"{e.start_ms} {e.end_ms} {e.speaker} {e.text}\n".encode())
    return digest.hexdigest()


def _heard(track: Track) -> int:
    """The 16 kHz sample up to which a track is heard."""
    return track.speech_cursor if track.speech_stale_from is None else min(track.speech_cursor, track.speech_stale_from)


def _media_part(session: Session) -> float:
    counts = session.counts
    return 1.0 if not counts.total else (counts.total - counts.pending) / counts.total * 0.95


def _speech_part(session: Session) -> float:
    total_ns = sum(track.length_ns for track in session.tracks)
    heard_ns = sum(min(samples_to_ns(track.speech_cursor, SPEECH_HZ), track.length_ns) for track in session.tracks)
    return heard_ns / total_ns if total_ns else 1.0
