"""The speech lane of a track: its sound → utterances across segment borders → transcript entries.

A transcript is a pure function of the ordered track, the engine and the language it was told: where the track changed
it is cut anew, and what an engine heard in the same samples is remembered, so that nothing is recognised twice.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from longtake.enrichment.cost import Prices
from longtake.enrichment.lanes.blocks import Turn
from longtake.enrichment.lanes.poison import MAX_KILLS, CarefulDetector, Deaths, recognisers_died
from longtake.enrichment.lanes.sound import Sound
from longtake.enrichment.lanes.timelines import Timeline, Timelines
from longtake.media.decoded import DecodedSegments
from longtake.media.timeline_pcm import CONTEXT_NS
from longtake.model.errors import EngineError
from longtake.model.session import LaneStatus, Session, Track, speaker_of
from longtake.model.timeline import NS_PER_MS, RATE_HZ, ms_to_ns, ns_to_samples, rescale, samples_to_ms, samples_to_ns
from longtake.model.transcript import Entry
from longtake.speech.cutter import Cut, Cutter
from longtake.speech.engine import RATE_HZ as SPEECH_HZ
from longtake.speech.engine import EngineInfo, Recognition
from longtake.speech.worker import SpeechWorker
from longtake.storage.catalog import jobs, segments, sessions, tracks, transcript, utterances
from longtake.storage.catalog.utterances import Spoken
from longtake.storage.store import Store

STEP = 60 * SPEECH_HZ
"""How much of a track is cut, recognised and committed at a time."""
TURN_S = 10.0
"""After this time another track has its turn."""
BACK_OFF_S = (1.0, 2.0, 4.0)
NO_ENGINE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An engine, and the language that it is told to hear (None: it is told nothing)."""

    engine: str
    language: str | None

    def hears(self, track: Track) -> bool:
        """Whether the track is its to hear."""
        return (track.speech_engine, track.speech_language) == (self.engine, self.language)

    def key(self, model: str, pcm: NDArray[np.int16]) -> str:
        """Under which its model's answer about these samples is remembered."""
        told = "" if self.language is None else f" {self.language}"
        return hashlib.sha256(f"{self.engine} {model}{told}\n".encode() + pcm.tobytes()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """An utterance with what an engine heard in it; `error` when it could not."""

    cut: Cut
    key: str
    recognition: Recognition | None
    error: EngineError | None = None


class SpeechLane:
    """Runs the speech lane of any track; one run per track at a time (`pump` sees to it)."""

    def __init__(
        self,
        store: Store,
        timelines: Timelines,
        pcm: DecodedSegments,
        worker: SpeechWorker,
        default_engine: Callable[[], str],
        stopping: threading.Event,
        prices: Prices,
        language_for: Callable[[str], str | None],
    ) -> None:
        self._store = store
        self._timelines = timelines
        self._pcm = pcm
        self._worker = worker
        self._default_engine = default_engine
        self._language_for = language_for
        self._prices = prices
        self._stopping = stopping

    def run(self, track_id: str) -> bool:
        """Do what there is to do; returns whether anything was done."""
        with self._store.db.read() as c:
            track = tracks.find_track(c, track_id)
            if track is None:
                return False
            is_final = track.is_ended and segments.first_pending(c, track_id, "media") is None
        timeline = self._timelines.of(track_id)
        listener = self._listener(track)
        total = rescale(timeline.length_samples, RATE_HZ, SPEECH_HZ)
        known = total if is_final else max(0, total - 2 * ns_to_samples(CONTEXT_NS, SPEECH_HZ))
        did = False
        if listener.engine == NO_ENGINE:
            self._skip(track, known)
        else:
            sound = Sound(timeline, self._pcm)
            cursor = self._begin(track_id, sound, listener)
            turn = Turn(self._stopping.is_set, TURN_S)
            while cursor < known:
                if turn.is_over():
                    return not self._stopping.is_set()
                until = min(known, cursor + STEP)
                is_last = is_final and until == known
                after = self._step(track, timeline, sound, listener, cursor, until, is_final=is_last)
                if after is None:
                    return not self._stopping.is_set()  # the track changed: the next run begins where it must
                did |= after > cursor
                if until == known:
                    break
                cursor = after
        return self._settle(track, is_final) or did

    def _listener(self, track: Track) -> Listener:
        """Who hears a track: once it is begun it stays with its engine and language, whatever is set meanwhile."""
        if track.speech_engine is not None:
            return Listener(engine=track.speech_engine, language=track.speech_language)
        engine = self._default_engine()
        return Listener(engine=engine, language=self._language_for(engine))

    def _begin(self, track_id: str, sound: Sound, listener: Listener) -> int:
        """The cursor to go on from: behind what was heard, before what has changed."""
        with self._store.db.write() as c:
            track = tracks.get_track(c, track_id)
            cursor = track.speech_cursor
            stale = [] if track.speech_stale_from is None else [track.speech_stale_from]
            first = segments.waiting_for_speech(c, track_id, limit=1)
            placed = first[0].placed() if first else None
            if placed is not None and ns_to_samples(placed.end_ns, SPEECH_HZ) <= cursor:
                stale.append(ns_to_samples(placed.start_ns, SPEECH_HZ))  # it is to be heard again
            if stale:
                cuts = [Cut(start=s.start, end=s.end) for s in utterances.list_spoken(c, track_id)]
                cutter = Cutter(sound.read, self._worker.speech_probabilities)  # rewinding asks neither
                cursor = min(cursor, cutter.rewind(cuts, min(stale)))
            tracks.update_track(
                c,
                track_id,
                speech_engine=listener.engine,
                speech_language=listener.language,
                speech_cursor=cursor,
                speech_stale_from=None,
                speech_known=cursor,
            )
        return cursor

    def _step(
        self,
        track: Track,
        timeline: Timeline,
        sound: Sound,
        listener: Listener,
        cursor: int,
        until: int,
        *,
        is_final: bool,
    ) -> int | None:
        """Cut and recognise [cursor, until); returns the cursor after it, or None if the track has changed."""
        with self._store.db.write() as c:  # from here on a change before `until` is noted as one
            if tracks.get_track(c, track.id).speech_stale_from is not None:
                return None
            tracks.update_track(c, track.id, speech_known=until)
        info = self._worker.info(listener.engine)
        deaths = Deaths(self._store, timeline, track.id)
        detector = CarefulDetector(sound.read, self._worker.speech_probabilities, deaths, self._stopping)
        cuts, after = Cutter(detector.read, detector.rate).cut(cursor, until, is_final)
        heard = []
        for cut in cuts:
            if self._stopping.is_set() or self._is_overtaken(track, listener):
                return None
            heard.append(self._hear(track, listener, info.model, cut, sound.read(cut.start, cut.end), deaths))
        if self._stopping.is_set():
            return None
        with self._store.db.write() as c:
            if self._is_overtaken_in(c, track, listener):
                return None
            session = sessions.get_session(c, track.session_id)
            entries = self._write(c, session, track, timeline, info, heard, cursor, None if is_final else after)
            tracks.update_track(c, track.id, speech_cursor=after)
            self._mark(c, track, timeline, until if is_final else after, heard)
        for entry in entries:
            self._store.bus.publish("new_transcript", track.session_id, entry_id=entry.id)
        return after

    def _is_overtaken(self, track: Track, listener: Listener) -> bool:
        """Whether what a step would make is no longer wanted: the track changed, or somebody else is to hear it."""
        with self._store.db.read() as c:
            return self._is_overtaken_in(c, track, listener)

    def _is_overtaken_in(self, c: Connection, track: Track, listener: Listener) -> bool:
        now = tracks.find_track(c, track.id)
        return now is None or now.speech_stale_from is not None or not listener.hears(now)

    def _hear(
        self, track: Track, listener: Listener, model: str, cut: Cut, pcm: NDArray[np.int16], deaths: Deaths
    ) -> Heard:
        """What the engine hears in an utterance: from memory, if it has heard the same samples before."""
        key = listener.key(model, pcm)
        with self._store.db.read() as c:
            found = transcript.find_recognition(c, key)
        if found is not None:
            text, words, confidence = found
            return Heard(cut=cut, key=key, recognition=Recognition(text=text, words=words, confidence=confidence))
        kills = deaths.kills(cut.start, cut.end)
        for pause_s in (*BACK_OFF_S, None):
            if kills >= MAX_KILLS:
                return Heard(cut=cut, key=key, recognition=None, error=recognisers_died(kills))
            try:
                result = self._worker.recognise(listener.engine, pcm, listener.language)
                break
            except EngineError as error:
                if error.code == "engine_unavailable":
                    raise
                if error.died and not self._stopping.is_set():
                    kills = deaths.count(cut.start, cut.end)
                if kills >= MAX_KILLS:
                    error = recognisers_died(kills)
                if pause_s is None or not error.is_retryable or self._stopping.wait(pause_s):
                    return Heard(cut=cut, key=key, recognition=None, error=error)
        cost = self._prices.of(listener.engine, samples_to_ns(len(pcm), SPEECH_HZ))
        with self._store.db.write() as c:
            transcript.insert_recognition(c, key, track.session_id, result.text, result.words, result.confidence)
            if cost:
                sessions.add_cost(c, track.session_id, cost)
                jobs.add_cost(c, track.session_id, cost)
        return Heard(cut=cut, key=key, recognition=result)

    def _write(
        self,
        c: Connection,
        session: Session,
        track: Track,
        timeline: Timeline,
        info: EngineInfo,
        heard: Sequence[Heard],
        cursor: int,
        until: int | None,
    ) -> list[Entry]:
        """Put what was heard in [cursor, until) in place of what stood there; what people changed stays.

        An entry that somebody corrected may stand where nothing was heard any more: it is found by its time.
        """
        keys = {s.entry_id: s.key for s in utterances.list_spoken(c, track.id, cursor, until)}
        from_ms = samples_to_ms(cursor, SPEECH_HZ)
        until_ms = None if until is None else samples_to_ms(until, SPEECH_HZ)
        standing = {e.id: e for e in transcript.entries_heard(c, track.id, from_ms, until_ms)}
        spoken, entries = [], []
        for one in heard:
            entry = _entry(session, track, timeline, info, one, self._store.now_ms())
            if entry is not None:
                entry = standing.get(entry.id) or _with_changes(entry, _counterpart(entry, one.key, standing, keys))
                entries.append(entry)
            spoken.append(
                Spoken(start=one.cut.start, end=one.cut.end, key=one.key, entry_id=entry.id if entry else None)
            )
        fresh = {entry.id for entry in entries}
        texts = {entry.text for entry in entries if entry.corrected}
        gone = [e.id for e in standing.values() if e.id not in fresh and not (e.corrected and e.text not in texts)]
        transcript.delete_entries(c, gone)
        entries = [entry for entry in entries if entry.id not in standing]
        transcript.insert_entries(c, entries)
        utterances.replace_spoken(c, track.id, cursor, until, spoken)
        return entries

    def _mark(self, c: Connection, track: Track, timeline: Timeline, until: int, heard: Sequence[Heard]) -> None:
        """Segments that were heard to their end are done; those with an utterance that could not be heard failed."""
        failed = [one for one in heard if one.error is not None]
        behind = timeline.index_behind(samples_to_ns(until, SPEECH_HZ) + NS_PER_MS)  # whatever is rounded
        for segment in segments.waiting_for_speech(c, track.id, until=behind):
            placed = segment.placed()
            if placed is None:
                continue
            start, end = ns_to_samples(placed.start_ns, SPEECH_HZ), ns_to_samples(placed.end_ns, SPEECH_HZ)
            is_set_aside = segment.kills >= MAX_KILLS
            error = next((f.error for f in failed if f.cut.start < end and f.cut.end > start), None)
            if error is not None and error.code == "segment_set_aside" and not is_set_aside:
                error = None  # its neighbour is the culprit
            if error is None and is_set_aside and end <= until:
                error = recognisers_died(segment.kills)  # the detector died of it
            if error is not None:
                segments.update_segment(
                    c,
                    segment,
                    speech=LaneStatus.FAILED,
                    attempts=len(BACK_OFF_S) + 1,
                    error_code=error.code,
                    error_detail=error.detail,
                )
            elif end <= until:
                segments.update_segment(c, segment, speech=LaneStatus.DONE)

    def _skip(self, track: Track, known: int) -> None:
        """No engine is wanted: the segments are done as they are."""
        with self._store.db.write() as c:
            for segment in segments.waiting_for_speech(c, track.id):
                segments.update_segment(c, segment, speech=LaneStatus.DONE)
            tracks.update_track(
                c,
                track.id,
                speech_engine=NO_ENGINE,
                speech_cursor=known,
                speech_known=known,
                speech_stale_from=None,
            )

    def _settle(self, track: Track, is_final: bool) -> bool:
        """If nothing else came meanwhile, the lane rests; returns whether the transcript is whole now."""
        if self._stopping.is_set():
            return False
        with self._store.db.write() as c:
            now = tracks.find_track(c, track.id)
            if now is None or now.speech_stale_from is not None or now.length_ns != track.length_ns:
                return False
            if segments.first_pending(c, track.id, "media") is not None or now.is_ended != track.is_ended:
                return False
            if is_final and segments.first_pending(c, track.id, "speech") is not None:
                return False
            tracks.update_track(c, track.id, speech_settled=True)
        return is_final


def _entry(
    session: Session, track: Track, timeline: Timeline, info: EngineInfo, heard: Heard, at_ms: int
) -> Entry | None:
    """What was heard as an entry; None when nothing was understood. The same utterance always gets the same id."""
    recognition = heard.recognition
    if recognition is None or not recognition.text:
        return None
    start_ms, end_ms = samples_to_ms(heard.cut.start, SPEECH_HZ), rescale(heard.cut.end, SPEECH_HZ, 1000)
    inside = timeline.around(ms_to_ns(start_ms), ms_to_ns(end_ms))
    indexes = [p.index for p in inside if p.start_ns < ms_to_ns(end_ms) and p.end_ns > ms_to_ns(start_ms)]
    return Entry(
        id=stable_id(track.id, heard.key, str(heard.cut.start)),
        session_id=session.id,
        track_id=track.id,
        speaker=speaker_of(session, track),
        text=recognition.text,
        start_ms=start_ms,
        end_ms=end_ms,
        at_ms=at_ms,
        segments=(min(indexes), max(indexes)) if indexes else None,
        engine=info.name,
        model=info.model,
        is_draft=info.is_draft,
        confidence=recognition.confidence,
        words=tuple(
            replace(w, start_ms=start_ms + w.start_ms, end_ms=start_ms + w.end_ms) for w in recognition.words
        ),
    )  # fmt: skip


def _counterpart(entry: Entry, key: str, standing: Mapping[str, Entry], keys: Mapping[str | None, str]) -> Entry | None:
    """The entry that stood where something is heard now: of the same sound, else of most of the same time."""
    same = [one for one in standing.values() if keys.get(one.id) == key]
    if same:
        return min(same, key=lambda one: abs(one.start_ms - entry.start_ms))
    for one in standing.values():
        shared = min(one.end_ms, entry.end_ms) - max(one.start_ms, entry.start_ms)
        if 2 * shared > max(one.end_ms - one.start_ms, entry.end_ms - entry.start_ms):
            return one
    return None


def _with_changes(entry: Entry, before: Entry | None) -> Entry:
    """An entry with what people changed of the one before it."""
    if before is None:
        return entry
    if before.corrected:
        entry = replace(entry, text=before.text, corrected=True)
    return replace(entry, speaker=before.speaker)


def stable_id(*parts: str) -> str:
    """A UUID that is the same for the same parts; as unguessable as they are."""
    digest = hashlib.sha256("\n".join(parts).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
