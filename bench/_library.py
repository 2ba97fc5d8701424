"""A library of many sessions for a benchmark: rows as the server would have written them, without their bytes."""

import itertools
import random
import uuid
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, insert, update

from longtake.model.coverage import cover_all
from longtake.model.lifecycle import TrackHealth, TrackState
from longtake.model.session import LaneStatus, Segment, SegmentStatus, Track, TrackKind
from longtake.model.timeline import Place
from longtake.storage import triggers
from longtake.storage.blobs import Locator
from longtake.storage.catalog import blobs
from longtake.storage.catalog import tracks as tracks_of
from longtake.storage.database import Database
from longtake.storage.tables import entries, jobs, participants, segments, session_tags, sessions, tracks

BEGAN_MS = 1_700_000_000_000
SEGMENT_MS = 5000
SAMPLES = 16_000 * 5
MINUTE_MS = 60_000
HOUR_NS = 3_600_000_000_000
AT_ONCE = 2000
WORDS = 20_000
ALPHABET = "abcdefghijklmnopqrstuvwxyz"
STATES = ("completed",) * 990 + ("idle",) * 5 + ("error",) * 3 + ("active", "paused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was made: words from the commonest to the rarest, and the ids of the sessions, oldest first."""

    words: list[str]
    ids: list[str]


def make_library(data: Path, *, count: int, texts: int) -> Made:
    """Fill a data folder with sessions, and with transcript entries over some hundred of them.

    Args:
        data: The folder; nothing is there yet.
        count: Sessions: of each thousand 990 have ended, some failed in part; each has a track, a job, tags, topics.
        texts: Entries of 14 words, the words as frequent as in any language (Zipf).
    """
    data.mkdir(parents=True, exist_ok=True)
    db = Database(data / "longtake.db")
    db.migrate()
    with db.write() as c:  # what follows from rows is made at the end, for all at once
        for name in triggers.TRIGGERS:
            c.exec_driver_sql(f"DROP TRIGGER {name}")
    chance = random.Random(7)
    words = list(dict.fromkeys("".join(chance.choices(ALPHABET, k=3 + n % 7)) for n in range(WORDS)))
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
    db.migrate()
    db.close()
    return Made(words=words, ids=ids)


def make_session(data: Path, count: int) -> tuple[str, str]:
    """Add a session that is being recorded, with so many decoded segments on its track; returns the ids of both."""
    db = Database(data / "longtake.db")
    session_id, track_id, sha256 = str(uuid.uuid4()), str(uuid.uuid4()), f"{count:064x}"
    found = [_segment(track_id, sha256, n) for n in range(count)]
    with db.write() as c:
        _sessions(c, random.Random(count), ["session"], [(10**6 + count, session_id)], tracks_too=False)
        c.execute(update(sessions).where(sessions.c.id == session_id).values(state="active"))
        track = Track(
            id=track_id, session_id=session_id, kind=TrackKind.MICROPHONE, number=0, state=TrackState.ACTIVE,
            health=TrackHealth.HEALTHY,
        )  # fmt: skip
        tracks_of.insert_track(c, track)
        blobs.insert_blobs(c, {sha256: Locator(store="packs", key="0.pack", offset=0, size_bytes=1)}, {sha256: count})
        columns = ("sha256", "size_bytes", "start_ms", "duration_ms", "stored_at_ms", "samples", "channels")
        rows = [
            {name: getattr(one, name) for name in columns}
            | {"track_id": track_id, "number": one.index, "id": one.id, "status": "completed", "media": "done"}
            | {"speech": "done", "attempts": 1, "take_start_ns": 0, "take_offset": one.index * SAMPLES}
            | {"rate_hz": 16_000}
            for one in found
        ]
        c.execute(insert(segments), rows)
        tracks_of.update_track(c, track_id, n_completed=count, length_ns=count * SEGMENT_MS * 1_000_000)
        tracks_of.set_covered(c, track_id, cover_all(found))
    db.close()
    return session_id, track_id


def _segment(track_id: str, sha256: str, number: int) -> Segment:
    return Segment(
        id=str(uuid.uuid4()), track_id=track_id, index=number, sha256=sha256, size_bytes=1, stored_at_ms=BEGAN_MS,
        status=SegmentStatus.COMPLETED, media=LaneStatus.DONE, speech=LaneStatus.DONE, start_ms=number * SEGMENT_MS,
        duration_ms=SEGMENT_MS, place=Place(take_start_ns=0, take_offset=number * SAMPLES, rate_hz=16_000),
        samples=SAMPLES, channels=1,
    )  # fmt: skip


def _sessions(
    c: Connection, chance: random.Random, words: list[str], numbered: list[tuple[int, str]], *, tracks_too: bool = True
) -> None:
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
    if tracks_too:
        c.execute(insert(tracks), described)
        if worked:
            c.execute(insert(jobs), worked)
    c.execute(insert(session_tags), tagged)
    c.execute(insert(participants), people)


def _entry(session_id: str, n: int, text: str) -> dict[str, object]:
    return {
        "id": str(uuid.UUID(int=n)), "session_id": session_id, "track_id": None, "speaker": "Ana", "text": text,
        "start_ms": n % 500 * 7000, "end_ms": n % 500 * 7000 + 6000, "at_ms": BEGAN_MS, "is_draft": False, "words": [],
        "corrected": False,
    }  # fmt: skip
