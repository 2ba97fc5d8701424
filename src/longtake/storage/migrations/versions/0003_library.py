"""What lists and searches look up: columns, words, texts, tallies. What keeps them in step is in `storage.lookups`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("processing", sa.String(length=24), server_default=sa.text("'completed'"), nullable=False)
        )
        batch_op.add_column(sa.Column("length_ns", sa.BigInteger(), server_default="0", nullable=False))
        batch_op.drop_index("ix_sessions_device_id")
        batch_op.create_index("ix_sessions_device", ["device_id", "created_at_ms", "id"], unique=False)
        batch_op.create_index("ix_sessions_owner", ["owner_id", "created_at_ms", "id"], unique=False)
        batch_op.create_index("ix_sessions_processing", ["processing", "created_at_ms", "id"], unique=False)
        batch_op.create_index("ix_sessions_length", ["length_ns", "id"], unique=False)
        batch_op.create_index("ix_sessions_title", ["title", "id"], unique=False)
        batch_op.create_index(
            "ix_sessions_trashed",
            ["created_at_ms", "id"],
            unique=False,
            sqlite_where=sa.text("trashed_at_ms IS NOT NULL"),
            postgresql_where=sa.text("trashed_at_ms IS NOT NULL"),
        )

    with op.batch_alter_table("segments", schema=None) as batch_op:
        batch_op.create_index(
            "ix_segments_failed",
            ["track_id", "number"],
            unique=False,
            sqlite_where=sa.text("status = 'failed'"),
            postgresql_where=sa.text("status = 'failed'"),
        )

    op.create_table(
        "session_words",
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("kind", "word", "created_at_ms", "session_id", name=op.f("pk_session_words")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("session_words", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_session_words_session_id"), ["session_id"], unique=False)

    op.create_table(
        "search_texts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("key", sa.String(length=36), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=True),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_search_texts")),
    )
    with op.batch_alter_table("search_texts", schema=None) as batch_op:
        batch_op.create_index("uq_search_texts_source", ["session_id", "kind", "key"], unique=True)

    op.create_table(
        "tallies",
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("word", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "word", name=op.f("pk_tallies")),
        sqlite_with_rowid=False,
    )
