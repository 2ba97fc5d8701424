"""Durable PUT of segments at 16 connections, against nginx's `dav` PUT, which acknowledges without any flush.

Both write to the same disk and are measured in turns, each time into a fresh folder; the figure is the median of the
turns' ratios. What nginx wrote is removed at the end only: for minutes after many files were removed, Linux' ext4 takes
ten times as long to make new ones, and that would slow nginx alone. The track's first segment is missing, so that the
lanes wait for it: what is measured is receiving, not decoding.
"""

import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from bench._load import Load
from bench._server import server
from bench.figures import Figure

CONNECTIONS = 16
SIZES = {"16 KB": (16 << 10, "≥ 1.5"), "256 KB": (256 << 10, "≥ 0.7")}
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
    figures = [
        Figure(name=f"durable PUT, 16 connections, {name} / nginx without flush", value=None, target=target, unit="×")
        for name, (_, target) in SIZES.items()
    ]
    if shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
        return [
            _with(figure, None, "needs nginx with its dav module: apt-get install nginx-light") for figure in figures
        ]
    rounds, seconds = (1, 0.3) if smoke else (5, 3.0)
    return [
        _with(figure, *_measure(size, rounds, seconds))
        for figure, (size, _) in zip(figures, SIZES.values(), strict=True)
    ]


def _with(figure: Figure, value: float | None, detail: str) -> Figure:
    return Figure(name=figure.name, value=value, target=figure.target, unit=figure.unit, detail=detail)


def _measure(size_bytes: int, rounds: int, seconds: float) -> tuple[float, str]:
    """The median ratio, and both sides' rates."""
    ours, theirs = [], []
    with ExitStack() as until_the_end:
        for _ in range(rounds):
            ours.append(_longtake(size_bytes, seconds))
            theirs.append(_nginx(size_bytes, seconds, until_the_end))
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    rates = ", ".join(f"{our:.0f}/{their:.0f}" for our, their in zip(ours, theirs, strict=True))
    return statistics.median(ratios), f"requests a second, longtake/nginx: {rates}"


def _longtake(size_bytes: int, seconds: float) -> float:
    with server() as s:
        with httpx.Client(base_url=s.url) as http:
            session = http.post("/api/sessions", json={}).raise_for_status().json()["id"]
            address = f"/api/sessions/{session}/tracks"
            track = http.post(address, json={"kind": "microphone"}).raise_for_status().json()["id"]
        port = httpx.URL(s.url).port
        assert port is not None
        return _rate(port, f"{address}/{track}/segments", size_bytes, seconds)


def _nginx(size_bytes: int, seconds: float, until_the_end: ExitStack) -> float:
    return _rate(until_the_end.enter_context(_nginx_server()), "", size_bytes, seconds)


def _rate(port: int, address: str, size_bytes: int, seconds: float) -> float:
    load = Load(
        port=port,
        path=lambda number: f"{address}/{number}?start_ms={number}&duration_ms=1",
        size_bytes=size_bytes,
        connections=CONNECTIONS,
    )
    answered, _ = load.run(first=1, seconds=seconds / 10)  # connections, caches, statements
    return load.run(first=1 + answered + CONNECTIONS, seconds=seconds)[1]


@contextmanager
def _nginx_server() -> Iterator[int]:
    """An nginx of its own in a fresh folder; gives its port."""
    folder = Path(tempfile.mkdtemp(prefix="longtake-bench-nginx-"))
    (folder / "files").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port, user=user))
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert nginx is not None
    process = subprocess.Popen([nginx, "-e", folder / "error.log", "-c", folder / "nginx.conf", "-p", folder])
    try:
        for _ in range(200):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)
