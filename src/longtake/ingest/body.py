"""One body while it arrives: counted, recognised, hashed; held in memory while small, staged on disk when not.

It knows neither event loops nor threads: `ingest.receiver` drives it, and may call `write` and `finish` in a thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from longtake.ingest.protocol import Announcement, check_size
from longtake.model.errors import DigestMismatch, Invalid, ShortBody, Unsupported
from longtake.storage.blobs import Staged

HEAD_BYTES = 4096
"""How much of a body is looked at to recognise it."""

PIECE_BYTES = 512 << 10
"""How much of a large body is held before it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A whole body, checked: its bytes in `parts` or, flushed, in `staged`."""

    announcement: Announcement
    sha256: str
    size_bytes: int
    mime_type: str
    parts: Sequence[bytes]
    staged: Staged | None


class Body:
    """A body on its way in. Ends in `finish` or `discard`."""

    def __init__(
        self,
        announcement: Announcement,
        *,
        limit_bytes: int,
        small_bytes: int,
        recognise: Callable[[bytes], str | None],
        stage: Callable[[], Staged],
    ) -> None:
        self.size_bytes = 0
        self._announcement = announcement
        self._limit_bytes = limit_bytes
        self._small_bytes = small_bytes
        self._recognise = recognise
        self._stage = stage
        self._staged: Staged | None = None
        self._mime_type: str | None = None
        self._parts: list[bytes] = []
        self._held_bytes = 0

    @property
    def is_small(self) -> bool:
        """Whether all of it fits into memory: then `finish` does not touch the disk."""
        return self.size_bytes <= self._small_bytes

    def take(self, piece: bytes) -> bool:
        """Hold the next bytes; True when it is time to `write` what is `held`.

        Raises:
            TooLarge: There are more than allowed. Unsupported: It is no kind of media that is taken.
        """
        self.size_bytes += len(piece)
        self._held_bytes += len(piece)
        self._parts.append(piece)
        check_size(self.size_bytes, self._limit_bytes)
        if self._mime_type is None and self.size_bytes >= HEAD_BYTES:
            self._identify()
        return self._held_bytes >= PIECE_BYTES and not self.is_small

    def held(self) -> list[bytes]:
        """Hand over what is held."""
        parts, self._parts, self._held_bytes = self._parts, [], 0
        return parts

    def write(self, parts: Sequence[bytes]) -> None:
        """Hash and write to the staged file; raises StorageFull or StorageFailed."""
        if self._staged is None:
            self._staged = self._stage()
        self._staged.write(parts)

    def finish(self) -> Arrived:
        """Check the whole; a large body is flushed.

        Raises:
            ShortBody, Invalid: It is shorter or longer than announced. Unsupported: As in `take`.
            DigestMismatch: Its bytes are not those that were sent. StorageFull, StorageFailed: The disk refused.
        """
        announced = self._announcement
        if announced.size_bytes is not None and self.size_bytes < announced.size_bytes:
            raise ShortBody(
                f"the body has {self.size_bytes} of {announced.size_bytes} bytes",
                received_bytes=self.size_bytes,
                expected_bytes=announced.size_bytes,
            )
        if announced.size_bytes is not None and self.size_bytes > announced.size_bytes:
            raise Invalid(f"the body has {self.size_bytes} bytes where {announced.size_bytes} were announced")
        if self._mime_type is None:
            self._identify()
        parts = self.held()
        if self.is_small:
            digest = hashlib.sha256()
            for part in parts:
                digest.update(part)
            sha256 = digest.hexdigest()
        else:
            self.write(parts)
            parts = []
            assert self._staged is not None
            sha256 = self._staged.digest()
        if announced.digest not in (None, sha256):
            raise DigestMismatch(expected=str(announced.digest), received=sha256)
        if self._staged is not None:
            self._staged.flush()
        assert self._mime_type is not None
        return Arrived(
            announcement=announced,
            sha256=sha256,
            size_bytes=self.size_bytes,
            mime_type=self._mime_type,
            parts=parts,
            staged=self._staged,
        )

    def discard(self) -> None:
        """Forget it and remove what was staged; not while `write` or `finish` runs."""
        self._parts = []
        if self._staged is not None:
            self._staged.discard()

    def _identify(self) -> None:
        self._mime_type = self._recognise(b"".join(self._parts)[:HEAD_BYTES])
        if self._mime_type is None:
            raise Unsupported("the bytes are none of WAV, FLAC, MP3, AAC, M4A, MP4, Ogg, WebM and Matroska")
