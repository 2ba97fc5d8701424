"""A data folder with all that stores, deletes and collects, and nothing that processes; and what must hold of it."""

import hashlib
import time
import uuid
from collections import Counter
from pathlib import Path

from longtake.events import Bus
from longtake.ingest.protocol import Announcement
from longtake.ingest.receiver import Limits, Receiver
from longtake.model.session import Receipt, TrackKind
from longtake.sessions.deletion import Deletion
from longtake.sessions.lifecycle import Lifecycle
from longtake.sessions.manager import NewSession, NewTrack, Sessions
from longtake.sessions.work import Work
from longtake.storage import watermark
from longtake.storage.blobs import LocalBlobs
from longtake.storage.catalog import blobs as blob_rows
from longtake.storage.catalog import derived
from longtake.storage.collect import Collector
from longtake.storage.database import Database
from longtake.storage.disk import Disk
from longtake.storage.packs import Record, scan
from longtake.storage.store import Store
from tests.ingest.station import SMALL, recognise

HOUR_MS = 3_600_000
TRASH_MS = 24 * HOUR_MS
COUNTERS_DIFFER = """
    SELECT t.id FROM tracks t WHERE n_pending + n_processing + n_completed + n_failed !=
        (SELECT count(*) FROM segments s WHERE s.track_id = t.id)
    OR size_bytes != (SELECT coalesce(sum(size_bytes), 0) FROM segments s WHERE s.track_id = t.id)
"""
REFERENCES_DIFFER = """
    SELECT sha256 FROM blobs b WHERE (ref_count = 0) != (orphaned_at_ms IS NOT NULL) OR ref_count !=
        (SELECT count(*) FROM segments s WHERE s.sha256 = b.sha256)
        + (SELECT count(*) FROM blocks k WHERE k.sha256 = b.sha256)
        + (SELECT count(*) FROM artifacts a WHERE a.sha256 = b.sha256)
"""
STANDING = """
    SELECT s.id, s.sha256 FROM segments s JOIN tracks t ON t.id = s.track_id JOIN sessions x ON x.id = t.session_id
    WHERE x.purged_at_ms IS NULL
"""
"""Segments whose session is not being purged."""


def new_id() -> str:
    return str(uuid.uuid4())


class Time:
    """The time of day, and what a test has let pass."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


class Depot:
    """Opens a folder, also one that a power cut has left."""

    def __init__(self, folder: Path, clock: Time, disk: Disk | None = None) -> None:
        self.folder, self.clock, self.disk = folder, clock, disk or Disk()
        folder.mkdir(exist_ok=True)
        self.db = Database(folder / "longtake.db")
        self.db.migrate()
        self.blobs = LocalBlobs(folder, self.disk, new_id)
        watermark.attach(self.db, self.blobs)
        self.store = Store(db=self.db, blobs=self.blobs, bus=Bus(), now_ms=clock, new_id=new_id)
        self.work = Work(self.store)
        self.sessions, self.lifecycle = Sessions(self.store, self.work), Lifecycle(self.store, self.work)
        self.deletion = Deletion(self.store, self.work, trash_ms=TRASH_MS)
        self.collector = Collector(self.db, self.blobs, now_ms=clock, deletions=lambda: self.deletion.count)
        self.receiver = Receiver(
            self.db,
            self.blobs,
            now_ms=clock,
            new_id=new_id,
            recognise=recognise,
            free_bytes=lambda: 1 << 40,
            in_transaction=lambda c, stored: None,
            after_commit=lambda stored: None,
            limits=Limits(small_bytes=SMALL, reserve_bytes=0),
        )
        self.deletion.recover()

    def close(self) -> None:
        self.deletion.close()
        self.collector.close()
        self.receiver.close()
        self.blobs.close()
        self.db.close()

    def create(self) -> str:
        """A session that is being recorded; its id."""
        session_id = self.sessions.create(NewSession(title="a test")).id
        self.lifecycle.start(session_id)
        return session_id

    def add_track(self, session_id: str) -> str:
        return self.sessions.declare_track(session_id, NewTrack(kind=TrackKind.MICROPHONE)).id

    def put(self, track_id: str, index: int, body: bytes) -> Receipt:
        return self.receiver.receive_blocking(Announcement(track_id=track_id, index=index), [body])

    def end(self, session_id: str) -> None:
        """End a session and have nothing done with it."""
        self.lifecycle.end(session_id)
        with self.db.write() as c:
            self.work.cancel_in(c, session_id)

    def make_block(self, session_id: str, owner_id: str, number: int, data: bytes) -> None:
        """As a lane does."""
        sha256 = hashlib.sha256(data).hexdigest()
        record = Record(head={"kind": "block", "owner": owner_id, "number": number, "sha256": sha256}, body=[data])
        block = derived.Block(
            owner_id=owner_id,
            number=number,
            revision=1,
            made_from=sha256,
            sha256=sha256,
            size_bytes=len(data),
            samples=1,
            channels=1,
            frame_sizes=b"",
            peaks=b"",
        )
        with self.blobs.appended("derived", [record]) as [locator], self.db.write() as c:
            derived.put_blocks(c, session_id, [(block, locator)], self.clock())

    def make_artifact(self, session_id: str, file_type: str, data: bytes) -> None:
        """As a file that was asked for is kept."""
        staged = self.blobs.stage()
        staged.write([data])
        sha256 = staged.digest()
        staged.flush()
        try:
            with self.db.write() as c:
                locator = staged.keep()
                self.blobs.sync()
                artifact = derived.Artifact(
                    session_id=session_id,
                    file_type=file_type,
                    made_from=sha256,
                    sha256=sha256,
                    size_bytes=len(data),
                    made_at_ms=self.clock(),
                )
                derived.put_artifact(c, artifact, locator)
        finally:
            staged.discard()

    def read(self, sha256: str) -> bytes:
        """Stored bytes."""
        with self.db.read() as c:
            locator = blob_rows.get_locator(c, sha256)
        return self.blobs.read(locator)

    def segments(self) -> dict[tuple[str, int], str]:
        """(track, index) → digest of all that are stored."""
        with self.db.read() as c:
            rows = c.exec_driver_sql("SELECT track_id, number, sha256 FROM segments").all()
        return {(row[0], row[1]): row[2] for row in rows}

    def records(self) -> list[tuple[dict[str, object], Path, int]]:
        """What the packs tell: head, pack, offset of the body."""
        packs = sorted((self.folder / "packs").glob("*.pack"))
        return [(found.head, pack, found.offset) for pack in packs for found in scan(pack)]


def audit(depot: Depot) -> None:
    """Counts are rows, all that is referred to can be read, the packs tell of every segment."""
    with depot.db.read() as c:
        assert c.exec_driver_sql(REFERENCES_DIFFER).all() == [], "reference counts are not what refers"
        assert c.exec_driver_sql(COUNTERS_DIFFER).all() == [], "a track's counters are not its segments"
        assert c.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        referred = set(blob_rows.referred_to(c))
        ids = {row[0]: row[1] for row in c.exec_driver_sql(STANDING)}
    for sha256 in referred:
        assert hashlib.sha256(depot.read(sha256)).hexdigest() == sha256, "stored bytes are others"
    told = depot.records()
    assert set(ids) <= {str(head["id"]) for head, _, _ in told if head.get("kind") == "segment"}
    bodies = {str(head["sha256"]) for head, _, _ in told if "sha256" in head and head.get("body") != "elsewhere"}
    files = {path.name for path in (depot.folder / "files").iterdir()}
    assert set(ids.values()) <= bodies | files, "the packs alone could not bring a segment back"


def leftovers(db: Database, session_id: str) -> Counter[str]:
    """In how many rows of which tables a session is still named."""
    found: Counter[str] = Counter()
    with db.read() as c:
        names = c.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
        for name in names:
            columns = [row[1] for row in c.exec_driver_sql(f"PRAGMA table_info('{name}')")]
            for column in columns:
                if column in ("session_id", "owner_id") or (name, column) == ("sessions", "id"):
                    query = f"SELECT count(*) FROM '{name}' WHERE \"{column}\" = ?"
                    found[name] += c.exec_driver_sql(query, (session_id,)).scalar_one()
    return +found
