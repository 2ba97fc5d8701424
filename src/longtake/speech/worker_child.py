"""The process that hears: rates and recognises what it is sent, one request after another. Started by `worker` only.

    python -m longtake.speech.worker_child MODELS_DIR PARENT_PID

It dies with the thread that started it, gives way to everything else on the machine (nice 10), and loads an engine
when it is first asked for.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.model.errors import EngineError
from longtake.speech.engine import NOTHING, PCM, Recognition, SpeechEngine
from longtake.speech.frames import Head, pack, recognition_to_json, unpack
from longtake.speech.models import engine_info, folder_of
from longtake.speech.pocketsphinx import INFO as POCKETSPHINX
from longtake.speech.pocketsphinx import PocketsphinxEngine
from longtake.speech.silero import Silero
from longtake.speech.vad import ON
from longtake.speech.whisper import PREFIX, WhisperEngine

NICENESS = 10
PR_SET_PDEATHSIG = 1

LEAST_SPEECH = 3
"""Frames in which the detector must be sure of speech before an engine is asked: 0.1 s, less than any utterance has."""


class Ears:
    """The loaded engines; each is loaded when it is first needed."""

    def __init__(self, models_dir: Path) -> None:
        self._models_dir = models_dir
        self._detector: Silero | None = None
        self._engines: dict[str, SpeechEngine] = {}

    def rate(self, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
        """The speech probability of each frame."""
        if self._detector is None:
            self._detector = Silero()
        return self._detector(pcm)

    def recognise(self, engine: str, pcm: NDArray[np.int16], language: str | None) -> Recognition:
        """What an engine hears; nothing where nobody speaks, for engines invent words there.

        Raises:
            EngineError: The engine is not available.
        """
        if engine not in self._engines:
            self._engines[engine] = self._load(engine)
        if np.count_nonzero(self.rate(pcm) >= ON) < LEAST_SPEECH:
            return NOTHING
        return self._engines[engine].recognise(pcm, language)

    def _load(self, name: str) -> SpeechEngine:
        if engine_info(name, self._models_dir) == POCKETSPHINX:
            return PocketsphinxEngine()
        return WhisperEngine(folder_of(name.removeprefix(PREFIX), self._models_dir))


def answer(ears: Ears, head: Head, body: bytes) -> bytes:
    """The answer to one request. Whatever an engine raises becomes an answer too."""
    try:
        pcm = np.frombuffer(body, PCM)
        if head["do"] == "rate":
            return pack({"ok": {}}, ears.rate(pcm).astype("<f4").tobytes())
        language = head["language"]
        heard = ears.recognise(str(head["engine"]), pcm, None if language is None else str(language))
        return pack({"ok": recognition_to_json(heard)})
    except EngineError as error:
        return pack({"error": str(error), "code": error.code, "retryable": error.is_retryable})
    except Exception as error:  # noqa: BLE001 (a library's error of any kind must not look like a death)
        return pack({"error": f"{type(error).__name__}: {error}", "code": "engine_failed", "retryable": True})


def serve(ears: Ears, read_exactly: Callable[[int], bytes], write: Callable[[bytes], object]) -> None:
    """Answer requests until the pipe ends."""
    while True:
        try:
            head, body = unpack(read_exactly)
        except EOFError:
            return
        write(answer(ears, head, body))


def main() -> None:
    models_dir, parent = Path(sys.argv[1]), int(sys.argv[2])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return  # it died before we asked to be told
    os.nice(NICENESS)
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not end up between answers

    def read_exactly(size: int) -> bytes:
        data = requests.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[answers.write(view) :]

    serve(Ears(models_dir), read_exactly, write)


if __name__ == "__main__":
    main()
