"""Who is let in: the Host allow-list, no writes from other sites' pages, and one question for every route.

Belongs here: what holds for every request. Does not: who may do what (`access`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longtake.access import Action, Caller, authorise
from longtake.model.errors import LongtakeError
from longtake.server.problems import CrossSite, HostNotAllowed, problem_of, unexpected

log = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SAME_SITE = frozenset({"same-origin", "none"})
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
PUBLIC = frozenset({"/", "/static/{path}", "/healthz", "/readyz", "/api/openapi.json"})
"""What tells nothing of anybody: the only routes that ask nobody."""


class Guard:
    """The outermost layer: hosts, sites, headers, and an answer to errors that nobody foresaw."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
        except LongtakeError as error:
            await problem_of(error)(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            return  # there is nobody to answer
        except Exception:
            if started:
                raise  # the connection is cut: half an answer must not look like a whole one
            log.exception("%s %s failed", scope["method"], scope["path"])
            await unexpected()(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if without_port(host) not in self._hosts:
            raise HostNotAllowed(f"the host {host[:100]!r} is none that is answered here")
        if scope["method"] in SAFE_METHODS:
            return
        site = headers.get("sec-fetch-site")
        if site is not None and site not in SAME_SITE:
            raise CrossSite("pages of other sites may not change anything here")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host:
            raise CrossSite(f"pages of {origin[:100]!r} may not change anything here")


class Allow:
    """Asks whether the caller may do this to the session in the address. Every route that is not public has one."""

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Caller:
        caller = Caller(name="owner", is_owner=True, device_id=request.headers.get("x-longtake-device"))
        authorise(caller, self.action, request.path_params.get("session_id"))
        return caller


class Guarded:
    """A plain endpoint behind the same question."""

    def __init__(self, action: Action, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        self.allow = Allow(action)
        self._endpoint = endpoint
        self.__name__ = getattr(endpoint, "__name__", type(endpoint).__name__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        await self.allow(request)
        response = await self._endpoint(request)
        await response(scope, receive, send)


def without_port(host: str) -> str:
    """The name in a Host header."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
