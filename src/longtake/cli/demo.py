"""`longtake demo`: a short talk of two people, recorded through the real path."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

import typer

from longtake.cli.console import (
    FAILED,
    DataOption,
    JsonOption,
    ServerOption,
    clock,
    note,
    print_json,
    quiet_logs,
    say,
    settings_of,
    stoppable,
)
from longtake.cli.progress import Stages, follow, stages

if TYPE_CHECKING:
    from longtake.cli.library import Library
    from longtake.wire.sessions import SessionAnswer

EXAMPLE = "Example: longtake demo && longtake serve"
EVERY_S = 0.1


def demo(data: DataOption = None, server: ServerOption = None, as_json: JsonOption = False) -> None:
    """Record a short talk of two people and process it.

    Segments of some seconds arrive on two tracks, as from two recorders, through the same path as any recording.
    """
    from longtake.cli.library import Local, library
    from longtake.model.lifecycle import JobState

    settings = settings_of(data=data)
    quiet_logs()
    going_on = "What is recorded is there; it is processed when `longtake serve` runs."
    with (
        stoppable(going_on),
        library(settings, server, with_engine=True, may_create=True) as sessions,
        stages() as shown,
    ):
        session = record(sessions, shown)
        job_id = session.enrichment.job_id
        assert job_id is not None, "a session with tracks gets a job when it ends"
        job = follow(lambda: sessions.job(job_id), shown, every_s=EVERY_S)
        session = sessions.session(session.id)
        entries = sessions.entries(session.id)
        url = None if isinstance(sessions, Local) else sessions.url
    if as_json:
        print_json(session.model_dump(mode="json") | {"transcript": [e.model_dump(mode="json") for e in entries]})
    else:
        for entry in entries:
            say(f"{clock(entry.start_ms)}  {entry.speaker}: {entry.text}")
        say()
        say(f"It is session {session.id}.")
        where = f"open {url}" if url else f"run `longtake serve --data {settings.data}` and open the page it prints"
        say(f"To play it, {where}; `longtake sessions show {session.id[:8]}` shows it here.")
    if job.status is not JobState.COMPLETED:
        note(f"longtake: processing_failed: {job.error or job.status.value}")
        raise typer.Exit(FAILED)


def record(sessions: Library, shown: Stages) -> SessionAnswer:
    """Send the package's recording as two recorders would, and end the session."""
    from longtake.model.session import TrackKind
    from longtake.wire.sessions import AnnouncedTrack, SessionRequest
    from longtake.wire.tracks import TrackRequest

    folder = files("longtake") / "demo"
    told = json.loads((folder / "demo.json").read_text())
    session = sessions.create_session(
        SessionRequest(title=told["title"], tags=("demo",), participant=told["tracks"][0]["name"])
    )
    ids = {}
    people = {one.name: one.id for one in session.participants}
    for track in told["tracks"]:
        name = track["name"]
        request = TrackRequest(kind=TrackKind(track["kind"]), name=name, participant_id=people.get(name))
        ids[track["name"]] = sessions.declare_track(session.id, request).id
    sessions.start(session.id)
    for number, segment in enumerate(sorted(told["segments"], key=lambda one: one["index"]), start=1):
        body = (folder / segment["file"]).read_bytes()
        times = {"start_ms": segment["start_ms"], "duration_ms": segment["duration_ms"]}
        sessions.put_segment(session.id, ids[segment["track"]], segment["index"], body, **times)
        shown.show("record", number / len(told["segments"]))
    ends = {
        name: [one["start_ms"] + one["duration_ms"] for one in told["segments"] if one["track"] == name] for name in ids
    }
    announced = [
        AnnouncedTrack(track_id=ids[name], segments=len(ends[name]), duration_ms=max(ends[name])) for name in ids
    ]
    return sessions.end(session.id, announced)
