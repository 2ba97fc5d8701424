"""A real `longtake serve` for a benchmark: its own data folder, a free port, ended and removed afterwards."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where it answers, and its process."""

    url: str
    pid: int
    data: Path


@contextmanager
def server(*, engine: str = "none", data: Path | None = None) -> Iterator[Server]:
    """Start a server and wait until it answers; on a data folder that stays, or on one of its own."""
    stays = data is not None
    data = data or Path(tempfile.mkdtemp(prefix="longtake-bench-"))
    command = [str(Path(sys.executable).with_name("longtake")), "serve", "--port", "0", "--data", str(data)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(data), "LONGTAKE_ENGINE": engine}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Server(url=_url(data, process), pid=process.pid, data=data)
    finally:
        process.terminate()
        process.wait(30)
        if not stays:
            shutil.rmtree(data)


def _url(data: Path, process: "subprocess.Popen[bytes]") -> str:
    until = time.monotonic() + START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            url = str(json.loads((data / "owner.json").read_text())["url"])
            if httpx.get(f"{url}/readyz").is_success:
                return url
        except (OSError, ValueError, httpx.TransportError):
            pass
        time.sleep(0.05)
    raise RuntimeError(f"longtake serve did not start within {START_S:.0f} s (exit code {process.poll()})")
