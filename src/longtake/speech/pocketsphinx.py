"""The draft engine: pocketsphinx with the English model that lies in its wheel. Works offline from the first start.

Its decoder keeps the cepstral mean of what it heard before: the same sound twice gives two texts. `reinit_feat` before
each utterance makes it forget (0 ms; a new decoder costs 0.25 s of CPU). It holds the GIL while it decodes: run it in
the worker's child.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.model.transcript import Word
from longtake.speech.engine import NOTHING, PCM, RATE_HZ, EngineInfo, Recognition, mean_confidence

INFO = EngineInfo(name="pocketsphinx", model="en-us", is_draft=True, languages=("en",))
FRAME_MS = 10
"""The decoder's frame: 100 a second, its default."""

ALTERNATIVE = re.compile(r"\(\d+\)$")
"""`and(2)` is the dictionary's second pronunciation of `and`."""


class PocketsphinxEngine:
    """One decoder, in a fresh state for every utterance. Not thread-safe."""

    def __init__(self) -> None:
        import pocketsphinx

        self._decoder: Any = pocketsphinx.Decoder(samprate=RATE_HZ, loglevel="FATAL")

    def recognise(self, pcm: NDArray[np.int16], language: str | None = None) -> Recognition:  # noqa: ARG002 - English
        if pcm.size == 0:
            return NOTHING
        decoder = self._decoder
        decoder.reinit_feat()
        decoder.start_utt()
        try:
            decoder.process_raw(pcm.astype(PCM).tobytes(), full_utt=True)
        finally:
            decoder.end_utt()
        words = tuple(
            Word(
                text=ALTERNATIVE.sub("", segment.word),
                start_ms=segment.start_frame * FRAME_MS,
                end_ms=(segment.end_frame + 1) * FRAME_MS,
                confidence=round(min(max(float(segment.prob), 0.0), 1.0), 3),
            )
            for segment in decoder.seg() or ()
            if not segment.word.startswith(("<", "[", "+"))  # <sil>, [NOISE], ++SPEECH++
        )
        if not words:
            return NOTHING
        return Recognition(text=" ".join(w.text for w in words), words=words, confidence=mean_confidence(words))
