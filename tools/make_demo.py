"""Make the recording that `longtake demo` plays back: two voices of flite, a track each, cut into small segments.

    python -m tools.make_demo

writes `src/longtake/demo/`: Ogg Opus segments, cut in pauses of the dialogue so that no joint falls into a word, and
`demo.json`, which says who speaks when. Needs flite.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tools.make_conversation import RATE_HZ, speak, to_pcm

OUT = Path(__file__).resolve().parent.parent / "src/longtake/demo"
FRAME = RATE_HZ // 50
"""Samples of one Opus frame of 20 ms: cuts lie between frames."""
BIT_RATE = 20_000
SEGMENT_S = 5.0
PAUSE_S = 0.6

PEOPLE = (("Ana", "microphone", "slt"), ("Ben", "system", "rms"))
DIALOGUE = (
    ("Ana", "good morning let us talk about the release plan for the new version"),
    ("Ben", "we still have three open problems with the telephone"),
    ("Ana", "how long will it take to fix the problems"),
    ("Ben", "i think we should move the release to friday"),
    ("Ana", "i will send the final plan to david before monday"),
    ("Ben", "okay now let us look at the new office building"),
    ("Ana", "the tables come on tuesday and the internet line is ready on wednesday"),
    ("Ben", "we need more chairs for the second floor of the building"),
    ("Ana", "do you have the keys for the building"),
    ("Ben", "please ask david to call the owner on wednesday afternoon"),
    ("Ana", "okay then we are done with this subject"),
)


def main() -> None:
    """Speak, cut, encode, describe."""
    voices = {name: voice for name, _, voice in PEOPLE}
    sounds = [(name, speak(voices[name], text, 1.05)) for name, text in DIALOGUE]
    starts, at = [], frames(0.4)
    for _, sound in sounds:
        starts.append(at)
        at += frames(sound.size / RATE_HZ + PAUSE_S)
    tracks = {name: np.zeros(at, np.float32) for name in voices}
    for (name, sound), start in zip(sounds, starts, strict=True):
        tracks[name][start : start + sound.size] += sound
    cuts = cut_points([start - frames(PAUSE_S / 2) for start in starts[1:]], at)
    for old in OUT.glob("*.opus"):
        old.unlink()
    segments = []
    for name, _, _ in PEOPLE:
        for index, (start, end) in enumerate(pairwise(cuts)):
            file = OUT / f"{name.lower()}-{index}.opus"
            write_opus(file, to_pcm(tracks[name][start:end]))
            place = {"start_ms": start * 1000 // RATE_HZ, "duration_ms": (end - start) * 1000 // RATE_HZ}
            segments.append({"track": name, "index": index, "file": file.name, **place})
    described = {
        "title": "Demo: a short talk between two people",
        "tracks": [{"name": name, "kind": kind} for name, kind, _ in PEOPLE],
        "segments": segments,
    }
    (OUT / "demo.json").write_text(json.dumps(described, indent=1) + "\n")
    size = sum(file.stat().st_size for file in OUT.iterdir())
    print(f"{at / RATE_HZ:.2f} s, {len(segments)} segments, {size} bytes -> {OUT}")


def frames(seconds: float) -> int:
    """Samples of the whole frames that begin in so many seconds."""
    return -(-round(seconds * RATE_HZ) // FRAME) * FRAME


def cut_points(pauses: list[int], end: int) -> list[int]:
    """The pauses to cut in, so that segments last about `SEGMENT_S`; with the beginning and the end."""
    cuts = [0]
    for pause in pauses:
        if pause - cuts[-1] >= SEGMENT_S * RATE_HZ and end - pause >= SEGMENT_S * RATE_HZ / 2:
            cuts.append(pause // FRAME * FRAME)
    return [*cuts, end]


def write_opus(path: Path, pcm: NDArray[np.int16]) -> None:
    """One mono Ogg Opus file."""
    with av.open(str(path), "w", format="ogg", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libopus", rate=RATE_HZ, layout="mono", bit_rate=BIT_RATE)
        stream.options = {"application": "voip", "vbr": "on"}
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
