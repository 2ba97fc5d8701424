"""`longtake process`: the main job without a server. Recorded files in, everything that is made of them out.

The store of a recording lies in OUT/.longtake: run again, it goes on where it was, whatever ended it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from longtake.cli.console import (
    FAILED,
    FilesArgument,
    JsonOption,
    LanguageOption,
    clock,
    note,
    print_json,
    quiet_logs,
    say,
    settings_of,
    stoppable,
)
from longtake.cli.problems import line_of
from longtake.cli.progress import Stages, follow, stages
from longtake.cli.sessions import coverage_lines
from longtake.model.errors import AlreadyExists, MediaError, ProcessingFailed, Unsupported
from longtake.model.lifecycle import JobState
from longtake.model.session import ProcessingStatus

if TYPE_CHECKING:
    from longtake.cli.library import Local
    from longtake.model.session import Session
    from longtake.settings import Settings
    from longtake.speech.choice import Choice
    from longtake.wire.jobs import JobAnswer
    from longtake.wire.sessions import SessionAnswer
    from longtake.wire.tracks import CoverageAnswer

EXAMPLE = "Example: longtake process interview.flac --out interview"
AUTO = "auto"
STORE = ".longtake"
PIECE_BYTES = 1 << 20
EVERY_S = 0.1
NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What there is in the end. `paths` are by file type; `troubles` say what failed or is damaged."""

    session: SessionAnswer
    coverage: CoverageAnswer
    paths: dict[str, Path]
    troubles: list[ProcessingFailed]


def process(
    files: FilesArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", file_okay=False, help="Where the results go.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", help="auto (the best that is installed), none, pocketsphinx or whisper:NAME."),
    ] = None,
    language: LanguageOption = None,
    title: Annotated[str | None, typer.Option("--title", help="The title; by default the file's name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn recorded files into a whole session.

    Sound, transcript, chapters, summary. Several files become several tracks of one session. The results go into OUT,
    by default NAME.longtake beside the first file. Interrupted by Ctrl-C, a crash or a power cut, the same command
    goes on where it was.
    """
    from longtake.client import in_utf8

    name = in_utf8(files[0].stem)
    out = out or files[0].with_name(f"{name}.longtake")
    settings = _settings(out, engine, language)
    quiet_logs()
    inputs = _inputs(files)
    with stoppable("What is done is kept: the same command goes on from there."), stages() as shown:
        job = _run(settings, inputs, in_utf8(title or name), shown)
        made = _write(settings, out, shown, is_news=job is not None)
    if as_json:
        artifacts = [{"file_type": file_type, "path": str(path)} for file_type, path in made.paths.items()]
        told = {"session": made.session.model_dump(mode="json"), "coverage": made.coverage.model_dump(mode="json")}
        print_json(told | {"out": str(out), "artifacts": artifacts})
    elif made.paths:
        for line in (*map(str, made.paths.values()), *coverage_lines(made.session, made.coverage)):
            say(line)
    for trouble in made.troubles:
        note(line_of(trouble))
    if job is not None and job.status is not JobState.COMPLETED:
        raise ProcessingFailed(job.error or f"the job is {job.status.value}")
    if made.session.processing is ProcessingStatus.FAILED:
        raise typer.Exit(FAILED)


def _settings(out: Path, engine: str | None, language: str | None) -> Settings:
    """A store in OUT; the models are those of the data folder."""
    usual = settings_of(engine=engine, language=language)
    _choice(usual).check(usual.engine)
    return settings_of(data=out / STORE, engine=engine, language=language, models_folder=usual.models)


def _choice(settings: Settings) -> Choice:
    from longtake.speech.choice import Choice

    return Choice(models_dir=settings.models, engine=settings.engine, language=settings.language)


def _inputs(files: Sequence[Path]) -> dict[str, Path]:
    """Track name → file: the name of the file, with a number from 2 on where another has it.

    Raises:
        Unsupported: A file is no sound that longtake reads.
    """
    from longtake.client import in_utf8
    from longtake.media.probe import SNIFF_BYTES, sniff

    inputs: dict[str, Path] = {}
    for path in files:
        with path.open("rb") as file:
            if sniff(file.read(SNIFF_BYTES)) is None:
                raise Unsupported(f"{path} is no recording")
        name = in_utf8(path.stem)
        numbered = (f"{name} {number}" for number in count(2))
        inputs[next(free for free in chain([name], numbered) if free not in inputs)] = path
    return inputs


def _run(settings: Settings, inputs: Mapping[str, Path], title: str, shown: Stages) -> JobAnswer | None:
    """Take the files in, have them processed; returns the job, or None when that was done before."""
    from longtake.cli.library import Local
    from longtake.runtime import Runtime

    with Runtime.open(settings, with_engine=False) as runtime:
        local = Local(runtime)
        is_begun = _find(local) is not None
        session = _take_in(local, inputs, title, shown)
        job = session.job
        assert job is not None, "a session with tracks gets a job when it ends"
        if job.status is JobState.COMPLETED and not session.counts.failed:
            note("Done before: here is what there is.")
            return None
        if job.finished_at_ms is not None:
            note("Done before, but something failed: that is tried again.")
            runtime.work.retry_session(session.id)
        elif is_begun:
            note("Begun before: it goes on where it was.")
    with Runtime.open(settings) as runtime:
        local = Local(runtime)
        started = runtime.sessions.get(session.id).job
        assert started is not None
        return follow(
            lambda: local.job(started.id),
            shown,
            every_s=EVERY_S,
            so_far=lambda: f"{clock(runtime.sessions.get(session.id).length_ns // NS_PER_MS)} so far",
        )


def _take_in(local: Local, inputs: Mapping[str, Path], title: str, shown: Stages) -> Session:
    """The session of these files, recorded and ended; what was done before is found and not done again."""
    from longtake.ingest.protocol import announce
    from longtake.model.lifecycle import SessionState
    from longtake.model.session import TrackKind
    from longtake.sessions.lifecycle import Announced
    from longtake.sessions.manager import NewSession, NewTrack

    runtime = local.runtime
    session = _find(local)
    if session is None:
        session = runtime.sessions.create(NewSession(title=title, recording_type="import"))
    else:
        _check_same(local, session, inputs)
    if session.state is SessionState.COMPLETED:
        return session
    known = {track.name: track for track in session.tracks}
    tracks = {
        name: known.get(name)
        or runtime.sessions.declare_track(session.id, NewTrack(kind=TrackKind.UPLOAD, name=name, expected_segments=1))
        for name in inputs
    }
    if session.state is SessionState.IDLE:
        runtime.lifecycle.start(session.id)
    for name, path in inputs.items():
        if not tracks[name].counts.total:
            announcement = announce(track_id=tracks[name].id, index=0, start_ms=0, content_length=path.stat().st_size)
            limit_bytes = runtime.settings.max_import_bytes
            runtime.receiver.receive_blocking(announcement, _pieces(path, shown), limit_bytes=limit_bytes)
    return runtime.lifecycle.end(session.id, [Announced(track_id=track.id, segments=1) for track in tracks.values()])


def _find(local: Local) -> Session | None:
    """The one session of the store, if it was begun."""
    found = local.newest(1)
    return local.runtime.sessions.get(found[0].id) if found else None


def _check_same(local: Local, session: Session, inputs: Mapping[str, Path]) -> None:
    """Refuse to mix two recordings, two engines or two languages in one folder.

    Raises:
        AlreadyExists: The folder holds something else.
    """
    settings, out = local.runtime.settings, local.runtime.settings.data.parent
    for track in session.tracks:
        path = inputs.get(track.name or "")
        if path is None:
            raise AlreadyExists(f"{out} holds a recording of other files")
        if track.counts.total and local.runtime.sessions.segment(session.id, track.id, 0).sha256 != _sha256(path):
            raise AlreadyExists(f"{out} holds a recording of another {path.name}")
        if settings.engine != AUTO and track.speech_engine not in (None, settings.engine):
            raise AlreadyExists(f"{out} holds this recording as {track.speech_engine} heard it, not {settings.engine}")
        if settings.language != AUTO and track.speech_engine is not None:
            language = _choice(settings).language_for(track.speech_engine)
            if language != track.speech_language:
                was = track.speech_language or "whatever was spoken"
                raise AlreadyExists(f"{out} holds this recording heard as {was}, not as {language}")
    if session.tracks and session.ended_at_ms is not None and len(session.tracks) != len(inputs):
        raise AlreadyExists(f"{out} holds a recording of fewer files")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pieces(path: Path, shown: Stages) -> Iterator[bytes]:
    size_bytes, sent_bytes = path.stat().st_size, 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
            sent_bytes += len(piece)
            shown.show("receive", sent_bytes / size_bytes)


def _write(settings: Settings, out: Path, shown: Stages, *, is_news: bool) -> Made:
    """Write the files, unless they are there from an earlier run."""
    from longtake.cli.library import Local
    from longtake.runtime import Runtime

    with Runtime.open(settings, with_engine=False) as runtime:
        local = Local(runtime)
        found = _find(local)
        assert found is not None, "what was processed is in the store"
        listed = runtime.files.listing(found.id) if found.length_ns else []
        paths = {one.file_type: out / one.name for one in listed}
        if is_news or not all(path.exists() for path in paths.values()):
            written: list[Path] = []

            def wrote(path: Path) -> None:
                written.append(path)
                shown.show("write", len(written) / len(paths))

            if paths:
                runtime.files.write_all(found.id, out, wrote=wrote)
        return Made(
            session=local.session(found.id),
            coverage=local.coverage(found.id),
            paths=paths,
            troubles=_troubles(local, found.id),
        )


def _troubles(local: Local, session_id: str) -> list[ProcessingFailed]:
    """What failed, or is damaged in part, by track."""
    names = {track.id: track.name for track in local.session(session_id).tracks}
    return [
        MediaError(f"{names[segment.track_id]}: {segment.error.detail}", code=segment.error.code)
        for segment in local.troubled(session_id)
        if segment.error is not None
    ]
