"""Bytes in and out: segments, whole files, HLS, downloads. Plain routes; each says for the OpenAPI document what it is.

Nothing here holds more than a piece of a body; neither a slow client nor one that waits for a file holds a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from longtake.access import Action, Caller
from longtake.enrichment.playback import Readable, Wav
from longtake.ingest.protocol import announce
from longtake.model.errors import Invalid, NotFound
from longtake.runtime import READERS, Runtime
from longtake.server.api.attachments import ending
from longtake.server.idempotency import Idempotency
from longtake.server.readable import send_readable
from longtake.server.routing import fingerprint
from longtake.server.views import SessionViews
from longtake.wire.tracks import ReceiptAnswer

MEDIA_THREADS = 8
MAKING_THREADS = 4
DECODING_THREADS = READERS
TRACK_THREADS = 4
"""Threads for what is stored, for documents, for sound that is decoded while it is read (a place far into a long file
takes minutes), for the track of a first segment: each waits for its own kind alone."""
WAIT_S = 3.0
MAX_WAIT_S = 600
"""How long a request waits for a file that is being made: unless it says otherwise, and at the most."""
KNOWN_TRACKS = 10_000
MAX_NAME = 255
MAX_DIGITS = 9
IMMUTABLE = "private, max-age=86400, immutable"

Result = TypeVar("Result")
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRoute:
    """A route beside the framework's: what it needs, what does it, what the document says of it."""

    method: str
    path: str
    action: Action
    endpoint: Endpoint
    operation: dict[str, Any]


class Streams:
    """The endpoints that send and take bytes."""

    def __init__(self, runtime: Runtime, views: SessionViews, idempotency: Idempotency) -> None:
        self._run = runtime
        self._views = views
        self._idempotency = idempotency
        self._media = CapacityLimiter(MEDIA_THREADS)
        self._making = CapacityLimiter(MAKING_THREADS)
        self._decoding = CapacityLimiter(DECODING_THREADS)
        self._tracks = CapacityLimiter(TRACK_THREADS)
        self._session_of: dict[str, str] = {}

    async def put_segment(self, request: Request) -> Response:
        """Store a segment; the answer is its receipt: it is durable."""
        path, query, headers = request.path_params, request.query_params, request.headers
        await self._check_track(path["session_id"], path["track_id"])
        announcement = announce(
            track_id=path["track_id"],
            index=path["index"],
            start_ms=query.get("start_ms"),
            duration_ms=query.get("duration_ms"),
            repr_digest=_repr_digest(request),
            content_length=headers.get("content-length"),
        )
        receipt = await self._run.receiver.receive(announcement, request.stream())
        body = ReceiptAnswer.of(receipt).model_dump_json()
        return Response(body, 201 if receipt.is_new else 200, media_type="application/json")

    async def get_segment_media(self, request: Request) -> Response:
        """A segment's bytes as they were received."""
        path = request.path_params
        index = announce(track_id=path["track_id"], index=path["index"]).index
        found = await self._read(self._run.attachments.open_segment, path["session_id"], path["track_id"], index)
        return self._send(request, found, file_name=f"{path['track_id'][:8]}_{index}.{ending(found.mime_type)}")

    async def get_attachment_content(self, request: Request) -> Response:
        """Stored bytes."""
        found = await self._read(self._run.attachments.open, request.path_params["attachment_id"])
        return self._send(request, found)

    async def import_recording(self, request: Request) -> Response:
        """Take a whole recorded file as a session that has ended."""
        name, title = request.query_params.get("name", ""), request.query_params.get("title", "").strip()
        if len(name) > MAX_NAME:
            raise Invalid(f"a name has at most {MAX_NAME} characters")
        key = request.headers.get("idempotency-key")
        run = partial(self._import, request, name, title)
        if key is None:
            return await run()
        said = request.headers.get("content-length", "") + (_repr_digest(request) or "")
        return await self._idempotency.answer(key, fingerprint(request, said.encode()), run)

    async def get_playlist(self, request: Request) -> Response:
        """The HLS playlist of the mix (`audio`) or of a track: while recording and after."""
        path = request.path_params
        text = await self._read(self._run.playback.playlist, path["session_id"], path["what"])
        return Response(text, media_type="application/vnd.apple.mpegurl", headers={"Cache-Control": "no-cache"})

    async def get_init(self, request: Request) -> Response:
        """What an HLS player needs before the first block."""
        await self._read(self._run.sessions.get, request.path_params["session_id"])
        data = self._run.playback.init(_number(request, "channels"))
        return Response(data, media_type="audio/mp4", headers={"Cache-Control": IMMUTABLE})

    async def get_block(self, request: Request) -> Response:
        """Ten seconds of sound for an HLS player. An address never changes its bytes."""
        path, number, revision = request.path_params, _number(request, "block"), _number(request, "revision")
        data = await self._read(self._run.playback.block, path["session_id"], path["what"], number, revision)
        return Response(data, media_type="audio/mp4", headers={"Cache-Control": IMMUTABLE})

    async def get_media(self, request: Request) -> Response:
        """The whole mix (`audio`) or track as one M4A file."""
        path = request.path_params
        found = await self._read(self._run.playback.m4a, path["session_id"], path["what"])
        return self._send(request, found)

    async def download_file(self, request: Request) -> Response:
        """One file of a session."""
        path = request.path_params
        wait_s = float(min(_number(request, "wait_s"), MAX_WAIT_S)) if "wait_s" in request.query_params else WAIT_S
        named, files = (path["session_id"], path["file_type"]), self._run.files
        making = await to_thread.run_sync(files.begin, *named, limiter=self._making)
        if making is not None:
            await _made(making, request, wait_s)
        download = await to_thread.run_sync(files.open, *named, limiter=self._making)
        return self._send(request, download.content, file_name=download.name)

    async def _import(self, request: Request, name: str, title: str) -> Response:
        stem = PurePath(name.replace("\\", "/")).stem.strip() or None
        caller: Caller = request.state.caller
        track = await to_thread.run_sync(self._run.imports.begin, title or None, stem, caller.device_id)
        try:
            announcement = announce(
                track_id=track.id,
                index=0,
                repr_digest=_repr_digest(request),
                content_length=request.headers.get("content-length"),
            )
            await self._run.receiver.receive(
                announcement, request.stream(), limit_bytes=self._run.settings.max_import_bytes
            )
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._run.imports.forget, track.session_id))
            raise
        body = await to_thread.run_sync(lambda: self._views.of(self._run.imports.end(track)).model_dump_json())
        return Response(body, 201, media_type="application/json")

    async def _check_track(self, session_id: str, track_id: str) -> None:
        """Refuse a track that is not of this session; what is known once is not asked again."""
        known = self._session_of.get(track_id)
        if known is None:
            track = await to_thread.run_sync(self._run.sessions.track, session_id, track_id, limiter=self._tracks)
            if len(self._session_of) >= KNOWN_TRACKS:
                self._session_of.clear()
            known = self._session_of[track_id] = track.session_id
        if known != session_id:
            raise NotFound("track", track_id)

    async def _read(self, function: Callable[..., Result], *args: object) -> Result:
        return await to_thread.run_sync(partial(function, *args), limiter=self._media)

    def _send(self, request: Request, readable: Readable, *, file_name: str | None = None) -> Response:
        limiter = self._decoding if isinstance(readable, Wav) else self._media
        return send_readable(request, readable, limiter, file_name=file_name)


async def _made(making: Future[None], request: Request, wait_s: float) -> None:
    """Wait until a file is made or the time is over, in no thread; raises ClientDisconnect when nobody waits."""
    made = asyncio.wrap_future(making)
    made.add_done_callback(lambda done: done.cancelled() or done.exception())  # told here, or to nobody
    left = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({made, left}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
    if left.done():
        raise ClientDisconnect
    if made.done() and not made.cancelled():
        made.result()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _repr_digest(request: Request) -> str | None:
    """The header of that name, whose lines are one list (RFC 9110 §5.3)."""
    lines = request.headers.getlist("repr-digest")
    return ", ".join(lines) if lines else None


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise Invalid(f"{name} is a whole number", field=name)
    return int(text)
