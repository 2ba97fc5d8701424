"""The decode zygote: locks itself in, then forks one disposable child per file.

Run as `python -m longtake.media.sandbox_child FD` by `sandbox`, with the request socket as FD and an empty environment.
It has everything imported, so that a child costs a fork (13 ms), not a start (93 ms), and needs no file: after
`_lock_in` neither it nor its children can open one or reach a network, where the kernel offers that.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pkgutil
import resource
import selectors
import signal
import socket
import sys

import av

from longtake.media.decode import Decoder, as_float32
from longtake.media.sandbox_wire import (
    DATA,
    DONE,
    FAIL,
    HEAD,
    Job,
    Limits,
    job_from,
    receive,
    write_json,
    write_message,
)
from longtake.model.errors import MediaError

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446
_LANDLOCK_ALL_FILES = (1 << 13) - 1


class Zygote:
    """Forks children on request, reports how each ended, and kills them on request and at its own end."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._children: dict[int, tuple[int, int]] = {}  # pid → (job, status descriptor)
        self._base_bytes = _address_space_bytes()
        self._pid = os.getpid()

    def run(self) -> None:
        """Serve until the parent is gone."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._requests, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == wake_read:
                        os.read(wake_read, 4096)
                        self._reap()
                    elif not self._serve_one():
                        self._kill_all()
                        return

    def _serve_one(self) -> bool:
        received = receive(self._requests)
        if received is None:
            return False
        request, fds = received
        if "kill" in request:
            for pid, (job, _) in self._children.items():
                if job == request["kill"]:
                    os.kill(pid, signal.SIGKILL)
            return True
        self._fork(job_from(request), *fds)
        return True

    def _fork(self, job: Job, source: int, output: int, status: int) -> None:
        try:
            pid = os.fork()
        except OSError:
            pid = -1  # the closed pipes tell the parent
        if pid == 0:
            self._become_child(job, source, output)
        os.close(source)
        os.close(output)
        if pid > 0:
            self._children[pid] = (job.job, status)
        else:
            os.close(status)

    def _become_child(self, job: Job, source: int, output: int) -> None:
        """Decode and exit; never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._requests.close()
            for _, status in self._children.values():
                os.close(status)
            _die_with(self._pid)
            _limit(job.limits, size_bytes=job.size, base_bytes=self._base_bytes)
            code = decode_to(output, Decoder(source, job))
        finally:
            os._exit(code)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            _, fd = self._children.pop(pid)
            with contextlib.suppress(OSError):
                os.write(fd, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(fd)

    def _kill_all(self) -> None:
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)


def decode_to(output: int, decoder: Decoder) -> int:
    """Write a file's PCM, or why there is none, to a pipe; returns the exit code."""
    try:
        head_sent = False
        for pcm in decoder:
            if not head_sent:
                write_json(output, HEAD, rate_hz=decoder.rate_hz, channels=decoder.channels)
                head_sent = True
            write_message(output, DATA, memoryview(pcm.tobytes()))
        write_json(output, DONE, damage=decoder.damage and decoder.damage[:500])
    except BrokenPipeError:
        return 0  # nobody listens any more
    except MediaError as error:
        write_json(output, FAIL, code=error.code, detail=error.detail[:500])
    except (MemoryError, av.error.MemoryError):
        write_json(output, FAIL, code="media_limit", detail="decoding needs more memory than one file may have")
    except (av.error.FFmpegError, ValueError, OverflowError, OSError) as error:
        write_json(output, FAIL, code="media_damaged", detail=f"decoding failed: {error}"[:500])
    return 0


def _address_space_bytes() -> int:
    """How much the zygote itself has mapped: the limit of a child counts from here."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - nothing more is imported than needed
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0


def _limit(limits: Limits, *, size_bytes: int, base_bytes: int) -> None:
    """Bound what this process may use; what the platform does not know is left out."""
    cpu_s = limits.cpu_s_for(size_bytes)
    if base_bytes:
        memory = base_bytes + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits.open_files, limits.open_files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with(zygote: int) -> None:
    """Be killed when the zygote ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != zygote:
        os._exit(1)


def _lock_in() -> None:
    """Give up files, network and privileges, as far as this kernel lets us; each step is best effort.

    Source: landlock(7), user_namespaces(7), network_namespaces(7).
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    handled = ctypes.c_uint64(_LANDLOCK_ALL_FILES)
    ruleset = libc.syscall(_LANDLOCK_CREATE, ctypes.byref(handled), ctypes.c_size_t(8), 0)
    if ruleset >= 0:
        libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0)
        os.close(ruleset)


def _warm_up() -> None:
    """Load what decoding would load lazily: afterwards no file can be opened."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    frame = av.AudioFrame(format="s16", layout="mono", samples=64)
    frame.sample_rate = 8000
    for part in av.AudioResampler(format="fltp", layout="mono", rate=48_000).resample(frame):
        as_float32(part)


if __name__ == "__main__":
    for ending in (signal.SIGINT, signal.SIGTERM):  # the parent ends us; who ends the service may signal us, too
        signal.signal(ending, signal.SIG_IGN)
    _warm_up()
    zygote = Zygote(socket.socket(fileno=int(sys.argv[1])))
    _lock_in()
    zygote.run()
