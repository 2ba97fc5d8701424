"""The tables of what people add to a session while or after it is recorded."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text

from longtake.storage.tables import ID, MS, metadata

phase_changes = Table(
    "phase_changes",
    metadata,
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("phase", Text),  # null: none any more
    Column("at_ms", MS, nullable=False),
    Column("start_ms", MS, nullable=False),  # on the session's media timeline
    Column("actor", Text, nullable=False),
)

markers = Table(
    "markers",
    metadata,
    Column("id", ID, primary_key=True),
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("start_ms", MS, nullable=False),  # on the session's media timeline
    Column("label", Text),
    Column("author", Text, nullable=False),
    Column("created_at_ms", MS, nullable=False),
    Index("ix_markers_order", "session_id", "start_ms", "id"),
)

summaries = Table(
    "summaries",  # what somebody wrote; what is made by longtake stands in outlines
    metadata,
    Column("session_id", ID, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("text", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("written_at_ms", MS, nullable=False),
)
