"""Markers, phases, written summaries and the timeline, on the wire."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from longtake.model.remarks import Item, ItemKind, Marker, PhaseChange, Written
from longtake.wire.base import ACTOR, Answer, Milliseconds, Request, Text, Time, Title, Word, moment


class MarkerRequest(Request):
    """Flags a moment; without `at_ms` it is now, on the session's media timeline."""

    at_ms: Milliseconds | None = None
    label: Title | None = None


class MarkerAnswer(Answer):
    """A moment that somebody flagged."""

    id: str
    at_ms: int
    label: str | None
    author: str = Field(description=ACTOR)
    created_at: Time

    @classmethod
    def of(cls, marker: Marker) -> Self:
        """From the model."""
        return cls(
            id=marker.id,
            at_ms=marker.at_ms,
            label=marker.label,
            author=marker.author,
            created_at=moment(marker.created_at_ms),
        )


class PhaseRequest(Request):
    """Moves a session into a phase of its own (any, where it has none); null: into none."""

    phase: Word | None


class PhaseChangeAnswer(Answer):
    """When a phase began: by the clock, and on the media timeline."""

    phase: str | None
    at: Time
    at_ms: int
    actor: str = Field(description=ACTOR)

    @classmethod
    def of(cls, change: PhaseChange) -> Self:
        """From the model."""
        return cls(phase=change.phase, at=moment(change.at_ms), at_ms=change.start_ms, actor=change.actor)


class PhaseAnswer(Answer):
    """The phase that a session is in, those it may be in, and how it got there, oldest first."""

    phase: str | None
    phases: list[str]
    history: list[PhaseChangeAnswer]


class SummaryRequest(Request):
    """Says what a session was about, beside what is made of it; null takes it away again."""

    summary: Annotated[Text, Field(max_length=100_000)] | None


class WrittenAnswer(Answer):
    """What somebody wrote: shown before what was made."""

    text: str
    author: str = Field(description=ACTOR)
    at: Time

    @classmethod
    def of(cls, written: Written) -> Self:
        """From the model."""
        return cls(text=written.text, author=written.author, at=moment(written.written_at_ms))


class ItemAnswer(Answer):
    """Something on the timeline. `text` is what it says: words, a title, a label, a phase, the cause of a gap.

    `speaker` is who spoke, flagged, or moved it into the phase. `end_ms` is null for a moment, and for the phase that
    lasts.
    """

    kind: ItemKind
    id: str
    start_ms: int
    end_ms: int | None
    text: str
    speaker: str | None
    track_id: str | None

    @classmethod
    def of(cls, item: Item) -> Self:
        """From the model."""
        return cls(
            kind=item.kind,
            id=item.id,
            start_ms=item.start_ms,
            end_ms=item.end_ms,
            text=item.text,
            speaker=item.speaker,
            track_id=item.track_id,
        )
