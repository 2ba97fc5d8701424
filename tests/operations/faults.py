"""A whole session recorded while the disk fails at a chosen call: who is refused tries again, and nothing shows in the
end."""

import contextlib
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from sqlalchemy import func, select

from longtake.model.errors import LongtakeError, Unavailable
from longtake.model.lifecycle import JobState
from longtake.model.session import TrackKind
from longtake.runtime import Runtime, now_ms
from longtake.sessions.lifecycle import Announced
from longtake.sessions.manager import NewSession, NewTrack
from longtake.settings import Settings
from longtake.storage.database import Database
from longtake.storage.disk import Disk, storage_error
from longtake.storage.tables import sessions
from longtake.storage.verify.run import verify
from tests.conftest import ROOT
from tests.enrichment.recording import Recording, read_original, reference_counts_are_exact, tone, wav

TRIES = 12
TRACED_S = 150
Result = TypeVar("Result")


class FaultyDisk(Disk):
    """Fails at so many calls in a row, from a number on; a write that fails leaves half of its bytes behind."""

    def __init__(self, at: int | None = None, code: int = errno.EIO, burst: int = 1) -> None:
        self.at = at
        self.code = code
        self.burst = burst
        self.calls: list[str] = []
        self.failed: list[str] = []
        self._lock = threading.Lock()

    def _fails(self, name: str) -> bool:
        with self._lock:
            number = len(self.calls)
            self.calls.append(name)
            fails = self.at is not None and self.at <= number < self.at + self.burst
            if fails:
                self.failed.append(name)
        return fails

    def _step(self, name: str) -> None:
        if self._fails(name):
            raise storage_error(OSError(self.code, "made to fail"))

    def write_all(self, fd: int, parts: Sequence[bytes | bytearray | memoryview]) -> int:
        if self._fails("write_all"):
            whole = b"".join(parts)
            super().write_all(fd, [whole[: len(whole) // 2]])
            raise storage_error(OSError(self.code, "made to fail"))
        return super().write_all(fd, parts)

    def flush(self, fd: int) -> None:
        self._step("flush")
        super().flush(fd)

    def flush_folder(self, folder: Path) -> None:
        self._step("flush_folder")
        super().flush_folder(folder)

    def create(self, path: Path) -> int:
        self._step("create")
        return super().create(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        super().rename(source, target)


class LyingDisk(FaultyDisk):
    """Says that it wrote, and wrote zeroes: the control, by which the sweep must see a loss."""

    def write_all(self, fd: int, parts: Sequence[bytes | bytearray | memoryview]) -> int:
        if self._fails("write_all"):
            return Disk.write_all(self, fd, [bytes(len(part)) for part in parts])
        return Disk.write_all(self, fd, parts)

    def _step(self, name: str) -> None:
        self._fails(name)


@dataclass(frozen=True)
class Verdict:
    """What became of a run."""

    at: int | None
    code: str
    failed: Sequence[str]
    refused: int
    lost_bytes: int
    doubled: int
    stuck: int
    trouble: str | None
    calls: int
    content: object


def run_with(disk: FaultyDisk) -> Verdict:
    """Record, process and look at a session on a disk."""
    with TemporaryDirectory(prefix="longtake-faults-") as folder:
        return _Run(Path(folder) / "data", disk).go()


class _Run:
    def __init__(self, data: Path, disk: FaultyDisk) -> None:
        self.data = data
        self.disk = disk
        self.refused = 0
        self.trouble: str | None = None

    def insist(self, command: Callable[[], Result]) -> Result:
        """Try again whatever was refused for now."""
        for _ in range(TRIES):
            try:
                return command()
            except Unavailable:
                self.refused += 1
                time.sleep(0.01)
        raise AssertionError("refused for ever")

    def go(self) -> Verdict:
        settings = Settings.model_validate({"data": self.data, "engine": "none", "min_free_bytes": 0})
        lost = doubled = stuck = 0
        content: object = None
        with self.insist(lambda: Runtime.open(settings, disk=self.disk)) as runtime:
            try:
                recording, sent = self._record(runtime)
                content = self._content(runtime, recording)
                stuck = self._stuck(recording)
            except (AssertionError, LongtakeError) as error:
                self.trouble = f"{type(error).__name__}: {error}"
                return self._verdict(0, 0, 1, None)
            lost = sum(len(body) for key, body in sent.items() if self._stored(runtime, recording, key) != body)
            doubled = self._doubled(runtime, recording, len(sent))
        db = Database(self.data / "longtake.db")
        found = verify(self.data, db, now_ms=now_ms)
        db.close()
        if found.damaged:
            self.trouble = f"{found.damaged[0].what}: {found.damaged[0].why}"
        return self._verdict(lost, doubled, stuck, content)

    def _verdict(self, lost: int, doubled: int, stuck: int, content: object) -> Verdict:
        disk = self.disk
        return Verdict(
            at=disk.at,
            code=errno.errorcode[disk.code],
            failed=tuple(disk.failed),
            refused=self.refused,
            lost_bytes=lost,
            doubled=doubled,
            stuck=stuck,
            trouble=self.trouble,
            calls=len(disk.calls),
            content=content,
        )

    def _record(self, runtime: Runtime) -> tuple[Recording, dict[tuple[int, int], bytes]]:
        insist = self.insist
        session = insist(lambda: runtime.sessions.create(NewSession(title="a test", tags=["x"])))
        recording = Recording(runtime, session.id)
        for kind in (TrackKind.MICROPHONE, TrackKind.SYSTEM):
            track = insist(partial(runtime.sessions.declare_track, session.id, NewTrack(kind=kind)))
            recording.tracks.append(track.id)
        insist(lambda: runtime.lifecycle.start(session.id))
        sent: dict[tuple[int, int], bytes] = {}
        for index in range(5):
            for track_number in range(2):
                body = wav(tone(3 if index == 3 else 0.4, hz=300 + 40 * index + track_number))
                insist(partial(recording.send, index, body, track=track_number))
                sent[track_number, index] = body
            if index == 2:
                insist(lambda: runtime.sessions.change(session.id, title="changed"))
                insist(lambda: runtime.lifecycle.pause(session.id))
                insist(lambda: runtime.lifecycle.resume(session.id))
        announced = [Announced(track_id=track, segments=5) for track in recording.tracks]
        insist(lambda: runtime.lifecycle.end(session.id, announced))
        self._finish(runtime, recording)
        recording.settle()
        insist(lambda: runtime.transcripts.append(session.id, "A", "a word"))
        self._finish(runtime, recording)
        return recording, sent

    def _finish(self, runtime: Runtime, recording: Recording) -> None:
        """Wait for the job; one that the disk failed as often as it is tried is asked for again, as a person would."""
        job = recording.finish()
        if job.status is JobState.FAILED and str(job.error).startswith("storage_"):
            let_calls_work()
            self.insist(lambda: runtime.work.retry_session(recording.id))
            recording.finish()

    def _content(self, runtime: Runtime, recording: Recording) -> object:
        mp3 = self.insist(lambda: runtime.files.open(recording.id, "mp3", wait_s=60)).content
        steps = [(step.from_state, step.to_state) for step in runtime.sessions.history(recording.id)]
        session = recording.session()
        digest = hashlib.sha256(mp3.read(0, mp3.size_bytes)).hexdigest()
        blocks = recording.digests(), [recording.digests(track) for track in recording.tracks]
        sound = hashlib.sha256(recording.pcm().tobytes()).hexdigest()
        words = [(speaker, text) for speaker, _, _, text in recording.words()]
        return (blocks, sound, digest, words, steps, session.title, session.tags, session.state)

    def _stored(self, runtime: Runtime, recording: Recording, key: tuple[int, int]) -> bytes | None:
        try:
            return read_original(runtime, runtime.sessions.segment(recording.id, recording.tracks[key[0]], key[1]))
        except LongtakeError:
            return None

    def _doubled(self, runtime: Runtime, recording: Recording, sent: int) -> int:
        """Effects that happened more or less than once."""
        with runtime.store.db.read() as c:
            count = c.execute(select(func.count()).select_from(sessions)).scalar_one()
        session = recording.session()
        entries = len(recording.words())
        wrong = [count != 1, len(session.tracks) != 2, session.counts.total != sent, entries != 1]
        return sum(wrong) + (not reference_counts_are_exact(runtime))

    def _stuck(self, recording: Recording) -> int:
        """What does not go on by itself."""
        session = recording.session()
        job = session.job
        found = {
            f"the job is {job and job.status.value}: {job and job.error}": job is None
            or job.status is not JobState.COMPLETED,
            "lanes are not at rest": not session.is_settled,
            "bodies are left in incoming": any((self.data / "incoming").iterdir()),
            f"{session.counts.failed} segments failed": bool(session.counts.failed),
        }
        self.trouble = "; ".join(what for what, is_so in found.items() if is_so) or None
        return sum(found.values())


def tracer_pid() -> int:
    """Who traces this process; 0 when nobody does."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("TracerPid:")).split()[1])


def let_calls_work() -> None:
    """End the `strace` that makes calls fail in each thread, if there is one: a try is a thread of its own."""
    while tracer := tracer_pid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it hands on what ends it
        with contextlib.suppress(ProcessLookupError):
            os.kill(tracer, signal.SIGTERM)
        time.sleep(0.1)


def undisturbed() -> Verdict:
    """A run on a disk that never fails."""
    return run_with(FaultyDisk())


def sweep(
    points: Iterable[int],
    expected: object,
    *,
    codes: Sequence[int],
    kind: type[FaultyDisk] = FaultyDisk,
    burst: int = 1,
) -> list[Verdict]:
    """A run for each point and code; one whose content differs is in trouble."""
    found: list[Verdict] = []
    for at in points:
        for code in codes:
            verdict = run_with(kind(at, code, burst))
            if verdict.trouble is None and verdict.content != expected:
                verdict = Verdict(**{**_fields(verdict), "trouble": "its content is another"})
            found.append(verdict)
    return found


def _fields(verdict: Verdict) -> dict[str, Any]:
    return dict(vars(verdict))


@dataclass(frozen=True)
class Call:
    """A call of the system that fails: in each thread the n-th."""

    syscall: str
    n: int
    code: str


def run_traced(call: Call | None) -> dict[str, Any]:
    """A run in a process of its own, of which `strace` makes a call fail; what became of it."""
    command = [sys.executable, "-m", "tests.operations.faulting"]
    failed: list[str] = []
    with TemporaryDirectory(prefix="longtake-faults-") as folder:
        trace = Path(folder) / "trace"
        if call is not None:
            inject = f"inject={call.syscall}:error={call.code}:when={call.n}"
            options = ["-f", "-qq", "-I2", "-o", str(trace), "-e", f"trace={call.syscall}", "-e", inject]
            command = ["strace", *options, *command]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TRACED_S)
        if trace.exists():
            failed = [line for line in trace.read_text().splitlines() if "(INJECTED)" in line]
    lines = [line for line in run.stdout.splitlines() if line.startswith('{"lost')]
    if not lines:
        return {
            "lost_bytes": 0,
            "doubled": 0,
            "stuck": 1,
            "trouble": run.stderr[-300:],
            "content": "",
            "failed": failed,
        }
    return {**json.loads(lines[-1]), "failed": failed}
