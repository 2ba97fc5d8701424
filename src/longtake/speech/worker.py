"""Recognition in a process of its own, because pocketsphinx holds the GIL and a decoder may crash.

`SpeechWorker` is what the rest of longtake calls; any thread may. One thread of its own starts the child, feeds it
request after request and kills it when it takes too long; whoever calls waits. (The child is bound to the life of the
thread that started it: PR_SET_PDEATHSIG means the thread, not the process.)
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from longtake.model.errors import EngineError
from longtake.speech import models
from longtake.speech.engine import PCM, RATE_HZ, EngineInfo, Recognition
from longtake.speech.frames import Head, pack, recognition_from_json, unpack

WAITING = 8
"""Requests that may wait; more callers wait to be let in."""

PATIENCE_S = 120.0
"""Time a request may take: loading a model from a slow disk and 28 s of noise, which makes pocketsphinx slow."""

CLOSED = "the speech worker is closed"


class SpeechWorker:
    """A proxy to one child process that rates and recognises. Thread-safe; the child is started when first needed.

    Args:
        models_dir: Where speech models are installed.
        patience_s: How long a request may take before the child is killed.
    """

    def __init__(self, models_dir: Path, *, patience_s: float = PATIENCE_S) -> None:
        self._models_dir = models_dir
        self._patience_s = patience_s
        self._room = threading.BoundedSemaphore(WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="speech-worker")
        self._changing = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self.heard_s = 0.0
        """How much sound was recognised,"""
        self.busy_s = 0.0
        """and how long that took."""

    def speech_probabilities(self, pcm: NDArray[np.int16]) -> NDArray[np.float32]:
        """Rate each 32 ms of sound, from a fresh state.

        Args:
            pcm: (n,) samples, mono at 16 kHz.

        Returns:
            (ceil(n / 512),) probabilities of speech.

        Raises:
            EngineError: The detector is missing, or the child died.
        """
        _, body = self._ask({"do": "rate"}, pcm)
        return np.frombuffer(body, "<f4").astype(np.float32)

    def recognise(self, engine_name: str, pcm: NDArray[np.int16], language: str | None = None) -> Recognition:
        """Recognise one utterance.

        Args:
            engine_name: A name that `info` knows.
            pcm: (n,) samples, mono at 16 kHz; at most 28 s for Whisper.
            language: What is spoken, if the engine is to be told.

        Raises:
            EngineError: `engine_unavailable` (says what to install), or `engine_failed` (the child died or took too
                long; the next request gets a new one).
        """
        if pcm.size == 0:
            raise ValueError("an utterance has at least one sample")
        began_s = time.monotonic()
        head, _ = self._ask({"do": "recognise", "engine": engine_name, "language": language}, pcm)
        self.busy_s += time.monotonic() - began_s
        self.heard_s += pcm.size / RATE_HZ
        return recognition_from_json(head)

    def info(self, engine_name: str) -> EngineInfo:
        """What an engine is; `EngineError` (`engine_unavailable`) when it cannot be used here."""
        return models.engine_info(engine_name, self._models_dir)

    def close(self) -> None:
        """End the child; requests that are under way or waiting fail. Closing twice is fine."""
        with self._changing:
            self._is_closed = True
            if self._child is not None:
                self._child.kill()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._bury()

    def _ask(self, head: Head, pcm: NDArray[np.int16]) -> tuple[Head, bytes]:
        """Send one request and wait for its answer."""
        request = pack(head, pcm.astype(PCM, copy=False).tobytes())
        with self._room:
            with self._changing:
                if self._is_closed:
                    raise EngineError(CLOSED)
                answer = self._thread.submit(self._exchange, request)
            try:
                said, body = answer.result()
            except CancelledError:
                raise EngineError(CLOSED) from None
        if "error" in said:
            raise EngineError(str(said["error"]), code=str(said["code"]), retryable=bool(said["retryable"]))
        ok = said["ok"]
        assert isinstance(ok, dict)
        return ok, body

    def _exchange(self, request: bytes) -> tuple[Head, bytes]:
        """Send a request to the child and read its answer; without one, the child is buried and the next is new."""
        child = self._living_child()
        assert child.stdin is not None
        assert child.stdout is not None
        pipes = _Pipes(child.stdin.fileno(), child.stdout.fileno(), time.monotonic() + self._patience_s)
        try:
            pipes.write(request)
            return unpack(pipes.read_exactly)
        except TimeoutError:
            self._bury()
            detail = f"the speech worker gave no answer for {self._patience_s:g} s and was ended"
            raise EngineError(detail, died=True) from None
        except (EOFError, BrokenPipeError):
            status = self._bury()
            cause = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            raise EngineError(f"the speech worker died over an utterance ({cause})", died=True) from None

    def _living_child(self) -> subprocess.Popen[bytes]:
        """The child; a new one where there is none, or it died while nobody asked."""
        if self._child is not None and self._child.poll() is not None:
            self._bury()
        with self._changing:
            if self._is_closed:
                raise EngineError(CLOSED)
            if self._child is None:
                command = [sys.executable, "-P", "-m", "longtake.speech.worker_child"]
                with _deaf_to(signal.SIGINT, signal.SIGTERM):
                    self._child = subprocess.Popen(
                        [*command, str(self._models_dir), str(os.getpid())],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        bufsize=0,
                        process_group=0,  # Ctrl-C is for us alone
                    )
                assert self._child.stdin is not None
                os.set_blocking(self._child.stdin.fileno(), False)
            return self._child

    def _bury(self) -> int:
        """End the child and collect its status (negative: the signal it died by); 0 where there is none."""
        with self._changing:
            child, self._child = self._child, None
        if child is None:
            return 0
        child.kill()
        with child:  # closes its pipes and waits
            pass
        return child.returncode


@contextmanager
def _deaf_to(*numbers: signal.Signals) -> Iterator[None]:
    """A child that is begun within hears none of these signals, from its first instruction on: we end it, and who ends
    the service may signal all of its processes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Pipes:
    """Both ways to the child, with one deadline."""

    def __init__(self, to_child: int, from_child: int, deadline: float) -> None:
        self._to_child = to_child
        self._from_child = from_child
        self._deadline = deadline

    def write(self, data: bytes) -> None:
        """All of it; TimeoutError, or BrokenPipeError when the child is gone."""
        view = memoryview(data)
        while view:
            self._wait_for(self._to_child, select.POLLOUT)
            view = view[os.write(self._to_child, view) :]

    def read_exactly(self, size_bytes: int) -> bytes:
        """So many bytes; TimeoutError, or EOFError when the child is gone."""
        data = bytearray()
        while len(data) < size_bytes:
            self._wait_for(self._from_child, select.POLLIN)
            got = os.read(self._from_child, size_bytes - len(data))
            if not got:
                raise EOFError
            data += got
        return bytes(data)

    def _wait_for(self, descriptor: int, event: int) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000):
            raise TimeoutError
