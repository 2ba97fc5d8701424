"""The table of plain routes: address, action, endpoint and what the OpenAPI document says of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from longtake.access import Action
from longtake.server.api.common import problems
from longtake.server.streams import PlainRoute, Streams

Parameter = dict[str, Any]

SESSION = "/api/sessions/{session_id}"
SEGMENT = f"{SESSION}/tracks/{{track_id}}/segments/{{index}}"
BYTES = {"schema": {"type": "string", "format": "binary"}}
MEDIA_TYPES = ("audio/*", "video/*", "application/octet-stream")


def plain_routes(streams: Streams) -> list[PlainRoute]:
    """All of them; where two addresses match, the first is meant."""
    session, what = _path("session_id", "The session's id."), _path("what", "`audio` (the mix) or a track's id.")
    segment = [session, _path("track_id", "The track's id."), _index()]
    ranged = [_header(name) for name in ("Range", "If-Range", "If-Match", "If-None-Match")]
    return [
        PlainRoute(
            method="PUT",
            path=SEGMENT,
            action=Action.RECORD,
            endpoint=streams.put_segment,
            operation=_operation(
                streams.put_segment,
                "segments",
                [
                    *segment,
                    _query("start_ms", _integer(), "Where it starts on the session's media timeline, at most 7 days."),
                    _query("duration_ms", _integer(), "How long it is, at most 7 days."),
                    _header("Repr-Digest", "`sha-256=:base64:` (RFC 9530); checked when present."),
                ],
                {201: _json("ReceiptAnswer", "Stored."), 200: _json("ReceiptAnswer", "It was stored already.")},
                (404, 409, 410, 413, 415, 422, 429, 503, 507),
                body=True,
            ),
        ),
        PlainRoute(
            method="GET",
            path=f"{SEGMENT}/media",
            action=Action.READ,
            endpoint=streams.get_segment_media,
            operation=_operation(
                streams.get_segment_media, "segments", [*segment, *ranged], _file("*/*"), (404, 410, 412, 416, 422)
            ),
        ),
        PlainRoute(
            method="GET",
            path="/api/attachments/{attachment_id}/content",
            action=Action.READ,
            endpoint=streams.get_attachment_content,
            operation=_operation(
                streams.get_attachment_content,
                "attachments",
                [_path("attachment_id", "The id of the segment whose bytes they are."), *ranged],
                _file("*/*"),
                (404, 412, 416),
            ),
        ),
        PlainRoute(
            method="GET",
            path=f"{SESSION}/media/{{what}}.m3u8",
            action=Action.READ,
            endpoint=streams.get_playlist,
            operation=_operation(
                streams.get_playlist, "media", [session, what], _sent("application/vnd.apple.mpegurl"), (404, 409, 410)
            ),
        ),
        PlainRoute(
            method="GET",
            path=f"{SESSION}/media/{{what}}.init.mp4",
            action=Action.READ,
            endpoint=streams.get_init,
            operation=_operation(
                streams.get_init,
                "media",
                [
                    session,
                    what,
                    _query("channels", {"type": "integer", "enum": [1, 2]}, "As the playlist says.", required=True),
                ],
                _sent("audio/mp4"),
                (404, 422),
            ),
        ),
        PlainRoute(
            method="GET",
            path=f"{SESSION}/media/{{what}}.m4s",
            action=Action.READ,
            endpoint=streams.get_block,
            operation=_operation(
                streams.get_block,
                "media",
                [
                    session,
                    what,
                    _query("block", _integer(), "Its number.", required=True),
                    _query("revision", _integer(), "As the playlist says.", required=True),
                ],
                _sent("audio/mp4"),
                (404, 410, 422),
            ),
        ),
        PlainRoute(
            method="GET",
            path=f"{SESSION}/media/{{what}}",
            action=Action.READ,
            endpoint=streams.get_media,
            operation=_operation(
                streams.get_media, "media", [session, what, *ranged], _file("audio/mp4"), (404, 409, 410, 412, 416)
            ),
        ),
        PlainRoute(
            method="GET",
            path="/api/download/{session_id}/{file_type}",
            action=Action.READ,
            endpoint=streams.download_file,
            operation=_operation(
                streams.download_file,
                "artifacts",
                [
                    session,
                    _path("file_type", "As `artifacts` lists them."),
                    _query(
                        "wait_s", _integer(), "How long to wait for a file that is being made; else 3, at most 600."
                    ),
                    *ranged,
                ],
                _file("*/*"),
                (404, 409, 410, 412, 416, 503),
            ),
        ),
        PlainRoute(
            method="POST",
            path="/api/imports",
            action=Action.RECORD,
            endpoint=streams.import_recording,
            operation=_operation(
                streams.import_recording,
                "sessions",
                [
                    _query("name", {"type": "string", "maxLength": 255}, "The file's name."),
                    _query("title", {"type": "string", "maxLength": 500}, "By default the name without its ending."),
                    _header("Repr-Digest", "`sha-256=:base64:` (RFC 9530); checked when present."),
                ],
                {201: _json("SessionAnswer", "The session; it is being processed.")},
                (413, 415, 422, 429, 503, 507),
                body=True,
            ),
        ),
    ]


def _operation(
    endpoint: Any,
    tag: str,
    parameters: Sequence[Parameter],
    answers: dict[int, dict[str, Any]],
    errors: tuple[int, ...],
    *,
    body: bool = False,
) -> dict[str, Any]:
    responses = {str(status): answer for status, answer in [*answers.items(), *problems(*errors).items()]}
    operation: dict[str, Any] = {
        "operationId": endpoint.__name__,
        "summary": (endpoint.__doc__ or "").split("\n", maxsplit=1)[0],
        "tags": [tag],
        "parameters": list(parameters),
        "responses": responses,
    }
    if body:
        operation["requestBody"] = {"required": True, "content": dict.fromkeys(MEDIA_TYPES, BYTES)}
    return operation


def _json(model: str, description: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _sent(media_type: str) -> dict[int, dict[str, Any]]:
    return {200: {"description": "All of it.", "content": {media_type: BYTES}}}


def _file(media_type: str) -> dict[int, dict[str, Any]]:
    content = {media_type: {} if media_type == "*/*" else BYTES}  # of any kind: it may be JSON
    headers = {"ETag": {"description": "Strong.", "schema": {"type": "string"}}}
    return {
        200: {"description": "All of it.", "content": content, "headers": headers},
        206: {"description": "The part that was asked for.", "content": content, "headers": headers},
        304: {"description": "It has not changed."},
    }


def _integer() -> dict[str, Any]:
    return {"type": "integer", "minimum": 0, "maximum": 10**9 - 1}


def _index() -> Parameter:
    return _path("index", "The segment's number on its track, from 0.") | {
        "schema": {"type": "integer", "minimum": 0, "maximum": 10**6 - 1}
    }


def _path(name: str, description: str) -> Parameter:
    schema = {"type": "string", "minLength": 1, "maxLength": 64}
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _query(name: str, schema: dict[str, Any], description: str, *, required: bool = False) -> Parameter:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": description}


def _header(name: str, description: str = "RFC 9110.") -> Parameter:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": description}
