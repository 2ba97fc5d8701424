"""What recognition costs inside longtake's worker against the engine called directly, on the same utterances.

Both take turns utterance by utterance, so that whatever else the machine does hits both. Inside counts all of it: the
pipes, the guard against invented words, and the child's own work.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import av
import numpy as np
import psutil
from numpy.typing import NDArray

from bench.figures import Figure
from longtake.speech.cutter import Cutter
from longtake.speech.pocketsphinx import INFO, PocketsphinxEngine
from longtake.speech.worker import SpeechWorker

SPEECH = Path(__file__).parent.parent / "tests" / "data" / "jfk.flac"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a piece of work took, in seconds."""

    cpu_s: float
    wall_s: float


def run(smoke: bool) -> list[Figure]:
    """Measure CPU and wall time of the draft engine, inside and directly."""
    pcm = _speech()
    direct = PocketsphinxEngine()
    with tempfile.TemporaryDirectory() as folder:
        worker = SpeechWorker(Path(folder))
        try:
            cuts, _ = Cutter(lambda start, end: pcm[start:end], worker.speech_probabilities).cut(0, pcm.size, True)
            utterances = [pcm[cut.start : cut.end] for cut in cuts]
            worker.recognise(INFO.name, utterances[0])
            inside, alone = [], []
            for _ in range(1 if smoke else 9):
                for utterance in utterances:
                    inside.append(_cost(partial(worker.recognise, INFO.name, utterance)))
                    alone.append(_cost(partial(direct.recognise, utterance)))
        finally:
            worker.close()
    count = len(utterances)
    return [
        _figure("CPU", [cost.cpu_s for cost in inside], [cost.cpu_s for cost in alone], count),
        _figure("wall", [cost.wall_s for cost in inside], [cost.wall_s for cost in alone], count),
    ]


def _figure(what: str, inside: list[float], alone: list[float], count: int) -> Figure:
    """The ratio of what a whole round costs, each utterance by the median of its rounds."""
    inside_s = sum(median(inside[number::count]) for number in range(count))
    alone_s = sum(median(alone[number::count]) for number in range(count))
    return Figure(
        name=f"speech engine inside / direct, {what}",
        value=inside_s / alone_s,
        target="≤ 1.05",
        unit="×",
        detail=f"{inside_s:.3f} s / {alone_s:.3f} s for {count} utterances, medians of {len(inside) // count} rounds",
    )


def _cost(work: Callable[[], object]) -> Cost:
    """What some work costs here and in the children."""
    cpu_s, wall_s = _cpu_s(), time.perf_counter()
    work()
    return Cost(wall_s=time.perf_counter() - wall_s, cpu_s=_cpu_s() - cpu_s)


def _cpu_s() -> float:
    """CPU time of this process and its children; the kernel counts a child's by the nanosecond in its scheduler."""
    children = psutil.Process().children()
    return time.process_time() + sum(_child_cpu_s(child.pid) for child in children)


def _child_cpu_s(pid: int) -> float:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9


def _speech() -> NDArray[np.int16]:
    """The real speech of the tests, mono at 16 kHz."""
    resampler = av.AudioResampler("s16", "mono", 16_000)
    with av.open(str(SPEECH)) as file:
        frames = [made for frame in file.decode(audio=0) for made in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().ravel() for frame in frames])
