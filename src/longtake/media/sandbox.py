"""Decoding apart: the parent's side. Bytes from outside are decoded only in a child that may do nothing else.

`Sandbox` owns a zygote (`sandbox_child`) that forks one child per file. PCM comes back over a pipe, whose fullness
holds the child up: memory is flat however long the file. Nothing outlives the parent: the zygote ends with the request
socket, a child with the zygote.

Belongs here: starting, feeding, limiting and killing. Does not: decoding (`decode`), remembering PCM (`decoded`).
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from longtake.media.probe import Container
from longtake.media.sandbox_wire import (
    DATA,
    DONE,
    FAIL,
    HEAD,
    MAX_DATA_BYTES,
    MAX_JSON_BYTES,
    MAX_RATE_HZ,
    MESSAGE,
    MIN_RATE_HZ,
    Job,
    Limits,
    send_job,
    send_kill,
)
from longtake.model.errors import MediaError

_PIPE_BYTES = 1 << 20
_STATUS_WAIT_MS = 2000
_ZYGOTE_GRACE_S = 5.0
_CODES = ("media_damaged", "media_unsupported", "media_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaSource:
    """Where a file's bytes lie: a whole file, or a range of a pack."""

    path: Path
    offset: int
    size: int
    container: Container


class Sandbox:
    """Decodes files in disposable children. Thread-safe; `close` ends everything it started."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._jobs = itertools.count()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the zygote before it is needed, so that the first file does not wait for it."""
        with self._lock:
            if self._zygote is None and not self._closed:
                self._zygote, self._requests = _start_zygote()

    def open(self, source: MediaSource) -> Decoding:
        """Start decoding a file, up to its first samples.

        Raises:
            MediaError: Nothing in it can be decoded (media_damaged), it has no sound that may be decoded
                (media_unsupported), or it costs more than allowed (media_limit).
            OSError: Its bytes are not where they should be.
        """
        try:
            return self._open(source)
        except _ZygoteGone:
            pass
        try:
            return self._open(source)
        except _ZygoteGone as error:
            raise MediaError("the decoder does not start", code="media_limit", retryable=True) from error

    def close(self) -> None:
        """End the zygote and all children."""
        with self._lock:
            self._closed = True
            self._stop()

    @property
    def zygote_pid(self) -> int | None:
        """The zygote's process id; None before the first file."""
        return self._zygote.pid if self._zygote else None

    def kill(self, job: int) -> None:
        """Kill a job's child, if it still runs."""
        with self._lock, contextlib.suppress(OSError):
            if self._requests is not None:
                send_kill(self._requests, job)

    def _open(self, source: MediaSource) -> Decoding:
        with contextlib.ExitStack() as passed:
            source_fd = _closing(passed, os.open(source.path, os.O_RDONLY))
            output, output_write = os.pipe()
            _closing(passed, output_write)
            status, status_write = os.pipe()
            _closing(passed, status_write)
            job = Job(
                job=next(self._jobs),
                ffmpeg_format=source.container.ffmpeg_format,
                offset=source.offset,
                size=source.size,
                limits=self._limits,
            )
            decoding = Decoding(self, job, output=output, status=status)
            try:
                _enlarge(output)
                zygote = self._request(job, [source_fd, output_write, status_write])
            except BaseException:
                decoding.close()
                raise
        try:
            decoding.start()
        except _ChildGone as error:
            decoding.close()
            if error.exit_code is None and zygote.poll() is not None:
                raise _ZygoteGone from error
            raise error.as_media_error() from error
        except BaseException:
            decoding.close()
            raise
        return decoding

    def _request(self, job: Job, fds: list[int]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise MediaError("the sandbox is closed", code="media_limit", retryable=True)
            if self._zygote is None or self._requests is None or self._zygote.poll() is not None:
                self._stop()
                self._zygote, self._requests = _start_zygote()
            try:
                send_job(self._requests, job, fds)
            except OSError as error:
                self._stop()
                raise _ZygoteGone from error
            return self._zygote

    def _stop(self) -> None:
        if self._requests is not None:
            self._requests.close()
        if self._zygote is not None:
            try:
                self._zygote.wait(_ZYGOTE_GRACE_S)
            except subprocess.TimeoutExpired:
                self._zygote.kill()
                self._zygote.wait()
        self._zygote = self._requests = None


class Decoding:
    """A file on its way out of its child: iterate for (channels, n) float32 at `rate_hz`. For one thread at a time.

    After the last array, `damage` says what was wrong with the rest of the file; None means it was whole.
    """

    def __init__(self, sandbox: Sandbox, job: Job, *, output: int, status: int) -> None:
        self._sandbox, self._job = sandbox, job
        self._output, self._status = output, status
        self._closed = False
        self.rate_hz = 0
        self.channels = 0
        self.damage: str | None = None
        self._samples = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Wait for the first samples; `Sandbox.open` has done it."""
        kind, size = self._next_message()
        if kind != HEAD:
            raise self._failure(kind, size)
        head = self._json(size)
        rate_hz, channels = head.get("rate_hz"), head.get("channels")
        if not (isinstance(rate_hz, int) and MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ and channels in (1, 2)):
            raise self._nonsense()
        self.rate_hz, self.channels = rate_hz, channels

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> NDArray[np.float32]:
        """The next samples, in order.

        Raises:
            MediaError: The child was stopped (media_limit), gave up, or sends more than a file may hold.
        """
        if self._closed:
            raise StopIteration
        try:
            kind, size = self._next_message()
            if kind == DATA:
                return self._pcm(size)
            if kind != DONE:
                raise self._failure(kind, size)
            damage = self._json(size).get("damage")
            self.damage = None if damage is None else str(damage)
        except _ChildGone as error:
            self.close()
            raise error.as_media_error() from error
        except BaseException:
            self.close()
            raise
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Let go of the child; one that still decodes is killed."""
        if not self._closed:
            self._closed = True
            os.close(self._output)
            os.close(self._status)
            self._sandbox.kill(self._job.job)

    def _pcm(self, size: int) -> NDArray[np.float32]:
        if size > MAX_DATA_BYTES or size % (4 * self.channels):
            raise self._nonsense()
        pcm = np.empty((self.channels, size // (4 * self.channels)), np.float32)
        self._samples += pcm.shape[1]
        if self._samples > self._job.limits.duration_s * self.rate_hz:  # the child says so itself, unless taken over
            raise MediaError(f"longer than {self._job.limits.duration_s} s", code="media_limit")
        self._fill(pcm.reshape(-1).view(np.uint8).data)
        return pcm if np.isfinite(pcm).all() else np.nan_to_num(pcm, nan=0.0, posinf=0.0, neginf=0.0)

    def _failure(self, kind: bytes, size: int) -> MediaError:
        if kind != FAIL:
            return self._nonsense()
        fields = self._json(size)
        code = fields.get("code")
        return MediaError(str(fields.get("detail")), code=code) if code in _CODES else self._nonsense()

    def _nonsense(self) -> MediaError:
        return MediaError("the decoder was taken over: its answer makes no sense", code="media_damaged")

    def _json(self, size: int) -> dict[str, Any]:
        if size > MAX_JSON_BYTES:
            raise self._nonsense()
        buffer = bytearray(size)
        self._fill(memoryview(buffer))
        try:
            fields = json.loads(buffer)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise self._nonsense()
        return fields

    def _next_message(self) -> tuple[bytes, int]:
        buffer = bytearray(MESSAGE.size)
        self._fill(memoryview(buffer))
        kind, size = MESSAGE.unpack(buffer)
        return kind, size

    def _fill(self, view: memoryview) -> None:
        """Read exactly as much as the view holds."""
        while view:
            if not _readable(self._output, self._job.limits.stall_s * 1000):
                raise MediaError(f"the decoder made no progress for {self._job.limits.stall_s:g} s", code="media_limit")
            n = os.readv(self._output, [view])
            if not n:
                raise _ChildGone(self._exit_code())
            view = view[n:]

    def _exit_code(self) -> int | None:
        """How the child ended, as the zygote reports it; None if the zygote is gone, too."""
        if not _readable(self._status, _STATUS_WAIT_MS):
            return None
        text = os.read(self._status, 16)
        return int(text) if text else None


class _ZygoteGone(Exception):
    """The zygote died before it took the job."""


class _ChildGone(Exception):
    """The child ended without a last word."""

    def __init__(self, exit_code: int | None) -> None:
        super().__init__(f"exit code {exit_code}")
        self.exit_code = exit_code

    def as_media_error(self) -> MediaError:
        """Out of CPU time is the file's fault; any other sudden death may be the machine's: worth another try."""
        if self.exit_code == -signal.SIGXCPU:
            return MediaError("decoding takes more CPU time than one file may have", code="media_limit")
        ending = "with the zygote" if self.exit_code is None else f"with {self.exit_code}"
        died = self.exit_code is not None  # with the zygote many die, and of another's file
        return MediaError(f"the decoder ended suddenly, {ending}", code="media_limit", retryable=True, died=died)


def _start_zygote() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        zygote = subprocess.Popen(
            [sys.executable, "-I", "-m", "longtake.media.sandbox_child", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
            process_group=0,  # Ctrl-C is for us alone
            env={"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        )
    return zygote, ours


def _closing(stack: contextlib.ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _enlarge(pipe: int) -> None:
    """A larger pipe means fewer switches between child and parent; where it may not be enlarged, it works as it is."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _readable(fd: int, timeout_ms: float) -> bool:
    """Wait until something, or the end, can be read."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_ms))
