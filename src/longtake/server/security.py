"""Who is let in: the Host allow-list, no writes from other sites' pages, and one question for every route.

Belongs here: what holds for every request. Does not: who may do what (`access`).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longtake.access import OWNER, Action, Caller, authorise
from longtake.model.errors import Invalid, LongtakeError
from longtake.server.metrics import HttpFigures
from longtake.server.problems import CrossSite, HostNotAllowed, answer_to

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEVICE = re.compile(r"[!-~]{1,64}")
SAME_SITE = frozenset({b"same-origin", b"none"})
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
RAW_HEADERS = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
PUBLIC = frozenset({"/", "/static/{path}", "/healthz", "/readyz", "/api/openapi.json"})
"""What tells nothing of anybody: the only routes that ask nobody."""


class Guard:
    """The outermost layer: hosts, sites, headers, and an answer to every error.

    Endpoints that send and take bytes are called from here, past the framework's layers: those cost as much as storing
    a small segment.
    """

    def __init__(
        self, app: ASGIApp, figures: HttpFigures, *, hosts: Sequence[str], shortcuts: Sequence[Route] = ()
    ) -> None:
        """`shortcuts` are routes of Guarded endpoints that `app` has, too."""
        self._app = app
        self._figures = figures
        self._hosts = frozenset(host.lower() for host in hosts)
        self._shortcuts = tuple(shortcuts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        started = answered = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started, answered
            if message["type"] == "http.response.start":
                started = True
                self._figures.note(scope, message["status"])
                own = message["headers"]
                names = {name for name, _ in own}
                message["headers"] = [*own, *(pair for pair in RAW_HEADERS if pair[0] not in names)]
            await send(message)
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            self._check(scope)
            endpoint = self._endpoint(scope)
            if endpoint is self._app and scope["method"] == "HEAD":  # the server sends no body of it
                scope = {**scope, "method": "GET"}
            await endpoint(scope, receive, send_with_headers)
        except ClientDisconnect:
            return  # there is nobody to answer
        except Exception as error:
            if answered:
                return  # the framework raises again what it has answered
            if started:
                raise  # the connection is cut: half an answer must not look like a whole one
            if isinstance(error, LongtakeError):
                self._figures.note_error(scope, error.code)
            await answer_to(error, scope)(scope, receive, send_with_headers)

    def _endpoint(self, scope: Scope) -> ASGIApp:
        """What answers a request: a shortcut that it fits wholly, else the application."""
        for route in self._shortcuts:
            match, found = route.matches(scope)
            if match is Match.FULL:
                scope.update(found)
                scope["route"] = route
                return route.app
        return self._app

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if without_port(host) not in self._hosts:
            raise HostNotAllowed(f"the host {host[:100]!r} is none that is answered here")
        if scope["method"] in SAFE_METHODS:
            return
        site = headers.get(b"sec-fetch-site")
        if site is not None and site not in SAME_SITE:
            raise CrossSite("pages of other sites may not change anything here")
        origin = headers.get(b"origin")
        if origin is not None and _host_of(origin.decode("latin-1")) != host:
            raise CrossSite(f"pages of {origin[:100].decode('latin-1')!r} may not change anything here")


class Allow:
    """Asks whether the caller may do this to the session in the address. Every route that is not public has one."""

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Caller:
        caller = Caller(name=OWNER, is_owner=True, device_id=_device_of(request))
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
        request.state.caller = await self.allow(request)
        response = await self._endpoint(request)
        await response(scope, receive, send)


def _device_of(request: Request) -> str | None:
    """The device that sends, if it says so; raises Invalid."""
    device_id = request.headers.get("x-longtake-device")
    if device_id is not None and DEVICE.fullmatch(device_id) is None:
        raise Invalid("X-Longtake-Device is an id of 1 to 64 printable ASCII characters", header="X-Longtake-Device")
    return device_id


def _host_of(origin: str) -> str | None:
    """The host and port of an Origin header; None of nonsense."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def without_port(host: str) -> str:
    """The name in a Host header."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
