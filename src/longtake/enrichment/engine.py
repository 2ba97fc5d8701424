"""The durable engine: runs jobs as workflows with a checkpoint after each stage. The only importer of DBOS.

Our `jobs` rows are the truth; the engine's store may be lost, and the work is done all the same: the pump starts a
workflow for every job that is due, under an id made of the job and its claim. A store that does not open is moved
aside; one that breaks while it is used is done without until the next start.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import DatabaseError

APPLICATION_VERSION = "1"
"""Constant: by default it is a digest of the source, and an upgrade would leave running jobs behind in silence."""

ENDED = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})
POLL_S = 0.01
LISTEN_S = 0.1
"""Nobody sends notifications; but closing waits for who sleeps between looking for them."""

log = structlog.get_logger()


class Engine:
    """One at a time in a process: DBOS is a singleton.

    Args:
        path: The engine's own SQLite file.
        stages: Names of the stages, in order.
        run_stage: Runs one stage of a job (job id, claim, stage); returns False when the job is over.
        abandoned: Told of a job (job id, claim, error) that the engine itself could not go on with.
    """

    _only = threading.Lock()
    """Held by the one that is launched: a second would take over the first one's jobs."""

    def __init__(
        self,
        path: Path,
        stages: tuple[str, ...],
        run_stage: Callable[[str, int, str], bool],
        abandoned: Callable[[str, int, Exception], None],
    ) -> None:
        self._path = path
        self._stages = stages
        self._run_stage = run_stage
        self._abandoned = abandoned
        self._dbos: Any = None
        self._workflow: Any = None
        self._begun: list[Any] = []
        self._is_launched = False
        self._is_broken = False
        self._threads: list[threading.Thread] = []

    def launch(self) -> None:
        """Open the store and begin. Workflows that a crash cut off find that their claim is over, and end.

        Raises:
            RuntimeError: Another engine runs in this process.
        """
        if not self._only.acquire(blocking=False):
            raise RuntimeError("one runtime with an engine at a time in a process")
        self._is_launched = True
        try:
            self._launch()
        except (sqlite3.DatabaseError, DatabaseError) as error:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            log.error("engine_store_damaged", error=error, moved_to=str(aside))
            self._destroy()
            for suffix in ("", "-wal", "-shm"):
                part = self._path.with_name(self._path.name + suffix)
                if part.exists():
                    part.replace(aside.with_name(aside.name + suffix))
            self._launch()

    def start(self, job_id: str, claim: int) -> None:
        """Run a claimed job in the background; a second call with the same two changes nothing."""
        from dbos import SetWorkflowID

        if not self._is_broken:
            try:
                self._forget_finished()
                with SetWorkflowID(f"job-{job_id}-{claim}"):
                    self._begun.append(self._dbos.start_workflow(self._workflow, job_id, claim))
            except DatabaseError as error:
                self._broke(error)
            else:
                return
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        self._threads.append(threading.Thread(target=self._run_plainly, args=(job_id, claim), name=f"job-{job_id}"))
        self._threads[-1].start()

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait for what runs, then let go; what is unfinished is found again at the next start."""
        if not self._is_launched:
            return
        until = time.monotonic() + timeout_s
        try:
            while self._begun and time.monotonic() < until:  # DBOS itself would sleep for a whole second
                self._forget_finished()
                time.sleep(POLL_S if self._begun else 0.0)
        except DatabaseError as error:
            self._broke(error)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._begun.clear()
        self._destroy()
        self._is_launched = False
        self._only.release()

    def _broke(self, error: DatabaseError) -> None:
        """The store cannot be used any more: rows say what to do, so threads of our own do as well."""
        if not self._is_broken:
            log.error("engine_store_damaged", error=error, until="the next start")
        self._is_broken = True

    def _run_plainly(self, job_id: str, claim: int) -> None:
        """The stages of a job without checkpoints of the engine; those of the job's row are there all the same."""
        try:
            for name in self._stages:
                if not self._run_stage(job_id, claim, name):
                    return
        except Exception as error:  # noqa: BLE001 - nobody else would say so
            self._abandoned(job_id, claim, error)

    def _destroy(self) -> None:
        if self._dbos is not None:
            self._dbos.destroy(destroy_registry=True)
            self._dbos = None

    def _forget_finished(self) -> None:
        """Remove the checkpoints of workflows that have ended, or the store would grow for ever."""
        ended = [handle for handle in self._begun if handle.get_status().status in ENDED]
        if ended:
            self._dbos.delete_workflows([handle.get_workflow_id() for handle in ended])
            self._begun = [handle for handle in self._begun if handle not in ended]

    def _forget_old(self) -> None:
        """Remove what earlier processes left: workflows that have ended, and those of another version, which no engine
        would ever take up again. Their jobs wait under a new claim."""
        old = [
            workflow.workflow_id
            for workflow in self._dbos.list_workflows(load_input=False, load_output=False)
            if workflow.status in ENDED or workflow.app_version != APPLICATION_VERSION
        ]
        if old:
            self._dbos.delete_workflows(old)

    def _launch(self) -> None:
        from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != ("ok",):
                raise sqlite3.DatabaseError(f"quick_check says {found}")
        logging.getLogger("dbos").setLevel(logging.WARNING)
        config: DBOSConfig = {
            "name": "longtake",
            "system_database_url": f"sqlite:///{self._path}",
            "db_engine_kwargs": {"pool_size": 1, "max_overflow": 0, "connect_args": {}},
            "application_version": APPLICATION_VERSION,
            "executor_id": "local",
            "log_level": "WARNING",
            "serializer": DBOSPortableJSONSerializer(),
            "notification_listener_polling_interval_sec": LISTEN_S,
        }
        self._dbos = DBOS
        DBOS(config=config)
        stages, run_stage, abandoned, broke = self._stages, self._run_stage, self._abandoned, self._broke

        @DBOS.step(name="stage")
        def stage(job_id: str, claim: int, name: str) -> bool:
            return run_stage(job_id, claim, name)

        @DBOS.workflow(name="job")
        def job(job_id: str, claim: int) -> None:
            try:
                for name in stages:
                    if not stage(job_id, claim, name):
                        return
            except Exception as error:
                if isinstance(error, DatabaseError):
                    broke(error)
                abandoned(job_id, claim, error)
                raise

        self._workflow = job
        DBOS.launch()
        self._forget_old()
