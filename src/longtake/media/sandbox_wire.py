"""What parent, zygote and child say to one another: fixed-size requests one way, framed messages the other.

The parent trusts nothing that a child says: every length is checked here before anything is allocated.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from dataclasses import asdict, dataclass
from typing import Any

REQUEST_BYTES = 1024
"""Every request is one JSON object padded with spaces, so that its descriptors cannot drift from its bytes."""

HEAD, DATA, DONE, FAIL = b"HEAD", b"DATA", b"DONE", b"FAIL"
MESSAGE = struct.Struct("<4sI")
MAX_JSON_BYTES = 4096
MAX_DATA_BYTES = 8 << 20

MAX_RATE_HZ = 384_000
MIN_RATE_HZ = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one file may cost. CPU is granted per file plus per MiB, since ten hours of sound take minutes to decode."""

    memory_bytes: int = 512 << 20
    cpu_s: int = 60
    cpu_s_per_mib: int = 4
    stall_s: float = 60.0
    duration_s: int = 48 * 3600
    streams: int = 16
    open_files: int = 32

    def cpu_s_for(self, size_bytes: int) -> int:
        """CPU seconds for a file of that size."""
        return self.cpu_s + self.cpu_s_per_mib * (size_bytes >> 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file to decode. The source, the output pipe and the status pipe travel beside it as descriptors."""

    job: int
    ffmpeg_format: str
    offset: int
    size: int
    limits: Limits


def send_job(sock: socket.socket, job: Job, fds: list[int]) -> None:
    """Ask for a child; the descriptors are duplicated to the other side."""
    _send(sock, asdict(job), fds)


def send_kill(sock: socket.socket, job: int) -> None:
    """Ask that a job's child be killed, if it still runs."""
    _send(sock, {"kill": job}, [])


def _send(sock: socket.socket, request: dict[str, Any], fds: list[int]) -> None:
    data = json.dumps(request).encode().ljust(REQUEST_BYTES)
    if len(data) > REQUEST_BYTES:
        raise ValueError("the request is too long")
    sent = socket.send_fds(sock, [data], fds) if fds else sock.send(data)
    if sent < len(data):
        sock.sendall(data[sent:])


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next request with its descriptors; None when the other side is gone."""
    data, fds = b"", array.array("i")
    while len(data) < REQUEST_BYTES:
        part, received, _, _ = socket.recv_fds(sock, REQUEST_BYTES - len(data), 3)
        if not part:
            return None
        data += part
        fds.extend(received)
    return json.loads(data), list(fds)


def job_from(request: dict[str, Any]) -> Job:
    """The job that a request carries."""
    return Job(**{**request, "limits": Limits(**request["limits"])})


def write_message(fd: int, kind: bytes, payload: bytes | memoryview) -> None:
    """Write one framed message, all of it, however small the pipe."""
    parts = [memoryview(MESSAGE.pack(kind, len(payload))), memoryview(payload)]
    while parts:
        written = os.writev(fd, parts)
        while parts and written >= len(parts[0]):
            written -= len(parts.pop(0))
        if parts:
            parts[0] = parts[0][written:]


def write_json(fd: int, kind: bytes, **fields: object) -> None:
    """Write one message of named fields."""
    write_message(fd, kind, json.dumps(fields).encode())
