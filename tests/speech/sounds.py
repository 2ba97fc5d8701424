"""Sound for the tests of speech: 16 kHz mono."""

import subprocess
import tempfile
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).resolve().parent.parent / "data"
JFK_TEXT = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"


def load(path: Path) -> NDArray[np.int16]:
    """The first audio stream of a file."""
    resampler = av.AudioResampler("s16", "mono", 16_000)
    with av.open(str(path)) as file:
        frames = [made for frame in file.decode(audio=0) for made in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])


def noise(seconds: float, *, level: float, seed: int = 0) -> NDArray[np.int16]:
    """White noise; `level` is its standard deviation on the 16-bit scale."""
    return np.random.default_rng(seed).normal(0, level, round(seconds * 16_000)).astype(np.int16)


def say(voice: str, text: str) -> NDArray[np.int16]:
    """A sentence spoken by a voice of flite, after half a second of silence."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", file.name], check=True, capture_output=True)
        return np.concatenate([np.zeros(8_000, np.int16), load(Path(file.name))])
