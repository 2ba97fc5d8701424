"""Full text: what people type → hits, best first.

The language is small: words, "phrases", the beginning of a word with `*` behind it, and `-` before what must not be
there. Every word must be in the same text (an entry, a title with its description, a chapter, …); neither case nor
accents count. Belongs here: asking the index. Does not: keeping it (`lookups`).
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, text

from longtake.model.errors import Invalid
from longtake.storage.triggers import INDEX

MAX_QUERY = 500
MAX_TERMS = 32
RANKED = 2000
"""Of the texts that fit, so many of the newest are ranked, and of those that have all of it in their head as many more:
a word that is everywhere tells nothing, and stays quick; but a title that says it is found, however old."""
HEAD_WEIGHT = 4.0
"""A word in a title, a chapter's title or a marker's label counts as much as so many in a text."""
SNIPPET_WORDS = 24
SHORTEST_BEGINNING = 2
ELLIPSIS = "…"
TERM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))(\*?)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What somebody looks for, as the index wants it."""

    match: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which texts may be found; None and empty mean all. Times are those of the sessions' creation."""

    kinds: Sequence[str] = ()
    session_id: str | None = None
    tags: Sequence[str] = ()
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A text that fits, with the session it is of.

    `marks` are the [start, end) of what was looked for, in characters of the snippet; `speaker` and `track_id` are
    known of what was said.
    """

    id: int
    score: float
    session_id: str
    title: str
    created_at_ms: int
    kind: str
    key: str
    start_ms: int | None
    end_ms: int | None
    speaker: str | None
    track_id: str | None
    snippet: str
    marks: tuple[tuple[int, int], ...]


def parse(typed: str) -> Query:
    """Read what somebody typed.

    Raises:
        Invalid: It is too long, or says only what must not be there, or nothing that could be looked for.
    """
    if len(typed) > MAX_QUERY:
        raise Invalid(f"a search has at most {MAX_QUERY} characters")
    wanted: list[str] = []
    unwanted: list[str] = []
    for match in TERM.finditer(_plain(typed)):
        minus, phrase, word, star = match.groups()
        if phrase is None:
            star = "*" if word.endswith("*") else ""
            phrase = word
        if not any(_is_searchable(character) for character in phrase):
            continue
        quoted = '"' + phrase.replace('"', " ") + '"' + (" *" if star and _is_beginning(phrase) else "")
        (unwanted if minus else wanted).append(quoted)
    if len(wanted) + len(unwanted) > MAX_TERMS:
        raise Invalid(f"a search has at most {MAX_TERMS} words and phrases")
    if not wanted:
        raise Invalid("name at least one word to look for")
    match_all = f"({' AND '.join(wanted)})"
    return Query(match=f"{match_all} NOT ({' OR '.join(unwanted)})" if unwanted else match_all)


def find(
    c: Connection, query: Query, where: Where, *, limit: int, after: tuple[float, int] | None = None
) -> list[Found]:
    """The best texts behind a position (score, id), best first; nothing that lies in the trash."""
    conditions, values = _conditions(where)
    score, order = f"bm25({INDEX}, {HEAD_WEIGHT}, 1.0) AS score", f"ORDER BY i.rowid DESC LIMIT {RANKED}"
    fitting = f"FROM {INDEX} i JOIN search_texts t ON t.id = i.rowid WHERE {' AND '.join(conditions)} AND {INDEX} MATCH"
    headed = f"SELECT i.rowid {fitting} :head {order}"
    ranked = (
        f"SELECT * FROM (SELECT i.rowid AS id, {score} {fitting} :match {order}) "
        # the plus: going through all that fit once is quicker than asking the index for each of the headed ones
        f"UNION SELECT i.rowid AS id, {score} {fitting} :match AND +i.rowid IN ({headed})"
    )
    behind = "" if after is None else "WHERE (score, id) > (:score, :after) "
    if after is not None:
        values |= {"score": after[0], "after": after[1]}
    best = c.execute(
        text(f"SELECT id, score FROM ({ranked}) {behind}ORDER BY score, id LIMIT :limit"),
        {"match": query.match, "head": f"{{head}} : ({query.match})", "limit": limit, **values},
    ).all()
    return _described(c, query, best)


def _described(c: Connection, query: Query, best: Sequence[Row[tuple[object, ...]]]) -> list[Found]:
    """Hits with where they belong and a snippet, in the same order."""
    nonce = secrets.token_hex(8)
    opening, closing = f"\x02{nonce}", f"\x03{nonce}"
    statement = text(
        "SELECT t.id, t.session_id, t.kind, t.key, t.start_ms, s.title, s.created_at_ms, "
        "e.end_ms, e.speaker, e.track_id, "
        f"snippet({INDEX}, -1, :opening, :closing, :ellipsis, {SNIPPET_WORDS}) AS snippet "
        f"FROM {INDEX} i JOIN search_texts t ON t.id = i.rowid JOIN sessions s ON s.id = t.session_id "
        "LEFT JOIN entries e ON t.kind = 'entry' AND e.id = t.key "
        f"WHERE {INDEX} MATCH :match AND i.rowid = :id"
    )
    found = []
    for one in best:
        values = {"opening": opening, "closing": closing, "ellipsis": ELLIPSIS, "match": query.match, "id": one.id}
        row = c.execute(statement, values).one()
        snippet, marks = _unmarked(row.snippet, opening, closing)
        found.append(
            Found(
                id=row.id,
                score=one.score,
                session_id=row.session_id,
                title=row.title,
                created_at_ms=row.created_at_ms,
                kind=row.kind,
                key=row.key,
                start_ms=row.start_ms,
                end_ms=row.end_ms,
                speaker=row.speaker,
                track_id=row.track_id,
                snippet=snippet,
                marks=marks,
            )
        )
    return found


def _conditions(where: Where) -> tuple[list[str], dict[str, object]]:
    conditions = ["t.session_id NOT IN (SELECT id FROM sessions WHERE trashed_at_ms IS NOT NULL)"]
    values: dict[str, object] = {}
    if where.kinds:
        names = [f":kind{n}" for n in range(len(where.kinds))]
        conditions.append(f"t.kind IN ({', '.join(names)})")
        values |= {name[1:]: kind for name, kind in zip(names, where.kinds, strict=True)}
    if where.session_id is not None:
        # between its first and last text: those of a session come about at one time, and the index seeks by number
        of_session = "(SELECT {}(id) FROM search_texts WHERE session_id = :session)"
        conditions.append("t.session_id = :session")
        conditions.append(f"i.rowid BETWEEN {of_session.format('min')} AND {of_session.format('max')}")
        values["session"] = where.session_id
    for n, tag in enumerate(where.tags):
        conditions.append(
            f"t.session_id IN (SELECT session_id FROM session_words WHERE kind = 'tag' AND word = :tag{n})"
        )
        values[f"tag{n}"] = tag
    if where.since_ms is not None:
        conditions.append("t.at_ms >= :since")
        values["since"] = where.since_ms
    if where.until_ms is not None:
        conditions.append("t.at_ms < :until")
        values["until"] = where.until_ms
    return conditions, values


def _unmarked(snippet: str, opening: str, closing: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """A snippet without its marks, and where they were."""
    before, *marked = snippet.split(opening)
    whole, marks = before, []
    for part in marked:
        inside, _, behind = part.partition(closing)
        marks.append((len(whole), len(whole) + len(inside)))
        whole += inside + behind
    return whole, tuple(marks)


def _plain(typed: str) -> str:
    """What was typed without what no text holds: control characters, halves of pairs."""
    return "".join(" " if unicodedata.category(one) in ("Cc", "Cs") else one for one in typed)


def _is_beginning(phrase: str) -> bool:
    """Whether the last word may stand for all that begin so: one letter is the beginning of everything."""
    last = phrase.rstrip("*")[-SHORTEST_BEGINNING:]
    return len(last) == SHORTEST_BEGINNING and all(_is_searchable(character) for character in last)


def _is_searchable(character: str) -> bool:
    """Whether the index keeps it: letters, digits, private use (as the tokenizer `unicode61` does)."""
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"
