"""`longtake verify`: is everything that was acknowledged there, and whole?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from longtake.cli.console import FAILED, DataOption, JsonOption, clock, note, print_json, quiet_logs, say, settings_of
from longtake.cli.measured import measured
from longtake.model.errors import DataFolderInUse

if TYPE_CHECKING:
    from longtake.settings import Settings
    from longtake.storage.database import Database
    from longtake.storage.verify.result import Damage, Verified

EXAMPLE = "Example: longtake verify --data /srv/longtake"
SHOWN = 50


def verify(
    data: DataOption = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="ID", help="Only this session; the first characters are enough.")
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Repair what can be derived from what is whole.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare all that is stored with what was acknowledged.

    Runs beside a server, too; only --repair, without which nothing is changed, wants the folder for itself. Exit code 1
    when something is damaged and stays so.
    """
    from longtake.runtime import new_id, now_ms
    from longtake.storage import watermark
    from longtake.storage.blobs import LocalBlobs
    from longtake.storage.disk import Disk
    from longtake.storage.verify.repair import repair as mend
    from longtake.storage.verify.run import verify as run

    settings = settings_of(data=data)
    quiet_logs()
    with opened(settings, alone=repair) as db, measured("verifying") as progress:
        wanted = None if session is None else _whole_id(db, session)
        found = run(settings.data, db, now_ms=now_ms, session_id=wanted, progress=progress)
        if repair and found.damaged:
            with ExitStack() as closing:
                blobs = LocalBlobs(settings.data, Disk(), new_id)
                closing.callback(blobs.close)
                watermark.attach(db, blobs)
                mend(db, blobs, found, now_ms=now_ms, new_id=new_id)
    if as_json:
        print_json(asdict(found))
    else:
        _print(found)
    if found.left:
        raise typer.Exit(FAILED)


@contextmanager
def opened(settings: Settings, *, alone: bool) -> Iterator[Database]:
    """The database of a data folder: as its owner where that is possible, else beside the server that is.

    Raises:
        NotFound, DatabaseOutdated: There is none. DataFolderInUse: `alone` is wanted, and another process owns it.
    """
    from longtake.cli.library import check_data_folder
    from longtake.runtime import DataFolder
    from longtake.storage.database import Database

    check_data_folder(settings.data)
    with ExitStack() as closing:
        try:
            closing.callback(DataFolder(settings.data).release)
            is_owner = True
        except DataFolderInUse:
            is_owner = False
            if alone:
                raise
        db = Database(settings.data / "longtake.db")
        closing.callback(db.close)
        if is_owner:
            db.migrate()
        yield db


def _whole_id(db: Database, start: str) -> str:
    """The id of the session whose id begins so; raises NotFound, Invalid."""
    from sqlalchemy import select

    from longtake.cli.library import only_id
    from longtake.storage.tables import sessions

    def beginning(whole: str) -> list[str]:
        query = select(sessions.c.id).where(sessions.c.id.startswith(whole, autoescape=True)).limit(2)
        with db.read() as c:
            return list(c.execute(query).scalars())

    return only_id(beginning, start)


def _print(found: Verified) -> None:
    say(f"{found.blobs} pieces with {found.read_bytes} bytes and {found.records} records were read.")
    by_session: dict[str | None, list[Damage]] = {}
    for one in found.damaged:
        by_session.setdefault(one.session_id, []).append(one)
    shown = 0
    for session_id, damages in by_session.items():
        say(f"session {session_id}:" if session_id else "of no session of its own:")
        for one in damages[: SHOWN - shown]:
            say(f"  {_line(one, is_repaired=one.is_repairable and bool(found.repaired))}")
            shown += 1
    if shown < len(found.damaged):
        say(f"and {len(found.damaged) - shown} more: --json lists all")
    if found.unreferenced_files:
        note(
            f"{len(found.unreferenced_files)} files ({found.unreferenced_bytes} bytes) belong to nothing: `longtake gc`"
        )
    if found.rowless:
        note(
            f"{len(found.rowless)} segments are in the packs and not in the database, like {found.rowless[0]}: a crash "
            "came before their receipts, or their rows were lost. `longtake rebuild --force` brings them back"
        )
    if found.torn_tails:
        note(f"{len(found.torn_tails)} packs end in what a crash cut off: it was never acknowledged")
    if not found.damaged:
        say("Nothing is damaged.")
    elif found.repaired:
        say(f"{found.repaired} of {len(found.damaged)} damages are repaired; a server makes anew what is derived.")
    elif any(one.is_repairable for one in found.damaged):
        say("`longtake verify --repair` repairs what can be derived, while no server runs.")
    if any(not one.is_repairable for one in found.damaged):
        say("What is lost comes back when its recorder, or `longtake upload` of the same file, sends it again.")


def _line(one: Damage, *, is_repaired: bool) -> str:
    where = "mix" if one.track_id is None and one.what == "block" else f"track {one.track_id}" if one.track_id else ""
    number = "" if one.index is None else f" {one.what.value} {one.index}"
    at = ""
    if one.start_ms is not None:
        end = f" to {clock(one.start_ms + one.duration_ms)}" if one.duration_ms is not None else ""
        at = f" from {clock(one.start_ms)}{end}"
    verdict = "repaired" if is_repaired else "can be repaired" if one.is_repairable else "lost"
    head = f"{where}{number}{at}".strip() or one.what.value
    return f"{head}: {one.why}{f' [{one.place}]' if one.place else ''} ({verdict})"
