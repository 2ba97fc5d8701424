"""A real server whose disk takes only so many bytes a second.

`… slow_server FOLDER BYTES_PER_S QUEUE_BYTES [LOSE_EVERY]`: with the last argument it says that it wrote and did not,
now and then: the control.
"""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from longtake.cli import logs
from longtake.runtime import Runtime
from longtake.server.app import create_app
from longtake.settings import Settings
from longtake.storage.disk import Disk


class SlowDisk(Disk):
    """Takes its time over every byte."""

    def __init__(self, bytes_per_s: int, lose_every: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._lose_every = lose_every
        self._writes = 0
        self._lock = threading.Lock()

    def write_all(self, fd: int, parts: Sequence[bytes | bytearray | memoryview]) -> int:
        size = sum(len(part) for part in parts)
        with self._lock:  # one disk: who comes second waits
            time.sleep(size / self._bytes_per_s)
            self._writes += 1
            if self._lose_every and self._writes % self._lose_every == 0:
                return super().write_all(fd, [bytes(size)])
            return super().write_all(fd, parts)


def main(folder: Path, bytes_per_s: int, queue_bytes: int, lose_every: int = 0) -> None:
    """Serve until SIGTERM."""
    logs.configure("error", "json")  # else each refusal is printed where nobody reads it
    settings = Settings.model_validate({"data": folder, "engine": "none", "max_queued_bytes": queue_bytes})
    with Runtime.open(settings, with_engine=False, disk=SlowDisk(bytes_per_s, lose_every)) as runtime:
        config = uvicorn.Config(create_app(runtime), port=0, http="httptools", ws="none", log_level="error")
        server = uvicorn.Server(config)
        threading.Thread(target=_announce, args=(server,), daemon=True).start()
        server.run()


def _announce(server: uvicorn.Server) -> None:
    while not server.started:
        time.sleep(0.01)
    sys.stdout.write(f"{server.servers[0].sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:]))
