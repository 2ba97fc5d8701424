"""Bytes with `Range`, `ETag` and their friends (RFC 9110 §13–14): one way to send everything that is no JSON.

A reader that stops reading costs a connection and one piece: reading happens in threads of the media's own, and none
is held while the network is waited for.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from longtake.enrichment.playback import Readable
from longtake.server.problems import Changed, RangeNotSatisfiable

PIECE_BYTES = 256 << 10
CACHED = "private, max-age=0, must-revalidate"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def send_readable(
    request: Request,
    readable: Readable,
    limiter: CapacityLimiter,
    *,
    file_name: str | None = None,
) -> Response:
    """An answer with all of it, the part that is asked for, or nothing when the client has it.

    Args:
        limiter: Bounds the threads that read.
        file_name: Sent as an attachment of this name; None: to be shown where it is.

    Raises:
        Changed: It is not what `If-Match` names. RangeNotSatisfiable: The range begins behind the end.
    """
    etag = f'"{readable.etag}"'
    if not _is_meant(request.headers.get("if-match"), etag):
        raise Changed(f"it is {etag} now: begin again, what was read before is of other bytes", etag=etag)
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": CACHED}
    if file_name is not None:
        headers["Content-Disposition"] = disposition(file_name)
    if is_known(request.headers.get("if-none-match"), etag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    part = _asked_part(request, etag, readable.size_bytes)
    start, end = part or (0, readable.size_bytes)
    headers |= {"Content-Length": str(end - start), "Content-Type": readable.mime_type}
    status = HTTPStatus.OK
    if part is not None:
        status = HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{readable.size_bytes}"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_pieces(readable, start, end, limiter), status_code=status, headers=headers)


async def _pieces(readable: Readable, start: int, end: int, limiter: CapacityLimiter) -> AsyncIterator[bytes]:
    for at in range(start, end, PIECE_BYTES):
        yield await to_thread.run_sync(readable.read, at, min(at + PIECE_BYTES, end), limiter=limiter)


def _asked_part(request: Request, etag: str, size_bytes: int) -> tuple[int, int] | None:
    """The range [start, end) that is asked for; None: everything (also for what RFC 9110 §14.2 lets us ignore)."""
    if request.method != "GET" or not _range_holds(request.headers.get("if-range"), etag):
        return None
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or match.group() == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start, end = int(first), size_bytes if not last else min(int(last) + 1, size_bytes)
        if last and int(last) < int(first):
            return None
    if start >= size_bytes or start >= end:
        raise RangeNotSatisfiable(size_bytes)
    return start, end


def _range_holds(if_range: str | None, etag: str) -> bool:
    return if_range is None or if_range.strip() == etag


def _is_meant(if_match: str | None, etag: str) -> bool:
    """Whether these are the bytes that the client means (strong comparison, RFC 9110 §13.1.1)."""
    return if_match is None or not {etag, "*"}.isdisjoint(tag.strip() for tag in if_match.split(","))


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client already has this (weak comparison, RFC 9110 §13.1.2)."""
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or "*" in known


def disposition(file_name: str) -> str:
    """`Content-Disposition` for a download (RFC 6266)."""
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"
