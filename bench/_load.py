"""A load of PUT requests on kept connections, each sending its next body when the last was answered.

One thread, epoll, no HTTP library: it takes a few per cent of what the servers take that it measures. Every body is
different, so that a server which keeps the same bytes once really writes; the digest is computed from a common start.
"""

import base64
import hashlib
import os
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

HEAD = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\x80\xbb\0\0\0\x77\1\0\2\0\x10\0data\xff\xff\xff\xff"
NUMBER_BYTES = 8


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    pending: list[memoryview] = field(default_factory=list)
    received: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent: `path` gives the address of a body by its number."""

    port: int
    path: Callable[[int], str]
    size_bytes: int
    connections: int

    def run(self, *, first: int, seconds: float) -> tuple[int, float]:
        """Send for a while, numbering from `first`; returns how many were answered with 2xx, and how many a second.

        Raises:
            RuntimeError: An answer was something else, or a connection ended.
        """
        body = HEAD + os.urandom(self.size_bytes - len(HEAD) - NUMBER_BYTES)
        digest = hashlib.sha256(body)
        number = first
        poll = select.epoll()
        busy: dict[int, _Connection] = {}

        def send_next(connection: _Connection) -> None:
            nonlocal number
            tail = number.to_bytes(NUMBER_BYTES, "big")
            whole = digest.copy()
            whole.update(tail)
            head = (
                f"PUT {self.path(number)} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"Content-Length: {self.size_bytes}\r\nContent-Type: audio/wav\r\n"
                f"Repr-Digest: sha-256=:{base64.b64encode(whole.digest()).decode()}:\r\n\r\n"
            )
            number += 1
            connection.pending = [memoryview(head.encode()), memoryview(body), memoryview(tail)]
            connection.received = b""
            _push(connection, poll)

        try:
            for _ in range(self.connections):
                connection = _Connection(socket.create_connection(("127.0.0.1", self.port)))
                connection.socket.setblocking(False)
                connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                busy[connection.socket.fileno()] = connection
                poll.register(connection.socket.fileno(), 0)
            began = time.perf_counter()
            for connection in busy.values():
                send_next(connection)
            answered, waiting = 0, len(busy)
            while waiting:
                for fd, events in poll.poll(60):
                    connection = busy[fd]
                    if events & select.EPOLLOUT:
                        _push(connection, poll)
                    if events & ~select.EPOLLOUT and _is_answered(connection):
                        answered += 1
                        if time.perf_counter() - began < seconds:
                            send_next(connection)
                        else:
                            waiting -= 1
                            poll.modify(fd, 0)
            return answered, answered / (time.perf_counter() - began)
        finally:
            poll.close()
            for connection in busy.values():
                connection.socket.close()


def _push(connection: _Connection, poll: select.epoll) -> None:
    """Send what the socket takes."""
    try:
        while connection.pending:
            taken = connection.socket.sendmsg(connection.pending)
            while connection.pending and taken >= len(connection.pending[0]):
                taken -= len(connection.pending.pop(0))
            if taken:
                connection.pending[0] = connection.pending[0][taken:]
    except BlockingIOError:
        pass
    poll.modify(connection.socket.fileno(), select.EPOLLIN | (select.EPOLLOUT if connection.pending else 0))


def _is_answered(connection: _Connection) -> bool:
    """Read; whether the answer is whole."""
    part = connection.socket.recv(65536)
    connection.received += part
    head, found, rest = connection.received.partition(b"\r\n\r\n")
    if not part or (found and not head.startswith(b"HTTP/1.1 2")):
        raise RuntimeError(f"not an acknowledgement: {connection.received[:300]!r}")
    if not found:
        return False
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(rest) >= int(length.partition(b":")[2])
