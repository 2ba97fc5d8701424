"""What longtake stands on: Python, codecs, kernel, models, the disk and the folder."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from longtake.cli.checks.finding import Finding, Level, command, ok
from longtake.settings import Settings

DECODERS = ("aac", "flac", "mp3", "opus", "pcm_s16le", "vorbis")
ENCODERS = ("aac", "flac")
FLUSHES = 15
FLUSH_BYTES = 64 << 10
SLOW_FLUSH_S = 0.05
BAD_FLUSH_S = 0.5
FEW_FILES = 1024
EARLIEST_S = 1_750_000_000
"""Before this version was written: a clock that says so is wrong."""
LANDLOCK_CREATE = 444
LANDLOCK_VERSION = 1


def environment(settings: Settings) -> Iterator[Finding]:
    """All of it; none of these needs the database."""
    yield _python()
    yield _codecs()
    yield _landlock()
    yield _engine(settings)
    yield _clock()
    yield _files()
    if settings.data.exists():
        yield _permissions(settings.data)
        yield _flush(settings.data)


def _python() -> Finding:
    return ok("python", f"Python {platform.python_version()} on {platform.platform(terse=True)}")


def _codecs() -> Finding:
    remedy = command("python", "-m", "pip", "install", "--force-reinstall", "av>=18,<19")
    try:
        import av
        import av.codec
    except ImportError as error:
        return Finding(check="codecs", level=Level.WRONG, text=f"PyAV cannot be loaded: {error}", remedy=remedy)
    lacking = [name for name in DECODERS if not _has(name, "r")] + [name for name in ENCODERS if not _has(name, "w")]
    if lacking:
        text = f"PyAV {av.__version__} lacks {', '.join(lacking)}"
        return Finding(check="codecs", level=Level.WRONG, text=text, remedy=remedy)
    return ok("codecs", f"PyAV {av.__version__} has all codecs")


def _has(name: str, mode: str) -> bool:
    import av.codec

    try:
        av.codec.Codec(name, mode)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def _landlock() -> Finding:
    if sys.platform != "linux":
        text = "decoders run with limits, but not locked in: that needs Linux"
        return Finding(check="sandbox", level=Level.NOTE, text=text)
    version = ctypes.CDLL(None).syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), LANDLOCK_VERSION)
    if version > 0:
        return ok("sandbox", f"Landlock {version}: decoders cannot open files")
    text = "the kernel has no Landlock: decoders run with limits, but could open files"
    return Finding(check="sandbox", level=Level.NOTE, text=text, remedy=command("cat", "/sys/kernel/security/lsm"))


def _engine(settings: Settings) -> Finding:
    from longtake.model.errors import EngineError
    from longtake.speech import models
    from longtake.speech.choice import Choice

    if settings.engine == "none":
        return Finding(check="engine", level=Level.NOTE, text="no speech engine is wanted: nothing is transcribed")
    model = settings.engine.partition(":")[2]
    wanted = "base" if model in ("", *models.installed(settings.models)) else model
    install = command("longtake", "models", "install", wanted, "--data", settings.data)
    try:
        choice = Choice(models_dir=settings.models, engine=settings.engine, language=settings.language)
        name = choice.default()
        choice.language_for(name)
        info = models.engine_info(name, settings.models)
    except EngineError as error:
        return Finding(check="engine", level=Level.WRONG, text=error.detail, remedy=install)
    if info.is_draft:
        text = f"{name} is of draft quality: no Whisper model is installed"
        return Finding(check="engine", level=Level.NOTE, text=text, remedy=install)
    return ok("engine", name)


def _clock() -> Finding:
    if time.time() > EARLIEST_S:
        return ok("clock", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    text = f"the clock says {time.strftime('%Y-%m-%d', time.gmtime())}"
    return Finding(check="clock", level=Level.WRONG, text=text, remedy=command("timedatectl", "set-ntp", "true"))


def _files() -> Finding:
    from longtake.server.serve import OPEN_FILES

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit == resource.RLIM_INFINITY or limit >= FEW_FILES:
        return ok("files", "a server may open as many files and connections as it needs")
    text = f"a server started here may have {limit} files and connections open: recorders beyond that wait"
    remedy = command("sudo", "prlimit", "--pid", str(os.getppid()), f"--nofile={OPEN_FILES}")
    return Finding(check="files", level=Level.WARNING, text=text, remedy=remedy)


def _permissions(data: Path) -> Finding:
    for path in (data, data / "packs", data / "files", data / "incoming", data / "longtake.db"):
        wanted = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
        if path.exists() and not os.access(path, wanted):
            remedy = command("sudo", "chown", "-R", str(os.getuid()), data)
            text = f"{path} is not ours to write"
            return Finding(check="permissions", level=Level.WRONG, text=text, remedy=remedy)
    if data.stat().st_mode & 0o077:
        text = f"others on this machine can look into {data}"
        return Finding(check="permissions", level=Level.WARNING, text=text, remedy=command("chmod", "700", data))
    return ok("permissions", f"{data} is ours alone")


def _flush(data: Path) -> Finding:
    """How long a flush takes: each batch of segments waits for two."""
    seconds = []
    try:
        with tempfile.TemporaryFile(dir=data) as file:
            for _ in range(FLUSHES):
                file.write(os.urandom(FLUSH_BYTES))
                file.flush()
                began = time.perf_counter()
                os.fdatasync(file.fileno())
                seconds.append(time.perf_counter() - began)
    except OSError as error:
        text = f"{data} cannot be written: {error.strerror}"
        return Finding(check="flush", level=Level.WRONG, text=text, remedy=command("df", "-h", data))
    middle = statistics.median(seconds)
    text = f"a flush of 64 KiB takes {1000 * middle:.1f} ms"
    if middle < SLOW_FLUSH_S:
        return ok("flush", text)
    level = Level.WRONG if middle > BAD_FLUSH_S else Level.WARNING
    remedy = command("longtake", "serve", "--data", "/path/on/a/faster/disk")
    return Finding(check="flush", level=level, text=f"{text}: every receipt waits for two", remedy=remedy)
