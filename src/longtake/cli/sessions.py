"""`longtake sessions`: list, show, end, retry, delete, restore."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from longtake.cli.console import (
    FAILED,
    DataOption,
    JsonOption,
    ServerOption,
    SessionArgument,
    clock,
    harmless,
    note,
    print_json,
    print_table,
    quiet_logs,
    say,
    settings_of,
)

if TYPE_CHECKING:
    from longtake.wire.sessions import SessionAnswer
    from longtake.wire.tracks import CoverageAnswer

app = typer.Typer(
    help="List, show, end, retry, delete and restore sessions.",
    epilog="Example: longtake sessions list",
    rich_markup_mode=None,
)
SHORT_ID = 8
MAX_PRINTED = 20


@app.command("list", epilog="Example: longtake sessions list --json")
def list_sessions(
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many at most.")] = 50,
    trash: Annotated[bool, typer.Option("--trash", help="What lies in the trash, with whole ids.")] = False,
    data: DataOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List sessions, the newest first."""
    from longtake.cli.library import sessions_of

    with sessions_of(data, server) as sessions:
        found = sessions.newest(limit, trashed=trash)
    if as_json:
        print_json({"items": [session.model_dump(mode="json") for session in found]})
        return
    rows = [
        (
            session.id if trash else session.id[:SHORT_ID],
            f"{session.created_at:%Y-%m-%d %H:%M}",
            session.state.value,
            session.processing.value,
            clock(session.total_duration_ms),
            session.title,
        )
        for session in found
    ]
    print_table(("ID", "CREATED (UTC)", "STATE", "PROCESSING", "LENGTH", "TITLE"), rows)


@app.command("show", epilog="Example: longtake sessions show 1f0c92d4")
def show_session(
    session_id: SessionArgument, data: DataOption = None, server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """Show a session: its state, its coverage, what was said."""
    from longtake.cli.library import sessions_of, whole_id

    with sessions_of(data, server) as sessions:
        session = sessions.session(whole_id(sessions, session_id))
        coverage = sessions.coverage(session.id)
        entries = sessions.entries(session.id)
        troubled = sessions.troubled(session.id)
    if as_json:
        more = {
            "tracks_coverage": coverage.model_dump(mode="json")["tracks"],
            "transcript": [entry.model_dump(mode="json") for entry in entries],
        }
        print_json(session.model_dump(mode="json") | more)
        return
    say(session.title)
    say(session.id)
    say(f"{session.state.value}, {session.processing.value}, {clock(session.total_duration_ms)}")
    for line in coverage_lines(session, coverage):
        say(line)
    for error in session.errors:
        say(f"error: {error.detail}")
    for segment in troubled[:MAX_PRINTED]:
        assert segment.error is not None
        name = names_of(session).get(segment.track_id, segment.track_id)
        say(f"{name} {segment.index} {segment.status.value}: {segment.error.code}: {segment.error.detail}")
    for entry in entries:
        say(f"{clock(entry.start_ms)}  {entry.speaker}: {entry.text}{' (draft)' if entry.is_draft else ''}")


@app.command("end", epilog="Example: longtake sessions end 1f0c92d4")
def end_session(
    session_id: SessionArgument, data: DataOption = None, server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """End a session and have it processed."""
    from longtake.cli.library import Local, sessions_of, whole_id

    with sessions_of(data, server) as sessions:
        session = sessions.end(whole_id(sessions, session_id))
        waits = isinstance(sessions, Local)
    if as_json:
        print_json(session.model_dump(mode="json"))
    else:
        say(f"{session.id[:SHORT_ID]} {session.state.value}")
    if waits:
        note("It is processed when `longtake serve` runs.")


@app.command("retry", epilog="Example: longtake sessions retry 1f0c92d4")
def retry_session(
    session_id: SessionArgument, data: DataOption = None, server: ServerOption = None, as_json: JsonOption = False
) -> None:
    """Process the failed segments of a session again."""
    from longtake.cli.library import Local, sessions_of, whole_id

    with sessions_of(data, server) as sessions:
        retried = sessions.retry(whole_id(sessions, session_id))
        waits = isinstance(sessions, Local)
    if as_json:
        print_json(retried.model_dump(mode="json"))
    else:
        say(f"{retried.session_id[:SHORT_ID]} {retried.segments} segments are processed again")
    if waits:
        note("They are processed when `longtake serve` runs.")


@app.command("delete", epilog="Example: longtake sessions delete 1f0c92d4")
def delete_session(
    session_id: SessionArgument,
    purge: Annotated[bool, typer.Option("--purge", help="For good and at once, instead of into the trash.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: DataOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Move a session to the trash, or delete it for good (on a terminal it asks first)."""
    from longtake.cli.library import library, whole_id

    settings = settings_of(data=data)
    quiet_logs()
    with library(settings, server) as sessions:
        whole = whole_id(sessions, session_id)
        if purge and not yes and sys.stdin.isatty():
            title = harmless(sessions.session(whole).title)
            if not typer.confirm(f"Delete {whole[:SHORT_ID]} ({title}) for good?", err=True):
                raise typer.Exit(FAILED)
        sessions.delete(whole, purge=purge)
    if as_json:
        print_json({"session_id": whole, "purged": purge})
    elif purge:
        say(f"{whole[:SHORT_ID]} deleted for good")
    else:
        say(f"{whole} is in the trash for {settings.trash_hours:g} hours")


@app.command("restore", epilog="Example: longtake sessions restore 1f0c92d4-55aa-4c8e-9a40-0f8f2a9d8d11")
def restore_session(
    session_id: Annotated[str, typer.Argument(metavar="ID", help="The session's whole id.")],
    data: DataOption = None,
    server: ServerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a session out of the trash."""
    from longtake.cli.library import sessions_of

    with sessions_of(data, server) as sessions:
        session = sessions.restore(session_id)
    if as_json:
        print_json(session.model_dump(mode="json"))
    else:
        say(f"{session.id[:SHORT_ID]} is back: {session.state.value}")


def names_of(session: SessionAnswer) -> dict[str, str]:
    """Track → what people call it."""
    return {track.id: track.name or track.kind.value for track in session.tracks}


def coverage_lines(session: SessionAnswer, coverage: CoverageAnswer) -> list[str]:
    """What there is of each track, with its gaps: a part is never shown as the whole."""
    names = names_of(session)
    lines = []
    for track in coverage.tracks:
        name = names.get(track.track_id, track.kind.value)
        lines.append(f"{name}: {track.stored_ms / 1000:.3f} s of {track.expected_ms / 1000:.3f} s are there")
        lines += [
            f"  gap from {clock(gap.start_ms)} to {clock(gap.end_ms)}: {gap.cause.value}"
            for gap in track.gaps[:MAX_PRINTED]
        ]
        if len(track.gaps) > MAX_PRINTED:
            lines.append(f"  and {len(track.gaps) - MAX_PRINTED} more gaps")
        if track.missing:
            lines.append(f"  segments that never arrived: {len(track.missing)}")
    return lines
