"""What all messages share: how they are read, times as text, lists in pages, problems."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Generic, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Times in requests lie between these: far enough from the ends of `datetime` for every offset."""
ACTOR = (
    "Who did it: `owner`; `device:` and its id, as `X-Longtake-Device` or the track names it; `recorder` where nobody "
    "names it; `watch`, `cleanup` and `rebuild` are longtake itself."
)
MAX_COUNT = 10**6
NUMBER = re.compile(r"\s*[-+]?\d*\.?\d*\s*")
MAX_DESCRIPTION_BYTES = 3000
MAX_MS = 366 * 24 * 3600 * 1000


class Request(BaseModel):
    """A message to the server: what it does not know, it refuses."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(BaseModel):
    """A message of the server: a client ignores what it does not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def iso(moment: datetime) -> str:
    """A moment as ISO 8601 in UTC with milliseconds: `2026-11-20T09:30:00.123Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def moment(ms: int) -> datetime:
    """The moment of a number of milliseconds since the Unix epoch."""
    try:
        return EPOCH + timedelta(milliseconds=ms)
    except OverflowError:  # stored before such times were refused
        return EPOCH if ms < 0 else LATEST


def moment_or_none(ms: int | None) -> datetime | None:
    """Like `moment`; None stays None."""
    return None if ms is None else moment(ms)


def milliseconds(at: datetime) -> int:
    """Milliseconds since the Unix epoch, rounded down."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def is_unicode(text: str) -> str:
    """Refuse what JSON lets through and nothing can store; raises ValueError."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a surrogate pair") from error
    return text


def _is_within(at: datetime) -> datetime:
    if not EPOCH <= at < LATEST:
        raise ValueError(f"a time lies between the years {EPOCH.year} and {LATEST.year}")
    return at


def _is_no_number(said: object) -> object:
    if isinstance(said, int | float) or (isinstance(said, str) and NUMBER.fullmatch(said)):
        raise ValueError("a time is written like 2026-11-20T09:30:00Z, not as a number")
    return said


def _at_most(size_bytes: int) -> AfterValidator:
    """A limit for what must be small in every answer: quotes count twice there, control characters six times."""

    def check(text: str) -> str:
        if len(json.dumps(is_unicode(text), ensure_ascii=False).encode()) - 2 > size_bytes:
            raise ValueError(f"at most {size_bytes} bytes as JSON in UTF-8")
        return text

    return AfterValidator(check)


Time = Annotated[
    AwareDatetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-20T09:30:00.123Z"]}),
]
"""ISO 8601 with an offset; sent as UTC with milliseconds."""
GivenTime = Annotated[Time, AfterValidator(_is_within), BeforeValidator(_is_no_number)]
"""A time in a request: of the years 1970 to 8999, never a number, as nobody knows of which unit."""

Word = Annotated[str, Field(min_length=1, max_length=100), _at_most(400)]
"""A tag, a topic, a name."""
Title = Annotated[str, Field(max_length=500), _at_most(1000)]
Description = Annotated[str, Field(max_length=MAX_DESCRIPTION_BYTES), _at_most(MAX_DESCRIPTION_BYTES)]
Text = Annotated[str, Field(min_length=1, max_length=100_000), AfterValidator(is_unicode)]
Identifier = Annotated[str, Field(min_length=1, max_length=64), _at_most(64)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Milliseconds = Annotated[int, Field(ge=0, le=MAX_MS)]

Item = TypeVar("Item")


class Page(Answer, Generic[Item]):
    """A part of a list; `next_cursor` asks for the next part, null: this was the last."""

    items: list[Item]
    next_cursor: str | None


class Problem(BaseModel):
    """What went wrong (RFC 9457). `code` is stable; a problem may have fields of its own beside these."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = Field(description="A URI reference that names the kind of problem: `/problems/{code}`.")
    title: str
    status: int
    detail: str
    code: str
