"""Answers to requests that carried an Idempotency-Key, so that sending one again changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from longtake.storage.tables_folder import requests

KEPT_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request, as the digest of all it said, and what it was answered."""

    key: str
    fingerprint: str
    status: int
    body: bytes
    at_ms: int


def find_answer(c: Connection, key: str) -> Answered | None:
    """What was answered under a key, or None."""
    row = c.execute(select(requests).where(requests.c.key == key)).one_or_none()
    if row is None:
        return None
    return Answered(key=row.key, fingerprint=row.fingerprint, status=row.status, body=row.body, at_ms=row.at_ms)


def forget_answers(c: Connection, now_ms: int) -> int:
    """Forget the answers that are too old; returns how many."""
    return c.execute(delete(requests).where(requests.c.at_ms < now_ms - KEPT_MS)).rowcount


def insert_answer(c: Connection, answered: Answered) -> None:
    """Remember an answer."""
    c.execute(
        insert(requests).values(
            key=answered.key,
            fingerprint=answered.fingerprint,
            status=answered.status,
            body=answered.body,
            at_ms=answered.at_ms,
        )
    )
