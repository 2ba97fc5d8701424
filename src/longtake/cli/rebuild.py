"""`longtake rebuild`: a lost or damaged database, made again from the packs and files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longtake.cli.console import FAILED, DataOption, JsonOption, note, print_json, quiet_logs, say, settings_of
from longtake.cli.measured import measured
from longtake.model.errors import Conflict, NotFound

if TYPE_CHECKING:
    from longtake.storage.rebuild.result import Rebuilt

EXAMPLE = "Example: longtake rebuild --data /srv/longtake"
SHOWN = 20
GONE = "Jobs and idempotency keys do not return; sound to play, transcripts and outlines are made anew."


def rebuild(
    data: DataOption = None,
    force: Annotated[bool, typer.Option("--force", help="Even though the database is sound.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a lost or damaged database anew from the recordings.

    All segments return, with titles, tracks, people, corrections and marks. The old one is kept under another name.
    What is derived is made anew when a server runs. Exit code 1 when something cannot return whole.
    """
    from longtake.runtime import DataFolder, new_id, now_ms
    from longtake.storage.disk import Disk
    from longtake.storage.rebuild.run import rebuild as run
    from longtake.storage.watermark import is_outdated

    settings = settings_of(data=data)
    quiet_logs()
    if not (settings.data / "packs").is_dir():
        raise NotFound("data_folder", str(settings.data))
    folder = DataFolder(settings.data)
    try:
        if not force and is_sound(settings.data / "longtake.db") and not is_outdated(settings.data):
            raise Conflict("the database is sound: there is nothing to rebuild (--force does it all the same)")
        with measured("reading the packs") as progress:
            result = run(settings.data, disk=Disk(), now_ms=now_ms, new_id=new_id, progress=progress)
    finally:
        folder.release()
    if as_json:
        print_json(asdict(result))
    else:
        _print(result)
    if result.lost or result.broken:
        raise typer.Exit(FAILED)


def is_sound(path: Path) -> bool:
    """Whether there is a database that SQLite can read from end to end and that has recordings' tables."""
    from longtake.storage.database import unsoundness

    if not path.exists() or unsoundness(path) is not None:
        return False
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM segments").fetchone()
    except sqlite3.DatabaseError:
        return False
    return True


def _print(result: Rebuilt) -> None:
    say(f"{result.sessions} sessions with {result.segments} segments ({result.size_bytes} bytes) are back.")
    for name in result.moved_to:
        say(f"The old one is kept as {name}.")
    for session_id in result.unnamed[:SHOWN]:
        say(f"{session_id}: only its segments are known: title, kinds of tracks and people did not return")
    for one in result.lost[:SHOWN]:
        say(f"{one.session_id} track {one.track_id} segment {one.index}: {one.why}")
    for pack, offset, size in result.broken[:SHOWN]:
        say(f"packs/{pack}: {size} bytes at {offset} are no record: damaged, or what a crash cut off")
    more = sum(max(0, len(found) - SHOWN) for found in (result.unnamed, result.lost, result.broken))
    if more:
        say(f"and {more} more: --json lists all")
    if result.unreferenced_files:
        say(f"{result.unreferenced_files} files belong to nothing that is told: `longtake verify` lists them")
    note(f"{GONE} The work begins with `longtake serve`.")
