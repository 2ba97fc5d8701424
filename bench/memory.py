"""Peak memory of `longtake process --engine none`: ten hours of sound over ten minutes, all its processes together."""

import subprocess
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path

import numpy as np
import psutil

from bench.figures import Figure

RATE_HZ = 16_000
PIECE_S = 6


def run(smoke: bool) -> list[Figure]:
    """Process a short and a long file, each with a process of its own."""
    short_min, long_min = (0.2, 1) if smoke else (10, 600)
    with tempfile.TemporaryDirectory(prefix="longtake-bench-") as folder:
        short, long = (_peak_mib(Path(folder), minutes) for minutes in (short_min, long_min))
    detail = f"{short_min:g} min: {short:.0f} MiB, {long_min:g} min: {long:.0f} MiB; WAV, 16 kHz mono"
    return [Figure(name="peak memory, 10 h / 10 min", value=long / short, target="≤ 1.2", unit="×", detail=detail)]


def _peak_mib(folder: Path, minutes: float) -> float:
    """The most memory that processing so many minutes takes; pages that processes share count once (PSS)."""
    source = folder / f"{minutes}.wav"
    _record(source, minutes)
    longtake = str(Path(sys.executable).with_name("longtake"))
    command = [longtake, "process", str(source), "--engine", "none", "--out", str(folder / f"out-{minutes}")]
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        said: list[str] = []
        assert process.stderr is not None
        reader = threading.Thread(target=said.extend, args=(process.stderr,))
        reader.start()
        while process.poll() is None:
            peak = max(peak, _used_bytes(process.pid))
            time.sleep(0.1)
        reader.join()
    if process.returncode:
        raise RuntimeError(f"longtake process ended with {process.returncode}: {''.join(said)[-500:]}")
    source.unlink()
    return peak / (1 << 20)


def _used_bytes(pid: int) -> int:
    try:
        parent = psutil.Process(pid)
        return sum(process.memory_full_info().pss for process in [parent, *parent.children(recursive=True)])
    except psutil.Error:  # one of them has just ended
        return 0


def _record(path: Path, minutes: float) -> None:
    """Seeded noise in bursts like speech: nothing about it is cheap to encode."""
    dice = np.random.default_rng(0)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE_HZ)
        for _ in range(round(minutes * 60 / PIECE_S)):
            n = PIECE_S * RATE_HZ
            at = np.arange(0, n + 1, 1600)
            bursts = np.interp(np.arange(n), at, dice.random(len(at)) ** 3)
            out.writeframes((dice.normal(0, 2500, n) * bursts).astype("<i2").tobytes())
