"""A program that receives segments, for tests that trace it, kill it or fill its disk.

`store FOLDER` sends a fixed row of segments and writes a line to standard output for each receipt; `again FOLDER` sends
them to a folder that has some of them; `hasty FOLDER` writes the lines before the receipts have come: the control.
`fill FOLDER SIZE` goes on until the disk is full, makes room and goes on.
"""

import json
import os
import sys
import threading
from pathlib import Path

from longtake.ingest.receiver import Limits
from longtake.model.errors import Unavailable
from tests.ingest.station import Station, audit, sound

SIZES = [100, 5_000, 200, 100, 600_000, 300, 5_000, 400]
"""The row: bodies for packs, bodies for files (one of them written in pieces)."""

BALLAST_BYTES = 1 << 20


def body_of(index: int) -> bytes:
    """What `store` sends under an index; the fourth is the same as the first."""
    return sound(0 if index == 3 else index, SIZES[index])


def acknowledge(index: int) -> None:
    """Say that a segment is durable, past any buffer."""
    os.write(1, f"receipt {index}\n".encode())


def store(folder: Path, *, hasty: bool, again: bool) -> None:
    """Send the row, two at once."""
    station = Station(folder)
    if not again:
        station.add_track()

    def send(index: int) -> None:
        if hasty:
            acknowledge(index)
        station.put(index, body_of(index), piece=100_000)
        if not hasty:
            acknowledge(index)

    for first in range(0, len(SIZES), 2):
        threads = [threading.Thread(target=send, args=(first + n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    station.close()


def fill(folder: Path, size: int) -> None:
    """Fill a small disk, make room, go on, and tell how it went."""
    folder.mkdir(exist_ok=True)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(BALLAST_BYTES))
    station = Station(folder / "data", limits=Limits(small_bytes=50_000, reserve_bytes=0))
    station.add_track()
    errors: set[str] = set()
    counts = []
    for _ in range(2):
        index = station.count()
        try:
            while True:
                station.put(index, sound(index, size), piece=50_000)
                index += 1
        except Unavailable as error:
            errors.add(error.code)
        assert station.count() == index
        counts.append(index)
        ballast.unlink(missing_ok=True)
        audit(station)
    station.close()
    print(json.dumps({"errors": sorted(errors), "before": counts[0], "after": counts[1]}))


def check(folder: Path, acknowledged: list[int]) -> None:
    """After whatever happened: open the folder anew, and find all that was acknowledged."""
    station = Station(folder)
    try:
        lost = []
        for index in acknowledged:
            try:
                assert station.stored(index) == body_of(index)
            except Exception:
                lost.append(index)
        assert not lost, f"acknowledged and lost: {lost}"
        audit(station)
    finally:
        station.close()


if __name__ == "__main__":
    command, folder, *rest = sys.argv[1:]
    if command == "fill":
        fill(Path(folder), int(rest[0]))
    else:
        store(Path(folder), hasty=command == "hasty", again=command == "again")
