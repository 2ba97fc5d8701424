"""The real program as a child process, and sounds to give it."""

import math
import os
import signal
import struct
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).with_name("longtake")
ENDS_WITHIN_S = 60


def longtake(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    return subprocess.run([BIN, *words], cwd=cwd, capture_output=True, text=True, timeout=120)


@contextmanager
def started(*words: str | Path, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the program in a process group of its own; whatever is left of it is ended."""
    with subprocess.Popen(
        [BIN, *words], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)


def wait_for_line(child: subprocess.Popen[str], start: str) -> str:
    """Read the program's standard error up to a line that begins so."""
    assert child.stderr is not None
    said = []
    for line in child.stderr:
        if line.startswith(start):
            return line
        said.append(line)
    raise AssertionError(f"no line began with {start!r}:\n{''.join(said)}")


@contextmanager
def served(data: Path, *words: str) -> Iterator[str]:
    """A server on a free port; gives its URL."""
    with started("serve", "--port", "0", "--data", data, *words, cwd=data.parent) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line.startswith("longtake is ready: "), child.stderr.read() if child.stderr else ""
        yield line.removeprefix("longtake is ready: ").strip()
        child.send_signal(signal.SIGTERM)
        child.wait(ENDS_WITHIN_S)


def write_tone(path: Path, *, seconds: float, hz: float = 440, rate_hz: int = 16_000) -> Path:
    """A WAV file with a tone."""
    count = round(seconds * rate_hz)
    samples = [round(8000 * math.sin(2 * math.pi * hz * n / rate_hz)) for n in range(count)]
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate_hz)
        sound.writeframes(struct.pack(f"<{count}h", *samples))
    return path


def length_of_wav(path: Path) -> tuple[int, int]:
    """(samples, rate in Hz)."""
    with wave.open(str(path)) as sound:
        return sound.getnframes(), sound.getframerate()


def until(is_so, *, within_s: float = ENDS_WITHIN_S) -> None:
    """Wait until something is so."""
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)
