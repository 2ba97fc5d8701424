"""The mix, waveforms, artifacts, figures and health on the wire."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from longtake.wire.base import Answer, Request
from longtake.wire.jobs import QueueAnswer


class MixRequest(Request):
    """Sets the balance of the mix: 0 microphone only, 1 system only."""

    balance: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class MixAnswer(Answer):
    """The balance that counts from now on."""

    balance: float


class WaveformAnswer(Answer):
    """Peaks for drawing: (minimum, maximum) pairs in 1/127 of full scale, evenly over [from_ms, to_ms)."""

    from_ms: int
    to_ms: int
    duration_ms: int
    peaks: list[tuple[int, int]]


class ArtifactAnswer(Answer):
    """A file that can be downloaded. `size_bytes` is known once it has been made."""

    file_type: str
    name: str
    mime_type: str
    state: Literal["ready", "on_request", "making", "waiting"]
    size_bytes: int | None
    progress: int
    url: str


class ArtifactsAnswer(Answer):
    """All files of a session. `complete` is false while parts of the recording are missing in them (see coverage)."""

    items: list[ArtifactAnswer]
    complete: bool


class SessionFigures(Answer):
    """How many sessions there are, the trash apart."""

    total: int
    active: int
    by_state: dict[str, int]
    by_processing: dict[str, int]


class StorageFigures(Answer):
    """What is stored; `hours_left` for what is being recorded now, or one microphone.

    `by_kind` is by how it is kept: `packs` hold small bodies, `files` large ones and made MP3s, `derived` the sound
    to be played, which can be made anew.
    """

    total_bytes: int
    by_kind: dict[str, int]
    free_bytes: int
    hours_left: float


class StatsAnswer(Answer):
    """Figures over everything."""

    sessions: SessionFigures
    recorded_ms: int
    storage: StorageFigures
    queue: QueueAnswer
    devices: int


class HealthAnswer(Answer):
    """Whether the server is well; `problems` say what is not."""

    status: Literal["ok", "unwell"]
    problems: list[str]
