"""Durable PUT of segments at 16 connections, against nginx's `dav` PUT, which acknowledges without any flush.

Both write to the same disk, process nothing of what they receive, and are measured in turns, each time into a fresh
folder; the figure is the median of the turns' ratios. Twice: on a disk from which segments go as they come (where
recordings are kept for some time only, or anybody else cleans up), and on one from which nothing was removed lately.
For minutes after many files were removed, Linux' ext4 takes up to ten times as long to make new ones: a file for each
segment feels it, a pack does not. So what nginx wrote is removed at the end only.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from bench._load import Load
from bench.figures import Figure

CONNECTIONS = 16
SIZES = {"16 KB": (16 << 10, "≥ 1.5"), "256 KB": (256 << 10, "≥ 0.7")}
REMOVED = {"segments come and go": 20_000, "nothing was removed lately": 0}
"""How many files were removed from the disk before each turn."""
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
START_S = 30.0
CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off; client_max_body_size 1g; keepalive_requests 100000000; client_body_temp_path {folder}/incoming;
    proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port}; root {folder}/files; location / {{ dav_methods PUT; create_full_put_path on; }}
    }}
}}
"""


def run(smoke: bool) -> list[Figure]:
    """Measure both sizes."""
    rounds, seconds = (1, 0.3) if smoke else (5, 3.0)
    found = []
    for condition, removed in sorted(REMOVED.items(), key=lambda one: one[1]):  # what removing does stays for minutes
        for name, (size, target) in SIZES.items():
            value, detail = _measure(size, rounds, seconds, removed // 100 if smoke else removed)
            title = f"durable PUT, 16 connections, {name} / nginx without flush, {condition}"
            found.append(Figure(name=title, value=value, target=target, unit="×", detail=detail))
    return found


def _measure(size_bytes: int, rounds: int, seconds: float, removed: int) -> tuple[float | None, str]:
    """The median ratio, and both sides' rates."""
    if NGINX is None:
        return None, "needs nginx with its dav module: apt-get install nginx-light"
    ours, theirs = [], []
    with ExitStack() as until_the_end:
        for _ in range(rounds):
            _remove_files(removed)
            ours.append(_longtake(size_bytes, seconds))
            theirs.append(_nginx(size_bytes, seconds, until_the_end))
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    rates = ", ".join(f"{our:.0f}/{their:.0f}" for our, their in zip(ours, theirs, strict=True))
    return statistics.median(ratios), f"requests a second, longtake/nginx: {rates}"


def _remove_files(count: int) -> None:
    """Leave a disk from which so many small files were removed just now."""
    with TemporaryDirectory(prefix="longtake-bench-removed-") as folder:
        for number in range(count):
            Path(folder, str(number)).write_bytes(b"x" * 4096)


def _longtake(size_bytes: int, seconds: float) -> float:
    with TemporaryDirectory(prefix="longtake-bench-") as folder:
        port = _free_port()
        command = [sys.executable, "-m", "bench._receiving", str(port), folder]
        with _running(command, port), httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            session = http.post("/api/sessions", json={}).raise_for_status().json()["id"]
            address = f"/api/sessions/{session}/tracks"
            track = http.post(address, json={"kind": "microphone"}).raise_for_status().json()["id"]
            return _rate(port, f"{address}/{track}/segments", size_bytes, seconds)


def _nginx(size_bytes: int, seconds: float, until_the_end: ExitStack) -> float:
    folder = Path(until_the_end.enter_context(TemporaryDirectory(prefix="longtake-bench-nginx-")))
    (folder / "files").mkdir()
    port = _free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port, user=user))
    log = str(folder / "error.log")
    with _running([str(NGINX), "-e", log, "-c", str(folder / "nginx.conf"), "-p", str(folder)], port):
        return _rate(port, "", size_bytes, seconds)


def _rate(port: int, address: str, size_bytes: int, seconds: float) -> float:
    load = Load(
        port=port,
        path=lambda number: f"{address}/{number}?start_ms={number}&duration_ms=1",
        size_bytes=size_bytes,
        connections=CONNECTIONS,
    )
    answered, _ = load.run(first=0, seconds=seconds / 10)  # connections, caches, statements
    return load.run(first=answered + CONNECTIONS, seconds=seconds)[1]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    """A server, from when it answers on its port."""
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < until:
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(START_S)
