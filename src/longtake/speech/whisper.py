"""The local engine of choice: faster-whisper (CTranslate2), int8 on one CPU thread.

Whisper invents sentences for sound without speech: ask it only about utterances in which a detector heard some (the
worker sees to that); what it invents over a pause inside of one is dropped.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.model.errors import EngineError
from longtake.model.transcript import Word
from longtake.speech.engine import NOTHING, EngineInfo, Recognition, mean_confidence

PREFIX = "whisper:"

_CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml "
    "cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am "
    "yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue"
)
LANGUAGES = tuple(_CODES.split())
"""What models know, in the order of their tokens: a model of n languages knows the first n."""


def whisper_info(model_dir: Path) -> EngineInfo:
    """What the model in a folder is and can do, without loading it.

    Raises:
        EngineError: Its `config.json` cannot be read.
    """
    name = model_dir.name.removeprefix("whisper-")
    try:
        config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineError(
            f"the speech model in {model_dir} is damaged ({error}): "
            f"run `longtake models remove {name}`, then install it again",
            code="engine_unavailable",
            retryable=False,
        ) from error
    return EngineInfo(
        name=PREFIX + name,
        model=f"{name} int8",
        is_draft=False,
        languages=LANGUAGES[: 1 if name.endswith(".en") else max(1, len(config.get("lang_ids", ())))],
    )


class WhisperEngine:
    """A loaded model. Deterministic: beam search at temperature 0 draws nothing, and nothing is kept."""

    def __init__(self, model_dir: Path) -> None:
        if importlib.util.find_spec("faster_whisper") is None:
            raise EngineError(
                "faster-whisper is not installed: run `pip install 'faster-whisper>=1.2'`",
                code="engine_unavailable",
                retryable=False,
            )
        import faster_whisper

        self._model: Any = faster_whisper.WhisperModel(
            str(model_dir), device="cpu", compute_type="int8", cpu_threads=1, num_workers=1, local_files_only=True
        )

    def recognise(self, pcm: NDArray[np.int16], language: str | None = None) -> Recognition:
        segments, _ = self._model.transcribe(
            pcm.astype(np.float32) / 32768,
            language=language,
            beam_size=5,
            temperature=0.0,
            word_timestamps=True,
            condition_on_previous_text=False,
            vad_filter=False,
            hallucination_silence_threshold=2.0,
        )
        heard = [segment for segment in segments if segment.text.strip()]
        words = tuple(
            Word(
                text=word.word.strip(),
                start_ms=round(word.start * 1000),
                end_ms=round(word.end * 1000),
                confidence=round(float(word.probability), 3),
            )
            for segment in heard
            for word in segment.words or ()
            if word.word.strip()
        )
        text = " ".join(segment.text.strip() for segment in heard)
        return Recognition(text=text, words=words, confidence=mean_confidence(words)) if text else NOTHING
