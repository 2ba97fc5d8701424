"""Who said what, from when to when; chapters and the outline that is made of it.

Times are milliseconds on the session's media timeline (pauses excluded, gaps kept).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One recognised word; `confidence` is 0…1, or None where the engine gives none."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A stretch of speech of one speaker, or a message of `SYSTEM` or `AGENT` (then without track and engine).

    `at_ms` is when it was written, since the Unix epoch. `segments` are the first and last index of the segments that
    it was heard in. `engine` and `model` say who wrote it, `is_draft` that it is of draft quality; `corrected` that a
    person changed it afterwards.
    """

    id: str
    session_id: str
    track_id: str | None
    speaker: str
    text: str
    start_ms: int
    end_ms: int
    at_ms: int
    segments: tuple[int, int] | None = None
    engine: str | None = None
    model: str | None = None
    is_draft: bool = False
    confidence: float | None = None
    words: tuple[Word, ...] = ()
    corrected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A stretch of the session about one thing."""

    title: str
    start_ms: int
    end_ms: int
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something somebody said they would do, or were asked to do."""

    text: str
    speaker: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """Chapters, extracts and tasks; `made_by` names the engine (`outline` without a language model)."""

    made_by: str
    chapters: tuple[Chapter, ...]
    summary: tuple[str, ...]
    topics: tuple[str, ...]
    tasks: tuple[Task, ...]
