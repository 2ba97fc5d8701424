"""A data folder with everything that receives segments, opened as a program opens it; and what must hold of it."""

import hashlib
import itertools
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Connection, func, select

from longtake.ingest.committer import Stored
from longtake.ingest.protocol import Announcement
from longtake.ingest.receiver import Limits, Receiver
from longtake.model.lifecycle import SessionState, TrackHealth, TrackState
from longtake.model.session import Mode, Receipt, Session, Track, TrackKind
from longtake.storage.blobs import LocalBlobs
from longtake.storage.catalog import blobs as blob_rows
from longtake.storage.catalog import segments, sessions, tracks
from longtake.storage.database import Database
from longtake.storage.disk import Disk
from longtake.storage.packs import scan
from longtake.storage.tables import artifacts, blobs, blocks
from longtake.storage.tables import segments as segment_table
from longtake.storage.tables import tracks as track_table

SMALL = 1000
"""Bodies above this many bytes become files here, so that both ways are walked with few bytes."""

PATIENCE_S = 60


def sound(seed: object, size: int = 100) -> bytes:
    """Bytes that are recognised, and differ with their seed."""
    head = b"SND" + hashlib.sha256(str(seed).encode()).digest()
    return (head * (size // len(head) + 1))[:size]


def recognise(head: bytes) -> str | None:
    return "audio/test" if head.startswith(b"SND") else None


class Gate:
    """Holds the committer inside a transaction until it is opened; keeps what each transaction had that was new."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.open = threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, c: Connection, stored: Sequence[Stored]) -> None:
        self.batches.append([one.segment.index for one in stored])
        self.inside.set()
        assert self.open.wait(PATIENCE_S), "nobody opened the gate"

    def wait_inside(self) -> None:
        """Return when the committer is held."""
        assert self.inside.wait(PATIENCE_S), "nothing came to be stored"


def until(condition: Callable[[], bool]) -> None:
    """Return when it holds; one that never does fails the test rather than the run."""
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "it never came to that"
        threading.Event().wait(0.001)


class Station:
    """Opens a folder, also one that another station has left, or was torn away from."""

    def __init__(
        self,
        folder: Path,
        *,
        disk: Disk | None = None,
        limits: Limits | None = None,
        free_bytes: Callable[[], int] = lambda: 1 << 40,
        in_transaction: Callable[[Connection, Sequence[Stored]], None] = lambda c, stored: None,
        after_commit: Callable[[Sequence[Stored]], None] = lambda stored: None,
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        clock = itertools.count(1_000)
        self.db = Database(folder / "longtake.db")
        self.db.migrate()
        self.blobs = LocalBlobs(folder, disk or Disk(), lambda: str(uuid.uuid4()))
        self.receiver = Receiver(
            self.db,
            self.blobs,
            now_ms=lambda: next(clock),
            new_id=lambda: str(uuid.uuid4()),
            recognise=recognise,
            free_bytes=free_bytes,
            in_transaction=in_transaction,
            after_commit=after_commit,
            limits=limits or Limits(small_bytes=SMALL, reserve_bytes=0),
        )

    def close(self) -> None:
        self.receiver.close()
        self.blobs.close()
        self.db.close()

    def add_track(self, track_id: str = "t", session_id: str = "s") -> str:
        """A track in a session that is made when it is not there."""
        with self.db.write() as c:
            if sessions.find_session(c, session_id) is None:
                session = Session(
                    id=session_id,
                    title="x",
                    mode=Mode.SOLO,
                    state=SessionState.ACTIVE,
                    created_at_ms=1,
                    last_activity_at_ms=1,
                )
                sessions.insert_session(c, session)
            track = Track(
                id=track_id,
                session_id=session_id,
                kind=TrackKind.MICROPHONE,
                number=tracks.next_number(c, session_id),
                state=TrackState.ACTIVE,
                health=TrackHealth.HEALTHY,
            )
            tracks.insert_track(c, track)
        return track_id

    @property
    def staged(self) -> list[Path]:
        """The bodies that are on their way in."""
        return list((self.folder / "incoming").iterdir())

    def put(self, index: int, body: bytes, *, track_id: str = "t", piece: int = 400, **announced: object) -> Receipt:
        """Send a body from this thread."""
        pieces = (body[at : at + piece] for at in range(0, len(body), piece))
        announcement = Announcement(track_id=track_id, index=index, **announced)  # type: ignore[arg-type]
        return self.receiver.receive_blocking(announcement, pieces)

    def stored(self, index: int, track_id: str = "t") -> bytes:
        """The bytes that are stored under an index."""
        with self.db.read() as c:
            locator = blob_rows.get_locator(c, segments.get_segment(c, track_id, index).sha256)
        return self.blobs.read(locator)

    def count(self) -> int:
        """How many segments are stored."""
        with self.db.read() as c:
            return c.execute(select(func.count()).select_from(segment_table)).scalar_one()


def audit(station: Station) -> None:
    """Whatever happened: rows have their bytes, counters their rows, and the packs tell the same as the rows."""
    with station.db.read() as c:
        rows = c.execute(select(segment_table)).all()
        others = [*c.execute(select(blocks.c.sha256)).scalars(), *c.execute(select(artifacts.c.sha256)).scalars()]
        counts = {row.sha256: row.ref_count for row in c.execute(select(blobs))}
        located = blob_rows.locate(c, list(counts))
        counters = {row.id: (row.n_pending, row.size_bytes) for row in c.execute(select(track_table))}
    for digest, locator in located.items():
        body = station.blobs.read(locator)
        assert hashlib.sha256(body).hexdigest() == digest
        assert len(body) == locator.size_bytes
    assert counts == dict(Counter([row.sha256 for row in rows] + others)), "reference counts are not what refers"
    for track_id, counter in counters.items():
        sizes = [row.size_bytes for row in rows if row.track_id == track_id]
        assert counter == (len(sizes), sum(sizes)), "a track's counters are not its segments"
    told: dict[tuple[object, object], dict[str, object]] = {}
    for pack in sorted((station.folder / "packs").glob("*.pack")):
        told |= {(found.head["track"], found.head["index"]): found.head for found in scan(pack)}
    for row in rows:
        head = told[row.track_id, row.number]
        assert (head["id"], head["sha256"], head["size"]) == (row.id, row.sha256, row.size_bytes)
        assert (head["start_ms"], head["duration_ms"]) == (row.start_ms, row.duration_ms)
        assert (head["type"], head["stored_at_ms"]) == (row.mime_type, row.stored_at_ms)
    assert not station.staged, "a staged file was left behind"
