"""The one place that builds everything: stores, receiver, lanes, engine. Used by server, command line and embedding.

A data folder has one owner: `DATA/lock` is held while it is open, and a server writes its address into
`DATA/owner.json`, so that other commands find it.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from longtake.enrichment.arrivals import Arrivals
from longtake.enrichment.cost import Prices
from longtake.enrichment.engine import Engine
from longtake.enrichment.files import Files
from longtake.enrichment.lanes.media import MediaLane
from longtake.enrichment.lanes.mix import MixLane
from longtake.enrichment.lanes.poison import blaming
from longtake.enrichment.lanes.speech import SpeechLane
from longtake.enrichment.lanes.timelines import Timelines
from longtake.enrichment.playback import Playback
from longtake.enrichment.pump import Lanes
from longtake.enrichment.saga import Saga
from longtake.enrichment.sources import Sources
from longtake.enrichment.stages import Stage, Stages
from longtake.events import Bus
from longtake.ingest.receiver import Limits, Receiver
from longtake.media.decoded import BUDGET_BYTES, Decoders
from longtake.media.probe import sniff
from longtake.media.sandbox import Sandbox
from longtake.media.sandbox_wire import Limits as DecodeLimits
from longtake.model.errors import DataFolderInUse
from longtake.sessions.attachments import Attachments
from longtake.sessions.deletion import Deletion
from longtake.sessions.health import Patience, Watch
from longtake.sessions.imports import Imports
from longtake.sessions.lifecycle import Lifecycle
from longtake.sessions.manager import Sessions
from longtake.sessions.recorders import Recorders
from longtake.sessions.remarks import Remarks
from longtake.sessions.room import Room
from longtake.sessions.rounds import TICK_S, Rounds
from longtake.sessions.transcripts import Transcripts
from longtake.sessions.upkeep import Upkeep
from longtake.sessions.work import Work
from longtake.settings import Settings
from longtake.speech.choice import Choice
from longtake.speech.worker import SpeechWorker
from longtake.storage import watermark
from longtake.storage.blobs import LocalBlobs
from longtake.storage.cache import ByteCache
from longtake.storage.collect import Collector
from longtake.storage.database import Database
from longtake.storage.disk import Disk, lately, translated
from longtake.storage.store import Store

MS_PER_HOUR = 3_600_000
READERS = 4
ROOM_KNOWN_S = 0.1
"""How old what is known of the disk's room may be for who stores segments: far less arrives in it than is reserved."""
"""Downloads of WAV that do not disturb one another."""
SMALL_BUDGET_BYTES = BUDGET_BYTES // 4
"""PCM kept by who reads forward and seldom twice: mix, speech, playback."""


def now_ms() -> int:
    """Milliseconds since the Unix epoch."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A fresh UUID v4."""
    return str(uuid.uuid4())


class DataFolder:
    """A data folder held by this process until `release`."""

    def __init__(self, path: Path) -> None:
        """Take the folder; makes it, for nobody else to see, when it is not there. Raises DataFolderInUse."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._fd = os.open(path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(self._fd, 16, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            url = owner_url(path)
            who = f" (process {owner})" if owner.isdecimal() else ""
            at = f" at {url}" if url else ""
            raise DataFolderInUse(f"{path} is held by another longtake{who}{at}", url=url) from error
        try:
            with translated():
                (path / "owner.json").unlink(missing_ok=True)  # of one that was killed: nobody answers there
                os.ftruncate(self._fd, 0)
                os.pwrite(self._fd, str(os.getpid()).encode(), 0)
        except BaseException:
            os.close(self._fd)
            raise

    def publish(self, url: str) -> None:
        """Say where the owner answers."""
        temporary = self.path / "owner.json.new"
        temporary.write_text(json.dumps({"url": url, "pid": os.getpid()}))
        temporary.replace(self.path / "owner.json")

    def release(self) -> None:
        """Let go of the folder."""
        (self.path / "owner.json").unlink(missing_ok=True)
        fcntl.flock(self._fd, fcntl.LOCK_UN)  # closing is not enough: a child that another thread forks holds it, too
        os.close(self._fd)


def owner_url(path: Path) -> str | None:
    """Where the owner of a data folder answers, if it said so."""
    try:
        return str(json.loads((path / "owner.json").read_text())["url"])
    except (OSError, ValueError, KeyError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Everything, built and running; `close` lets what runs come to an end and gives the data folder back."""

    settings: Settings
    folder: DataFolder
    store: Store
    receiver: Receiver
    work: Work
    sessions: Sessions
    lifecycle: Lifecycle
    recorders: Recorders
    watch: Watch
    upkeep: Upkeep
    rounds: Rounds
    imports: Imports
    room: Room
    deletion: Deletion
    collector: Collector
    attachments: Attachments
    transcripts: Transcripts
    remarks: Remarks
    playback: Playback
    files: Files
    lanes: Lanes
    saga: Saga
    speech: SpeechWorker
    engine: Engine | None
    closing: ExitStack

    @classmethod
    def open(
        cls,
        settings: Settings,
        *,
        with_engine: bool = True,
        clock: Callable[[], int] = now_ms,
        disk: Disk | None = None,
    ) -> Runtime:
        """Take the data folder and begin; without an engine nothing is processed.

        Args:
            settings: All of them.
            with_engine: Whether lanes and jobs run.
            clock: Milliseconds since the Unix epoch.
            disk: By which bytes reach the disk.

        Raises:
            DataFolderInUse: Another process has it. DatabaseOutdated: What lies in the folder is more than its database
            knows of. StorageFull, StorageFailed: The disk refuses.
        """
        with ExitStack() as closing:
            folder = DataFolder(settings.data)
            closing.callback(folder.release)
            runtime = cls._build(settings, folder, disk or Disk(), clock, closing, with_engine=with_engine)
            return replace(runtime, closing=closing.pop_all())

    @classmethod
    def _build(
        cls,
        settings: Settings,
        folder: DataFolder,
        disk: Disk,
        clock: Callable[[], int],
        closing: ExitStack,
        *,
        with_engine: bool,
    ) -> Runtime:
        watermark.check_there(settings.data)
        db = Database(settings.data / "longtake.db")
        closing.callback(db.close)
        db.migrate()
        watermark.check(db, settings.data)
        local = LocalBlobs(settings.data, disk, new_id)
        local.kept_free_bytes = settings.min_free_bytes // 2
        closing.callback(local.close)
        watermark.attach(db, local)
        store = Store(db=db, blobs=local, bus=Bus(), now_ms=clock, new_id=new_id)

        choice = Choice(models_dir=settings.models, engine=settings.engine, language=settings.language)
        choice.check(settings.engine)
        work = Work(store, choice.check)
        manager, lifecycle = Sessions(store, work), Lifecycle(store, work)
        recorders = Recorders(store, lifecycle)
        cache = ByteCache(settings.attachment_cache_bytes)
        deletion = Deletion(store, work, trash_ms=round(settings.trash_hours * MS_PER_HOUR), forget=cache.forget)
        collector = Collector(db, local, now_ms=clock, deletions=lambda: deletion.count)
        attachments = Attachments(store, cache)
        closing.callback(attachments.write)
        imports = Imports(store, manager, lifecycle)
        gc_ms = round(settings.gc_hours * MS_PER_HOUR)
        chores = (imports.forget_left, deletion.purge_expired, lambda: collector.collect(gc_ms), work.retry_refused)
        sandbox = Sandbox(DecodeLimits(stall_s=settings.decode_timeout_s))
        decoders = Decoders(sandbox, Sources(store))
        closing.callback(decoders.close)
        watch, upkeep, rounds = _looked_after(settings, store, work, lifecycle, chores, decoders.release_unused)
        playback = Playback(store, [decoders.add(SMALL_BUDGET_BYTES // READERS) for _ in range(READERS)])
        lanes, saga, engine, speech = _processing(settings, store, decoders, choice, closing)
        arrivals = Arrivals(store, work, lifecycle, recorders)
        receiver = Receiver(
            db,
            local,
            now_ms=clock,
            new_id=new_id,
            recognise=lambda head: None if (found := sniff(head)) is None else found.mime_type,
            free_bytes=lately(lambda: disk.free_bytes(settings.data), ROOM_KNOWN_S),
            in_transaction=arrivals.in_transaction,
            after_commit=arrivals.after_commit,
            limits=Limits(
                segment_bytes=settings.max_segment_bytes,
                queue_bytes=settings.max_queued_bytes,
                reserve_bytes=settings.min_free_bytes,
            ),
        )
        files = Files(store, playback)
        closing.callback(receiver.close)
        closing.callback(files.close)
        closing.callback(rounds.close)
        closing.callback(collector.close)
        closing.callback(deletion.close)
        deletion.recover()
        if with_engine:
            sandbox.start()
            saga.recover()
            engine.launch()
            imports.recover()
            lanes.start()
            rounds.start()
        return cls(
            settings=settings,
            folder=folder,
            store=store,
            receiver=receiver,
            work=work,
            sessions=manager,
            lifecycle=lifecycle,
            recorders=recorders,
            watch=watch,
            upkeep=upkeep,
            rounds=rounds,
            imports=imports,
            room=Room(
                store,
                lambda: disk.free_bytes(settings.data),
                reserve_bytes=settings.min_free_bytes,
                min_minutes=settings.min_recording_minutes,
            ),
            deletion=deletion,
            collector=collector,
            attachments=attachments,
            transcripts=Transcripts(store, work),
            remarks=Remarks(store, manager),
            playback=playback,
            files=files,
            lanes=lanes,
            saga=saga,
            speech=speech,
            engine=engine if with_engine else None,
            closing=closing,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Answer what has arrived, let work come to an end, give the folder back."""
        self.closing.close()


def _processing(
    settings: Settings, store: Store, decoders: Decoders, choice: Choice, closing: ExitStack
) -> tuple[Lanes, Saga, Engine, SpeechWorker]:
    """What works on recordings. Each kind of lane has its decoders to itself: of a long file only a window is kept, and
    who lags behind would turn it back for the others."""
    stopping = threading.Event()
    pcm, pcm_mixed, pcm_heard = map(decoders.add, (BUDGET_BYTES, SMALL_BUDGET_BYTES, SMALL_BUDGET_BYTES))
    timelines = Timelines(store)
    speech = SpeechWorker(settings.models, patience_s=settings.utterance_timeout_s)
    media = MediaLane(store, timelines, pcm, stopping)
    mix = MixLane(store, timelines, pcm_mixed, stopping)
    prices = Prices(settings.cost_per_hour_usd)
    heard = SpeechLane(store, timelines, pcm_heard, speech, choice.default, stopping, prices, choice.language_for)
    lanes = Lanes(
        store,
        {
            "media": blaming(store, False, media.run),
            "mix": blaming(store, True, mix.run),
            "speech": blaming(store, False, heard.run),
        },
        {"media": settings.media_workers, "mix": 1, "speech": 1},
        lambda: saga.due(engine.start),
        stopping,
    )
    made = Stages(store, lanes, prices, choice.default, choice.language_for)
    saga = Saga(store, made, settings.job_workers, stopping)
    stages = tuple(stage.value for stage in Stage)
    engine = Engine(settings.data / "engine.db", stages, saga.run_stage, saga.abandoned)
    closing.callback(engine.close)
    closing.callback(lanes.close)
    closing.callback(speech.close)  # what it recognises just now is recognised again at the next start
    closing.callback(stopping.set)
    return lanes, saga, engine, speech


def _looked_after(
    settings: Settings,
    store: Store,
    work: Work,
    lifecycle: Lifecycle,
    chores: Sequence[Callable[[], object]],
    release_unused: Callable[[], object],
) -> tuple[Watch, Upkeep, Rounds]:
    """The watch (which releases what is unused, too), the clean-up (which does the chores, too) and the threads that
    make them happen, by the settings."""
    degraded_ms, interrupted_ms = round(1000 * settings.degraded_after_s), round(1000 * settings.interrupted_after_s)
    watch = Watch(store, lifecycle, Patience(degraded_ms=degraded_ms, interrupted_ms=interrupted_ms))
    upkeep = Upkeep(
        store,
        work,
        lifecycle,
        idle_ms=round(settings.idle_hours * MS_PER_HOUR),
        waiting_ms=round(settings.waiting_minutes * 60_000),
        chores=chores,
    )

    def look() -> None:
        release_unused()
        watch.look()

    rounds = Rounds(
        look,
        upkeep.clean_up,
        now_ms=store.now_ms,
        tick_s=min(TICK_S, degraded_ms / 6000, interrupted_ms / 6000),
        cleanup_every_ms=round(1000 * settings.cleanup_every_s),
    )
    return watch, upkeep, rounds
