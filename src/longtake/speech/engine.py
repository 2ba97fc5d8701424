"""What a speech engine is: PCM of one utterance in, words with times out.

Belongs here: the protocol, and what an engine says of itself. Does not: where an utterance begins and ends (`vad`,
`cutter`), the process that engines run in (`worker`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from longtake.model.transcript import Word

RATE_HZ = 16_000
"""Sample rate of all PCM in this room: mono, signed 16-bit."""

PCM = np.dtype("<i2")
"""Samples as they cross a process border."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What an engine is and can do.

    `name` is what it is asked for by (`pocketsphinx`, `whisper:base`), `model` what it decodes with. `languages` are
    ISO 639 codes; an engine that knows several finds out by itself which is spoken, unless it is told.
    """

    name: str
    model: str
    is_draft: bool
    languages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """What was heard in one utterance. Times of `words` are milliseconds from its first sample.

    `text` is empty when no speech was recognised. `confidence` is 0…1, or None where the engine gives none.
    """

    text: str
    words: tuple[Word, ...]
    confidence: float | None


NOTHING = Recognition(text="", words=(), confidence=None)
"""No speech was recognised."""


class SpeechEngine(Protocol):
    """Recognises one utterance at a time; the same samples always give the same result."""

    def recognise(self, pcm: NDArray[np.int16], language: str | None = None) -> Recognition:
        """Recognise one utterance: (n,) samples, mono at `RATE_HZ`, in a language that `choice` found for it."""
        ...


def mean_confidence(words: tuple[Word, ...]) -> float | None:
    """The mean confidence of words, weighted by their length; None where no word has one."""
    rated = [(w.confidence, max(w.end_ms - w.start_ms, 1)) for w in words if w.confidence is not None]
    if not rated:
        return None
    return round(sum(c * ms for c, ms in rated) / sum(ms for _, ms in rated), 3)
