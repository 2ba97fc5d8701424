"""Kill the migration of an older data folder at calls of the system, and see what the next start makes of it."""

import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

from longtake.storage.database import Database
from tests.acceptance.sweep import PATIENCE_S, SYSCALLS, Point, Verdict, spread
from tests.enrichment.older import make_old, recorded

MIGRATE = """
import sys
from pathlib import Path
from longtake.storage.database import Database
db = Database(Path(sys.argv[1]))
db.migrate()
db.close()
"""
ACKNOWLEDGED = ("sessions", "tracks", "segments", "blobs", "entries", "jobs", "history", "participants", "blocks")


class Sweep:
    """A folder of the first schema, and the calls by which its migration reaches the disk."""

    def __init__(self, root: Path) -> None:
        """Make the folder, and see what becomes of it when nobody disturbs anything."""
        self.root = root
        recorded(root / "new")
        make_old(root / "new", root / "old")
        self.before = rows(root / "old" / "longtake.db")
        data = self._copy("undisturbed")
        log = root / "calls"
        subprocess.run(
            ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={','.join(SYSCALLS)}", *command(data)],
            check=True,
            timeout=PATIENCE_S,
        )
        self.calls = Counter(re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE))
        self.expected = look(data)

    def points(self, count: int) -> list[Point]:
        """So many calls, evenly over each kind."""
        share = max(1, count // max(1, len(self.calls)))
        return [Point(n, name) for name, most in self.calls.items() for n in spread(min(share, most), most)]

    def run(self, points: Iterable[Point], *, careless: bool = False) -> list[Verdict]:
        """Kill a migration at each point, two at a time; `careless` throws away the log of what was committed."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(partial(self._try, careless=careless), points))

    def _copy(self, name: str) -> Path:
        shutil.copytree(self.root / "old", self.root / name)
        return self.root / name

    def _try(self, point: Point, *, careless: bool) -> Verdict:
        data = self._copy(str(point).replace(" ", "-"))
        kill = f"inject={point.syscall}:signal=KILL:when={point.n}"
        trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={point.syscall}", "-e", kill]
        done = subprocess.run([*trace, *command(data)], capture_output=True, timeout=PATIENCE_S, check=False)
        if careless:
            with closing(sqlite3.connect(data / "longtake.db")) as connection:
                connection.execute("DELETE FROM segments")
                connection.commit()
        found = look(data)
        lost = sum(len(self.expected[table] - found[table]) for table in ACKNOWLEDGED)
        shutil.rmtree(data)
        return Verdict(point, done.returncode != 0, 0, lost, None if found == self.expected else "another database")


def command(data: Path) -> list[str]:
    """What migrates a folder."""
    return [sys.executable, "-c", MIGRATE, str(data / "longtake.db")]


def look(data: Path) -> dict[str, set[tuple[object, ...]]]:
    """Every row that there is once the folder has been opened, by table; the names of the schema are one of them."""
    db = Database(data / "longtake.db")
    db.migrate()
    db.close()
    with closing(sqlite3.connect(data / "longtake.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    return rows(data / "longtake.db")


def rows(path: Path) -> dict[str, set[tuple[object, ...]]]:
    """Every row of every table; of orphans the moment is left out at which they were found."""
    found: dict[str, set[tuple[object, ...]]] = {}
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'search_i%'")
        for (table,) in tables.fetchall():
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            shown = ", ".join(f'"{name}"' for name in columns if name != "orphaned_at_ms")
            found[table] = set(connection.execute(f"SELECT {shown} FROM {table}").fetchall())
        found["sqlite_master"] = set(connection.execute("SELECT type, name FROM sqlite_master").fetchall())
    return found
