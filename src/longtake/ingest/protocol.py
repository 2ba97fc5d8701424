"""What a sender says about a segment before its bytes: address, time, length and digest, checked. No I/O.

Belongs here: reading and refusing what stands in an address and in headers. Does not: the bytes (`ingest.body`) and
whether the track exists (`ingest.receiver`).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from longtake.model.errors import Invalid, TooLarge

MAX_INDEX = 10**6 - 1
MAX_START_MS = 7 * 24 * 3600 * 1000
"""No recording is longer, and the time of day, in seconds or milliseconds, is above it: weeks of silence otherwise."""
MAX_DURATION_MS = MAX_START_MS
MEANING = {"start_ms": " (milliseconds since the recording began, not the time of day)"}
MAX_TRACK_ID = 64
SHA256_BYTES = 32

_KEY = r"[a-z*][a-z0-9_.*-]*"
_PARAMETER = rf"(?:;[ ]*{_KEY}(?:=[^,;\s]+)?)*"
_MEMBER = re.compile(rf"({_KEY})=:([A-Za-z0-9+/]*={{0,2}}):{_PARAMETER}")
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What is known of a segment before its bytes. `digest` is SHA-256 in hex; None: the sender gave no such thing."""

    track_id: str
    index: int
    start_ms: int | None = None
    duration_ms: int | None = None
    digest: str | None = None
    size_bytes: int | None = None


def announce(
    *,
    track_id: str,
    index: str | int,
    start_ms: str | int | None = None,
    duration_ms: str | int | None = None,
    repr_digest: str | None = None,
    content_length: str | int | None = None,
) -> Announcement:
    """Read an announcement from an address, a query and the headers of those names.

    Raises:
        Invalid: Something is no number, out of its range, or no digest.
    """
    if not 0 < len(track_id) <= MAX_TRACK_ID:
        raise Invalid("the track's id is not one that was given out")
    return Announcement(
        track_id=track_id,
        index=_number("index", index, MAX_INDEX),
        start_ms=None if start_ms is None else _number("start_ms", start_ms, MAX_START_MS),
        duration_ms=None if duration_ms is None else _number("duration_ms", duration_ms, MAX_DURATION_MS),
        digest=None if repr_digest is None else sha256_of(repr_digest),
        size_bytes=None if content_length is None else _number("Content-Length", content_length, 2**63 - 1),
    )


def sha256_of(repr_digest: str) -> str | None:
    """The SHA-256, in hex, that a `Repr-Digest` header names; None when it names only other algorithms.

    Other algorithms may stand beside it and are not checked. A field that is malformed is refused rather than ignored:
    its sender meant it to be checked.

    Raises:
        Invalid: It is no dictionary of byte sequences, or the SHA-256 does not have 32 bytes.

    Source: RFC 9530 §3 and §2; RFC 9651 §3.2 (dictionary: of two members with one key the last counts), §3.3.5.
    """
    found: str | None = None
    for member in repr_digest.strip(" ").split(","):
        match = _MEMBER.fullmatch(member.strip(" \t"))
        if match is None:
            raise Invalid("Repr-Digest is not like sha-256=:base64:", header="Repr-Digest")
        algorithm, text = match.groups()
        try:
            digest = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except binascii.Error as error:
            raise Invalid("Repr-Digest holds something that is not base64", header="Repr-Digest") from error
        if algorithm == "sha-256":
            if len(digest) != SHA256_BYTES:
                raise Invalid(f"a SHA-256 has 32 bytes, this one has {len(digest)}", header="Repr-Digest")
            found = digest.hex()
    return found


def check_size(size_bytes: int | None, limit_bytes: int) -> None:
    """Refuse a length, announced or counted, above the limit; raises TooLarge."""
    if size_bytes is not None and size_bytes > limit_bytes:
        raise TooLarge(f"at most {limit_bytes} bytes are taken at once", limit_bytes=limit_bytes)


def _number(name: str, value: str | int, most: int) -> int:
    """A whole number of [0, most]; raises Invalid."""
    text = str(value)
    if _NUMBER.fullmatch(text) is None or int(text) > most:
        raise Invalid(
            f"{name} is a whole number from 0 to {most}{MEANING.get(name, '')}, not {text[:40]!r}", field=name
        )
    return int(text)
