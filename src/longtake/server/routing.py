"""Routes of JSON: bodies within a limit, and POSTs that can be repeated by their Idempotency-Key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from longtake.model.errors import TooLarge
from longtake.runtime import Runtime
from longtake.server.idempotency import Idempotency
from longtake.server.views import SessionViews

MAX_JSON_BYTES = 1 << 20


class ApiRoute(APIRoute):
    """A route of JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The framework's handler, with the body read before it and answers remembered behind it."""
        handle = super().get_route_handler()

        async def handle_limited(request: Request) -> Response:
            if request.method in ("GET", "HEAD"):
                return await handle(request)
            body = await read_body(request)
            whole = Request(request.scope, _replay(body, request.receive))
            key = request.headers.get("idempotency-key")
            if key is None or request.method != "POST":
                return await handle(whole)
            idempotency: Idempotency = request.app.state.idempotency
            return await idempotency.answer(key, fingerprint(request, body), lambda: handle(whole))

        return handle_limited


async def read_body(request: Request) -> bytes:
    """A body of JSON; raises TooLarge."""
    announced = request.headers.get("content-length", "0")
    parts, size = [], int(announced) if announced.isdigit() else 0
    if size <= MAX_JSON_BYTES:
        size = 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > MAX_JSON_BYTES:
                break
    if size > MAX_JSON_BYTES:
        raise TooLarge(f"a message has at most {MAX_JSON_BYTES} bytes", limit_bytes=MAX_JSON_BYTES)
    return b"".join(parts)


def fingerprint(request: Request, body: bytes) -> str:
    """Digest of all that a request says."""
    said = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return hashlib.sha256(said + body).hexdigest()


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then whatever still comes."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed


async def runtime_of(request: Request) -> Runtime:
    """The runtime behind the application."""
    runtime: Runtime = request.app.state.runtime
    return runtime


Run = Annotated[Runtime, Depends(runtime_of)]


async def views_of(request: Request) -> SessionViews:
    """Sessions as they are shown."""
    views: SessionViews = request.app.state.views
    return views


Views = Annotated[SessionViews, Depends(views_of)]
