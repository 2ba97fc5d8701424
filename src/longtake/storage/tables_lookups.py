"""The tables of what follows from other rows; `lookups` keeps them in step, and says what of what."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from longtake.storage.tables import ID, MS, metadata

session_words = Table(
    "session_words",  # by which sessions are found
    metadata,
    Column("kind", String(12), primary_key=True),  # tag, topic, participant (name or id) or device
    Column("word", Text, primary_key=True),
    Column("created_at_ms", MS, primary_key=True),  # of the session: a list reads a word's sessions in order
    Column("session_id", ID, primary_key=True, index=True),
    sqlite_with_rowid=False,
)

search_texts = Table(
    "search_texts",  # what the full-text index holds, under keys that stay
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", ID, nullable=False),
    Column("kind", String(12), nullable=False),
    Column("key", String(36), nullable=False),  # of the row it comes from, or its number in it
    Column("at_ms", MS, nullable=False),  # when the session was created
    Column("start_ms", MS),  # on the session's media timeline
    Column("head", Text, nullable=False),  # titles and labels, which count more
    Column("body", Text, nullable=False),
    Index("uq_search_texts_source", "session_id", "kind", "key", unique=True),
)

tallies = Table(
    "tallies",  # counts and sums over everything
    metadata,
    Column("kind", String(12), primary_key=True),
    Column("word", Text, primary_key=True),
    Column("count", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
