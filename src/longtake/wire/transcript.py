"""Transcript, outline and what is made of them, on the wire."""

from __future__ import annotations

from typing import Self

from longtake.model.remarks import Written
from longtake.model.transcript import Chapter, Entry, Outline, Task, Word
from longtake.wire.base import Answer, Milliseconds, Request, Text, Time, moment
from longtake.wire.base import Word as Name
from longtake.wire.remarks import WrittenAnswer


class EntryRequest(Request):
    """Appends what somebody said or wrote; without a time it belongs to the end of what was recorded so far."""

    speaker: Name
    text: Text
    start_ms: Milliseconds | None = None
    end_ms: Milliseconds | None = None


class CorrectionRequest(Request):
    """Replaces an entry's text."""

    text: Text


class RenameRequest(Request):
    """Gives a speaker another name."""

    name: Name


class RenameAnswer(Answer):
    """How many entries have the new name."""

    speaker: str
    entries: int


class WordAnswer(Answer):
    """One recognised word."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None

    @classmethod
    def of(cls, word: Word) -> Self:
        """From the model."""
        return cls(text=word.text, start_ms=word.start_ms, end_ms=word.end_ms, confidence=word.confidence)


class EntryAnswer(Answer):
    """Who said what. `segments` are the first and last index of the segments it was heard in."""

    id: str
    track_id: str | None
    speaker: str
    text: str
    start_ms: int
    end_ms: int
    at: Time
    segments: tuple[int, int] | None
    engine: str | None
    model: str | None
    is_draft: bool
    confidence: float | None
    words: list[WordAnswer]
    corrected: bool

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """From the model."""
        return cls(
            id=entry.id,
            track_id=entry.track_id,
            speaker=entry.speaker,
            text=entry.text,
            start_ms=entry.start_ms,
            end_ms=entry.end_ms,
            at=moment(entry.at_ms),
            segments=entry.segments,
            engine=entry.engine,
            model=entry.model,
            is_draft=entry.is_draft,
            confidence=entry.confidence,
            words=[WordAnswer.of(word) for word in entry.words],
            corrected=entry.corrected,
        )


class SummaryAnswer(Answer):
    """What it was about. `written` is what somebody wrote, to be shown first; `summary` and `topics` are made.

    `made_by` names the engine that made them (`outline`: extracts, without a language model); null while there are
    none.
    """

    written: WrittenAnswer | None
    made_by: str | None
    summary: list[str]
    topics: list[str]

    @classmethod
    def of(cls, outline: Outline | None, written: Written | None) -> Self:
        """From the model."""
        return cls(
            written=None if written is None else WrittenAnswer.of(written),
            made_by=None if outline is None else outline.made_by,
            summary=[] if outline is None else list(outline.summary),
            topics=[] if outline is None else list(outline.topics),
        )


class ChapterAnswer(Answer):
    """A stretch of the session about one thing."""

    title: str
    start_ms: int
    end_ms: int
    summary: str

    @classmethod
    def of(cls, chapter: Chapter) -> Self:
        """From the model."""
        return cls(title=chapter.title, start_ms=chapter.start_ms, end_ms=chapter.end_ms, summary=chapter.summary)


class ChaptersAnswer(Answer):
    """All chapters, in order."""

    made_by: str
    items: list[ChapterAnswer]


class TaskAnswer(Answer):
    """Something somebody said they would do, or were asked to do."""

    id: str
    text: str
    speaker: str
    at_ms: int

    @classmethod
    def of(cls, number: int, task: Task) -> Self:
        """From the model; its id is its number in the session."""
        return cls(id=task_id(number), text=task.text, speaker=task.speaker, at_ms=task.at_ms)


class TasksAnswer(Answer):
    """All tasks, in order."""

    made_by: str
    items: list[TaskAnswer]


class NotesAnswer(Answer):
    """The session's notes, as Markdown."""

    made_by: str
    markdown: str


def task_id(number: int) -> str:
    """The id of a session's n-th task, from 0."""
    return f"task-{number + 1}"
