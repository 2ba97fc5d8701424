"""The tables of the folder itself: which answers are remembered, how far the database is."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String, Table

from longtake.storage.tables import DIGEST, MS, metadata

watermark = Table(
    "watermark",  # how many transactions went with an append to the packs
    metadata,
    Column("id", Integer, primary_key=True),  # 1
    Column("commits", BigInteger, nullable=False),
    Column("last_pack", BigInteger, nullable=False),  # the highest number that a pack was given
)

requests = Table(
    "requests",  # answers to POSTs that carried an Idempotency-Key
    metadata,
    Column("key", String(300), primary_key=True),
    Column("fingerprint", DIGEST, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at_ms", MS, nullable=False, index=True),
)
