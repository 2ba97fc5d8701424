"""POSTs that can be sent again: the same Idempotency-Key with the same request gets the same answer, once done.

What a request answered is remembered for a day. Requests with one key wait for each other.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from anyio import to_thread
from starlette.responses import Response

from longtake.model.errors import Invalid
from longtake.server.problems import KeyReused
from longtake.storage.catalog import requests
from longtake.storage.store import Store

MAX_KEY = 200
KEY = re.compile(rf"[ -~]{{1,{MAX_KEY}}}")
"""Printable ASCII."""

log = structlog.get_logger()


class Idempotency:
    """Remembers answers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: dict[str, asyncio.Event] = {}

    async def answer(self, key: str, fingerprint: str, run: Callable[[], Awaitable[Response]]) -> Response:
        """Run a request, unless it was answered already.

        Args:
            key: As the client sent it.
            fingerprint: Digest of all that the request says.
            run: Does it. Only what it returns with a status below 300 is remembered.

        Raises:
            Invalid: It is no key. KeyReused: It belongs to another request.
        """
        if KEY.fullmatch(key) is None:
            raise Invalid(f"an Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters")
        async with self._alone(key):
            known = await to_thread.run_sync(self._find, key)
            if known is not None:
                if known.fingerprint != fingerprint:
                    raise KeyReused("this Idempotency-Key was used for another request")
                return Response(known.body, known.status, media_type="application/json")
            response = await run()
            if response.status_code < 300:
                await to_thread.run_sync(self._try_to_remember, key, fingerprint, response)
            return response

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        while (other := self._running.get(key)) is not None:
            await other.wait()
        done = self._running[key] = asyncio.Event()
        try:
            yield
        finally:
            del self._running[key]
            done.set()

    def _find(self, key: str) -> requests.Answered | None:
        with self._store.db.read() as c:
            return requests.find_answer(c, key)

    def _try_to_remember(self, key: str, fingerprint: str, response: Response) -> None:
        """What was done is told as done, also when a full disk forgets that it was."""
        try:
            self._remember(key, fingerprint, response)
        except Exception as error:
            log.warning("answer_not_remembered", status=response.status_code, exc_info=error)

    def _remember(self, key: str, fingerprint: str, response: Response) -> None:
        answered = requests.Answered(
            key=key,
            fingerprint=fingerprint,
            status=response.status_code,
            body=bytes(response.body),
            at_ms=self._store.now_ms(),
        )
        with self._store.db.write() as c:
            requests.insert_answer(c, answered)
