"""A library of many sessions for a benchmark: rows as the server would have written them, without their bytes."""

import itertools
import random
import uuid
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, insert

from longtake.storage.database import Database
from longtake.storage.tables import entries, jobs, participants, session_tags, sessions, tracks

BEGAN_MS = 1_700_000_000_000
MINUTE_MS = 60_000
HOUR_NS = 3_600_000_000_000
AT_ONCE = 2000
WORDS = 20_000
STATES = ("completed",) * 96 + ("active", "paused", "idle", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was made: words from the commonest to the rarest, and the ids of the sessions, oldest first."""

    words: list[str]
    ids: list[str]


def make_library(data: Path, *, count: int, texts: int) -> Made:
    """Fill a data folder with sessions, and with transcript entries over some hundred of them.

    Args:
        data: The folder; nothing is there yet.
        count: Sessions: of each hundred 96 have ended, some failed in part; each has a track, a job, tags, topics.
        texts: Entries of 14 words, the words as frequent as in any language (Zipf).
    """
    data.mkdir(parents=True, exist_ok=True)
    db = Database(data / "longtake.db")
    db.migrate()
    chance = random.Random(7)
    words = list(dict.fromkeys("".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=3 + n % 7)) for n in range(WORDS)))
    ids = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(count)]
    for first in range(0, count, AT_ONCE):
        with db.write() as c:
            _sessions(c, chance, words, list(enumerate(ids))[first : first + AT_ONCE])
    weights = list(itertools.accumulate(1 / (n + 1) for n in range(len(words))))
    spoken = ids[-max(1, texts // 500) :]
    for first in range(0, texts, AT_ONCE):
        with db.write() as c:
            rows = [
                _entry(spoken[n // 500 % len(spoken)], n, " ".join(chance.choices(words, cum_weights=weights, k=14)))
                for n in range(first, min(texts, first + AT_ONCE))
            ]
            c.execute(insert(entries), rows)
    db.close()
    return Made(words=words, ids=ids)


def _sessions(c: Connection, chance: random.Random, words: list[str], numbered: list[tuple[int, str]]) -> None:
    rows: list[dict[str, object]] = []
    described: list[dict[str, object]] = []
    worked: list[dict[str, object]] = []
    tagged: list[dict[str, object]] = []
    people: list[dict[str, object]] = []
    for n, key in numbered:
        at_ms = BEGAN_MS + n * MINUTE_MS
        state = STATES[n % len(STATES)]
        rows.append(
            {
                "id": key, "title": f"{chance.choice(words)} {n}", "description": " ".join(chance.choices(words, k=8)),
                "mode": "solo", "recording_type": "segmented", "recording_config": {}, "state": state,
                "device_id": f"device-{n % 40}", "owner_id": f"owner-{n % 7}", "created_at_ms": at_ms,
                "last_activity_at_ms": at_ms, "topics": [f"topic {n % 300}", f"theme {n % 11}"], "phases": [],
                "on_leave": "keep", "balance": [[0, 0.5]], "revision": 0, "mix_settled": True,
            }
        )  # fmt: skip
        failed = 3 if n % 50 == 0 else 0
        described.append(
            {
                "id": str(uuid.UUID(int=n)), "session_id": key, "number": 0, "kind": "microphone", "state": "stopped",
                "health": "healthy", "metrics": {}, "n_completed": 360 - failed, "n_failed": failed,
                "size_bytes": 10**7, "length_ns": chance.randrange(HOUR_NS), "is_ended": True,
            }
        )  # fmt: skip
        if state == "completed":
            worked.append(
                {
                    "id": str(uuid.UUID(int=n)), "session_id": key, "status": "failed" if n % 500 == 1 else "completed",
                    "priority": "normal", "progress": 100, "attempts": 1, "cost_usd_micros": 0,
                    "estimated_cost_usd_micros": 0, "options": {}, "done": [], "created_at_ms": at_ms,
                    "not_before_ms": 0,
                }
            )  # fmt: skip
        tags = dict.fromkeys((f"tag {n % 100}", f"rare {n % 5000}", "common"))
        tagged += [{"session_id": key, "tag": tag, "position": i} for i, tag in enumerate(tags)]
        person = f"person {n % 1000}"
        people.append({"id": str(uuid.UUID(int=n)), "session_id": key, "role": "A", "name": person})
    c.execute(insert(sessions), rows)
    c.execute(insert(tracks), described)
    c.execute(insert(jobs), worked)
    c.execute(insert(session_tags), tagged)
    c.execute(insert(participants), people)


def _entry(session_id: str, n: int, text: str) -> dict[str, object]:
    return {
        "id": str(uuid.UUID(int=n)), "session_id": session_id, "track_id": None, "speaker": "Ana", "text": text,
        "start_ms": n % 500 * 7000, "end_ms": n % 500 * 7000 + 6000, "at_ms": BEGAN_MS, "is_draft": False, "words": [],
        "corrected": False,
    }  # fmt: skip
