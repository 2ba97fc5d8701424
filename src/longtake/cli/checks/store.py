"""The stores: can they be read, is there room, who owns the folder, what is stuck in them."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
from sqlalchemy import Connection, Select, func, select

from longtake.cli.checks.finding import Finding, Level, command, ok
from longtake.model.errors import LongtakeError
from longtake.model.lifecycle import RECORDING, JobState, SessionState
from longtake.settings import Settings
from longtake.storage import forecast
from longtake.storage.database import MIGRATIONS, Database, unsoundness
from longtake.storage.tables import blobs, jobs, segments, sessions, tracks
from longtake.storage.watermark import is_outdated

ANSWER_S = 5.0
MS = 1000
LONG_MS = 15 * 60 * MS
"""What should be done at once, and has waited for so long, is stuck."""
HOURS_OF_ROOM = 24
SHOWN = 10


def stores(settings: Settings) -> Iterator[Finding]:
    """All checks of a data folder."""
    data = settings.data
    if not (data / "packs").exists() and not (data / "longtake.db").exists():
        yield Finding(check="data", level=Level.NOTE, text=f"{data} holds nothing yet")
        return
    owner = _owner(data)
    if owner is not None:
        yield owner
    soundness = _database(data)
    yield soundness
    yield from _engine_store(data)
    yield from _leftovers(data, is_owned=owner is not None)
    if soundness.level is Level.WRONG:
        return
    db = Database(data / "longtake.db")
    try:
        with db.read() as c:
            yield _room(c, settings)
            yield from _stuck(c, settings, is_owned=owner is not None)
    except LongtakeError as error:
        yield Finding(check="database", level=Level.WRONG, text=error.detail, remedy=_rebuild(data))
    finally:
        db.close()


def _rebuild(data: Path) -> str:
    return command("longtake", "rebuild", "--data", data)


def _owner(data: Path) -> Finding | None:
    """Who holds the folder, and whether it answers; None when nobody does."""
    from longtake.runtime import owner_url

    try:
        fd = os.open(data / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        pid = os.pread(fd, 16, 0).decode("ascii", "replace").strip()
    else:
        return None
    finally:
        os.close(fd)
    url = owner_url(data)
    if url is None:
        return Finding(check="owner", level=Level.NOTE, text=f"process {pid} holds the folder, and is no server")
    try:
        answer = httpx.get(f"{url}/healthz", timeout=ANSWER_S, trust_env=False)
    except httpx.HTTPError as error:
        text = f"process {pid} holds the folder and does not answer at {url} ({type(error).__name__})"
        remedy = command("kill", "-9", pid)  # who answers nobody may not hear a milder word, and receipts survive it
        return Finding(check="owner", level=Level.WRONG, text=text, remedy=remedy)
    if answer.is_success:
        return ok("owner", f"process {pid} serves it at {url}")
    text = f"the server at {url} is unwell: {answer.text[:200]}"
    return Finding(check="owner", level=Level.WRONG, text=text, remedy=command("kill", pid))


def _database(data: Path) -> Finding:
    path = data / "longtake.db"
    if not path.exists():
        return Finding(check="database", level=Level.WRONG, text="the database is gone", remedy=_rebuild(data))
    wrong = unsoundness(path, timeout_s=ANSWER_S)
    if wrong is not None:
        text = f"the database is damaged: {wrong}"
        return Finding(check="database", level=Level.WRONG, text=text, remedy=_rebuild(data))
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=ANSWER_S)) as connection:
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        text = f"the database cannot be read: {error}"
        return Finding(check="database", level=Level.WRONG, text=text, remedy=_rebuild(data))
    known = [file.name[:4] for file in _migrations()]
    if version is None or version[0] not in known:
        text = f"the database is of a newer longtake (schema {version and version[0]})"
        remedy = command("python", "-m", "pip", "install", "--upgrade", "longtake")
        return Finding(check="database", level=Level.WRONG, text=text, remedy=remedy)
    if is_outdated(data):
        text = "the database is older than the recordings beside it, and does not know them all"
        return Finding(check="database", level=Level.WRONG, text=text, remedy=_rebuild(data))
    if version[0] != max(known):
        text = f"the schema is {version[0]}: it becomes {max(known)} at the next start"
        remedy = command("longtake", "serve", "--data", data)
        return Finding(check="database", level=Level.WRONG, text=text, remedy=remedy)
    return ok("database", f"sound, schema {version[0]}")


def _migrations() -> Iterator[Path]:
    return (MIGRATIONS / "versions").glob("[0-9]*.py")


def _engine_store(data: Path) -> Iterator[Finding]:
    path = data / "engine.db"
    if not path.exists():
        return
    wrong = unsoundness(path, timeout_s=ANSWER_S)
    if wrong is None:
        yield ok("engine store", "sound")
        return
    text = f"the engine's store is damaged ({wrong}): it is moved aside at the next start, nothing is lost"
    yield Finding(
        check="engine store", level=Level.WARNING, text=text, remedy=command("longtake", "serve", "--data", data)
    )


def _leftovers(data: Path, *, is_owned: bool) -> Iterator[Finding]:
    aside = sorted([*data.glob("longtake.db.before-*"), *data.glob("engine.db.*"), *data.glob("rebuilding.db*")])
    if aside:
        size = sum(path.stat().st_size for path in aside)
        text = f"{len(aside)} files of earlier damage or rebuilding ({size} bytes) are kept"
        yield Finding(check="leftovers", level=Level.NOTE, text=text, remedy=command("rm", *aside))
    arriving = list((data / "incoming").iterdir()) if (data / "incoming").exists() else []
    if arriving and not is_owned:
        text = f"{len(arriving)} bodies that never arrived whole: the next start sweeps them"
        yield Finding(
            check="incoming", level=Level.NOTE, text=text, remedy=command("longtake", "serve", "--data", data)
        )


def _room(c: Connection, settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.data).free
    found = forecast.of_everything(c, free - settings.min_free_bytes)
    size = f"{free / 1e9:.1f} GB" if free >= 1e9 else f"{free / 1e6:.1f} MB"
    left = f"{found.hours_left:.1f} hours" if found.hours_left >= 1 else f"{found.minutes_left:.0f} minutes"
    text = f"{size} are free: {left} of what is recorded now, or of one microphone"
    if found.hours_left >= HOURS_OF_ROOM:
        return ok("room", text)
    level = Level.WRONG if found.minutes_left < settings.min_recording_minutes else Level.WARNING
    if c.execute(select(blobs.c.sha256).where(blobs.c.orphaned_at_ms.is_not(None)).limit(1)).first() is not None:
        remedy = command("longtake", "gc", "--older-than", "0s", "--data", settings.data)
    else:
        text += "; nothing waits to be collected: delete what is not needed"
        remedy = _list(settings)
    return Finding(check="room", level=level, text=text, remedy=remedy)


def _stuck(c: Connection, settings: Settings, *, is_owned: bool) -> Iterator[Finding]:
    """What does not go on by itself; where nobody holds the folder everything waits for a server, worth a note."""
    now_ms = time.time_ns() // 1_000_000
    serve = command("longtake", "serve", "--data", settings.data)
    latest = c.execute(select(func.max(sessions.c.last_activity_at_ms))).scalar()
    if latest is not None and latest > now_ms + LONG_MS:
        text = "the clock is behind what is stored already"
        yield Finding(check="clock", level=Level.WRONG, text=text, remedy=command("timedatectl", "set-ntp", "true"))
    here = sessions.c.trashed_at_ms.is_(None)
    silent_ms = now_ms - round(MS * settings.interrupted_after_s) - LONG_MS
    silent = select(sessions.c.id).where(
        here, sessions.c.state.in_(RECORDING - {SessionState.PAUSED}), sessions.c.last_activity_at_ms < silent_ms
    )
    yield from _each(c, settings, "silent", silent, "is being recorded, but nothing has come for long", _end)
    failed = (
        select(tracks.c.session_id)
        .distinct()
        .join(sessions, sessions.c.id == tracks.c.session_id)
        .where(here, tracks.c.n_failed > 0)
    )
    yield from _each(c, settings, "segments", failed, "has segments that failed", _retry)
    newest = select(func.max(jobs.c.created_at_ms)).where(jobs.c.session_id == sessions.c.id).correlate(sessions)
    failed_jobs = (
        select(sessions.c.id)
        .join(jobs, jobs.c.session_id == sessions.c.id)
        .where(here, jobs.c.status == JobState.FAILED, jobs.c.created_at_ms == newest.scalar_subquery())
    )
    yield from _each(c, settings, "jobs", failed_jobs, "could not be enriched", _retry)
    running = select(func.count()).select_from(jobs).where(jobs.c.status == JobState.PROCESSING)
    count = c.execute(running).scalar_one()
    if count and not is_owned:
        text = f"{count} jobs were running when their server ended: the next one goes on with them"
        yield Finding(check="jobs", level=Level.WRONG, text=text, remedy=serve)
    waiting = (
        select(func.count(func.distinct(tracks.c.session_id)))
        .select_from(tracks.join(sessions, sessions.c.id == tracks.c.session_id))
        .where(here, tracks.c.is_ended, (tracks.c.media_settled.is_(False)) | (tracks.c.speech_settled.is_(False)))
    )
    old = waiting.where(sessions.c.last_activity_at_ms < now_ms - LONG_MS)
    if not is_owned and (count := c.execute(waiting).scalar_one()):
        text = f"{count} sessions wait for a server to process them"
        yield Finding(check="lanes", level=Level.NOTE, text=text, remedy=serve)
    elif is_owned and (count := c.execute(old).scalar_one()):
        text = f"{count} ended sessions have work that is not done after a quarter of an hour; the log says why"
        yield Finding(check="lanes", level=Level.WARNING, text=text, remedy=_list(settings))
    expired_ms = now_ms - round(settings.trash_hours * 3_600_000) - 4 * LONG_MS
    expired = select(func.count()).select_from(sessions).where(sessions.c.trashed_at_ms < expired_ms)
    if count := c.execute(expired).scalar_one():
        text = f"{count} sessions lie in the trash for longer than {settings.trash_hours:g} hours"
        remedy = command("longtake", "cleanup", "--data", settings.data)
        yield Finding(check="trash", level=Level.WRONG if is_owned else Level.NOTE, text=text, remedy=remedy)
    orphaned_ms = now_ms - round(settings.gc_hours * 3_600_000) - 4 * LONG_MS
    orphans = select(func.count(), func.coalesce(func.sum(blobs.c.size_bytes), 0))
    count, size = c.execute(orphans.where(blobs.c.ref_count == 0, blobs.c.orphaned_at_ms < orphaned_ms)).one()
    if count:
        text = f"{count} pieces ({size} bytes) belong to nothing any more"
        remedy = command("longtake", "gc", "--data", settings.data)
        yield Finding(check="orphans", level=Level.NOTE, text=text, remedy=remedy)
    stored = c.execute(select(func.count()).select_from(segments)).scalar_one()
    yield ok("segments", f"{stored} segments are stored; `longtake verify` reads them all")


def _each(
    c: Connection,
    settings: Settings,
    check: str,
    query: Select[tuple[str]],
    what: str,
    remedy: Callable[[Settings, str], str],
) -> Iterator[Finding]:
    """A finding for each session of a query, up to so many."""
    found = [str(row[0]) for row in c.execute(query)]
    for session_id in found[:SHOWN]:
        text = f"session {session_id} {what}"
        yield Finding(check=check, level=Level.WRONG, text=text, remedy=remedy(settings, session_id))
    if len(found) > SHOWN:
        text = f"{len(found) - SHOWN} more sessions like that"
        yield Finding(check=check, level=Level.WRONG, text=text, remedy=_list(settings))


def _list(settings: Settings) -> str:
    return command("longtake", "sessions", "list", "--data", settings.data)


def _end(settings: Settings, session_id: str) -> str:
    return command("longtake", "sessions", "end", session_id, "--data", settings.data)


def _retry(settings: Settings, session_id: str) -> str:
    return command("longtake", "sessions", "retry", session_id, "--data", settings.data)
