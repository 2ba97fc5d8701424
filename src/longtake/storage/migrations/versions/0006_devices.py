"""Sessions are found by their devices as by other words: the index over one column goes."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_sessions_device", table_name="sessions")
