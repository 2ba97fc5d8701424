"""Attachments, poison segments, heartbeats; markers, phases and summaries."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:

    op.create_table(
        "markers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_markers_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_markers")),
    )
    with op.batch_alter_table("markers", schema=None) as batch_op:
        batch_op.create_index("ix_markers_order", ["session_id", "start_ms", "id"], unique=False)

    op.create_table(
        "phase_changes",
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_phase_changes_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", "number", name=op.f("pk_phase_changes")),
    )
    op.create_table(
        "summaries",
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("written_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_summaries_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_summaries")),
    )
    with op.batch_alter_table("blobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("orphaned_at_ms", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("accessed_at_ms", sa.BigInteger(), nullable=True))
        batch_op.create_index(
            "ix_blobs_orphaned",
            ["orphaned_at_ms"],
            unique=False,
            sqlite_where=sa.text("orphaned_at_ms IS NOT NULL"),
            postgresql_where=sa.text("orphaned_at_ms IS NOT NULL"),
        )
    # when their last reference went was not noted: their time of grace begins now
    at_ms = time.time_ns() // 1_000_000
    op.execute(sa.text("UPDATE blobs SET orphaned_at_ms = :at_ms WHERE ref_count = 0").bindparams(at_ms=at_ms))

    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("purged_at_ms", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("audio_deleted_at_ms", sa.BigInteger(), nullable=True))
        batch_op.create_index(
            "ix_sessions_purged",
            ["purged_at_ms"],
            unique=False,
            sqlite_where=sa.text("purged_at_ms IS NOT NULL"),
            postgresql_where=sa.text("purged_at_ms IS NOT NULL"),
        )

    with op.batch_alter_table("segments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kills", sa.Integer(), server_default="0", nullable=False))
        batch_op.create_index("uq_segments_id", ["id"], unique=True)

    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("recorded_ms", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("active_since_ms", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("cost_usd_micros", sa.BigInteger(), server_default="0", nullable=False))

    with op.batch_alter_table("tracks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("permissions", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("reported_at_ms", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("covered", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("heard_at_ms", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("is_silent", sa.Boolean(), server_default=sa.text("0"), nullable=False))
