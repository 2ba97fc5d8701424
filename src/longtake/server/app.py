"""The application: every route, behind one guard, over one runtime."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from longtake import __version__
from longtake.model.errors import NotFound
from longtake.runtime import Runtime
from longtake.server import problems
from longtake.server.api import (
    artifacts,
    attachments,
    bulk,
    jobs,
    lifecycle,
    media,
    operation,
    recordings,
    remarks,
    retries,
    search,
    segments,
    sessions,
    tracks,
    transcript,
    upkeep,
)
from longtake.server.idempotency import Idempotency
from longtake.server.metrics import HttpFigures, Metrics
from longtake.server.openapi import document
from longtake.server.plain_routes import plain_routes
from longtake.server.readable import is_known
from longtake.server.security import Guard, Guarded
from longtake.server.streams import Streams
from longtake.server.views import SessionViews

API_THREADS = 16
RESOURCES = (
    bulk,
    sessions,
    retries,
    lifecycle,
    tracks,
    segments,
    media,
    attachments,
    transcript,
    artifacts,
    jobs,
    operation,
    upkeep,
    remarks,
    recordings,
    search,
)
STATIC = {
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "hls.light.min.js": "text/javascript; charset=utf-8",
}


class App(FastAPI):
    """The application behind its guard, which stands before the framework's own layers."""

    guard: Guard | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        assert self.guard is not None
        await self.guard(scope, receive, send)

    async def behind_guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may come in."""
        await super().__call__(scope, receive, send)


def create_app(runtime: Runtime) -> App:
    """Everything that answers requests; opening and closing the runtime is the caller's."""
    app = App(
        title="longtake",
        version=__version__,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        generate_unique_id_function=_operation_id,
    )
    app.state.runtime = runtime
    app.state.idempotency = Idempotency(runtime.store)
    app.state.views = SessionViews(runtime)
    plain = plain_routes(Streams(runtime, app.state.views, app.state.idempotency))
    shortcuts = [
        Route(one.path, Guarded(one.action, one.endpoint), methods=[one.method], include_in_schema=False)
        for one in plain
    ]
    app.router.routes.extend(shortcuts)
    for resource in RESOURCES:
        app.include_router(resource.router)
    app.router.routes.append(Route("/", _page, include_in_schema=False))
    app.router.routes.append(Route("/static/{path}", _static, include_in_schema=False))
    problems.install(app)
    http = HttpFigures()
    app.state.metrics = Metrics(runtime, http)
    bound = runtime.settings.host
    hosts = (*runtime.settings.allowed_hosts, f"[{bound}]" if ":" in bound else bound)
    app.guard = Guard(app.behind_guard, http, hosts=hosts, shortcuts=shortcuts)
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(document(app, plain))
        return made

    app.openapi = openapi  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = API_THREADS
    yield


def _operation_id(route: APIRoute) -> str:
    return route.name


async def _page(request: Request) -> Response:
    return _resource(request, "page.html", "text/html; charset=utf-8")


async def _static(request: Request) -> Response:
    name = request.path_params["path"]
    if name not in STATIC:
        raise NotFound("file", name)
    return _resource(request, f"static/{name}", STATIC[name])


def _resource(request: Request, name: str, media_type: str) -> Response:
    data = files("longtake.server").joinpath(name).read_bytes()
    headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"', "Cache-Control": "no-cache"}
    if is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
