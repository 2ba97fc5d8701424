"""Children that die: of a file that they decode, or of a sound that they hear."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
from numpy.typing import NDArray

from longtake.runtime import Runtime
from longtake.speech.engine import Recognition
from longtake.speech.worker import SpeechWorker
from longtake.storage.catalog import blobs
from tests.enrichment.recording import encoded
from tests.speech.sounds import DATA, load, noise

CLICK = 30_000


class Killer:
    """Kills, as the kernel does where memory ends, every decoder that has a file open, as long as it may."""

    def __init__(self, path: Path, *, at_most: int = 100, on_death: Callable[[], object] = lambda: None) -> None:
        self._path = path
        self._at_most = at_most
        self._on_death = on_death
        self.killed = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        dead: set[int] = set()
        while not self._stop.is_set() and self.killed < self._at_most:
            for zygote in psutil.Process().children():
                for pid in children(zygote.pid) - dead:
                    if self._holds(pid):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                            dead.add(pid)
                            self.killed += 1
                            self._on_death()
            time.sleep(0.0005)

    def _holds(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return any(link.readlink() == self._path for link in Path(f"/proc/{pid}/fd").iterdir())
        return False


def path_of(runtime: Runtime, sha256: str) -> Path:
    """The file in which a segment's bytes lie."""
    with runtime.store.db.read() as c:
        return runtime.store.blobs.path(blobs.get_locator(c, sha256))


def children(pid: int) -> set[int]:
    """The children of a process, without looking at every process there is."""
    with contextlib.suppress(OSError):
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


def large() -> bytes:
    """A segment that is a file of its own and takes long to decode: two minutes of noise."""
    sound = np.random.default_rng(1).normal(0, 6000, (120 * 16_000, 1)).astype(np.int16)
    return encoded(sound, "flac", "flac", rate_hz=16_000)


def spoken(number: int) -> NDArray[np.int16]:
    """A segment of speech at 16 kHz; the one with the number 1 is quiet, and has a click."""
    speech = load(DATA / "jfk.flac")
    sound = speech + noise(12.0, level=8, seed=number)[: len(speech)]
    if number == 1:
        sound = sound // 4
        sound[80_000:80_200] = CLICK
    return sound


def is_quiet(pcm: NDArray[np.int16]) -> bool:
    """Whether a sound is of the quiet segment, the click apart."""
    return bool(np.abs(pcm.astype(np.int32)).max() < 9000)


class Fragile(SpeechWorker):
    """A worker whose child is killed while it is at work on some sounds."""

    def __init__(
        self,
        models_dir: Path,
        *,
        deadly_to_hear: Callable[[NDArray[np.int16]], bool] = lambda _: False,
        deadly_to_rate: Callable[[NDArray[np.int16]], bool] = lambda _: False,
        **options: Any,
    ) -> None:
        super().__init__(models_dir, **options)
        self._deadly_to_hear = deadly_to_hear
        self._deadly_to_rate = deadly_to_rate
        self.killed = 0
        self.heard = 0
        self.on_death: Callable[[], object] = lambda: None

    def recognise(self, engine_name: str, pcm: NDArray[np.int16], language: str | None = None) -> Recognition:
        with self._danger(self._deadly_to_hear(pcm)):
            recognition = super().recognise(engine_name, pcm, language)
        self.heard += 1
        return recognition

    def speech_probabilities(self, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
        with self._danger(self._deadly_to_rate(pcm)):
            return super().speech_probabilities(pcm)

    @contextlib.contextmanager
    def _danger(self, is_deadly: bool) -> Iterator[None]:
        if not is_deadly:
            yield
            return
        child = self._living_child()
        child.send_signal(signal.SIGSTOP)  # it gets the request and never answers
        thread = threading.Timer(0.1, child.kill)
        thread.start()
        try:
            yield
        finally:
            thread.join()
            self.killed += 1
            self.on_death()
