"""The typed client: longtake over HTTP, from any Python program. Every method asks one thing.

with Client("http://127.0.0.1:8000") as client:
    session = client.import_file(Path("interview.flac"))
    print(client.job(session.enrichment.job_id).progress)
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from longtake.model.errors import LongtakeError, Unavailable
from longtake.wire.attachments import AttachmentAnswer, CollectAnswer, CollectRequest
from longtake.wire.base import Page, Problem
from longtake.wire.jobs import EnrichRequest, JobAnswer
from longtake.wire.library import HitAnswer
from longtake.wire.media import ArtifactsAnswer
from longtake.wire.remarks import ItemAnswer, MarkerAnswer, MarkerRequest
from longtake.wire.sessions import AnnouncedTrack, EndRequest, SessionAnswer, SessionRequest, SessionsAnswer
from longtake.wire.tracks import (
    CoverageAnswer,
    ReceiptAnswer,
    RetryAnswer,
    SegmentAnswer,
    TrackAnswer,
    TrackRequest,
)
from longtake.wire.transcript import EntryAnswer
from longtake.wire.upkeep import CleanUpAnswer

PIECE_BYTES = 1 << 20
CONNECT_S = 5.0
ANSWER_S = 120.0
"""Longest silence of the server: an import is answered only when its last byte is durable."""

BROKEN = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
"""A connection that was there and broke; silence is none of them: the server may still be at work."""

Progress = Callable[[int, int], None]
"""Called with the bytes that are sent and the bytes there are."""

Message = TypeVar("Message", bound=BaseModel)
Query = Mapping[str, str | int | None]


class ServerError(LongtakeError):
    """The server refused; `code`, `http_status` and `fields` are those of its problem."""

    code = "server_error"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail, **(problem.model_extra or {}))
        self.code = problem.code
        self.http_status = problem.status


class Unreachable(Unavailable):
    """There is no server at the address, or the connection to it broke."""

    code = "server_unreachable"


class Client:
    """One server. Thread-safe; `close` it, or use it as a context.

    A request whose connection breaks before the answer is sent once more, except a deletion, of which the second would
    find nothing: a POST has a key, by which the server does it once.
    """

    def __init__(self, url: str, *, device_id: str | None = None) -> None:
        """Nothing is sent yet.

        Args:
            url: Where the server is, like `http://127.0.0.1:8000`.
            device_id: The device that this program is: histories tell of it, and what it records is its own.

        Raises:
            Unreachable: It is no address.
        """
        self.url = url.rstrip("/")
        headers = {} if device_id is None else {"X-Longtake-Device": device_id}
        timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
        try:
            self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)
        except httpx.InvalidURL as error:
            raise Unreachable(f"{url} is no address of a server: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def create_session(self, request: SessionRequest | None = None) -> SessionAnswer:
        """Create a session."""
        return self._post(SessionAnswer, "/api/sessions", request or SessionRequest())

    def session(self, session_id: str) -> SessionAnswer:
        """A session's metadata."""
        return self._get(SessionAnswer, f"/api/sessions/{session_id}")

    def sessions(
        self,
        *,
        limit: int = 50,
        cursor: str | None = None,
        q: str | None = None,
        id_prefix: str | None = None,
        trashed: bool = False,
    ) -> SessionsAnswer:
        """A page of sessions, newest first: of which a text says `q`, whose id begins so, or of those in the trash."""
        params = {"limit": limit, "cursor": cursor, "q": q, "id_prefix": id_prefix, "trashed": trashed or None}
        return self._get(SessionsAnswer, "/api/sessions", params)

    def search(self, q: str, *, limit: int = 50, cursor: str | None = None) -> Page[HitAnswer]:
        """A page of texts that say this, the best first."""
        return self._get(Page[HitAnswer], "/api/search", {"q": q, "limit": limit, "cursor": cursor})

    def mark(self, session_id: str, label: str | None = None, *, at_ms: int | None = None) -> MarkerAnswer:
        """Flag a moment of a session; without a time it is now."""
        request = MarkerRequest(at_ms=at_ms, label=label)
        return self._post(MarkerAnswer, f"/api/sessions/{session_id}/markers", request)

    def timeline(self, session_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[ItemAnswer]:
        """A page of everything in a session, by time."""
        query: Query = {"limit": limit, "cursor": cursor}
        return self._get(Page[ItemAnswer], f"/api/sessions/{session_id}/timeline", query)

    def start(self, session_id: str) -> SessionAnswer:
        """Begin to record."""
        return self._post(SessionAnswer, f"/api/sessions/{session_id}/start")

    def pause(self, session_id: str) -> SessionAnswer:
        """Pause."""
        return self._post(SessionAnswer, f"/api/sessions/{session_id}/pause")

    def resume(self, session_id: str) -> SessionAnswer:
        """Go on."""
        return self._post(SessionAnswer, f"/api/sessions/{session_id}/resume")

    def end(self, session_id: str, tracks: Sequence[AnnouncedTrack] = ()) -> SessionAnswer:
        """End a session and say what each track should have."""
        return self._post(SessionAnswer, f"/api/sessions/{session_id}/end", EndRequest(tracks=tuple(tracks)))

    def delete(self, session_id: str, *, purge: bool = False) -> None:
        """Move a session to the trash; with `purge` delete it for good."""
        self._send("DELETE", f"/api/sessions/{session_id}", params={"purge": "true" if purge else "false"})

    def restore(self, session_id: str) -> SessionAnswer:
        """Take a session out of the trash."""
        return self._post(SessionAnswer, f"/api/sessions/{session_id}/restore")

    def delete_audio(self, session_id: str) -> SessionAnswer:
        """Delete what was recorded in a session; what was said stays."""
        return _read(SessionAnswer, self._send("DELETE", f"/api/sessions/{session_id}/audio"))

    def attachment(self, attachment_id: str) -> AttachmentAnswer:
        """What is known of stored bytes; a segment's id is that of its attachment."""
        return self._get(AttachmentAnswer, f"/api/attachments/{attachment_id}")

    def collect(self, older_than: timedelta, *, dry_run: bool = False) -> CollectAnswer:
        """Remove stored bytes that nothing has referred to for some time."""
        return self._post(CollectAnswer, "/api/gc", CollectRequest(older_than=older_than, dry_run=dry_run))

    def clean_up(self) -> CleanUpAnswer:
        """End and enrich the sessions that lie idle, put the empty ones into the trash."""
        return self._post(CleanUpAnswer, "/api/cleanup")

    def retry(self, session_id: str) -> RetryAnswer:
        """Process the failed segments of a session again."""
        return self._post(RetryAnswer, f"/api/sessions/{session_id}/retry")

    def enrich(self, session_id: str, request: EnrichRequest | None = None) -> JobAnswer:
        """Ask for the enrichment of a session."""
        return self._post(JobAnswer, f"/api/sessions/{session_id}/enrich", request or EnrichRequest())

    def job(self, job_id: str) -> JobAnswer:
        """How far a job is."""
        return self._get(JobAnswer, f"/api/jobs/{job_id}")

    def declare_track(self, session_id: str, request: TrackRequest) -> TrackAnswer:
        """Add a track to a session."""
        return self._post(TrackAnswer, f"/api/sessions/{session_id}/tracks", request)

    def put_segment(
        self,
        session_id: str,
        track_id: str,
        index: int,
        body: bytes,
        *,
        start_ms: int | None = None,
        duration_ms: int | None = None,
    ) -> ReceiptAnswer:
        """Send a segment; it is durable when this returns. Sending it again changes nothing."""
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        response = self._send(
            "PUT",
            f"/api/sessions/{session_id}/tracks/{track_id}/segments/{index}",
            params=_given({"start_ms": start_ms, "duration_ms": duration_ms}),
            headers={"Repr-Digest": f"sha-256=:{digest}:", "Content-Type": "application/octet-stream"},
            content=body,
        )
        return _read(ReceiptAnswer, response)

    def import_file(
        self, path: Path, *, title: str | None = None, progress: Progress = lambda _sent, _size: None
    ) -> SessionAnswer:
        """Send a whole recorded file; it is durable when this returns, and its job waits.

        Args:
            path: The file; it is streamed, never held in memory.
            title: The session's title; by default the file's name.
            progress: Called while bytes leave; from the beginning again if the connection breaks.
        """
        size_bytes = path.stat().st_size
        response = self._send(
            "POST",
            "/api/imports",
            params=_given({"name": in_utf8(path.name), "title": title and in_utf8(title)}),
            headers={
                "Content-Length": str(size_bytes),
                "Content-Type": "application/octet-stream",
                "Idempotency-Key": str(uuid.uuid4()),
            },
            content=partial(_pieces, path, size_bytes, progress),
        )
        return _read(SessionAnswer, response)

    def segments(self, session_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[SegmentAnswer]:
        """A page of segments by track and index."""
        path = f"/api/sessions/{session_id}/segments"
        return self._get(Page[SegmentAnswer], path, {"limit": limit, "cursor": cursor})

    def transcript(self, session_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[EntryAnswer]:
        """A page of the transcript, by time."""
        path = f"/api/sessions/{session_id}/transcript"
        return self._get(Page[EntryAnswer], path, {"limit": limit, "cursor": cursor})

    def coverage(self, session_id: str) -> CoverageAnswer:
        """What every track should have and has."""
        return self._get(CoverageAnswer, f"/api/sessions/{session_id}/coverage")

    def artifacts(self, session_id: str) -> ArtifactsAnswer:
        """The files that can be downloaded."""
        return self._get(ArtifactsAnswer, f"/api/sessions/{session_id}/artifacts")

    def download(self, session_id: str, file_type: str, path: Path) -> int:
        """Write one of the files to a path, whole or not at all; returns its size in bytes."""
        half = path.with_name(path.name + ".partial")
        try:
            with self._http.stream("GET", f"/api/download/{session_id}/{file_type}") as response:
                if response.is_error:
                    response.read()
                _check(response)
                with half.open("wb") as file:
                    for piece in response.iter_bytes(PIECE_BYTES):
                        file.write(piece)
            half.replace(path)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        finally:
            half.unlink(missing_ok=True)
        return path.stat().st_size

    def _get(self, kind: type[Message], path: str, query: Query | None = None) -> Message:
        return _read(kind, self._send("GET", path, params=_given(query or {})))

    def _post(self, kind: type[Message], path: str, body: BaseModel | None = None) -> Message:
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/json"}
        content = None if body is None else body.model_dump_json(exclude_unset=True).encode()
        return _read(kind, self._send("POST", path, headers=headers, content=content))

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | Callable[[], Iterator[bytes]] | None = None,
    ) -> httpx.Response:
        def send() -> httpx.Response:
            body = content() if callable(content) else content
            return self._http.request(method, path, params=params, headers=headers, content=body)

        try:
            try:
                response = send()
            except BROKEN:
                if method == "DELETE":
                    raise
                response = send()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        _check(response)
        return response

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self.url} does not answer ({error or type(error).__name__})", url=self.url)


def in_utf8(name: str) -> str:
    """A file's name in which bytes that are no UTF-8 are shown as such: they cannot be sent or stored as text."""
    return re.sub(r"[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", name)


def _given(query: Query) -> dict[str, str | int]:
    return {name: value for name, value in query.items() if value is not None}


def _pieces(path: Path, size_bytes: int, progress: Progress) -> Iterator[bytes]:
    sent_bytes = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
            sent_bytes += len(piece)
            progress(sent_bytes, size_bytes)


def _check(response: httpx.Response) -> None:
    """Raise what the server says."""
    if not response.is_error:
        return
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        detail = f"{response.request.url.host} answered {response.status_code} {response.reason_phrase}"
        problem = Problem(
            type="about:blank", title="", status=response.status_code, detail=detail, code=ServerError.code
        )
    raise ServerError(problem)


def _read(kind: type[Message], response: httpx.Response) -> Message:
    """An answer; what is no such message comes from some other program."""
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise Unreachable(f"{response.request.url.host} answers, but is no longtake of this version") from error
