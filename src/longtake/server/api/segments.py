"""Segments: list, one. Their bytes come and go in `server.streams`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from fastapi import APIRouter

from longtake.model.session import LaneStatus, Segment
from longtake.model.transcript import Entry, Word
from longtake.runtime import Runtime
from longtake.server.api.common import READ, Cursor, Index, Limit, SessionId, TrackId, problems
from longtake.server.routing import ApiRoute, Run
from longtake.storage.catalog import transcript
from longtake.wire.base import Page
from longtake.wire.tracks import SegmentAnswer

router = APIRouter(route_class=ApiRoute, tags=["segments"])


@router.get("/api/sessions/{session_id}/segments", dependencies=READ, responses=problems(404, 422))
def list_segments(session_id: SessionId, run: Run, limit: Limit = 50, cursor: Cursor = None) -> Page[SegmentAnswer]:
    """The segments of all tracks, by track and index."""
    page, following = run.sessions.segments(session_id, limit=limit, cursor=cursor)
    return Page(items=_answers(run, page), next_cursor=following)


@router.get("/api/sessions/{session_id}/tracks/{track_id}/segments/{index}", dependencies=READ, responses=problems(404))
def get_segment(session_id: SessionId, track_id: TrackId, index: Index, run: Run) -> SegmentAnswer:
    """One segment."""
    return _answers(run, [run.sessions.segment(session_id, track_id, index)])[0]


def _answers(run: Runtime, page: Sequence[Segment]) -> list[SegmentAnswer]:
    """Segments with the words that were heard in each."""
    spans: dict[str, list[int]] = {}
    for one in page:
        spans.setdefault(one.track_id, []).append(one.index)
    words: dict[str, list[Word]] = {}
    with run.store.db.read() as c:
        for track_id, indices in spans.items():
            heard = transcript.entries_of_segments(c, track_id, min(indices), max(indices))
            words[track_id] = [word for entry in heard for word in _words(entry)]
    return [SegmentAnswer.of(one, _said(one, words[one.track_id])) for one in page]


def _words(entry: Entry) -> Sequence[Word]:
    """The words of an entry; a person's correction counts as one, as nobody knows when its words were said."""
    if not entry.corrected:
        return entry.words
    return [Word(text=entry.text, start_ms=entry.start_ms, end_ms=entry.end_ms)]


def _said(segment: Segment, words: Sequence[Word]) -> str | None:
    """The words whose middle lies in the segment; None while nothing was heard."""
    placed = segment.placed()
    if placed is None or segment.speech is not LaneStatus.DONE:
        return None
    start_ms, end_ms = placed.start_ns // 1_000_000, placed.end_ns // 1_000_000
    first = bisect_left(words, start_ms, key=_middle_ms)
    last = bisect_left(words, end_ms, key=_middle_ms)
    return " ".join(word.text for word in words[first:last])


def _middle_ms(word: Word) -> int:
    return (word.start_ms + word.end_ms) // 2
