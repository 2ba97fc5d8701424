"""Full text over everything that can be read; tags and topics with their counts."""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import APIRouter, Query

from longtake.server.api.common import READ, Cursor, Limit, problems
from longtake.server.routing import ApiRoute, Run
from longtake.storage import search
from longtake.storage.catalog import library
from longtake.storage.catalog.paging import page_of, position
from longtake.wire.base import GivenTime, Page, milliseconds, moment
from longtake.wire.library import HitAnswer, SearchKind, WordAnswer, WordsAnswer

router = APIRouter(route_class=ApiRoute, tags=["library"])

MANY = 500


@router.get("/api/search", dependencies=READ, responses=problems(422))
def search_texts(
    run: Run,
    q: Annotated[str, Query(max_length=search.MAX_QUERY, description='Words, "phrases", beginnings*, -exclusions.')],
    # the framework copies what is given where nothing is asked
    kind: Annotated[
        list[SearchKind], Query(max_length=len(get_args(SearchKind)), description="Only texts of these kinds.")
    ] = [],  # noqa: B006
    session_id: Annotated[str | None, Query(max_length=64, description="Only in this session.")] = None,
    tag: Annotated[list[str], Query(max_length=20, description="Only in sessions with all of these tags.")] = [],  # noqa: B006
    since: Annotated[GivenTime | None, Query(description="Only in sessions created at or after.")] = None,
    until: Annotated[GivenTime | None, Query(description="Only in sessions created before.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[HitAnswer]:
    """Find what was said, titled, described, summarised or marked, the best first.

    All words must stand in one text. Neither case nor accents count. Of texts that fit, the newest 2,000
    are ranked, and the newest 2,000 whose title or label says all of it.
    """
    where = search.Where(
        kinds=kind,
        session_id=session_id,
        tags=tag,
        since_ms=None if since is None else milliseconds(since),
        until_ms=None if until is None else milliseconds(until),
    )
    after = position(cursor, float, int)
    with run.store.db.read() as c:
        found = search.find(c, search.parse(q), where, limit=limit + 1, after=after)
    page, following = page_of(found, limit, lambda one: (one.score, one.id))
    return Page(items=[_hit(one) for one in page], next_cursor=following)


@router.get("/api/tags", dependencies=READ, responses=problems(422))
def list_tags(
    run: Run, limit: Annotated[int, Query(ge=1, le=MANY, description="How many at most.")] = MANY
) -> WordsAnswer:
    """The tags, those of most sessions first."""
    return _words(run, "tag", limit)


@router.get("/api/topics", dependencies=READ, responses=problems(422))
def list_topics(
    run: Run, limit: Annotated[int, Query(ge=1, le=MANY, description="How many at most.")] = MANY
) -> WordsAnswer:
    """The topics, those of most sessions first."""
    return _words(run, "topic", limit)


def _words(run: Run, kind: str, limit: int) -> WordsAnswer:
    with run.store.db.read() as c:
        return WordsAnswer(
            items=[WordAnswer.of(one.word, one.sessions) for one in library.count_words(c, kind, limit=limit)]
        )


def _hit(found: search.Found) -> HitAnswer:
    return HitAnswer.model_validate(
        {
            "session_id": found.session_id,
            "session_title": found.title,
            "session_created_at": moment(found.created_at_ms),
            "kind": found.kind,
            "id": found.key,
            "start_ms": found.start_ms,
            "end_ms": found.end_ms,
            "speaker": found.speaker,
            "track_id": found.track_id,
            "snippet": found.snippet,
            "marks": found.marks,
            "score": -found.score,
        }
    )
