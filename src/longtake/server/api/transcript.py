"""What was said and what it was about: entries, speakers, summary, chapters, tasks, notes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from longtake.enrichment.documents import to_markdown
from longtake.model.errors import Conflict, NotReady
from longtake.model.lifecycle import SessionState
from longtake.model.session import ProcessingStatus
from longtake.model.transcript import Outline
from longtake.runtime import Runtime
from longtake.server.api.common import READ, WRITE, Cursor, Limit, SessionId, Writer, problems
from longtake.server.routing import ApiRoute, Run
from longtake.wire.base import Page
from longtake.wire.remarks import SummaryRequest
from longtake.wire.transcript import (
    ChapterAnswer,
    ChaptersAnswer,
    CorrectionRequest,
    EntryAnswer,
    EntryRequest,
    NotesAnswer,
    RenameAnswer,
    RenameRequest,
    SummaryAnswer,
    TaskAnswer,
    TasksAnswer,
)

router = APIRouter(route_class=ApiRoute, tags=["transcript"])


@router.get("/api/sessions/{session_id}/transcript", dependencies=READ, responses=problems(404, 422))
def list_transcript(session_id: SessionId, run: Run, limit: Limit = 50, cursor: Cursor = None) -> Page[EntryAnswer]:
    """What was said, by media time."""
    page, following = run.transcripts.page(session_id, limit=limit, cursor=cursor)
    return Page(items=[EntryAnswer.of(entry) for entry in page], next_cursor=following)


@router.post(
    "/api/sessions/{session_id}/transcript",
    status_code=201,
    dependencies=WRITE,
    responses=problems(404, 413, 422, 507),
)
def append_entry(session_id: SessionId, run: Run, body: EntryRequest) -> EntryAnswer:
    """Append what somebody said or wrote."""
    entry = run.transcripts.append(session_id, body.speaker, body.text, start_ms=body.start_ms, end_ms=body.end_ms)
    return EntryAnswer.of(entry)


@router.patch(
    "/api/sessions/{session_id}/transcript/{entry_id}", dependencies=WRITE, responses=problems(404, 413, 422, 507)
)
def correct_entry(
    session_id: SessionId,
    entry_id: Annotated[str, Path(max_length=64, description="The entry's id.")],
    run: Run,
    body: CorrectionRequest,
) -> EntryAnswer:
    """Replace an entry's text."""
    return EntryAnswer.of(run.transcripts.correct(session_id, entry_id, body.text))


@router.patch(
    "/api/sessions/{session_id}/speakers/{speaker:path}", dependencies=WRITE, responses=problems(404, 413, 422, 507)
)
def rename_speaker(
    session_id: SessionId,
    speaker: Annotated[str, Path(max_length=100, description="The name so far.")],
    run: Run,
    body: RenameRequest,
) -> RenameAnswer:
    """Give a speaker another name everywhere in the session."""
    return RenameAnswer(speaker=body.name, entries=run.transcripts.rename(session_id, speaker, body.name))


@router.get("/api/sessions/{session_id}/summary", dependencies=READ, responses=problems(404, 409))
def get_summary(session_id: SessionId, run: Run) -> SummaryAnswer:
    """What it was about: what somebody wrote, and what was made."""
    written = run.remarks.written(session_id)
    outline = _outline(run, session_id) if written is None else run.transcripts.outline(session_id)
    return SummaryAnswer.of(outline, written)


@router.put("/api/sessions/{session_id}/summary", dependencies=WRITE, responses=problems(404, 409, 413, 422, 507))
def write_summary(session_id: SessionId, run: Run, caller: Writer, body: SummaryRequest) -> SummaryAnswer:
    """Say what it was about, beside what is made: that is shown first, with who said so."""
    written = run.remarks.write_summary(session_id, body.summary, author=caller.actor)
    return SummaryAnswer.of(run.transcripts.outline(session_id), written)


@router.get("/api/sessions/{session_id}/chapters", dependencies=READ, responses=problems(404, 409))
def list_chapters(session_id: SessionId, run: Run) -> ChaptersAnswer:
    """The chapters, in order."""
    outline = _outline(run, session_id)
    return ChaptersAnswer(made_by=outline.made_by, items=[ChapterAnswer.of(one) for one in outline.chapters])


@router.get("/api/sessions/{session_id}/tasks", dependencies=READ, responses=problems(404, 409))
def list_tasks(session_id: SessionId, run: Run) -> TasksAnswer:
    """What somebody said they would do, in order."""
    outline = _outline(run, session_id)
    items = [TaskAnswer.of(number, task) for number, task in enumerate(outline.tasks)]
    return TasksAnswer(made_by=outline.made_by, items=items)


@router.get("/api/sessions/{session_id}/notes", dependencies=READ, responses=problems(404, 409))
def get_notes(session_id: SessionId, run: Run) -> NotesAnswer:
    """The notes, as Markdown."""
    outline = _outline(run, session_id)
    return NotesAnswer(made_by=outline.made_by, markdown=to_markdown(run.files.document(session_id)))


def _outline(run: Runtime, session_id: str) -> Outline:
    """The outline; raises NotReady while it is being made, Conflict when nothing makes it."""
    outline = run.transcripts.outline(session_id)
    if outline is not None:
        return outline
    session = run.sessions.get(session_id)
    if session.job is None and session.state is SessionState.COMPLETED:  # nothing was recorded
        return Outline(made_by="outline", chapters=(), summary=(), topics=(), tasks=())
    if session.job is None:
        raise NotReady("the outline is made when the session has ended", state=session.state.value, progress=0)
    if session.processing in (ProcessingStatus.PENDING, ProcessingStatus.PROCESSING):
        raise NotReady("the outline is being made", stage=session.job.stage, progress=session.job.progress)
    raise Conflict(
        f"the outline was not made: job {session.job.id} is {session.job.status.value}", job_id=session.job.id
    )
