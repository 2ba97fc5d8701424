"""Errors as `application/problem+json` (RFC 9457): ours with their code, the framework's, and what nobody foresaw."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from longtake.model.errors import LongtakeError, Rejected, Unavailable
from longtake.server.requests import request_id_of, template_of
from longtake.server.routes import methods_at

log = structlog.get_logger()

MAX_ERRORS = 20
MAX_SHOWN = 200
RETRY_AFTER_S = 1
HTTP_CODES = {400: "invalid_request", 404: "not_found", 405: "method_not_allowed", 406: "not_acceptable"}


class CrossSite(Rejected):
    """A browser sent it from another site's page."""

    code = "cross_site"
    http_status = 403


class HostNotAllowed(Rejected):
    """The Host header names none of the hosts that are answered."""

    code = "host_not_allowed"
    http_status = 421


class Changed(Rejected):
    """The bytes are no longer those that the request means."""

    code = "precondition_failed"
    http_status = 412


class RangeNotSatisfiable(Rejected):
    """The range begins behind the end."""

    code = "range_not_satisfiable"
    http_status = 416

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"there are {size_bytes} bytes", size_bytes=size_bytes)
        self.headers = {"Content-Range": f"bytes */{size_bytes}"}


class KeyReused(Rejected):
    """The Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"
    http_status = 422


class ProblemResponse(Response):
    """A problem."""

    media_type = "application/problem+json"

    def __init__(
        self, *, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **fields: object
    ) -> None:
        body = {
            **fields,
            "type": f"/problems/{code}",
            "title": code.replace("_", " ").capitalize(),
            "status": status,
            "detail": detail,
            "code": code,
        }
        super().__init__(json.dumps(body, default=str), status_code=status, headers=headers)

    def of_request(self, scope: Scope) -> Self:
        """Name the request, so that its failure is found in the log."""
        self.headers["X-Request-Id"] = request_id_of(scope)
        return self


def problem_of(error: LongtakeError) -> ProblemResponse:
    """One of our errors as an answer."""
    headers = dict(getattr(error, "headers", {}))
    if isinstance(error, Unavailable):
        headers.setdefault("Retry-After", str(error.fields.get("retry_after_s", RETRY_AFTER_S)))
    return ProblemResponse(
        status=error.http_status, code=error.code, detail=error.detail, headers=headers, **error.fields
    )


def answer_to(error: Exception, scope: Scope) -> ProblemResponse:
    """The answer to whatever an endpoint raised; what nobody foresaw is logged here."""
    said = {"method": scope["method"], "route": template_of(scope), "request_id": request_id_of(scope)}
    session_id = scope.get("path_params", {}).get("session_id")
    if isinstance(error, LongtakeError):
        level = logging.WARNING if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.DEBUG
        log.log(
            level, "request_refused", code=error.code, status=error.http_status, session=session_id, error=error, **said
        )
        return problem_of(error).of_request(scope)
    log.error("request_failed", session=session_id, exc_info=error, **said)
    return unexpected().of_request(scope)


def unexpected() -> ProblemResponse:
    """What is said of an error that nobody foresaw: nothing of it."""
    return ProblemResponse(
        status=500, code="internal_error", detail="something unexpected went wrong; the server's log says more"
    )


def install(app: FastAPI) -> None:
    """Have every error of the application answered as a problem."""
    app.add_exception_handler(LongtakeError, _any)
    app.add_exception_handler(Exception, _any)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _framework)


async def _any(request: Request, error: Exception) -> Response:
    return answer_to(error, request.scope)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [_wrong(one) for one in error.errors()[:MAX_ERRORS]]
    detail = "; ".join(f"{one['where']}: {one['message']}" for one in found[:3])
    problem = ProblemResponse(status=422, code="invalid_request", detail=detail, errors=found)
    return problem.of_request(request.scope)


async def _framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail, headers, path = str(error.detail), dict(error.headers or {}), request.scope["path"]
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {path[:MAX_SHOWN]}; /api/openapi.json says what there is"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(methods_at(request.app.routes, path))
        detail = f"{request.method[:MAX_SHOWN]} is not possible here; possible: {headers['Allow']}"
    return ProblemResponse(
        status=error.status_code,
        code=HTTP_CODES.get(error.status_code, "invalid_request"),
        detail=detail,
        headers=headers,
    ).of_request(request.scope)


def _wrong(error: Mapping[str, Any]) -> dict[str, str]:
    """Where a request makes no sense, and why; of a body that was not read as JSON, what to do."""
    where, message = ".".join(str(part) for part in error["loc"]), str(error["msg"])
    if error["type"] == "json_invalid":
        where, message = "body", f"it is no JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    elif where == "body" and isinstance(error["input"], bytes):
        message = "send it as JSON, with the header Content-Type: application/json"
    return {"where": where, "message": message}
