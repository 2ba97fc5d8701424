"""Finding sessions: filters, orders and pages, each by an index; tags and topics with their counts.

A page is found by the column or word that narrows most, in the order of the list, and every other filter is asked of
the rows that this gives. Belongs here: which sessions. Does not: what stands in them (`sessions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, func, select, text, tuple_, union_all

from longtake.model.errors import Invalid
from longtake.model.lifecycle import RECORDING, SessionState
from longtake.model.session import ProcessingStatus, Session
from longtake.storage.catalog.paging import LAST, page_of, position
from longtake.storage.catalog.sessions import get_sessions
from longtake.storage.search import Query
from longtake.storage.tables import sessions
from longtake.storage.tables_lookups import session_words, tallies
from longtake.storage.triggers import INDEX, TALLIED_KINDS

LISTED_IDS = 500
"""Of all sessions that fit, so many ids are told at once."""
COUNTED = 3000
"""Of a word's sessions, so many are counted to see which word is rare."""

HITS = (
    f"sessions.id IN (SELECT t.session_id FROM {INDEX} i JOIN search_texts t ON t.id = i.rowid "  # noqa: S608 - a constant
    f"WHERE {INDEX} MATCH :match)"
)


class Sort(StrEnum):
    """The order of a list; `-` is downwards. Sessions of the same value are ordered by id."""

    NEWEST = "-created_at"
    OLDEST = "created_at"
    TITLE = "title"
    TITLE_DOWN = "-title"
    SHORTEST = "duration"
    LONGEST = "-duration"


COLUMNS = {"created_at": sessions.c.created_at_ms, "title": sessions.c.title, "duration": sessions.c.length_ns}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which sessions are meant: those that fit in every way; empty means all that are not in the trash.

    `participant` is a name or an id; `device_id` created it, records for a participant or records a track; `id_prefix`
    is how the session's id begins; `query` what one of its texts says.
    """

    states: Sequence[SessionState] = ()
    processing: Sequence[ProcessingStatus] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    tag: str | None = None
    topic: str | None = None
    device_id: str | None = None
    owner_id: str | None = None
    participant: str | None = None
    id_prefix: str | None = None
    query: Query | None = None
    in_trash: bool = False

    @property
    def words(self) -> dict[str, str]:
        """Those of its parts that are words: kind → word."""
        words = {"device": self.device_id, "participant": self.participant, "tag": self.tag, "topic": self.topic}
        return {kind: word for kind, word in words.items() if word is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class WordCount:
    """A tag or topic, and how many sessions have it, the trash apart."""

    word: str
    sessions: int


def list_sessions(
    c: Connection, wanted: Filter, *, sort: Sort = Sort.NEWEST, limit: int, cursor: str | None = None
) -> tuple[list[Session], str | None]:
    """A page of sessions, and where the next page begins."""
    name, down = sort.removeprefix("-"), sort.startswith("-")
    said, *after = position(cursor, str, str if name == "title" else int, str) or (sort,)
    if said != sort:
        raise Invalid("the cursor belongs to a list in another order")
    rows = _page(c, wanted, name, down=down, after=tuple(after), limit=limit + 1)
    page, following = page_of(rows, limit, lambda row: (sort.value, *row))
    return get_sessions(c, [key for _, key in page]), following


def list_ids(c: Connection, wanted: Filter, *, limit: int = LISTED_IDS) -> list[str]:
    """The ids of the newest sessions that fit."""
    return [key for _, key in _page(c, wanted, "created_at", down=True, after=(), limit=limit)]


def count_active(c: Connection, wanted: Filter) -> int:
    """How many of the sessions that fit are being recorded."""
    states = [state for state in RECORDING if not wanted.states or state in wanted.states]
    if not states:
        return 0
    plain = replace(wanted, states=(), processing=()) == Filter()
    wanted = replace(wanted, states=states)
    if plain:
        return _count_alike(c, wanted)
    driver = _driver(c, wanted, is_sorted=True)
    query = select(func.count())
    if driver is None:
        query = query.select_from(sessions).where(*_conditions(wanted, are_few=True))
    else:
        query = query.select_from(session_words.join(sessions, sessions.c.id == session_words.c.session_id))
        word = (session_words.c.kind == driver, session_words.c.word == wanted.words[driver])
        query = query.where(*word, *_conditions(wanted, session_words.c.created_at_ms, driver))
    return int(c.execute(query, _values(wanted)).scalar_one())


def count_words(c: Connection, kind: str, *, limit: int) -> list[WordCount]:
    """The tags ("tag") or topics ("topic") of most sessions."""
    query = select(tallies.c.word, tallies.c.count).where(tallies.c.kind == kind, tallies.c.count > 0)
    rows = c.execute(query.order_by(tallies.c.count.desc(), tallies.c.word).limit(limit))
    return [WordCount(word=word, sessions=count) for word, count in rows]


def _page(
    c: Connection, wanted: Filter, name: str, *, down: bool, after: tuple[object, ...], limit: int
) -> list[tuple[Any, str]]:
    """(value of the order, id) of a page. Where several values are wanted of one column, each has a list of its own."""
    driver = _driver(c, wanted, is_sorted=name == "created_at")
    parts: list[Filter] = [wanted]
    if name == "created_at" and driver is None:
        if len(wanted.processing) > 1:
            parts = [replace(wanted, processing=[one]) for one in dict.fromkeys(wanted.processing)]
        elif len(wanted.states) > 1 and not wanted.processing:
            parts = [replace(wanted, states=[one]) for one in dict.fromkeys(wanted.states)]
    selects = [_select(part, name, driver, down=down, after=after, limit=limit) for part in parts]
    if len(selects) == 1:
        return [(value, key) for value, key in c.execute(selects[0], _values(wanted)).all()]
    whole = union_all(*(select(one.subquery()) for one in selects)).subquery()
    value, key = whole.c.value, whole.c.id
    order = (value.desc(), key.desc()) if down else (value, key)
    found = c.execute(select(value, key).order_by(*order).limit(limit), _values(wanted)).all()
    return [(row[0], row[1]) for row in found]


def _select(
    wanted: Filter,
    name: str,
    driver: str | None,
    *,
    down: bool,
    after: tuple[object, ...],
    limit: int,
) -> Select[Any]:
    if driver is None:
        value, key = COLUMNS[name], sessions.c.id
        query = select(value.label("value"), key.label("id"))
    else:  # the words of a kind stand in the order of a list by age
        value = session_words.c.created_at_ms if name == "created_at" else COLUMNS[name]
        key = session_words.c.session_id
        query = select(value.label("value"), key.label("id")).select_from(
            session_words.join(sessions, sessions.c.id == session_words.c.session_id)
        )
        query = query.where(session_words.c.kind == driver, session_words.c.word == wanted.words[driver])
    query = query.where(*_conditions(wanted, value if name == "created_at" else None, driver))
    if after:
        here, there = tuple_(value, key), tuple_(*after)
        query = query.where(here < there if down else here > there)
    return query.order_by(*((value.desc(), key.desc()) if down else (value, key))).limit(limit)


def _driver(c: Connection, wanted: Filter, *, is_sorted: bool) -> str | None:
    """The kind of word by which a page is found; None where an index of the sessions' own narrows more.

    Args:
        c: To count with.
        wanted: What is looked for.
        is_sorted: Whether words stand in the order of the list: else only a rare one is worth sorting what it gives.
    """
    if not wanted.words or wanted.in_trash:
        return None
    counts = {kind: _count_word(c, kind, word) for kind, word in wanted.words.items()}
    rarest = min(counts, key=lambda kind: counts[kind])
    if not is_sorted:
        return rarest if counts[rarest] < COUNTED else None
    if wanted.processing:  # which then comes before the state
        wanted = replace(wanted, states=())
    is_narrower = (wanted.states or wanted.processing) and _count_alike(c, wanted) < counts[rarest]
    return None if is_narrower else rarest


def _count_word(c: Connection, kind: str, word: str) -> int:
    """How many sessions have a word: from the tallies where they have it, else counted as far as it matters."""
    if kind in TALLIED_KINDS:
        tallied = select(tallies.c.count).where(tallies.c.kind == kind, tallies.c.word == word)
        return int(c.execute(tallied).scalar() or 0)
    some = select(session_words.c.session_id).where(session_words.c.kind == kind, session_words.c.word == word)
    return int(c.execute(select(func.count()).select_from(some.limit(COUNTED).subquery())).scalar_one())


def _count_alike(c: Connection, wanted: Filter) -> int:
    """How many sessions have these states and processing statuses, whatever else is wanted: from the tallies."""
    count = 0
    for word, some in c.execute(select(tallies.c.word, tallies.c.count).where(tallies.c.kind == "session")):
        state, _, processing = word.partition(" ")
        fits = (not wanted.states or state in wanted.states) and (
            not wanted.processing or processing in wanted.processing
        )
        count += some if fits else 0
    return count


def _conditions(
    wanted: Filter, created: ColumnElement[Any] | None = None, driver: str | None = None, *, are_few: bool = False
) -> list[ColumnElement[bool]]:
    trashed = sessions.c.trashed_at_ms
    created = sessions.c.created_at_ms if created is None else created
    conditions: list[ColumnElement[bool]] = [trashed.is_not(None) if wanted.in_trash else trashed.is_(None)]
    if wanted.in_trash:
        conditions.append(sessions.c.purged_at_ms.is_(None))
    if wanted.states:
        conditions.append(sessions.c.state.in_(wanted.states))
    if wanted.processing:
        conditions.append(sessions.c.processing.in_(wanted.processing))
    if wanted.since_ms is not None:
        conditions.append(created >= wanted.since_ms)
    if wanted.until_ms is not None:
        conditions.append(created < wanted.until_ms)
    if wanted.owner_id is not None:  # of few rows it is asked one by one: its own index would give many
        owner = func.coalesce(sessions.c.owner_id, "") if are_few else sessions.c.owner_id
        conditions.append(owner == wanted.owner_id)
    if wanted.id_prefix is not None:
        conditions.append(and_(sessions.c.id >= wanted.id_prefix, sessions.c.id < wanted.id_prefix + LAST))
    if wanted.query is not None:
        conditions.append(and_(text(HITS)))
    for kind, word in wanted.words.items():
        if kind == driver:
            continue
        other = session_words.alias(f"other_{kind}")
        conditions.append(
            exists().where(
                other.c.kind == kind,
                other.c.word == word,
                other.c.created_at_ms == sessions.c.created_at_ms,
                other.c.session_id == sessions.c.id,
            )
        )
    return conditions


def _values(wanted: Filter) -> dict[str, object]:
    return {} if wanted.query is None else {"match": wanted.query.match}
