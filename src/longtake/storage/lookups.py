"""What lists, searches and figures look up, kept in step with the rows that it follows from, by triggers.

A trigger sees every change, whoever makes it, in the transaction that makes it: what is looked up never drifts. All of
it can be made anew from the rows (`rebuild`), and is, whenever the triggers that stand in a database are not these.

    sessions.processing, .length_ns   from tracks and the newest job, as `model.session.processing_status` says
    session_words                     tags, topics, participants, devices → sessions, in the order of lists
    search_texts → search_index       every text that can be found, under a key that stays → full text (FTS5)
    tallies                           sessions by state and processing with their length; jobs; bytes; tags, topics

Tallies of sessions and words leave the trash out. Belongs here: what is derived, for SQLite. Does not: finding
(`storage.catalog.library`, `storage.search`).
"""

from __future__ import annotations

from sqlalchemy import Connection, delete
from sqlalchemy.exc import DatabaseError

from longtake.storage.tables_lookups import search_texts, session_words, tallies
from longtake.storage.triggers import (
    ENTRY_TEXT,
    INDEX,
    INDEX_SQL,
    LENGTH,
    MADE_TEXTS,
    MARKER_TEXT,
    PROCESSING,
    SESSION_TEXT,
    TAGS,
    TALLIED,
    TEXT_COLUMNS,
    TOPICS,
    TRIGGERS,
    WHO,
    WRITTEN_TEXT,
)


def ensure(c: Connection) -> None:
    """Within a transaction: have the triggers and the index stand; if they did not, make all that is derived anew."""
    rows = c.exec_driver_sql(
        f"SELECT name, sql FROM sqlite_master WHERE name LIKE 'tr\\_%' ESCAPE '\\' OR name = '{INDEX}'"
    )
    standing = {str(name): str(sql) for name, sql in rows}
    if standing == {**TRIGGERS, INDEX: INDEX_SQL}:
        return
    for name in standing:
        if name != INDEX:
            c.exec_driver_sql(f'DROP TRIGGER "{name}"')
    c.exec_driver_sql(f"DROP TABLE IF EXISTS {INDEX}")
    _derive(c)
    c.exec_driver_sql(INDEX_SQL)
    c.exec_driver_sql(f"INSERT INTO {INDEX} ({INDEX}) VALUES ('rebuild')")
    for statement in TRIGGERS.values():
        c.exec_driver_sql(statement)


def rebuild(c: Connection) -> None:
    """Within a transaction: make all that is derived anew from the rows."""
    for name in TRIGGERS:
        c.exec_driver_sql(f'DROP TRIGGER IF EXISTS "{name}"')
    ensure(c)


def is_in_step(c: Connection) -> bool:
    """Whether the index holds what the texts say (the rest is compared by tests)."""
    try:
        c.exec_driver_sql(f"INSERT INTO {INDEX} ({INDEX}, rank) VALUES ('integrity-check', 1)")
    except DatabaseError:
        return False
    return True


def _derive(c: Connection) -> None:
    """Fill columns and tables, without triggers."""
    columns = f"processing = {PROCESSING}, length_ns = {LENGTH}".format(session="sessions.id")
    c.exec_driver_sql(f"UPDATE sessions SET {columns}")
    for table in (session_words, search_texts, tallies):
        c.execute(delete(table))
    for source in (TOPICS, TAGS, WHO.format("")):
        c.exec_driver_sql(f"INSERT OR IGNORE INTO session_words (kind, word, created_at_ms, session_id) {source}")
    for texts in (SESSION_TEXT, ENTRY_TEXT, MARKER_TEXT, WRITTEN_TEXT, *MADE_TEXTS):
        c.exec_driver_sql(f"INSERT INTO search_texts {TEXT_COLUMNS} {texts}")
    for kind, word, total, source in (
        ("'session'", "state || ' ' || processing", "sum(length_ns)", "sessions WHERE trashed_at_ms IS NULL"),
        ("'job'", "status", "0", "jobs"),
        ("'bytes'", "store", "sum(size_bytes)", "blobs"),
        (
            "kind",
            "word",
            "0",
            f"session_words WHERE {TALLIED} "
            "AND session_id NOT IN (SELECT id FROM sessions WHERE trashed_at_ms IS NOT NULL)",
        ),
    ):
        c.exec_driver_sql(
            f"INSERT INTO tallies (kind, word, count, total) SELECT {kind}, {word}, count(*), {total} FROM {source} "
            "GROUP BY 1, 2"
        )
