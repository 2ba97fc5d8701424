"""The clean-up on the wire."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from longtake.wire.base import Answer, Request


class CleanUpRequest(Request):
    """Cleans up now; sessions lie idle as the settings say, unless `idle_minutes` says otherwise."""

    idle_minutes: Annotated[int, Field(ge=1, le=10**6)] | None = None


class CleanUpAnswer(Answer):
    """What was done: sessions ended and enriched, empty ones put into the trash, answers to old requests forgotten."""

    ended: list[str]
    removed: list[str]
    forgotten_answers: int
