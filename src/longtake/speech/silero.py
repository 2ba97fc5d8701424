"""How likely each 32 ms of sound is speech: the Silero network of faster-whisper's wheel, one thread.

The file is found without importing faster-whisper (which costs a second). The recurrent state is fresh at each call:
the values depend on nothing but the samples given.

Source: Silero VAD v6, https://github.com/snakers4/silero-vad
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from longtake.model.errors import EngineError
from longtake.speech.vad import FRAME

CONTEXT = 64
"""Samples of the frame before that the network sees with each frame."""

STATE = 128
"""Width of its recurrent state."""


def model_path() -> Path:
    """Where the network lies.

    Raises:
        EngineError: faster-whisper is not installed, or without it.
    """
    spec = importlib.util.find_spec("faster_whisper")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "assets" / "silero_vad_v6.onnx"
        if path.is_file():
            return path
    raise EngineError(
        "the speech detector is missing: run `pip install 'faster-whisper>=1.2'`",
        code="engine_unavailable",
        retryable=False,
    )


class Silero:
    """The loaded network; calling it is thread-safe."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = 1
        options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self._session: Any = onnxruntime.InferenceSession(
            str(model_path()), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
        """Rate each frame.

        Args:
            pcm: (n,) samples, mono at 16 kHz; a last frame that is not whole is filled with silence.

        Returns:
            (ceil(n / FRAME),) probabilities in 0…1.
        """
        if pcm.size == 0:
            return np.zeros(0, np.float32)
        frames = -(-pcm.size // FRAME)
        signal = np.zeros(CONTEXT + frames * FRAME, np.float32)
        signal[CONTEXT : CONTEXT + pcm.size] = pcm.astype(np.float32) / 32768
        windows = np.lib.stride_tricks.sliding_window_view(signal, CONTEXT + FRAME)[::FRAME]
        state = np.zeros((1, 1, STATE), np.float32)
        rated, _, _ = self._session.run(None, {"input": np.ascontiguousarray(windows), "h": state, "c": state})
        return np.asarray(rated, np.float32).reshape(-1)
