"""The database: open, migrate, transactions.

SQLite has one connection that writes (and checkpoints), taken in turns; readers have a pool of their own and never
wait for it. `synchronous=FULL`: what was committed survives a power cut.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

from longtake.model.errors import StorageFailed, StorageFull, Unavailable
from longtake.storage import journal, lookups
from longtake.storage.prepared import run

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATING = threading.Lock()
"""Alembic keeps the migration that runs in its own module: one at a time in a process."""
CACHE_KIB = 2048
"""Of each connection, of which there may be many: a larger one makes memory grow with the database, nothing faster."""
MAX_REST_S = 0.1
"""The longest rest between the transactions of long work."""
PRIMARY_CODE = 0xFF
"""Of SQLite's extended result codes: the byte that is the plain one."""

BROKEN = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)
"""What SQLite says when the disk fails under it, also when the system has mounted it read-only for that."""
BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM})
"""What it says when nothing is broken: another program writes, or there is no memory."""


def unsoundness(path: Path, *, timeout_s: float = 5.0) -> str | None:
    """What SQLite finds wrong with the file of a database, which is only read; None when it is sound."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=timeout_s)) as connection:
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return None if said == "ok" else said


def database_error(error: DBAPIError) -> Unavailable | None:
    """The error of ours for what SQLite said of the machine around it; None if it is the program's fault."""
    code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & PRIMARY_CODE
    detail = f"the database said: {error.orig}"
    if code == sqlite3.SQLITE_FULL:
        return StorageFull(detail)
    if code in BROKEN:
        return StorageFailed(detail)
    if code in BUSY:
        return Unavailable(detail)
    return None


@contextmanager
def refused() -> Iterator[None]:
    """Turn what the disk under the database says into the error of ours."""
    try:
        yield
    except DBAPIError as error:
        raise (database_error(error) or error) from error


class Database:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before_commit: Callable[[Connection], None] = lambda _: None
        """Called at the end of each transaction, in it; what it raises undoes the transaction."""
        self.after_commit: Callable[[], None] = lambda: None
        """Called after each commit, before anybody else's transaction; it must not raise."""
        self._lock = threading.RLock()
        url = f"sqlite+pysqlite:///{path}"
        self._writer = _engine(url, StaticPool, {})
        self._readers = _engine(url, QueuePool, {"pool_size": 4, "max_overflow": 28})
        event.listen(self._readers, "connect", _query_only)

    def migrate(self) -> None:
        """Bring the file to the newest schema; makes it when it is not there.

        Foreign keys sleep meanwhile: SQLite changes a table by making it anew, and dropping the old one would delete
        every row of others that refers to it. They are checked before what was done is committed.

        Raises:
            StorageFull, StorageFailed: The disk refused; the schema is the one it was.
        """
        with MIGRATING, self._lock, refused(), self._writer.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute("PRAGMA foreign_keys=OFF").close()  # has no effect within a transaction
            try:
                before = MigrationContext.configure(connection).get_current_revision()
                command.upgrade(alembic_config(connection), "head")
                after = MigrationContext.configure(connection).get_current_revision()
                dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").first() if after != before else None
                if dangling is not None:
                    raise StorageFailed(f"migrating {before} to {after} would leave {tuple(dangling)} without its row")
                lookups.ensure(connection)
                connection.commit()
            finally:
                connection.rollback()
                driver.execute("PRAGMA foreign_keys=ON").close()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, alone: committed and durable at its end, rolled back on any error.

        Raises:
            StorageFull, StorageFailed: The disk refused; nothing was changed.
            Unavailable: Another program kept the database locked for too long; nothing was changed.
        """
        with self._lock:
            with refused(), self._writer.begin() as connection:
                try:
                    yield connection
                    self.before_commit(connection)
                finally:
                    journal.forget(connection)
            self.after_commit()

    @contextmanager
    def write_unchecked(self) -> Iterator[Connection]:
        """Like `write`, but references between tables are not checked.

        For removing rows to which none refers, as a count says that was compared with the rows: SQLite itself would
        search whole tables for each of them.
        """
        with self._lock:
            self._check_references("OFF")
            try:
                with self.write() as connection:
                    yield connection
            finally:
                self._check_references("ON")

    def _check_references(self, switch: str) -> None:
        raw = self._writer.raw_connection()
        try:
            raw.cursor().execute(f"PRAGMA foreign_keys={switch}").close()
        finally:
            raw.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; never waits for a writer."""
        with refused(), self._readers.connect() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections; the last one folds the write-ahead log into the file."""
        self._readers.dispose()
        with self._lock:
            self._writer.dispose()


@contextmanager
def unhurried(transaction: AbstractContextManager[Connection], stopping: threading.Event) -> Iterator[Connection]:
    """One of many transactions, and a rest of the same length: whoever waits to store something has his turn."""
    began = time.monotonic()
    with transaction as c:
        yield c
    stopping.wait(min(MAX_REST_S, time.monotonic() - began))


def alembic_config(connection: Connection) -> Config:
    """Alembic's settings, for a connection that is already open."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _engine(url: str, pool: type[Any], pool_args: dict[str, int]) -> Engine:
    arguments = {"check_same_thread": False, "timeout": 10}
    # Parameters are titles and what was said: they must not get into a log with an error.
    engine = create_engine(url, poolclass=pool, connect_args=arguments, hide_parameters=True, **pool_args)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late; `_begin` sends it
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"cache_size=-{CACHE_KIB}"):
        connection.execute(f"PRAGMA {pragma}").close()
    connection.execute("PRAGMA wal_autocheckpoint=4000").close()


def _query_only(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA query_only=ON").close()


def _begin(connection: Connection) -> None:
    # One writer at a time holds the lock, so a deferred transaction cannot meet another writer.
    run(connection, "BEGIN")
