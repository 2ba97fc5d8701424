"""Runs the server in this process until it is asked to end."""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import uvicorn

from longtake.media import heap
from longtake.model.errors import Forbidden, Unavailable
from longtake.runtime import Runtime
from longtake.server.app import create_app
from longtake.settings import Settings

KEEP_ALIVE_S = 75
"""Longer than a segment lasts: recorders keep their connection."""
DRAIN_S = 5
"""How long requests may still take when the server is asked to end."""
BACKLOG = 1024
OPEN_FILES = 65_536
"""How many files and connections may be open at once, if the system lets us: many allow 1,024 or 256 at first."""


def serve(settings: Settings, *, on_ready: Callable[[str], None] = print) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is being asked, and close everything.

    Args:
        on_ready: Told the address once requests are answered.

    Raises:
        Forbidden: The host is not loopback. Unavailable: The port is taken. DataFolderInUse: The data folder is.
    """
    check_loopback(settings.host)
    heap.share()
    open_many_files()
    with _listening(settings) as listener, Runtime.open(settings) as runtime:
        url = _url(settings.host, listener.getsockname()[1])
        config = uvicorn.Config(
            create_app(runtime),
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            log_level=settings.log_level,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=DRAIN_S,
            backlog=BACKLOG,
        )

        def ready() -> None:
            runtime.folder.publish(url)
            on_ready(url)

        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_Server(config, ready).serve(sockets=[listener]))


def check_loopback(host: str) -> None:
    """Refuse to be reachable from elsewhere as long as there are no accounts; raises Forbidden."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise Forbidden(
            f"{host} is not loopback: without accounts longtake answers on 127.0.0.1, ::1 and localhost only"
        )


def open_many_files() -> None:
    """Raise this process' own limit of open files as far as it may.

    Each recorder keeps a connection. At the limit none is accepted, and no file of the database is opened.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS refuses more than its kernel's own limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Server(uvicorn.Server):
    """uvicorn, with signals that only end it, and a word when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again afterwards, which would kill the process before the runtime is closed
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _end(self) -> None:
        self.force_exit = self.should_exit  # the second time: at once
        self.should_exit = True


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """A bound socket; taken before anything is opened, so that a taken port is said at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; --port names another"
            ) from error
        yield listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
