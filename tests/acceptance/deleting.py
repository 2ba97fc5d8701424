"""Deletes and collects in a process that may be killed anywhere: `python -m tests.acceptance.deleting DATA SCENARIO`.

`prepare` makes the folder it works on. `delete` purges one session and deletes the recordings of another; `collect`
gives back the room of both. What is acknowledged is a line on standard output, written only after it is done.
`--die-at N` kills it at its N-th step, as `crashing`. `--careless` is a control: bytes go before the rows that name
them.
"""

import argparse
import hashlib
from pathlib import Path

from sqlalchemy import Engine, event

from tests.acceptance.crashing import Fate, MortalDisk, say
from tests.ingest.station import SMALL, sound
from tests.sessions.depot import HOUR_MS, Depot, Time, audit, leftovers

SEGMENTS = 12
DOOMED, MUTED, KEPT = "doomed", "muted", "kept"
SCENARIOS = ("delete", "collect")


def bodies(name: str) -> list[bytes]:
    """The segments of a session; some are files, and each session shares some with the others."""
    sizes = [80, 700, SMALL + 1]
    return [sound("shared" if n % 4 == 0 else name, sizes[n % 3] + n // 4) for n in range(SEGMENTS)]


def prepare(data: Path, scenario: str) -> dict[str, str]:
    """Record three sessions in several packs; for `collect` delete two of them. Returns name → session."""
    ids: dict[str, str] = {}
    tracks: dict[str, str] = {}
    for part in range(3):  # each start begins a pack
        depot = Depot(data, Time())
        for name in (DOOMED, MUTED, KEPT):
            if name not in ids:
                ids[name] = depot.create()
                tracks[name] = depot.add_track(ids[name])
            for n in range(part, SEGMENTS, 3):
                depot.put(tracks[name], n, bodies(name)[n])
                depot.make_block(ids[name], tracks[name], n, sound((name, n, "block"), 300))
            depot.make_artifact(ids[name], "mp3", sound((name, "mp3"), 2000))
        depot.close()
    depot = Depot(data, Time())
    depot.end(ids[MUTED])
    if scenario == "collect":
        delete(depot, ids)
    depot.close()
    return ids


def delete(depot: Depot, ids: dict[str, str]) -> None:
    """The scenario `delete`, from wherever it was cut off."""
    if ids[DOOMED] in session_ids(depot):
        depot.deletion.purge(ids[DOOMED])
    say("purged")
    depot.deletion.delete_audio(ids[MUTED])
    say("muted")


def collect(depot: Depot, *, careless: bool) -> None:
    """The scenario `collect`."""
    if careless:
        for store in ("packs", "derived"):
            for pack in depot.blobs.sealed(store):
                depot.blobs.remove_pack(store, pack.name)
    depot.collector.collect(0)
    say("collected")


def session_ids(depot: Depot) -> list[str]:
    """The sessions that there are."""
    with depot.db.read() as c:
        return list(c.exec_driver_sql("SELECT id FROM sessions WHERE purged_at_ms IS NULL ORDER BY id").scalars())


def look(data: Path, ids: dict[str, str]) -> tuple[set[str], int]:
    """What is there after a kill: which sessions are still whole, and how many bytes of those are lost."""
    depot = Depot(data, later())
    try:
        audit(depot)
        stored = depot.segments()
        with depot.db.read() as c:
            names = {row[0]: row[1] for row in c.exec_driver_sql("SELECT id, session_id FROM tracks")}
        whole, lost = set(), 0
        for name in (DOOMED, MUTED, KEPT):
            found = {index: sha for (track, index), sha in stored.items() if names[track] == ids[name]}
            if not found:
                continue
            whole.add(name)
            for n, body in enumerate(bodies(name)):
                is_there = found.get(n) == hashlib.sha256(body).hexdigest() and depot.read(found[n]) == body
                lost += 0 if is_there else len(body)
        return whole, lost
    finally:
        depot.close()


def finish(data: Path, ids: dict[str, str]) -> tuple[object, ...]:
    """Let it go on to its end; what is there then."""
    depot = Depot(data, later())
    if ids[DOOMED] in session_ids(depot):
        depot.deletion.purge(ids[DOOMED])
    depot.deletion.delete_audio(ids[MUTED])
    depot.close()
    depot = Depot(data, later())
    depot.collector.collect(0)
    depot.close()
    depot = Depot(data, later())
    try:
        depot.collector.collect(0)
        audit(depot)
        with depot.db.read() as c:
            stored = set(c.exec_driver_sql("SELECT sha256 FROM blobs").scalars())
        files = {path.name for path in (data / "files").iterdir()}
        told = {(head["kind"], head.get("session")) for head, _, _ in depot.records() if "at_ms" in head}
        return (
            tuple(session_ids(depot)),
            frozenset(depot.segments().values()),
            frozenset(stored),
            frozenset(files),
            frozenset(told),
            tuple(leftovers(depot.db, ids[DOOMED])),
        )
    finally:
        depot.close()


def later() -> Time:
    """A day on."""
    clock = Time()
    clock.ahead_ms = 25 * HOUR_MS
    return clock


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("doomed")
    parser.add_argument("muted")
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--careless", action="store_true")
    options = parser.parse_args()
    fate = Fate(options.die_at)
    event.listen(Engine, "commit", fate.step)
    opened = Depot(options.data, later(), MortalDisk(fate))
    if options.scenario == "delete":
        delete(opened, {DOOMED: options.doomed, MUTED: options.muted})
    else:
        collect(opened, careless=options.careless)
    opened.close()
    say("done", fate.steps)
