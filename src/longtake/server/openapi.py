"""The OpenAPI document: the framework's part, the plain routes, and what every operation has in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from longtake.server.examples import EXAMPLES
from longtake.server.idempotency import KEY
from longtake.server.security import DEVICE
from longtake.server.streams import PlainRoute
from longtake.wire.base import Problem
from longtake.wire.sessions import SessionAnswer
from longtake.wire.tracks import ReceiptAnswer

REF = "#/components/schemas/{model}"
PROBLEM = {"application/problem+json": {"schema": {"$ref": REF.format(model="Problem")}}}


def _header(name: str, pattern: str, description: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": description}


IDEMPOTENCY_KEY = _header(
    "Idempotency-Key",
    KEY.pattern,
    "The same key with the same request does it once and gives the same answer again, for a day.",
)
DEVICE_ID = _header(
    "X-Longtake-Device",
    DEVICE.pattern,
    "The device that sends: who is named in histories, and whose a new session or track is.",
)
TAGS = {
    "sessions": "Sessions",
    "lifecycle": "A session's life",
    "tracks": "Tracks",
    "segments": "Segments",
    "media": "Playing",
    "transcript": "What was said, and what is made of it",
    "remarks": "Markers, phases, the timeline",
    "library": "The library",
    "artifacts": "Files",
    "attachments": "Attachments",
    "jobs": "Jobs",
    "operation": "Operation",
    "retries": "Retries",
}
METHODS = ("get", "put", "post", "patch", "delete")


def document(app: FastAPI, plain: Sequence[PlainRoute]) -> dict[str, Any]:
    """The whole document."""
    made = get_openapi(
        title="longtake",
        version=app.version,
        description="Recording sessions: segments are durable when acknowledged, a session is whole when it ends.",
        routes=app.routes,
        tags=[{"name": name, "description": said} for name, said in TAGS.items()],
    )
    for route in plain:
        made["paths"].setdefault(route.path, {})[route.method.lower()] = route.operation
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    _, own = models_json_schema(
        [(Problem, "serialization"), (ReceiptAnswer, "serialization"), (SessionAnswer, "serialization")],
        ref_template=REF,
    )
    for name, schema in own["$defs"].items():
        schemas.setdefault(name, schema)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for example in EXAMPLES:
        schemas[type(example).__name__]["examples"] = [example.model_dump(mode="json", exclude_unset=True)]
    for path in made["paths"].values():
        for method in METHODS:
            if method in path:
                _complete(method, path[method])
    return made


def _complete(method: str, operation: dict[str, Any]) -> None:
    summary, _, more = operation.get("description", operation["summary"]).partition("\n\n")
    operation["summary"] = " ".join(summary.split())
    if more:
        operation["description"] = more
    else:
        operation.pop("description", None)
    responses = operation["responses"]
    if "422" in responses:
        responses["422"] = {"description": "The request does not make sense: `invalid_request`, …", "content": PROBLEM}
    responses["default"] = {"description": "Any other problem.", "content": PROBLEM}
    common = {"get": [], "post": [DEVICE_ID, IDEMPOTENCY_KEY]}.get(method, [DEVICE_ID])
    operation["parameters"] = [*operation.get("parameters", []), *common]
